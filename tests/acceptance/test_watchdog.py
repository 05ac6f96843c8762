"""Workers that no longer work end by themselves, and their jobs go on elsewhere."""

from __future__ import annotations

import pytest

from quill.client import Client
from quill.job import JobRequest
from quill.states import State
from tests.processes import Fleet, wait_until_running
from tests.supervised import supervised_workers
from tests.valkey import ValkeyServer
from worker.watchdog import EXIT_STATUS


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("kind", "action"), [("hang", "engine_hung"), ("lost", "engine_lost")])
def test_a_worker_whose_engine_is_gone_ends_and_its_jobs_run_elsewhere(
    valkey: ValkeyServer, fleet: Fleet, kind: str, action: str
) -> None:
    _, url = fleet.gateway()
    worker = fleet.start("tests.faulty_worker", slots=4, simulated_step_s=0.02, hang_s=1)
    worker.wait_for("worker_ready")
    with Client(url) as client:
        neighbour = client.submit(JobRequest(prompt="long", max_tokens=3000))
        wait_until_running(client, neighbour)
        culprit = client.submit(JobRequest(prompt=f"{kind}: now", max_tokens=20))
        assert worker.wait(within_s=15) == EXIT_STATUS
        assert len(worker.said(action)) == 1
        fleet.worker(simulated_step_s=0.0)
        ends = [client.wait(job, timeout_s=5) for job in (neighbour, culprit)]
    assert {(job.state, job.attempt) for job in ends} == {(State.SUCCEEDED, 2)}
    with valkey.client() as store:
        assert {store.hget(f"quill:job:{job.id}", "stalls") for job in ends} == {b"1"}


@pytest.mark.timeout(60)
def test_a_worker_whose_engines_thread_dies_ends_too(fleet: Fleet) -> None:
    """Or it would renew the leases of jobs that never end."""
    _, url = fleet.gateway()
    worker = fleet.start("tests.faulty_worker", slots=4, simulated_step_s=0.02)
    worker.wait_for("worker_ready")
    with Client(url) as client:
        client.submit(JobRequest(prompt="die: now", max_tokens=20))
        assert worker.wait(within_s=15) == EXIT_STATUS
    assert "a defect" in worker.log.read_text()


@pytest.mark.timeout(60)
def test_a_worker_that_an_engine_stops_altogether_ends_too(fleet: Fleet) -> None:
    """No thread of it gets to see that: its leases run out, and it ends without a word but its stacks."""
    _, url = fleet.gateway()
    worker = fleet.start("tests.faulty_worker", slots=4, simulated_step_s=0.02, hang_s=1)
    worker.wait_for("worker_ready")
    with Client(url) as client:
        culprit = client.submit(JobRequest(prompt="freeze: now", max_tokens=20))
        assert worker.wait(within_s=15) == 1
        assert "most recent call first" in worker.log.read_text()
        fleet.worker(simulated_step_s=0.0)
        end = client.wait(culprit, timeout_s=15)
    assert (end.state, end.attempt) == (State.SUCCEEDED, 2)


@pytest.mark.timeout(90)
def test_a_hung_worker_is_replaced_and_a_job_that_hangs_every_worker_is_failed(
    valkey: ValkeyServer, fleet: Fleet
) -> None:
    _, url = fleet.gateway()
    with Client(url) as client, supervised_workers(valkey, 1, hang_s=1):
        neighbour = client.submit(JobRequest(prompt="long", max_tokens=200))
        wait_until_running(client, neighbour)
        culprit = client.submit(JobRequest(prompt="hang: now", max_tokens=20))
        end, poison = [client.wait(job, timeout_s=50) for job in (neighbour, culprit)]
    assert end.state is State.SUCCEEDED
    assert end.attempt > 1
    assert poison.error is not None
    assert poison.error.code == "poison"


@pytest.mark.timeout(60)
def test_a_worker_whose_consumer_is_deaf_lets_its_jobs_end_and_ends(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    deaf = fleet.start(
        "tests.deaf_worker", engine="simulated", slots=4, simulated_step_s=0.02, deaf_s=2, drain_s=20
    )
    with Client(url) as client:
        job = client.submit(JobRequest(prompt="under way", max_tokens=300))
        wait_until_running(client, job)
        assert deaf.wait(within_s=30) == EXIT_STATUS
        assert len(deaf.said("consumer_deaf")) == 1
        ended = client.get(job.id)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)


@pytest.mark.timeout(60)
def test_an_idle_or_a_full_worker_is_neither_hung_nor_deaf(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    worker = fleet.worker(slots=1, simulated_step_s=0.02, hang_s=0.5, deaf_s=1.5)
    with Client(url) as client:
        for _ in range(2):
            job = client.submit(JobRequest(prompt="long", max_tokens=150))
            assert client.wait(job, timeout_s=20).attempt == 1
    assert worker.stop() == 0
