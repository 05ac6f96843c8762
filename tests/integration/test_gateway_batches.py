"""Many jobs in one request: what each is told, and what they cost the store and other callers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from gateway.identity import Identity
from gateway.principals import LOCAL_PRINCIPAL
from quill.errors import ModelNotFound, StoreUnavailable
from quill.job import Job, JobRequest
from quill.store import calls
from quill.store.call import Call
from quill.store.evaluations import Evaluations
from quill.store.run import AsyncStore, Store
from tests.gateways import client_of, in_process
from tests.valkey import ValkeyServer


@pytest.fixture
async def app(valkey: ValkeyServer) -> AsyncIterator[FastAPI]:
    async with in_process(valkey) as app:
        yield app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app) as http:
        yield http


async def send(http: httpx2.AsyncClient, count: int, key: str | None = None) -> httpx2.Response:
    jobs = [{"prompt": f"question {number}"} for number in range(count)]
    headers = {} if key is None else {"Idempotency-Key": key}
    return await http.post("/v1/jobs/batch", json={"jobs": jobs}, headers=headers)


def fail_from(patch: pytest.MonkeyPatch, failing: int) -> None:
    """The store goes away before this hundred."""
    run_each, tries = AsyncStore.run_each, 0

    async def failing_run_each(store: AsyncStore, wanted: Sequence[Call[Any]]) -> list[Any]:
        nonlocal tries
        tries += 1
        if tries >= failing:
            raise StoreUnavailable
        return await run_each(store, wanted)

    patch.setattr(AsyncStore, "run_each", failing_run_each)


async def test_what_was_accepted_before_the_store_went_away_keeps_its_answer(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_from(monkeypatch, 2)
    reply = await send(http, 250)
    entries = reply.json()["data"]
    assert reply.status_code == 200
    assert [entry["status"] for entry in entries] == [202] * 100 + [503] * 150
    assert {entry["error"]["code"] for entry in entries[100:]} == {"store_unavailable"}


async def test_a_batch_of_which_nothing_was_accepted_fails_whole(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_from(monkeypatch, 1)
    reply = await send(http, 250)
    assert (reply.status_code, reply.json()["code"]) == (503, "store_unavailable")


async def test_what_cannot_be_read_again_takes_no_answer_from_what_is_new(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(http, 2, "k")

    def read(tenant: str, job_ids: Sequence[str]) -> Call[list[Job | None]]:
        raise StoreUnavailable

    monkeypatch.setattr(calls, "read", read)
    entries = (await send(http, 4, "k")).json()["data"]
    assert [entry["status"] for entry in entries] == [503, 503, 202, 202]


async def test_three_hundred_jobs_cost_three_round_trips_though_no_worker_serves_their_model_yet(
    http: httpx2.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, sizes = Evaluations._exchange, []

    async def counted(evaluations: Evaluations, held: Any, commands: Sequence[bytes]) -> list[Any]:
        sizes.append(len(commands))
        return await exchange(evaluations, held, commands)

    def reads() -> Counter[str]:
        stats: Any = store.client.info("commandstats")
        names = ("hgetall", "hget", "get", "hmget")
        return Counter({name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names})

    await send(http, 1)  # loads the script
    monkeypatch.setattr(Evaluations, "_exchange", counted)
    before = reads()
    assert Counter(entry["status"] for entry in (await send(http, 300)).json()["data"]) == {202: 300}
    # A sweep may come between.
    assert [size for size in sizes if size > 8] == [100] * 3
    assert sum(sizes) < 305
    assert (reads() - before)["hgetall"] < 5


async def test_jobs_that_were_accepted_before_are_read_again_in_one_round_trip(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await send(http, 100, "k")
    read, asked = calls.read, []

    def counted(tenant: str, job_ids: Sequence[str]) -> Call[list[Job | None]]:
        asked.append(len(job_ids))
        return read(tenant, job_ids)

    monkeypatch.setattr(calls, "read", counted)
    again = await send(http, 100, "k")
    assert asked == [100]
    ids = [[entry["job"]["id"] for entry in reply.json()["data"]] for reply in (first, again)]
    assert ids[0] == ids[1]


async def test_a_thousand_jobs_leave_others_their_turns(app: FastAPI) -> None:
    """Also where none of them gets as far as the store."""
    wanted = [(JobRequest(prompt="x", model="nobody/has-it"), Identity())] * 1000
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(take_turns())
    answers = await app.state.gateway.admission.admit_each(LOCAL_PRINCIPAL, wanted)
    other.cancel()
    assert {type(answer) for answer in answers} == {ModelNotFound}
    assert turns >= 10


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_a_strange_idempotency_key_is_refused_as_for_one_job(
    http: httpx2.AsyncClient, key: str
) -> None:
    reply = await send(http, 2, key)
    assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, "Idempotency-Key")


async def test_no_key_of_a_single_job_is_that_of_a_place_in_a_batch(http: httpx2.AsyncClient) -> None:
    [entry] = (await send(http, 1, "b")).json()["data"]
    single = await http.post("/v1/jobs", json={"prompt": "question 0"}, headers={"Idempotency-Key": "b/0"})
    assert single.status_code == 202
    assert single.json()["id"] != entry["job"]["id"]
