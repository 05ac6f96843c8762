"""The store goes away under full load and comes back: everything goes on where it was."""

from __future__ import annotations

import os
import signal
import threading
import time
from itertools import pairwise

import pytest

from quill.client import Client, DeltaEvent
from quill.job import Job, JobRequest
from quill.states import State
from tests.processes import Fleet, eventually, wait_until_running
from tests.valkey import ValkeyServer

STEP_S = 0.02
JOBS = 6


class Reader(threading.Thread):
    """Reads one job's stream to its end."""

    def __init__(self, url: str, job: Job) -> None:
        super().__init__(daemon=True)
        self._url, self._job = url, job
        self.text = ""

    def run(self) -> None:
        with Client(self._url, max_retries=100) as client:
            for event in client.stream(self._job):
                if isinstance(event, DeltaEvent):
                    self.text += event.text


def outage(valkey: ValkeyServer, how: str, seconds: float) -> None:
    """Returns when the server answers again."""
    if how == "killed":
        valkey.kill()
        time.sleep(seconds)
        valkey.start()
        return
    os.kill(valkey.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(valkey.pid, signal.SIGCONT)
    with valkey.client() as client:
        client.ping()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        ("killed", 3),
        ("stopped", 3),
        ("stopped", 12),
        pytest.param("killed", 12, marks=pytest.mark.soak),
        pytest.param("killed", 60, marks=pytest.mark.soak),
        pytest.param("stopped", 60, marks=pytest.mark.soak),
    ],
)
def test_after_an_outage_everything_goes_on(
    own_valkey: ValkeyServer, own_fleet: Fleet, how: str, seconds: float
) -> None:
    _, url = own_fleet.gateway()
    for _ in range(2):
        own_fleet.worker(slots=JOBS, simulated_step_s=STEP_S)
    # Half end while the store is away, half after it.
    lengths = [int((seconds / 2 if number % 2 else seconds + 5) / STEP_S) for number in range(JOBS)]
    with Client(url, max_retries=100) as client:
        jobs = client.submit_many(
            [
                JobRequest(prompt=f"job {number}", max_tokens=length, stream=True)
                for number, length in enumerate(lengths)
            ]
        )
        wait_until_running(client, *jobs)
        readers = [Reader(url, job) for job in jobs]
        for reader in readers:
            reader.start()
        outage(own_valkey, how, seconds)
        back_s = time.monotonic()
        quick = client.wait(client.submit(JobRequest(prompt="after", max_tokens=1)), timeout_s=30)
        resumed_s = time.monotonic() - back_s
        ends = [client.wait(job, timeout_s=60) for job in jobs]
    for reader in readers:
        reader.join(20)
    assert quick.state is State.SUCCEEDED
    assert resumed_s < 2, resumed_s
    assert {(job.state, job.attempt) for job in ends} == {(State.SUCCEEDED, 1)}
    assert [reader.text for reader in readers] == [job.result.text for job in ends if job.result]
    with own_valkey.client() as store:
        for job in jobs:
            assert store.hmget(f"quill:job:{job.id}", "lost", "stalls") == [b"0", b"0"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("how", "seconds"), [("killed", 3), ("stopped", 8), ("stopped", 12)])
def test_a_backlog_is_worked_on_as_if_there_had_been_no_outage(
    own_valkey: ValkeyServer, own_fleet: Fleet, how: str, seconds: float
) -> None:
    """Claims, ends and tickets are under way when it begins."""
    _, url = own_fleet.gateway()
    for _ in range(2):
        own_fleet.worker(slots=4, simulated_step_s=STEP_S)
    with Client(url, max_retries=100) as client:
        lengths = [5 + number % 17 for number in range(160)]
        jobs = client.submit_many([JobRequest(prompt=f"{n}", max_tokens=n) for n in lengths])
        eventually(lambda: client.get(jobs[20].id).state is State.SUCCEEDED)
        outage(own_valkey, how, seconds)
        back_s = time.time()
        ends = [client.wait(job, timeout_s=60) for job in jobs]
    assert {(job.state, job.attempt) for job in ends} == {(State.SUCCEEDED, 1)}
    later_s = sorted(job.started_at for job in ends if job.started_at and job.started_at > back_s)
    assert len(later_s) > 50
    pauses_s = [after - before for before, after in pairwise([back_s, *later_s])]
    assert max(pauses_s) < 2, pauses_s
