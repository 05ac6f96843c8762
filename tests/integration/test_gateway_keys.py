"""Who may do what: nothing without a key, nothing without its scope, nothing of anybody else's."""

from __future__ import annotations

import json
import time

import httpx2
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.app import ROUTES
from gateway.caller import OPEN, guarded
from quill.job import JobClass
from quill.tenancy import apikey
from quill.tenancy.plan import LOCAL
from quill.tenancy.records import Scope
from tests.processes import Fleet, eventually
from tests.tenancy import Tenancy, bearer
from tests.valkey import ValkeyServer

#: For every route a scope that it takes; a route that is missing here fails the test below.
SCOPES = {
    ("GET", "/v1/jobs"): Scope.READ,
    ("POST", "/v1/jobs"): Scope.SUBMIT,
    ("POST", "/v1/jobs/batch"): Scope.SUBMIT,
    ("GET", "/v1/jobs/{job_id}"): Scope.READ,
    ("DELETE", "/v1/jobs/{job_id}"): Scope.CANCEL,
    ("GET", "/v1/jobs/{job_id}/events"): Scope.READ,
    ("GET", "/v1/dead-letters"): Scope.READ,
    ("DELETE", "/v1/dead-letters"): Scope.CANCEL,
    ("POST", "/v1/dead-letters/{job_id}/replay"): Scope.SUBMIT,
    ("DELETE", "/v1/dead-letters/{job_id}"): Scope.CANCEL,
    ("GET", "/v1/models"): Scope.READ,
    ("GET", "/v1/workers"): Scope.OBSERVE,
    ("GET", "/v1/health"): Scope.OBSERVE,
    ("GET", "/v1/webhook-endpoints"): Scope.WEBHOOKS,
    ("POST", "/v1/webhook-endpoints"): Scope.WEBHOOKS,
    ("GET", "/v1/webhook-endpoints/{endpoint_id}"): Scope.WEBHOOKS,
    ("PATCH", "/v1/webhook-endpoints/{endpoint_id}"): Scope.WEBHOOKS,
    ("DELETE", "/v1/webhook-endpoints/{endpoint_id}"): Scope.WEBHOOKS,
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/rotate"): Scope.WEBHOOKS,
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/test"): Scope.WEBHOOKS,
    ("GET", "/v1/webhook-endpoints/{endpoint_id}/deliveries"): Scope.WEBHOOKS,
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/replay"): Scope.WEBHOOKS,
    ("GET", "/v1/admin/tenants"): Scope.ADMIN,
    ("POST", "/v1/admin/tenants"): Scope.ADMIN,
    ("GET", "/v1/admin/tenants/{tenant_id}"): Scope.ADMIN,
    ("PUT", "/v1/admin/tenants/{tenant_id}/plan"): Scope.ADMIN,
    ("GET", "/v1/admin/tenants/{tenant_id}/keys"): Scope.ADMIN,
    ("POST", "/v1/admin/keys"): Scope.ADMIN,
    ("POST", "/v1/admin/keys/{key_id}/rotate"): Scope.ADMIN,
    ("DELETE", "/v1/admin/keys/{key_id}"): Scope.ADMIN,
}
BODY = {"prompt": "hello"}


def routes() -> list[tuple[str, str]]:
    found = [route for module in ROUTES for route in module.router.routes if isinstance(route, APIRoute)]
    return [
        (method, route.path) for route in found for method in route.methods or () if route.path not in OPEN
    ]


def path_of(template: str, value: str = "x") -> str:
    return template.replace("{job_id}", value).replace("{tenant_id}", value).replace("{key_id}", value)


def ways_of(template: str, value: str = "x") -> tuple[str, str]:
    """With a query no request takes the short way past the router."""
    path = path_of(template, value)
    return path, f"{path}?x=1"


def submit(keyed: httpx2.Client, key: str, **fields: object) -> httpx2.Response:
    return keyed.post("/v1/jobs", json=BODY | fields, headers=bearer(key))


def without_request_id(reply: httpx2.Response) -> tuple[int, dict[str, object]]:
    return reply.status_code, {name: value for name, value in reply.json().items() if name != "request_id"}


