"""Cancelling what runs: the answer is final at once, and the slot is free for others in a moment."""

from __future__ import annotations

import statistics
import time

import pytest

from quill.client import Client, DoneEvent
from quill.job import Job, JobRequest
from quill.states import State
from tests.processes import Fleet, eventually

#: Would run for a minute and a half.
ENDLESS = JobRequest(prompt="long", max_tokens=9000, stream=True)


def wait_until_it_runs(client: Client, job: Job) -> None:
    eventually(lambda: client.get(job.id).state is State.RUNNING)


@pytest.mark.timeout(60)
def test_a_cancelled_running_job_frees_its_slot_within_half_a_second(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.01, slots=1)
    freed_after_s = []
    with Client(url) as client:
        for _ in range(10):
            running = client.submit(ENDLESS)
            wait_until_it_runs(client, running)
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
        wait_until_it_runs(client, job)
        client.cancel(job)
        last = list(events)[-1]
    assert isinstance(last, DoneEvent)
    assert last.job.state is State.CANCELLED
