"""What becomes of a try that failed, and of one whose worker goes away."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from quill.client import Client
from quill.job import Job, JobRequest
from quill.states import State
from tests.processes import Fleet, wait_until_running
from tests.valkey import ValkeyServer


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    _, url = fleet.gateway()
    worker = fleet.start("tests.faulty_worker", slots=8, simulated_step_s=0, retry_base_s=0.02)
    worker.wait_for("worker_ready")
    with Client(url) as client:
        yield client


def ended(client: Client, prompt: str, max_retries: int = 3) -> Job:
    job = client.submit(JobRequest(prompt=prompt, max_tokens=3, max_retries=max_retries))
    return client.wait(job, timeout_s=20)


@pytest.mark.timeout(60)
def test_a_passing_fault_costs_tries_and_no_answer(client: Client) -> None:
    job = ended(client, "fault 2: then well")
    assert (job.state, job.attempt, job.retries) == (State.SUCCEEDED, 3, 2)


@pytest.mark.timeout(60)
def test_a_lasting_fault_fails_the_job_when_its_tries_are_spent(client: Client) -> None:
    job = ended(client, "fault 99: never well", max_retries=2)
    assert (job.state, job.attempt, job.retries) == (State.FAILED, 3, 2)
    assert job.error is not None
    assert job.error.code == "engine_fault"


@pytest.mark.timeout(60)
def test_a_job_may_ask_for_no_second_try(client: Client) -> None:
    job = ended(client, "fault 1: once is enough", max_retries=0)
    assert (job.state, job.attempt) == (State.FAILED, 1)


@pytest.mark.timeout(60)
def test_a_failure_of_the_job_itself_is_not_tried_again(client: Client) -> None:
    job = ended(client, "bad: prompt")
    assert (job.state, job.attempt, job.retries) == (State.FAILED, 1, 0)


@pytest.mark.timeout(60)
def test_a_defect_of_the_engine_is_tried_again_and_never_quoted(client: Client) -> None:
    job = ended(client, "defect: raises", max_retries=1)
    assert (job.state, job.attempt) == (State.FAILED, 2)
    assert "secret" not in job.model_dump_json()


@pytest.mark.timeout(60)
def test_a_stopped_worker_hands_back_what_it_cannot_finish(valkey: ValkeyServer, fleet: Fleet) -> None:
    _, url = fleet.gateway()
    first = fleet.worker(simulated_step_s=0.02, drain_s=0.3)
    with Client(url) as client:
        jobs = client.submit_many([JobRequest(prompt=f"job {n}", max_tokens=300) for n in range(5)])
        wait_until_running(client, *jobs)
        fleet.worker(simulated_step_s=0.0)
        told_s = time.monotonic()
        assert first.stop() == 0
        assert time.monotonic() - told_s < 5
        ends = [client.wait(job, timeout_s=5) for job in jobs]
    assert {(job.state, job.attempt, job.retries) for job in ends} == {(State.SUCCEEDED, 2, 0)}
    with valkey.client() as store:
        assert {store.hget(f"quill:job:{job.id}", "lost") for job in jobs} == {b"0"}


@pytest.mark.timeout(60)
def test_a_second_signal_ends_the_grace(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    worker = fleet.worker(simulated_step_s=0.02, drain_s=50)
    with Client(url) as client:
        job = client.submit(JobRequest(prompt="long", max_tokens=5000))
        wait_until_running(client, job)
        worker.signal(signal.SIGTERM)
        worker.wait_for("drain")
        told_s = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - told_s < 5
        assert client.get(job.id).state is State.QUEUED


@pytest.mark.timeout(90)
def test_workers_that_come_and_go_delay_no_job_by_a_lost_ticket(fleet: Fleet) -> None:
    """A ticket that a stopping worker swallowed would be missed for five seconds."""
    _, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.002, slots=2)
    waited_s = []
    with Client(url) as client:
        for _ in range(3):
            leaver = fleet.worker(simulated_step_s=0.002, slots=8)
            jobs = client.submit_many([JobRequest(prompt=f"job {n}", max_tokens=20) for n in range(60)])
            leaver.signal(signal.SIGTERM)
            began_s = time.monotonic()
            ends = [client.wait(job, timeout_s=20) for job in jobs]
            waited_s.append(time.monotonic() - began_s)
            assert {job.state for job in ends} == {State.SUCCEEDED}
            assert leaver.wait() == 0
    assert max(waited_s) < 4, waited_s