def test_every_route_is_known_here() -> None:
    assert set(routes()) == set(SCOPES)


def test_a_route_without_a_scope_is_not_served() -> None:
    router = APIRouter()
    router.add_api_route("/v1/secrets", lambda: {})
    with pytest.raises(RuntimeError):
        guarded(router)


def test_no_route_answers_without_a_key(keyed: httpx2.Client) -> None:
    for method, path in [(method, path) for method, template in routes() for path in ways_of(template)]:
        reply = keyed.request(method, path, json=BODY if method in ("POST", "PUT") else None)
        assert (reply.status_code, reply.json()["code"]) == (401, "invalid_api_key"), (method, path)
        assert reply.headers["www-authenticate"] == "Bearer"


def test_no_route_answers_a_key_that_lacks_its_scope(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    tenancy.tenant("acme")
    for (method, template), scope in SCOPES.items():
        others = [other for other in Scope if other is not scope]
        key = tenancy.key("acme", *others).text
        body = BODY if method in ("POST", "PUT") else None
        for path in ways_of(template):
            reply = keyed.request(method, path, json=body, headers=bearer(key))
            assert (reply.status_code, reply.json()["code"]) == (403, "permission_denied"), (method, path)


@pytest.mark.parametrize("path", ["?wait=1&", "/events?"])
def test_who_may_not_cancel_may_not_do_so_by_leaving(
    keyed: httpx2.Client, tenancy: Tenancy, path: str
) -> None:
    tenancy.tenant("acme")
    job_id = submit(keyed, tenancy.key("acme", Scope.SUBMIT).text).json()["id"]
    reader = bearer(tenancy.key("acme", Scope.READ).text)
    reply = keyed.get(f"/v1/jobs/{job_id}{path}cancel_on_disconnect=true", headers=reader)
    assert (reply.status_code, reply.json()["code"]) == (403, "permission_denied")


def test_what_is_a_foreign_tenants_looks_as_if_it_did_not_exist(
    keyed: httpx2.Client, tenancy: Tenancy
) -> None:
    owner, stranger = tenancy.newcomer("acme"), tenancy.newcomer("blue")
    job_id = submit(keyed, owner).json()["id"]
    for method, template in routes():
        if "{job_id}" not in template:
            continue
        nobodys = ways_of(template, "job_" + "0" * 26)
        for path, unknown_path in zip(ways_of(template, job_id), nobodys, strict=True):
            foreign = keyed.request(method, path, headers=bearer(stranger))
            unknown = keyed.request(method, unknown_path, headers=bearer(stranger))
            assert without_request_id(foreign) == without_request_id(unknown)
            assert foreign.status_code == 404, (method, path)
    assert keyed.get("/v1/jobs", headers=bearer(stranger)).json()["data"] == []
    assert keyed.get(f"/v1/jobs/{job_id}", headers=bearer(owner)).json()["state"] == "queued"


def test_a_key_may_be_sent_in_either_header_but_only_once(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    key = tenancy.newcomer("acme")
    assert keyed.get("/v1/jobs", headers={"x-api-key": key}).status_code == 200
    assert keyed.get("/v1/jobs", headers=bearer(key) | {"x-api-key": key}).status_code == 401


def test_a_revoked_key_is_refused_at_once_by_every_gateway(
    keyed: httpx2.Client, fleet: Fleet, tenancy: Tenancy
) -> None:
    tenancy.tenant("acme")
    new = tenancy.key("acme")
    _, other_url = fleet.gateway(auth="keys")
    with httpx2.Client(base_url=other_url) as other:
        for gateway in (keyed, other):
            assert submit(gateway, new.text).status_code == 202
        tenancy.run(lambda registry: registry.revoke_key(new.key.id))
        eventually(
            lambda: [submit(at, new.text).status_code for at in (keyed, other)] == [401, 401], within_s=2
        )


def test_while_a_key_is_rotated_both_of_its_texts_count(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    tenancy.tenant("acme")
    old = tenancy.key("acme")
    new = tenancy.run(lambda registry: registry.rotate_key(old.key.id, 60))
    assert [submit(keyed, text).status_code for text in (old.text, new.text)] == [202, 202]
    newest = tenancy.run(lambda registry: registry.rotate_key(old.key.id, 0))
    eventually(lambda: submit(keyed, new.text).status_code == 401, within_s=2)
    assert [submit(keyed, text).status_code for text in (old.text, newest.text)] == [401, 202]


def test_a_key_ends_with_its_time(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    tenancy.tenant("acme")
    key = tenancy.key("acme", lives_s=2.0).text
    assert submit(keyed, key).status_code == 202
    time.sleep(2.1)
    assert submit(keyed, key).status_code == 401


def test_a_key_with_one_character_changed_is_refused(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    text = tenancy.newcomer("acme")
    forged = apikey.mint(text.split("_")[1]).text
    typo = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert [submit(keyed, key).status_code for key in (forged, typo, text[:-1], text + "0")] == [401] * 4


@given(st.binary(max_size=300))
@example(b"Bearer sk_' OR 1=1 --")
@example(b"Basic Og==")
@example(b"Bearer")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_the_header_is_a_401(keyed: httpx2.Client, value: bytes) -> None:
    header = bytes(byte for byte in value if byte in range(0x20, 0x7F) or byte >= 0x80).strip()
    reply = keyed.get("/v1/jobs", headers=[(b"authorization", header)])
    assert (reply.status_code, reply.json()["code"]) == (401, "invalid_api_key")


def test_a_key_may_be_for_some_models_and_a_plan_for_some_classes(
    keyed: httpx2.Client, tenancy: Tenancy
) -> None:
    tenancy.tenant("acme", LOCAL.model_copy(update={"classes": (JobClass.BATCH,)}))
    key = tenancy.key("acme", models=("quill-tiny",)).text
    assert submit(keyed, key, **{"class": "batch"}).status_code == 202
    assert submit(keyed, key, **{"class": "interactive"}).json()["code"] == "permission_denied"
    assert submit(keyed, key, model="other", **{"class": "batch"}).json()["code"] == "permission_denied"


def test_an_admin_makes_tenants_and_keys_over_http(keyed: httpx2.Client, tenancy: Tenancy) -> None:
    tenancy.tenant("house")
    admin = bearer(tenancy.key("house", Scope.ADMIN).text)
    made = keyed.post("/v1/admin/tenants", json={"id": "acme"}, headers=admin)
    assert (made.status_code, made.json()["plan"]["name"]) == (201, "standard")
    assert (
        keyed.post("/v1/admin/tenants", json={"id": "acme"}, headers=admin).json()["code"] == "tenant_exists"
    )
    new = keyed.post("/v1/admin/keys", json={"tenant": "acme", "name": "ci"}, headers=admin).json()
    assert submit(keyed, new["text"]).status_code == 202
    listed = keyed.get("/v1/admin/tenants/acme/keys", headers=admin).text
    assert json.loads(listed)["data"][0]["name"] == "ci"
    assert "secrets" not in listed
    plan = made.json()["plan"] | {"max_text_chars": 3}
    assert keyed.put("/v1/admin/tenants/acme/plan", json=plan, headers=admin).status_code == 200
    eventually(lambda: submit(keyed, new["text"]).status_code == 422, within_s=2)
    rotated = keyed.post(f"/v1/admin/keys/{new['id']}/rotate", json={"old_lives_s": 0}, headers=admin).json()
    eventually(lambda: submit(keyed, new["text"]).status_code == 401, within_s=2)
    assert keyed.get("/v1/jobs", headers=bearer(rotated["text"])).status_code == 200
    assert keyed.delete(f"/v1/admin/keys/{new['id']}", headers=admin).status_code == 204
    eventually(lambda: keyed.get("/v1/jobs", headers=bearer(rotated["text"])).status_code == 401, within_s=2)
    assert keyed.delete("/v1/admin/keys/none", headers=admin).json()["code"] == "key_not_found"


def test_only_a_hash_of_a_key_is_stored(keyed: httpx2.Client, tenancy: Tenancy, valkey: ValkeyServer) -> None:
    text = tenancy.newcomer("acme")
    submit(keyed, text)
    secret = text.split("_")[2].encode()
    with valkey.client() as client:
        for name in client.scan_iter():
            assert secret not in (client.dump(name) or b""), name
