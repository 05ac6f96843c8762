"""The store at its limits, and stores that are not set up as they should be."""

from __future__ import annotations

import pytest

from quill.client import Client
from quill.errors import QueueFull
from quill.job import JobRequest
from quill.states import State
from tests.processes import Fleet, wait_until_running
from tests.valkey import ValkeyServer


@pytest.mark.timeout(60)
def test_a_full_store_refuses_new_jobs_and_lets_running_ones_end(
    own_valkey: ValkeyServer, own_fleet: Fleet
) -> None:
    _, url = own_fleet.gateway()
    own_fleet.worker(simulated_step_s=0.02, slots=2)
    with Client(url, max_retries=0) as client, own_valkey.client() as store:
        jobs = client.submit_many([JobRequest(prompt=f"job {n}", max_tokens=50) for n in range(4)])
        wait_until_running(client, jobs[0])
        store.config_set("maxmemory", 1)
        with pytest.raises(QueueFull):
            client.submit("one too many")
        assert {client.wait(job, timeout_s=20).state for job in jobs} == {State.SUCCEEDED}
        store.config_set("maxmemory", 0)
        assert client.wait(client.submit("room again", max_tokens=1), timeout_s=10).state is State.SUCCEEDED


@pytest.mark.timeout(60)
def test_a_worker_that_starts_or_reconnects_while_the_store_is_full_works(
    own_valkey: ValkeyServer, own_fleet: Fleet
) -> None:
    _, url = own_fleet.gateway()
    with Client(url) as client, own_valkey.client() as store:
        jobs = client.submit_many([JobRequest(prompt=f"job {n}", max_tokens=20) for n in range(3)])
        store.config_set("maxmemory", 1)
        own_fleet.worker(simulated_step_s=0.02, slots=1)
        wait_until_running(client, jobs[0])
        store.client_kill_filter(_type="normal", skipme=True)
        assert {client.wait(job, timeout_s=20).state for job in jobs} == {State.SUCCEEDED}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", ["worker", "gateway"])
def test_a_store_without_an_append_only_file_is_refused_if_so_set(
    own_valkey: ValkeyServer, own_fleet: Fleet, part: str
) -> None:
    with own_valkey.client() as store:
        store.config_set("appendonly", "no")
    process = own_fleet.start(part, engine="simulated", port=0, store_checks="refuse")
    assert process.wait() != 0
    assert "appendonly yes" in process.log.read_text()


@pytest.mark.timeout(60)
def test_a_store_that_may_evict_is_warned_of(own_valkey: ValkeyServer, own_fleet: Fleet) -> None:
    with own_valkey.client() as store:
        store.config_set("maxmemory-policy", "allkeys-lru")
    worker = own_fleet.worker()
    gateway, _ = own_fleet.gateway()
    assert len(worker.said("store_unfit")) == len(gateway.said("store_unfit")) == 1
