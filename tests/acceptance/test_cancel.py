"""Cancelling what runs: the answer is final at once, and the slot is free for others in a moment."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from contextlib import suppress

import httpx2
import pytest

from quill.client import AsyncClient, Client, DoneEvent
from quill.job import JobRequest
from quill.states import State
from tests.processes import Fleet, eventually, wait_until_running

#: Would run for a minute and a half.
ENDLESS = JobRequest(prompt="long", max_tokens=9000, stream=True)


@pytest.mark.timeout(60)
def test_a_cancelled_running_job_frees_its_slot_within_half_a_second(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.01, slots=1)
    freed_after_s = []
    with Client(url) as client:
        for _ in range(10):
            running = client.submit(ENDLESS)
            wait_until_running(client, running)
            waiting = client.submit(JobRequest(prompt="short", max_tokens=1))
            assert client.cancel(running).state is State.CANCELLED
            cancelled_s = time.monotonic()
            assert client.wait(waiting, timeout_s=10).state is State.SUCCEEDED
            freed_after_s.append(time.monotonic() - cancelled_s)
            assert client.get(running.id).state is State.CANCELLED
    assert statistics.median(freed_after_s) < 0.5, freed_after_s


@pytest.mark.timeout(60)
def test_the_stream_of_a_cancelled_job_ends_with_its_end(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.01)
    with Client(url) as client:
        job = client.submit(ENDLESS)
        events = client.stream(job)
        next(events)
        wait_until_running(client, job)
        client.cancel(job)
        last = list(events)[-1]
    assert isinstance(last, DoneEvent)
    assert last.job.state is State.CANCELLED


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", ["?wait=30", "/events?"])
@pytest.mark.parametrize("is_asked_for", [True, False])
def test_a_caller_that_leaves_takes_its_job_along_only_if_it_asked_so(
    fleet: Fleet, path: str, is_asked_for: bool
) -> None:
    _, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.01)
    flag = "&cancel_on_disconnect=true" if is_asked_for else ""
    with Client(url) as client:
        job = client.submit(JobRequest(prompt="long", max_tokens=9000))
        wait_until_running(client, job)
        with (
            suppress(httpx2.ReadTimeout),
            httpx2.stream("GET", f"{url}/v1/jobs/{job.id}{path}{flag}", timeout=1.0) as reply,
        ):
            for _ in reply.iter_raw():
                pass
        if is_asked_for:
            eventually(lambda: client.get(job.id).state is State.CANCELLED, within_s=2)
        else:
            time.sleep(0.5)
            assert client.get(job.id).state is State.RUNNING


@pytest.mark.timeout(60)
def test_a_client_takes_its_job_along_when_its_stream_is_closed(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.01)
    with Client(url) as client:
        job = client.submit(ENDLESS)
        events = client.stream(job, cancel_on_disconnect=True)
        next(events)
        events.close()
        eventually(lambda: client.get(job.id).state is State.CANCELLED, within_s=2)


@pytest.mark.timeout(60)
async def test_a_client_takes_its_job_along_when_its_waiting_is_cancelled(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.01)
    async with AsyncClient(url) as client:
        job = await client.submit(ENDLESS)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client.wait(job, cancel_on_disconnect=True)
        ended = await client.wait(job, timeout_s=2)
    assert ended.state is State.CANCELLED


@pytest.mark.timeout(60)
def test_a_gateway_that_stops_cancels_no_job_of_those_who_wait(fleet: Fleet) -> None:
    gateway, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.01)
    with Client(url) as client:
        job = client.submit(JobRequest(prompt="long", max_tokens=9000))
        wait_until_running(client, job)
    waiting = threading.Thread(target=_wait_inline, args=(f"{url}/v1/jobs/{job.id}/events",))
    waiting.start()
    time.sleep(0.5)
    gateway.stop()
    waiting.join()
    _, url = fleet.gateway()
    with Client(url) as client:
        assert client.get(job.id).state is State.RUNNING


def _wait_inline(url: str) -> None:
    with (
        suppress(httpx2.TransportError),
        httpx2.stream("GET", url, params={"cancel_on_disconnect": "true"}, timeout=30) as reply,
    ):
        for _ in reply.iter_raw():
            pass
