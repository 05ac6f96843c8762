"""Workers that are told to stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from quill.chaos.proxy import HEALTHY, FaultProxy, Toxic
from quill.client import Client
from quill.embedded import free_port
from quill.job import JobRequest
from quill.states import State
from tests.processes import Fleet, wait_until_running
from tests.valkey import ValkeyServer


@pytest.fixture
def proxy(valkey: ValkeyServer) -> Iterator[FaultProxy]:
    proxy = FaultProxy(valkey.port)
    proxy.start()
    yield proxy
    proxy.toxic = HEALTHY
    proxy.stop()


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


@pytest.mark.timeout(60)
def test_a_job_whose_claim_is_under_way_gets_the_grace_and_no_more(fleet: Fleet, proxy: FaultProxy) -> None:
    _, url = fleet.gateway()
    worker = fleet.worker(
        redis_url=f"redis://127.0.0.1:{proxy.port}/0", slots=1, simulated_step_s=0.02, drain_s=0.5
    )
    with Client(url) as client:
        proxy.toxic = Toxic(latency_s=0.3)
        job = client.submit(JobRequest(prompt="long", max_tokens=5000))
        while "received" not in worker.log.read_text():
            time.sleep(0.01)
        told_s = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - told_s < 5
        assert client.get(job.id).state is State.QUEUED


@pytest.mark.timeout(60)
def test_a_worker_that_waits_for_the_store_before_it_serves_ends_at_once(fleet: Fleet) -> None:
    worker = fleet.start(
        "worker", engine="simulated", redis_url=f"redis://127.0.0.1:{free_port()}/0", store_timeout_s=0.5
    )
    worker.wait_for("store_away")
    told_s = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - told_s < 2
