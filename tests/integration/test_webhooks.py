"""Webhooks from a job's end to a receiver, whatever the receiver, the gateway or the store is up to."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from standardwebhooks import Webhook

from quill.chaos.remains import take_stock
from quill.states import TERMINAL, State
from quill.store import calls
from quill.store.run import Store
from quill.webhooks.records import ENDPOINTS_AT_MOST
from tests.integration.jobs import admit, job_in, state_of
from tests.integration.outbox import age, ping, subscribe
from tests.processes import Fleet, Process, eventually
from tests.valkey import ValkeyServer
from tests.webhook_receiver import Received, Receiver

LOCAL = "local"
TRIES = 4


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def start(fleet: Fleet, receiver: Receiver, **changes: object) -> tuple[Process, httpx2.Client]:
    """A gateway that lets webhooks go to the receiver, and is impatient."""
    settings: dict[str, object] = {
        "webhook_allow_http": True,
        "webhook_allow_networks": '["127.0.0.0/8"]',
        "webhook_ports": json.dumps([receiver.port, receiver.port_of_nobody]),
        "webhook_timeout_s": 0.5,
        "webhook_schedule_s": json.dumps([0.05] * (TRIES - 1)),
        "webhook_rest_s": 0.1,
    }
    gateway, url = fleet.gateway(**(settings | changes))
    return gateway, httpx2.Client(base_url=url, timeout=30)


@pytest.fixture
def http(fleet: Fleet, receiver: Receiver) -> Iterator[httpx2.Client]:
    _, client = start(fleet, receiver)
    with client:
        yield client


def register(http: httpx2.Client, url: str, **fields: object) -> dict[str, Any]:
    reply = http.post("/v1/webhook-endpoints", json={"url": url} | fields)
    assert reply.status_code == 201, reply.text
    made: dict[str, Any] = reply.json()
    return made


def end(store: Store, state: State = State.SUCCEEDED) -> str:
    if state is State.CANCELLED:
        job_id = admit(store, tenant=LOCAL)
        store.run(calls.cancel(job_id, LOCAL))
        return job_id
    return job_in(store, state, tenant=LOCAL).job_id


def log(http: httpx2.Client, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """Oldest first; nothing while the store is away."""
    reply = http.get(f"/v1/webhook-endpoints/{endpoint['id']}/deliveries", params={"limit": 100})
    return list(reversed(reply.json()["data"])) if reply.is_success else []


def outcomes(http: httpx2.Client, endpoint: dict[str, Any]) -> list[str]:
    return [attempt["outcome"] for attempt in log(http, endpoint)]


def last_outcome(http: httpx2.Client, endpoint: dict[str, Any]) -> str:
    return ["", *outcomes(http, endpoint)][-1]


def verified(received: Received, secret: str) -> dict[str, Any]:
    """By the reference library and by OpenAI's SDK."""
    event = OpenAI(api_key="none").webhooks.unwrap(received.body, received.headers, secret=secret)
    found: dict[str, Any] = Webhook(secret).verify(received.body, received.headers)
    assert found["id"] == event.id
    return found


def test_every_end_of_a_job_is_told_once_and_signed(
    http: httpx2.Client, receiver: Receiver, store: Store
) -> None:
    endpoint = register(http, receiver.url("/ok"))
    job_ids = {state: end(store, state) for state in sorted(TERMINAL)}
    got = eventually(lambda: receiver.got("/ok", len(TERMINAL)))
    events = [verified(one, endpoint["secret"]) for one in got]
    assert {(event["type"], event["data"]["id"]) for event in events} == {
        (f"job.{state}", job_id) for state, job_id in job_ids.items()
    }
    assert len({one.headers["webhook-id"] for one in got}) == len(TERMINAL)
    eventually(lambda: outcomes(http, endpoint) == ["delivered"] * len(TERMINAL))
    assert take_stock(store.client, "quill").places == {}


def test_only_the_wanted_events_are_told(http: httpx2.Client, receiver: Receiver, store: Store) -> None:
    register(http, receiver.url("/failures"), event_types=["job.failed"])
    register(http, receiver.url("/all"))
    end(store, State.SUCCEEDED)
    failed = end(store, State.FAILED)
    eventually(lambda: receiver.got("/all", 2))
    [got] = eventually(lambda: receiver.got("/failures", 1))
    assert json.loads(got.body)["data"]["id"] == failed


def test_a_receiver_that_stumbles_gets_the_same_message_again(
    http: httpx2.Client, receiver: Receiver, store: Store
) -> None:
    endpoint = register(http, receiver.url("/stumbling"))
    receiver.answers("/stumbling", receiver.status(500), receiver.status(503), receiver.status(204))
    end(store)
    got = eventually(lambda: receiver.got("/stumbling", 3))
    assert len({(one.headers["webhook-id"], one.body) for one in got}) == 1
    for one in got:
        verified(one, endpoint["secret"])
    eventually(lambda: outcomes(http, endpoint) == ["retrying", "retrying", "delivered"])
    assert [attempt["status"] for attempt in log(http, endpoint)] == [500, 503, 204]


