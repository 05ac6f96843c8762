"""Whole processes, killed at bad times: what was accepted is answered, once."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from quill.client import Client
from quill.job import Job, JobRequest
from quill.states import State
from tests.processes import Fleet, eventually, wait_until_running
from tests.valkey import ValkeyServer


def requests(count: int, max_tokens: int = 5) -> list[JobRequest]:
    return [JobRequest(prompt=f"job {number}", max_tokens=max_tokens) for number in range(count)]


def all_ended(client: Client, jobs: list[Job], within_s: float) -> list[Job]:
    deadline_s = time.monotonic() + within_s
    return [client.wait(job, timeout_s=max(deadline_s - time.monotonic(), 0.1)) for job in jobs]


def ends_by_job(server: ValkeyServer) -> Counter[str]:
    with server.client() as client:
        entries: list[tuple[bytes, dict[bytes, bytes]]] = client.xrange("quill:events")
    return Counter(fields[b"job"].decode() for _, fields in entries if fields.get(b"state") == b"succeeded")


@pytest.mark.timeout(90)
def test_jobs_of_a_killed_worker_end_on_another_within_12_s(valkey: ValkeyServer, fleet: Fleet) -> None:
    _, url = fleet.gateway()
    first = fleet.worker(simulated_step_s=0.02)
    with Client(url) as client:
        jobs = client.submit_many(requests(20, max_tokens=50))
        wait_until_running(client, *jobs)
        first.kill()
        killed_s = time.monotonic()
        fleet.worker(simulated_step_s=0.02)
        ended = all_ended(client, jobs, within_s=30)
        took_s = time.monotonic() - killed_s
    assert {job.state for job in ended} == {State.SUCCEEDED}
    assert {job.attempt for job in ended} == {2}
    assert took_s < 12
    assert ends_by_job(valkey) == Counter({job.id: 1 for job in jobs})


@pytest.mark.timeout(90)
def test_jobs_that_wait_for_a_worker_outlive_a_gateway(valkey: ValkeyServer, fleet: Fleet) -> None:
    gateway, url = fleet.gateway()
    with Client(url) as client:
        jobs = client.submit_many(requests(200))
    gateway.kill()
    _, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.001)
    with Client(url) as client:
        ended = all_ended(client, jobs, within_s=40)
    assert {job.state for job in ended} == {State.SUCCEEDED}
    assert ends_by_job(valkey) == Counter({job.id: 1 for job in jobs})


@pytest.mark.timeout(120)
def test_jobs_outlive_a_killed_store(own_valkey: ValkeyServer, own_fleet: Fleet) -> None:
    _, url = own_fleet.gateway()
    with Client(url) as client:
        jobs = client.submit_many(requests(200, max_tokens=20))
        with own_valkey.client() as store:
            delayed_fsyncs = store.info("persistence")["aof_delayed_fsync"]
        own_valkey.restart()
        own_fleet.worker(simulated_step_s=0.01)
        eventually(lambda: client.get(jobs[0].id).state is State.SUCCEEDED)
        own_valkey.restart()
        ended = all_ended(client, jobs, within_s=60)
    # Valkey postpones a write while an fsync stalls; such a run proves nothing either way.
    assert delayed_fsyncs == 0, "void: an fsync stalled during the run"
    assert {job.state for job in ended} == {State.SUCCEEDED}
    assert ends_by_job(own_valkey) == Counter({job.id: 1 for job in jobs})


@pytest.mark.timeout(60)
def test_garbage_on_the_ticket_list_does_not_stop_a_worker(valkey: ValkeyServer, fleet: Fleet) -> None:
    worker = fleet.worker(simulated_step_s=0.0)
    hostile = [
        b"\xff\xfe",
        b"1",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"headers": {"task": "quill.run", "id": "x"}}',
        b'{"headers": {"task": "os.system", "id": "job_x:1"}, "properties": {}, "body": ""}',
    ]
    with valkey.client() as client:
        client.lpush("quill.run.quill-tiny", *hostile)
    eventually(lambda: len(worker.said("drop_ticket")) == len(hostile))
    _, url = fleet.gateway()
    with Client(url) as client:
        job = client.wait(client.submit("still there?", max_tokens=3), timeout_s=20)
    assert job.state is State.SUCCEEDED


@pytest.mark.timeout(60)
def test_a_broker_that_refuses_for_a_while_does_not_end_a_worker(valkey: ValkeyServer, fleet: Fleet) -> None:
    worker = fleet.worker(simulated_step_s=0.0)
    with valkey.client() as store:
        store.set("quill.run.quill-tiny", "no list")
        store.client_kill_filter(_type="normal", skipme=True)
        time.sleep(2)
        store.delete("quill.run.quill-tiny")
    _, url = fleet.gateway()
    with Client(url) as client:
        job = client.wait(client.submit("still there?", max_tokens=3), timeout_s=20)
    assert job.state is State.SUCCEEDED
    assert len(worker.said("worker_ready")) == 1
    assert worker.log.read_text().count("Connected to") < 10


@pytest.mark.timeout(60)
def test_a_worker_that_is_told_to_stop_finishes_what_it_runs(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    worker = fleet.worker(simulated_step_s=0.02)
    with Client(url) as client:
        jobs = client.submit_many(requests(5, max_tokens=50))
        wait_until_running(client, *jobs)
        assert worker.stop() == 0
        ended = [client.get(job.id) for job in jobs]
    assert {(job.state, job.attempt) for job in ended} == {(State.SUCCEEDED, 1)}
