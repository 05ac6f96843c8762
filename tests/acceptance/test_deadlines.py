"""A job's two times, to start and to run, with real processes."""

from __future__ import annotations

import time

import httpx2
import pytest

from quill.client import Client, DeltaEvent, DoneEvent
from quill.errors import JobExpired
from quill.job import JobRequest
from quill.states import State
from tests.processes import Fleet
from tests.valkey import ValkeyServer


@pytest.mark.timeout(60)
def test_a_run_over_its_time_expires_with_what_it_had_produced(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.01, slots=1)
    with Client(url) as client:
        job = client.submit(JobRequest(prompt="long", max_tokens=9000, run_timeout_s=0.5))
        next_job = client.submit(JobRequest(prompt="short", max_tokens=1))
        with pytest.raises(JobExpired) as raised:
            client.generate(JobRequest(prompt="long", max_tokens=9000, run_timeout_s=0.2))
        ended = client.wait(job, timeout_s=10)
        assert client.wait(next_job, timeout_s=10).state is State.SUCCEEDED
    assert raised.value.fault is not None
    assert raised.value.fault.code == "run_timed_out"
    assert (ended.state, ended.attempt) == (State.EXPIRED, 1)
    assert ended.result is not None
    assert ended.result.finish_reason == "timeout"
    assert 10 < ended.result.usage.completion_tokens < 60
    assert len(ended.result.text.split()) == ended.result.usage.completion_tokens == ended.produced_tokens


@pytest.mark.timeout(60)
def test_the_stream_of_a_run_over_its_time_has_all_its_text_and_ends(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    fleet.worker(simulated_step_s=0.01)
    with Client(url) as client:
        job = client.submit(JobRequest(prompt="long", max_tokens=9000, run_timeout_s=0.3, stream=True))
        events = list(client.stream(job))
    assert isinstance(events[-1], DoneEvent)
    ended = events[-1].job
    assert ended.state is State.EXPIRED
    assert ended.result is not None
    assert "".join(event.text for event in events if isinstance(event, DeltaEvent)) == ended.result.text


@pytest.mark.timeout(60)
def test_time_in_the_line_does_not_count_as_time_of_the_run(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    with Client(url) as client:
        job = client.submit(JobRequest(prompt="patient", max_tokens=3, run_timeout_s=0.5))
        time.sleep(0.6)
        fleet.worker(simulated_step_s=0.001)
        assert client.wait(job, timeout_s=10).state is State.SUCCEEDED


@pytest.mark.timeout(60)
def test_a_job_is_kept_no_longer_than_it_asks_and_no_longer_than_the_service_allows(
    valkey: ValkeyServer, fleet: Fleet
) -> None:
    _, url = fleet.gateway(result_ttl_s=100)
    fleet.worker(simulated_step_s=0.0)
    with Client(url) as client, valkey.client() as store:
        for asked_s, kept_s in ((5, 5), (1000, 100)):
            job = client.submit(JobRequest(prompt="brief", max_tokens=1, result_ttl_s=asked_s))
            client.wait(job, timeout_s=10)
            assert kept_s - 3 < store.pttl(f"quill:job:{job.id}") / 1000 <= kept_s


@pytest.mark.timeout(60)
def test_times_out_of_range_are_refused(fleet: Fleet) -> None:
    _, url = fleet.gateway()
    wrong: list[object] = [0, -1, 1e12, "1"]
    for field in ("run_timeout_s", "start_by_s", "result_ttl_s"):
        for value in wrong:
            reply = httpx2.post(f"{url}/v1/jobs", json={"prompt": "x", field: value})
            assert reply.status_code == 422
            assert reply.json()["errors"][0]["pointer"] == f"#/{field}"
