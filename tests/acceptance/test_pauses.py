"""Workers that stand still for a while, as in a frozen container or on a host short of everything."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from quill.client import Client
from quill.job import JobRequest
from quill.states import State
from tests.processes import Fleet, Process, eventually, wait_until_running
from tests.valkey import ValkeyServer

#: Longer than a lease.
PAUSE_S = 10.0


def pause(process: Process, seconds: float) -> None:
    process.signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.signal(signal.SIGCONT)


def streamed(valkey: ValkeyServer, job_id: str, attempt: int) -> str:
    with valkey.client() as store:
        entries: Any = store.xrange(f"quill:out:{job_id}:{attempt}")
    return "".join(json.loads(fields[b"chunk"]).get("text", "") for _, fields in entries)


@pytest.mark.timeout(90)
def test_a_worker_that_gets_its_own_lost_job_again_runs_it_once_and_whole(
    valkey: ValkeyServer, fleet: Fleet
) -> None:
    _, url = fleet.gateway()
    worker = fleet.worker(slots=8, simulated_step_s=0.02)
    with Client(url) as client:
        jobs = [
            client.submit(JobRequest(prompt=f"{n}", max_tokens=200 + n, stream=n % 2 == 0)) for n in range(4)
        ]
        wait_until_running(client, *jobs)
        pause(worker, PAUSE_S)
        eventually(lambda: len(worker.said("stop")) == len(jobs), within_s=3)
        ends = [client.wait(job, timeout_s=30) for job in jobs]
    assert {(job.state, job.attempt) for job in ends} == {(State.SUCCEEDED, 2)}
    for job in ends:
        assert job.result is not None
        assert streamed(valkey, job.id, 2) == (job.result.text if job.stream else "")
    with valkey.client() as store:
        assert {store.hget(f"quill:job:{job.id}", "lost") for job in jobs} == {b"1"}


@pytest.mark.soak
@pytest.mark.timeout(120)
def test_a_worker_that_stood_still_is_neither_deaf_nor_hung(fleet: Fleet) -> None:
    """Its consumer has to connect again before the broker can answer."""
    _, url = fleet.gateway()
    busy = fleet.worker(slots=1, simulated_step_s=0.1, drain_s=0)
    idle = fleet.worker(drain_s=0)
    with Client(url) as client:
        job = client.submit(JobRequest(prompt="long", max_tokens=5000))
        wait_until_running(client, job)
    for worker in (busy, idle):
        pause(worker, 17)
        time.sleep(5)
        assert worker.is_running
        assert worker.stop() == 0
