"""What the gateway does while its store is away, hangs, or comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2

from gateway.state import Gateway
from quill.pricing import ModelFacts
from quill.states import State
from quill.store import calls
from quill.store.run import Store
from tests.gateways import in_process
from tests.integration.jobs import RESULT, ticket
from tests.processes import Fleet, eventually
from tests.valkey import ValkeyServer

MODEL = "quill-tiny"


def test_an_unknown_model_cannot_be_told_from_a_known_one_while_the_store_is_away(
    own_valkey: ValkeyServer, own_fleet: Fleet
) -> None:
    _, url = own_fleet.gateway(store_timeout_s=1)
    own_valkey.kill()
    reply = httpx2.post(f"{url}/v1/jobs", json={"prompt": "x", "model": "some/model"}, timeout=30)
    assert (reply.status_code, reply.json()["code"]) == (503, "store_unavailable")
    assert int(reply.headers["retry-after"]) >= 1


async def test_a_store_that_hangs_is_given_up_in_bounded_time(
    own_valkey: ValkeyServer, own_fleet: Fleet, connect: Callable[[str], Store]
) -> None:
    """Its timeout and 2 s for a connection; with the client's own retry it would be twice the timeout."""
    _, url = own_fleet.gateway(store_timeout_s=4)
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
        job_id = (await http.post("/v1/jobs", json={"prompt": "x"})).json()["id"]
        store = connect(own_valkey.url)
        store.run(calls.join("w", MODEL, 1, "{}", ModelFacts(1000)))
        await asyncio.sleep(1.5)  # the directory knows the model, so that its jobs go straight to admission
        os.kill(own_valkey.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(0.4)  # health would be told from what was seen just before
            began_s = time.monotonic()
            replies = await asyncio.gather(
                http.post("/v1/jobs", json={"prompt": "x"}),
                http.post("/v1/jobs", json={"prompt": "x", "model": "some/model"}),
                http.get(f"/v1/jobs/{job_id}"),
                http.get(f"/v1/jobs/{job_id}/events"),
                http.get("/v1/jobs"),
                http.delete(f"/v1/jobs/{job_id}"),
                http.get("/readyz"),
                http.get("/v1/health"),
            )
            assert time.monotonic() - began_s < 7
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
    *refused, health = replies
    assert [reply.status_code for reply in refused] == [503] * 7
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in refused)
    assert (health.status_code, health.json()["status"]) == (200, "down")


async def test_a_crowd_before_a_store_that_hangs_waits_no_longer_than_one(
    own_valkey: ValkeyServer, own_fleet: Fleet
) -> None:
    """More of each kind than there are connections; none queues up behind the patience of another."""
    _, url = own_fleet.gateway(store_timeout_s=1)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=httpx2.Limits()) as http:
        os.kill(own_valkey.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(0.4)
            began_s = time.monotonic()
            health = [http.get("/v1/health") for _ in range(40)]
            looks = [http.get("/v1/jobs/job_x") for _ in range(40)]
            replies = await asyncio.gather(*health, *looks)
            # A health check may wait for the refresh before its own.
            assert time.monotonic() - began_s < 2 * 3 + 1
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
        assert [reply.status_code for reply in replies] == [200] * 40 + [503] * 40
        await asyncio.sleep(1)
        replies = await asyncio.gather(*(http.get("/v1/jobs/job_x") for _ in range(40)))
        assert {reply.status_code for reply in replies} == {404}


def test_a_gateway_ends_in_time_although_the_store_hangs(own_valkey: ValkeyServer, own_fleet: Fleet) -> None:
    gateway, _ = own_fleet.gateway()
    os.kill(own_valkey.pid, signal.SIGSTOP)
    try:
        time.sleep(1.5)  # by now all background work waits for the store
        assert gateway.stop(within_s=8) in (0, -signal.SIGTERM)
    finally:
        os.kill(own_valkey.pid, signal.SIGCONT)


def test_a_long_poll_outlives_the_store_and_misses_no_end(
    own_valkey: ValkeyServer, own_fleet: Fleet, connect: Callable[[str], Store]
) -> None:
    """The job ends when the store is back, but before the gateway reads its events again."""
    gateway, url = own_fleet.gateway(store_timeout_s=2)
    store = connect(own_valkey.url)
    with httpx2.Client(base_url=url, timeout=60) as http:
        store.run(calls.join("w", MODEL, 1, "{}", ModelFacts(1000)))
        job_id = http.post("/v1/jobs", json={"prompt": "x"}).json()["id"]
        held = store.run(calls.claim(*eventually(lambda: ticket(store, MODEL)), "w", "token"))
        answered: list[float] = []

        def poll() -> None:
            assert http.get(f"/v1/jobs/{job_id}?wait=30").json()["state"] == "succeeded"
            answered.append(time.monotonic())

        poller = threading.Thread(target=poll)
        poller.start()
        time.sleep(1)
        own_valkey.kill()
        gateway.wait_for("events_away")
        gateway.signal(signal.SIGSTOP)
        own_valkey.start()
        store.run(calls.finish(held, State.SUCCEEDED, RESULT))
        gateway.signal(signal.SIGCONT)
        ended_s = time.monotonic()
        poller.join(20)
        assert answered
        assert answered[0] - ended_s < 2


def test_a_short_store_timeout_is_no_outage(own_valkey: ValkeyServer, own_fleet: Fleet) -> None:
    """The blocking read of the events must end before the socket's timeout does."""
    gateway, _ = own_fleet.gateway(store_timeout_s=0.5)
    time.sleep(2.5)
    assert gateway.said("events_away") == []


async def test_events_are_read_although_every_connection_is_taken(valkey: ValkeyServer, store: Store) -> None:
    async with in_process(valkey, store_timeout_s=2) as app:
        gateway: Gateway = app.state.gateway
        await gateway.directory.refresh()
        pool = gateway.store.client.connection_pool
        taken: Any = [await pool.get_connection() for _ in range(32)]  # type: ignore[no-untyped-call]
        with gateway.events.listening("job_x") as bell:
            await bell.wait(0.5)  # the first look wakes everybody
            store.client.xadd(store.keys.events, {"job": "job_x", "state": "running", "attempt": 1})
            async with asyncio.timeout(1):
                await bell.wait(60)
        for connection in taken:
            await pool.release(connection)
