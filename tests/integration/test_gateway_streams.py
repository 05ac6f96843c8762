"""A job's events: what a reader hears while nothing happens, and where one may come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.events import Bell
from gateway.principals import LOCAL_PRINCIPAL
from gateway.routes import stream
from gateway.routes.stream import Place
from gateway.state import Gateway
from quill.job import JobRequest
from quill.store.run import Store
from tests.gateways import in_process
from tests.integration.jobs import admit
from tests.valkey import ValkeyServer

STREAMED = JobRequest(prompt="x", stream=True)
TENANT = LOCAL_PRINCIPAL.tenant
COMMENT = b": keep-alive\n\n"


@pytest.fixture
async def here(valkey: ValkeyServer) -> AsyncIterator[Gateway]:
    async with in_process(valkey) as app:
        yield app.state.gateway


class SilentBell(Bell):
    """Its waits are over at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    async def wait(self, timeout_s: float) -> bool:
        self.waits += 1
        return False


@pytest.mark.parametrize("look_again_s", [-1.0, 60.0], ids=["looks after every wait", "looks after none"])
async def test_no_wait_of_a_silent_stream_ends_without_a_comment(
    here: Gateway, store: Store, monkeypatch: pytest.MonkeyPatch, look_again_s: float
) -> None:
    monkeypatch.setattr(stream, "LOOK_AGAIN_S", look_again_s)
    job = await here.job(TENANT, admit(store, tenant=TENANT))
    bell = SilentBell()
    events = stream._events(here, TENANT, job, Place(), bell)
    async with asyncio.timeout(10):
        assert (await anext(events)).startswith(b"event: status")
        for waits in range(1, 6):
            assert (await anext(events), bell.waits) == (COMMENT, waits)


@pytest.mark.parametrize(
    "last_event_id", ["", "x", f"1.{2**64}-0", f"1.0-{10**20 - 1}", f"1.{2**64 - 1}-{2**64 - 1}"]
)
async def test_a_reader_who_comes_back_from_no_place_of_ours_begins_anew(
    here: Gateway, store: Store, last_event_id: str
) -> None:
    job = await here.job(TENANT, admit(store, tenant=TENANT, request=STREAMED))
    claimed = job.model_copy(update={"attempt": 1, "stream": True})
    store.client.xadd(store.keys.output(job.id, 1), {"chunk": '{"text":"one"}'})
    events = stream._events(here, TENANT, claimed, Place.of(last_event_id), SilentBell())
    assert b"event: status" in await anext(events)
    assert b'"text":"one"' in await anext(events)
