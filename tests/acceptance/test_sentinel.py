"""The store's master changes under everything that runs: gateway, worker, intake and callers go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery

from quill.broker import broker_place
from quill.client import Client
from quill.job import Job, JobRequest
from quill.producer import Queue
from quill.states import State
from tests.processes import Fleet, Process, eventually, wait_until_running
from tests.sentinels import PASSWORD, SENTINEL_PASSWORD, Watched

WITHIN_S = 30.0
#: Of a worker, to the store.
CONNECTIONS = 8

Change = Callable[[Watched], None]


def crash(watched: Watched) -> None:
    watched.stores[0].kill()


def hand_over(watched: Watched) -> None:
    watched.hand_over()


@pytest.fixture
def watched_fleet(watched: Watched, tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path, watched.url)
    yield fleet
    fleet.stop()


@pytest.fixture
def program(watched: Watched) -> Iterator[Celery]:
    """Any Celery program, which spells the same place as Celery does."""
    url, options = broker_place(watched.url)
    app = Celery(broker=url, backend=url, set_as_current=False)
    app.conf.broker_transport_options = app.conf.result_backend_transport_options = options
    yield app
    app.close()


def answer_to(program: Celery) -> str:
    kwargs = {"request": {"prompt": "hello", "max_tokens": 3}}
    task = program.send_task("quill.generate", kwargs=kwargs, queue="quill.submit")
    text: str = task.get(timeout=WITHIN_S)["text"]
    return text


def is_promoted(watched: Watched) -> bool:
    with watched.stores[1].client() as client:
        return bool(client.info("replication")["role"] == "master")


def all_ended(client: Client, jobs: list[Job]) -> bool:
    deadline_s = time.monotonic() + WITHIN_S
    ended = [client.wait(job, timeout_s=max(deadline_s - time.monotonic(), 0.1)) for job in jobs]
    return {job.state for job in ended} == {State.SUCCEEDED}


def connections(worker: Process, watched: Watched) -> int:
    """To the new master."""
    found = psutil.Process(worker.pid).net_connections()
    return sum(bool(one.raddr) and one.raddr.port == watched.stores[1].port for one in found)


@pytest.mark.timeout(150)
@pytest.mark.parametrize("change", [crash, hand_over])
def test_jobs_end_and_new_ones_are_taken_after_the_master_changed(
    watched: Watched, watched_fleet: Fleet, program: Celery, change: Change
) -> None:
    gateway, url = watched_fleet.gateway()
    worker = watched_fleet.worker(slots=8, simulated_step_s=0.02)
    intake = watched_fleet.start("quill.intake")
    intake.wait_for("intake_ready")
    with Client(url, max_retries=0) as client, Client(url) as patient:
        assert all_ended(client, [client.submit("before", max_tokens=3)])
        assert answer_to(program)
        jobs = patient.submit_many([JobRequest(prompt=f"job {n}", max_tokens=100) for n in range(24)])
        wait_until_running(client, jobs[0])
        eventually(watched.wait_replicated)
        change(watched)
        assert all_ended(patient, jobs)
        assert is_promoted(watched)
        assert all_ended(client, [client.submit("after", max_tokens=3)])
    assert answer_to(program)
    with Queue(watched.url) as queue:
        assert queue.wait(queue.submit(JobRequest(prompt="beside", max_tokens=3)), WITHIN_S).result
    for process in (gateway, worker, intake):
        has_not_ended_and_told_no_password(process)
    assert 0 < connections(worker, watched) <= CONNECTIONS


def has_not_ended_and_told_no_password(process: Process) -> None:
    assert process.is_running, process.log.read_text()
    assert not any(secret in process.log.read_text() for secret in (PASSWORD, SENTINEL_PASSWORD))


@pytest.mark.timeout(120)
def test_garbage_on_the_ticket_list_does_not_stop_a_worker_after_a_failover(
    watched: Watched, watched_fleet: Fleet
) -> None:
    """kombu, asked to try the next of several URLs, takes the stock transport, which ends at an odd entry."""
    worker = watched_fleet.worker(slots=8, simulated_step_s=0.02)
    eventually(watched.wait_replicated)
    crash(watched)
    worker.wait_for("reconnect")
    eventually(lambda: is_promoted(watched) and connections(worker, watched))
    with Queue(watched.url) as queue:
        assert queue.wait(queue.submit(JobRequest(prompt="after", max_tokens=3)), WITHIN_S).result
    with watched.stores[1].client() as client:
        client.select(2)
        client.lpush("quill.run.quill-tiny", b"\xff", b"[]")
    eventually(lambda: len(worker.said("drop_ticket")) == 2)
    assert worker.stop() == 0
