"""Webhook endpoints as their tenant sets them up."""

from __future__ import annotations

import socket
from typing import Any

import httpx2
import pytest

from quill.states import State
from quill.store.run import Store
from quill.tenancy.records import Scope
from quill.webhooks.records import ENDPOINTS_AT_MOST
from tests.integration.jobs import job_in
from tests.processes import Fleet, eventually
from tests.tenancy import Tenancy, bearer

PATH = "/v1/webhook-endpoints"
#: Public, and no name that would have to be looked up; nothing is sent there.
URL = "https://1.1.1.1/hook"


@pytest.fixture(scope="module")
def gateway_url(lasting_fleet: Fleet) -> str:
    return lasting_fleet.gateway(auth="keys", webhooks="off")[1]


@pytest.fixture
def owner(tenancy: Tenancy) -> dict[str, str]:
    return bearer(tenancy.newcomer("acme"))


def register(http: httpx2.Client, owner: dict[str, str], **fields: object) -> dict[str, Any]:
    reply = http.post(PATH, json={"url": URL} | fields, headers=owner)
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


def test_an_endpoint_is_made_looked_at_changed_and_removed(
    http: httpx2.Client, owner: dict[str, str]
) -> None:
    made = register(http, owner, name="billing", event_types=["job.failed"])
    path = f"{PATH}/{made['id']}"
    seen = http.get(path, headers=owner).json()
    assert seen == {name: value for name, value in made.items() if name != "secret"}
    assert (seen["name"], seen["event_types"], seen["is_enabled"]) == ("billing", ["job.failed"], True)
    changes = {"url": f"{URL}/2", "event_types": [], "is_enabled": False}
    assert http.patch(path, json=changes, headers=owner).json() == seen | changes
    assert http.get(PATH, headers=owner).json() == {"object": "list", "data": [seen | changes]}
    assert http.delete(path, headers=owner).status_code == 204
    for method in ("GET", "DELETE"):
        reply = http.request(method, path, headers=owner)
        assert (reply.status_code, reply.json()["code"]) == (404, "webhook_endpoint_not_found")


def test_a_secret_is_shown_once(http: httpx2.Client, owner: dict[str, str]) -> None:
    made = register(http, owner)
    path = f"{PATH}/{made['id']}"
    rotated = http.post(f"{path}/rotate", json={}, headers=owner).json()
    assert rotated["secret"] != made["secret"]
    for reply in (
        http.get(path, headers=owner),
        http.get(PATH, headers=owner),
        http.patch(path, json={"name": "x"}, headers=owner),
        http.get(f"{path}/deliveries", headers=owner),
    ):
        assert reply.status_code == 200
        assert "whsec_" not in reply.text


