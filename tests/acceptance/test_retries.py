"""What becomes of a try that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from quill.client import Client
from quill.job import Job, JobRequest
from quill.states import State
from quill.store import calls
from quill.store.run import Store
from tests.integration.jobs import TENANT, admit
from tests.processes import Fleet
from tests.valkey import ValkeyServer


@pytest.fixture(scope="module")
def client(lasting_fleet: Fleet, gateway_url: str) -> Iterator[Client]:
    worker = lasting_fleet.start("tests.faulty_worker", slots=8, simulated_step_s=0, retry_base_s=0.02)
    worker.wait_for("worker_ready")
    with Client(gateway_url) as client:
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
def test_a_request_of_a_newer_release_is_not_run_as_something_else(
    own_valkey: ValkeyServer, own_fleet: Fleet, connect: Callable[[str], Store]
) -> None:
    """Workers of that release may come; until its tries are spent the job waits for one."""
    store = connect(own_valkey.url)
    job_id = admit(store, model="quill-tiny", request=JobRequest(prompt="x", max_retries=1))
    store.client.set(f"{store.keys.namespace}:request:{job_id}", '{"prompt":"x","wish":"secret"}')
    worker = own_fleet.worker(retry_base_s=0.02)
    while (job := store.run(calls.read(TENANT, [job_id]))[0]) and job.state is not State.FAILED:
        assert job.state in (State.QUEUED, State.RUNNING)
    assert job is not None
    assert job.error is not None
    assert (job.error.code, job.retries) == ("request_unreadable", 3)
    assert "secret" not in worker.log.read_text()
