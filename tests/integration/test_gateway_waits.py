"""Callers that wait for a job's end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import httpx2
import pytest

from quill.job import Job
from quill.pricing import ModelFacts
from quill.states import State
from quill.store import calls
from quill.store.attempt import Chunk
from quill.store.call import Call
from quill.store.run import Store
from tests.gateways import client_of, in_process
from tests.integration.jobs import RESULT, ticket
from tests.valkey import ValkeyServer

MODEL = "quill-tiny"


@pytest.fixture
async def http(valkey: ValkeyServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_process(valkey, max_wait_s=1.5) as app, client_of(app) as http:
        yield http


async def test_who_waits_for_the_end_does_not_look_at_every_piece_of_output(
    http: httpx2.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, looks = calls.read, []

    def counted(tenant: str, job_ids: Sequence[str]) -> Call[list[Job | None]]:
        looks.append(tenant)
        return read(tenant, job_ids)

    store.run(calls.join("w", MODEL, 1, "{}", ModelFacts(1000)))
    job_id = (await http.post("/v1/jobs", json={"prompt": "x", "stream": True})).json()["id"]
    held = store.run(calls.claim(*ticket(store, MODEL), "w", "token"))
    await asyncio.sleep(0.2)  # what happened so far has been told
    monkeypatch.setattr(calls, "read", counted)
    poll = asyncio.create_task(http.get(f"/v1/jobs/{job_id}?wait=30"))
    for number in range(1, 21):
        await asyncio.sleep(0.02)
        store.run(calls.emit([Chunk(job_id, held.attempt, "token", number, '{"text":"x"}')], 60))
    store.run(calls.finish(held, State.SUCCEEDED, RESULT))
    began_s = time.monotonic()
    assert (await poll).json()["state"] == "succeeded"
    assert time.monotonic() - began_s < 0.5
    # One of the first read of the events, which wakes everybody, may come late.
    assert len(looks) <= 3


async def test_who_prefers_to_wait_is_told_for_how_long_the_gateway_did(http: httpx2.AsyncClient) -> None:
    for asked_s, applied_s in (("99999", "1"), ("1", "1"), ("0", "0")):
        reply = await http.post("/v1/jobs", json={"prompt": "x"}, headers={"Prefer": f"wait={asked_s}"})
        assert (reply.status_code, reply.headers["preference-applied"]) == (202, f"wait={applied_s}")
