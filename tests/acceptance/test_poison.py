"""A job that kills its worker, among jobs that do not."""

from __future__ import annotations

import pytest

from quill.client import Client
from quill.job import JobRequest
from quill.states import State
from tests.processes import Fleet
from tests.supervised import supervised_workers
from tests.valkey import ValkeyServer


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