def test_what_is_a_foreign_tenants_looks_as_if_it_did_not_exist(
    http: httpx2.Client, owner: dict[str, str], tenancy: Tenancy, store: Store
) -> None:
    stranger = bearer(tenancy.newcomer("blue"))
    made, own = register(http, owner), register(http, stranger)
    delivery_id = http.post(f"{PATH}/{made['id']}/test", headers=owner).json()["delivery_id"]
    for method, rest in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", f"/deliveries/{delivery_id}/replay"),
    ):
        body: dict[str, object] | None = {} if method in ("PATCH", "POST") else None
        foreign = http.request(method, f"{PATH}/{made['id']}{rest}", json=body, headers=stranger)
        unknown = http.request(method, f"{PATH}/whe_{'0' * 24}{rest}", json=body, headers=stranger)
        assert foreign.status_code == 404, (method, rest)
        assert {**foreign.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    replay = http.post(f"{PATH}/{own['id']}/deliveries/{delivery_id}/replay", headers=stranger)
    assert (replay.status_code, replay.json()["code"]) == (404, "webhook_delivery_not_found")
    assert [one["id"] for one in http.get(PATH, headers=stranger).json()["data"]] == [own["id"]]
    assert http.get(f"{PATH}/{made['id']}", headers=owner).status_code == 200


def test_setting_up_endpoints_takes_its_own_scope_which_callers_have(
    http: httpx2.Client, tenancy: Tenancy
) -> None:
    tenancy.tenant("acme")
    submitter = bearer(tenancy.key("acme", Scope.SUBMIT).text)
    assert http.post(PATH, json={"url": URL}, headers=submitter).status_code == 403
    assert http.post(PATH, json={"url": URL}, headers=bearer(tenancy.key("acme").text)).status_code == 201


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://0x7f000001/",
        "https://localhost/",
        "https://example.com:22/",
        "https://user:secret@example.com/",
        "https://exa mple.com/",
        "ftp://example.com/",
        "/relative",
        "",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_no_endpoint_leads_inside(http: httpx2.Client, owner: dict[str, str], url: str) -> None:
    made = register(http, owner)
    for reply in (
        http.post(PATH, json={"url": url}, headers=owner),
        http.patch(f"{PATH}/{made['id']}", json={"url": url}, headers=owner),
    ):
        assert (reply.status_code, reply.json()["code"]) == (422, "unsafe_target"), url
    assert http.get(f"{PATH}/{made['id']}", headers=owner).json()["url"] == URL


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "#/url"),
        ({"url": URL, "event_types": ["job.started"]}, "#/event_types/0"),
        ({"url": URL, "event_types": "job.failed"}, "#/event_types"),
        ({"url": URL, "name": "x" * 129}, "#/name"),
        ({"url": URL, "secrets": []}, "#/secrets"),
    ],
)
def test_a_malformed_endpoint_is_a_problem_with_a_place(
    http: httpx2.Client, owner: dict[str, str], body: dict[str, object], place: str
) -> None:
    reply = http.post(PATH, json=body, headers=owner)
    assert reply.status_code == 422
    assert [error["pointer"] for error in reply.json()["errors"]] == [place]


def test_a_tenant_may_have_sixteen(http: httpx2.Client, owner: dict[str, str]) -> None:
    for _ in range(ENDPOINTS_AT_MOST):
        register(http, owner)
    reply = http.post(PATH, json={"url": URL}, headers=owner)
    assert (reply.status_code, reply.json()["code"]) == (409, "too_many_webhook_endpoints")


def test_a_tenant_sends_ten_tests_a_minute_whatever_they_are_for(
    http: httpx2.Client, owner: dict[str, str], tenancy: Tenancy
) -> None:
    stranger = bearer(tenancy.newcomer("blue"))
    paths = [f"{PATH}/{register(http, owner)['id']}/test" for _ in range(2)]
    replies = [http.post(paths[number % 2], headers=owner) for number in range(11)]
    assert [reply.status_code for reply in replies] == [202] * 10 + [429]
    problem = replies[-1].json()
    assert (problem["code"], problem["violated-policies"]) == ("rate_limit_exceeded", ["webhook-tests"])
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 6
    assert http.post(f"{PATH}/{register(http, stranger)['id']}/test", headers=stranger).status_code == 202


def test_the_log_has_pages(fleet: Fleet, store: Store) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        _, url = fleet.gateway(
            webhook_allow_http=True,
            webhook_allow_networks='["127.0.0.1/32"]',
            webhook_ports=f"[{port}]",
            webhook_schedule_s="[0, 0, 0]",
        )
        with httpx2.Client(base_url=url, timeout=30) as http:
            made = register(http, {}, url=f"http://127.0.0.1:{port}/")
            job_in(store, State.SUCCEEDED, tenant="local")
            path = f"{PATH}/{made['id']}/deliveries"
            eventually(lambda: len(http.get(path).json()["data"]) == 4)
            first = http.get(path, params={"limit": 3}).json()
            rest = http.get(path, params={"limit": 3, "after": first["next"]}).json()
            assert [one["attempt"] for one in first["data"] + rest["data"]] == [4, 3, 2, 1]
            assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)
            assert http.get(path, params={"after": "yesterday"}).status_code == 422