TROUBLES: dict[str, tuple[Callable[[Receiver], Any], int | None, str | None]] = {
    "failing": (lambda receiver: receiver.status(500), 500, None),
    "refusing": (lambda receiver: receiver.status(404), 404, None),
    "redirecting": (lambda receiver: receiver.redirect("/trap"), 302, None),
    "silent": (lambda receiver: receiver.silence, None, "timeout"),
    "trickling": (lambda receiver: receiver.trickle, None, "timeout"),
    "nonsense": (lambda receiver: receiver.nonsense, None, "protocol"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_receiver_in_trouble_ends_as_a_dead_letter_and_troubles_nobody_else(
    http: httpx2.Client, receiver: Receiver, store: Store, trouble: str
) -> None:
    behaviour, status, reason = TROUBLES[trouble]
    receiver.answers(f"/{trouble}", behaviour(receiver))
    troubled, other = register(http, receiver.url(f"/{trouble}")), register(http, receiver.url("/ok"))
    job_id = end(store)
    eventually(lambda: outcomes(http, other) == ["delivered"])
    eventually(lambda: outcomes(http, troubled) == ["retrying"] * (TRIES - 1) + ["dead"])
    assert {(one["status"], one["reason"]) for one in log(http, troubled)} == {(status, reason)}
    assert len({one.headers["webhook-id"] for one in receiver.got(f"/{trouble}", TRIES)}) == 1
    assert receiver.got("/trap", 0) == []
    assert state_of(store, job_id, LOCAL) is State.SUCCEEDED


def test_a_receiver_that_is_down_is_told_when_it_is_back(
    http: httpx2.Client, receiver: Receiver, store: Store
) -> None:
    endpoint = register(http, receiver.url_of_nobody("/late"))
    end(store)
    [dead] = eventually(lambda: [one for one in log(http, endpoint) if one["outcome"] == "dead"])
    assert dead["reason"] == "connect"
    http.patch(f"/v1/webhook-endpoints/{endpoint['id']}", json={"url": receiver.url("/late")})
    path = f"/v1/webhook-endpoints/{endpoint['id']}/deliveries/{dead['delivery_id']}/replay"
    assert http.post(path).status_code == 202
    [got] = eventually(lambda: receiver.got("/late", 1))
    assert got.headers["webhook-id"] == dead["delivery_id"]
    eventually(lambda: last_outcome(http, endpoint) == "delivered")


def test_what_waits_for_a_receiver_that_stays_away_is_a_dead_letter_in_the_end(
    fleet: Fleet, receiver: Receiver, store: Store
) -> None:
    _, http = start(
        fleet, receiver, webhook_rest_s=3600, webhook_schedule_s=json.dumps([0.05] * 4 + [3600.0])
    )
    with http:
        endpoint = register(http, receiver.url_of_nobody("/away"))
        tried = end(store)
        eventually(lambda: len(log(http, endpoint)) == 5)
        untried = end(store)
        waiting: Any = store.client.zrange(f"quill:outbox:{endpoint['id']}", 0, -1)
        for delivery_id in waiting:
            age(store, delivery_id.decode(), 4 * 86_400 + 1)
        eventually(lambda: outcomes(http, endpoint) == ["retrying"] * 5 + ["dead"] * 2)
        dead = log(http, endpoint)[5:]
        assert {(one["subject"], one["reason"]) for one in dead} == {
            (tried, "expired"),
            (untried, "expired"),
        }


def test_an_answer_without_an_end_is_an_answer(http: httpx2.Client, receiver: Receiver, store: Store) -> None:
    receiver.answers("/endless", receiver.endless)
    endpoint = register(http, receiver.url("/endless"))
    end(store)
    eventually(lambda: outcomes(http, endpoint) == ["delivered"])


def test_a_receiver_may_ask_for_a_pause(http: httpx2.Client, receiver: Receiver, store: Store) -> None:
    receiver.answers("/busy", receiver.status(429, retry_after="2"), receiver.status(200))
    register(http, receiver.url("/busy"))
    end(store)
    first, second = eventually(lambda: receiver.got("/busy", 2))
    assert second.at_s - first.at_s > 1.9
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])


def test_a_receiver_that_is_gone_is_told_nothing_any_more(
    http: httpx2.Client, receiver: Receiver, store: Store
) -> None:
    receiver.answers("/gone", receiver.status(500), receiver.status(410))
    endpoint = register(http, receiver.url("/gone"))
    end(store)
    eventually(lambda: not http.get(f"/v1/webhook-endpoints/{endpoint['id']}").json()["is_enabled"])
    end(store)
    eventually(lambda: last_outcome(http, endpoint) == "dead")
    time.sleep(0.6)
    assert len(receiver.got("/gone", 2)) == 2
    refused = http.post(f"/v1/webhook-endpoints/{endpoint['id']}/test")
    assert (refused.status_code, refused.json()["code"]) == (409, "webhook_endpoint_disabled")


