"""Supervised workers, real ones, killed and stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from quill.client import Client
from quill.job import Job, JobRequest
from quill.states import State
from tests.processes import Fleet, Process, eventually, wait_until_running
from tests.valkey import ValkeyServer


def supervised(fleet: Fleet) -> Process:
    """One that watches a ready worker."""
    supervisor = fleet.start(
        "quill.supervision", engine="simulated", slots=20, simulated_step_s=0.05, drain_s=0.2
    )
    supervisor.wait_for("worker_ready")
    return supervisor


def worker_pid(supervisor: Process) -> int:
    """Of its only worker."""
    return int(Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text())


def has_ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def running_jobs(client: Client) -> list[Job]:
    jobs = client.submit_many([JobRequest(prompt=f"job {number}", max_tokens=100) for number in range(20)])
    wait_until_running(client, *jobs)
    return jobs


@pytest.mark.timeout(90)
def test_jobs_of_a_killed_worker_run_elsewhere_within_a_second(valkey: ValkeyServer, fleet: Fleet) -> None:
    _, url = fleet.gateway()
    supervisor = supervised(fleet)
    with Client(url) as client:
        jobs = running_jobs(client)
        fleet.worker(simulated_step_s=0.0)
        os.kill(worker_pid(supervisor), signal.SIGKILL)
        ends = [client.wait(job, timeout_s=10) for job in jobs]
        assert len(supervisor.said("worker_died")) == 1
        eventually(lambda: len(supervisor.said("worker_ready")) == 2)
    assert {(job.state, job.attempt) for job in ends} == {(State.SUCCEEDED, 2)}
    first_s = min(job.started_at or 0 for job in ends)
    assert max(job.started_at or 0 for job in ends) - first_s < 1
    with valkey.client() as store:
        assert {store.hget(f"quill:job:{job.id}", "lost") for job in jobs} == {b"1"}


@pytest.mark.timeout(60)
def test_a_dead_workers_jobs_are_back_in_their_line_within_a_second(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    supervisor = supervised(fleet)
    with Client(url) as client:
        jobs = running_jobs(client)
        killed_s = time.monotonic()
        os.kill(worker_pid(supervisor), signal.SIGKILL)
        eventually(lambda: all(client.get(job.id).state is State.QUEUED for job in jobs))
        assert time.monotonic() - killed_s < 1


@pytest.mark.timeout(60)
def test_a_stopped_supervisor_stops_its_workers_which_hand_back(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    supervisor = supervised(fleet)
    with Client(url) as client:
        job = client.submit(JobRequest(prompt="long", max_tokens=5000))
        wait_until_running(client, job)
        pid = worker_pid(supervisor)
        assert supervisor.stop() == 0
        assert client.get(job.id).state is State.QUEUED
    assert has_ended(pid)


@pytest.mark.timeout(60)
def test_no_worker_outlives_its_supervisor(fleet: Fleet) -> None:
    supervisor = supervised(fleet)
    pid = worker_pid(supervisor)
    supervisor.kill()
    eventually(lambda: has_ended(pid), within_s=10)


@pytest.mark.timeout(60)
def test_gpus_that_are_named_twice_are_refused_with_a_sentence(fleet: Fleet) -> None:
    supervisor = fleet.start("quill.supervision", gpus="0,0")
    assert supervisor.wait() == 2
    assert supervisor.log.read_text().startswith("quill worker: --gpus 0,0")
