"""A job that kills its worker, among jobs that do not."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from quill.client import Client
from quill.job import JobRequest
from quill.settings import Settings
from quill.states import State
from quill.supervision.child import stop_together, watch
from quill.supervision.worker import WorkerChild
from tests.processes import Fleet
from tests.valkey import ValkeyServer


@contextmanager
def supervised_workers(valkey: ValkeyServer, count: int) -> Iterator[None]:
    """Workers whose engine crashes on demand, kept alive."""
    options = {"REDIS_URL": valkey.url, "SLOTS": "8", "SIMULATED_STEP_S": "0.02", "DRAIN_S": "0"}
    environment = os.environ | {f"QUILL_{name}": value for name, value in options.items()}
    children = [
        WorkerChild(Settings(redis_url=valkey.url), environment, "tests.faulty_worker") for _ in range(count)
    ]
    for child in children:
        child.start()
    ending = threading.Event()
    watcher = threading.Thread(target=watch, args=(children, ending))
    watcher.start()
    try:
        yield
    finally:
        ending.set()
        watcher.join()
        stop_together(children, 10)


@pytest.mark.timeout(120)
def test_a_job_that_kills_its_workers_is_failed_and_takes_no_other_with_it(
    valkey: ValkeyServer, fleet: Fleet
) -> None:
    _, url = fleet.gateway()
    with Client(url) as client, supervised_workers(valkey, 2):
        wanted = [JobRequest(prompt=f"job {number}", max_tokens=20) for number in range(12)]
        wanted.insert(4, JobRequest(prompt="crash: always"))
        jobs = client.submit_many(wanted)
        ends = [client.wait(job, timeout_s=90) for job in jobs]
    poison = ends.pop(4)
    assert poison.state is State.FAILED
    assert poison.error is not None
    assert poison.error.code == "poison"
    assert poison.attempt in (3, 4, 5)
    assert {job.state for job in ends} == {State.SUCCEEDED}