def test_a_crowd_of_ends_reaches_a_receiver_that_fails_half_of_them(
    http: httpx2.Client, receiver: Receiver, store: Store
) -> None:
    """Through the breaker: nothing is lost by its rests, and none of them costs a try."""
    receiver.answers("/half", *[receiver.status(500)] * 8, receiver.status(200))
    endpoint = register(http, receiver.url("/half"))
    job_ids = {end(store) for _ in range(16)}

    def settled() -> set[str]:
        return {one["subject"] for one in log(http, endpoint) if one["outcome"] in ("delivered", "dead")}

    eventually(lambda: settled() == job_ids)
    assert max(one["attempt"] for one in log(http, endpoint)) <= TRIES


def test_a_tenant_whose_receivers_all_hang_keeps_no_other_tenant_waiting(
    fleet: Fleet, receiver: Receiver, store: Store
) -> None:
    receiver.answers("/hanging", receiver.silence)
    hanging = [
        subscribe(store, tenant="hanging", url=receiver.url("/hanging")) for _ in range(ENDPOINTS_AT_MOST)
    ]
    for number in range(16):
        for endpoint in hanging:
            ping(store, endpoint, f"evt_{number}")
    _, http = start(fleet, receiver, webhook_timeout_s=20)
    with http:
        eventually(lambda: receiver.got("/hanging", 32))
        time.sleep(1)
        subscribe(store, tenant="other", url=receiver.url("/other"))
        began_s = time.monotonic()
        job_in(store, State.SUCCEEDED, tenant="other")
        [got] = eventually(lambda: receiver.got("/other", 1))
        assert got.at_s - began_s < 2
        assert len(receiver.got("/hanging", 32)) == 32


def test_a_gateway_that_dies_between_sending_and_recording_costs_only_a_repeat(
    fleet: Fleet, receiver: Receiver, store: Store
) -> None:
    gateway, http = start(fleet, receiver)
    endpoint = register(http, receiver.url("/kills"))
    receiver.answers("/kills", lambda _: os.kill(gateway.pid, signal.SIGKILL), receiver.status(200))
    end(store)
    eventually(lambda: not gateway.is_running)
    http.close()
    _, other = start(fleet, receiver)
    with other:
        got = eventually(lambda: receiver.got("/kills", 2))
        assert len({(one.headers["webhook-id"], one.body) for one in got}) == 1
        eventually(lambda: outcomes(other, endpoint) == ["delivered"])
    assert len(receiver.got("/kills", 2)) == 2


def test_a_store_that_goes_away_while_a_webhook_is_sent_loses_nothing(
    own_valkey: ValkeyServer,
    own_fleet: Fleet,
    receiver: Receiver,
    connect: Callable[[str], Store],
) -> None:
    _, http = start(own_fleet, receiver, store_timeout_s=1, webhook_timeout_s=5)
    store = connect(own_valkey.url)
    with http:
        endpoint = register(http, receiver.url("/meanwhile"))

        def kill_the_store(handler: BaseHTTPRequestHandler) -> None:
            own_valkey.kill()
            receiver.status(200)(handler)

        receiver.answers("/meanwhile", kill_the_store)
        end(store)
        eventually(lambda: receiver.got("/meanwhile", 1))
        time.sleep(1)
        own_valkey.start()
        eventually(lambda: outcomes(http, endpoint) == ["delivered"])
        assert len(receiver.got("/meanwhile", 1)) == 1


def test_a_gateway_that_is_told_to_sends_nothing(fleet: Fleet, receiver: Receiver, store: Store) -> None:
    _, silent = start(fleet, receiver, webhooks="off")
    with silent:
        register(silent, receiver.url("/ok"))
        end(store)
        time.sleep(1)
        assert receiver.got("/ok", 0) == []
    _, other = start(fleet, receiver)
    other.close()
    eventually(lambda: receiver.got("/ok", 1))


def test_a_test_event_goes_the_way_of_all_events_and_a_rotation_keeps_the_old_secret_for_a_while(
    http: httpx2.Client, receiver: Receiver
) -> None:
    endpoint = register(http, receiver.url("/ok"))
    path = f"/v1/webhook-endpoints/{endpoint['id']}"
    old = endpoint["secret"]
    new = http.post(f"{path}/rotate", json={}).json()["secret"]
    delivery_id = http.post(f"{path}/test").json()["delivery_id"]
    [got] = eventually(lambda: receiver.got("/ok", 1))
    assert got.headers["webhook-id"] == delivery_id
    for secret in (old, new):
        event = verified(got, secret)
        assert (event["type"], event["data"]["id"]) == ("test", endpoint["id"])
    newest = http.post(f"{path}/rotate", json={"old_lives_s": 0}).json()["secret"]
    http.post(f"{path}/test")
    got = eventually(lambda: receiver.got("/ok", 2))[-1]
    verified(got, newest)
    assert " " not in got.headers["webhook-signature"]
