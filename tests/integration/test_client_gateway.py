"""Both clients against a real gateway and a real store; the test plays the worker."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from quill.client import DeltaEvent, DoneEvent, GatewayUnreachable, RestartEvent, StatusEvent
from quill.embedded import free_port
from quill.errors import (
    ContextLengthExceeded,
    IdempotencyConflict,
    InvalidRequest,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobNotCancellable,
    JobNotFound,
    ModelNotFound,
    OutcomeError,
)
from quill.job import JobClass, JobRequest
from quill.pricing import ModelFacts
from quill.result import JobResult, Usage
from quill.states import State
from quill.store import calls, record
from quill.store.attempt import Chunk, Claim
from quill.store.run import Store
from tests.breaking_proxy import BreakingProxy
from tests.clients import KINDS, opened
from tests.integration.jobs import MODEL, claim, outcome_of
from tests.processes import Fleet, eventually


@pytest.fixture(scope="module")
def gateway_url(lasting_fleet: Fleet) -> str:
    return lasting_fleet.gateway(default_model=MODEL, keep_alive_s=0.5)[1]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(kind: str, gateway_url: str, store: Store) -> Iterator[Any]:
    """Before an empty store that one worker with two slots has joined."""
    store.run(calls.join("w", MODEL, 2, "{}", ModelFacts(context_tokens=200)))
    with opened(kind, gateway_url) as client:
        yield client


def emit(store: Store, held: Claim, *texts: str) -> None:
    chunks = [
        Chunk(held.job_id, held.attempt, held.token, number, json.dumps({"text": text}))
        for number, text in enumerate(texts, 1)
    ]
    assert store.run(calls.emit(chunks, 60)) == []


def finish(store: Store, held: Claim, text: str = "42", state: State = State.SUCCEEDED) -> None:
    usage = Usage(prompt_tokens=3, completion_tokens=2)
    result = JobResult(text=text, finish_reason="stop", usage=usage).model_dump_json()
    outcome = result if state is State.SUCCEEDED else record.fault_json(JobFailed)
    store.run(calls.finish(held, state, outcome))


def later(action: Any, *args: Any, delay_s: float = 0.3) -> threading.Timer:
    timer = threading.Timer(delay_s, action, args)
    timer.start()
    return timer


def test_a_job_goes_from_its_submission_to_its_result(client: Any, store: Store) -> None:
    job = client.submit("What is 17 + 25?", max_tokens=5, job_class="interactive", metadata={"a": "b"})
    assert (job.state, job.job_class, job.metadata) == (State.QUEUED, JobClass.INTERACTIVE, {"a": "b"})
    held = claim(store)
    assert held.request == JobRequest.model_validate(
        {"prompt": "What is 17 + 25?", "max_tokens": 5, "class": "interactive", "metadata": {"a": "b"}}
    )
    assert client.get(job.id).state is State.RUNNING
    waker = later(finish, store, held)
    began_s = time.monotonic()
    ended = client.wait(job, timeout_s=20)
    waker.join()
    assert ended.result.text == "42"
    assert time.monotonic() - began_s < 5, "the long-poll was not woken"


def test_generate_submits_and_waits(client: Any, store: Store) -> None:
    def work() -> None:
        eventually(lambda: store.client.llen(store.keys.ticket_list(MODEL)))
        finish(store, claim(store), "seven")

    worker = later(work, delay_s=0)
    assert client.generate("Hi", timeout_s=20).text == "seven"
    worker.join()


@pytest.mark.parametrize(
    ("state", "error"),
    [(State.FAILED, JobFailed), (State.CANCELLED, JobCancelled), (State.EXPIRED, JobExpired)],
)
def test_a_job_without_a_result_is_an_error(
    client: Any, store: Store, state: State, error: type[OutcomeError]
) -> None:
    job = client.submit("Hi")
    finish(store, claim(store), state=state)
    with pytest.raises(error, match=job.id) as caught:
        client.result(job, timeout_s=20)
    assert caught.value.job_id == job.id
    assert caught.value.fault == client.get(job.id).error


def test_waiting_for_a_job_that_nobody_runs_ends_in_time(client: Any) -> None:
    job = client.submit("Hi")
    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        client.wait(job, timeout_s=0.3)
    assert 0.3 <= time.monotonic() - began_s < 3


def test_refusals_are_typed(client: Any, store: Store) -> None:
    with pytest.raises(JobNotFound):
        client.get("job_none")
    with pytest.raises(ModelNotFound):
        client.submit("Hi", model="no/such-model")
    # The gateway looks at the workers' facts once a second.
    eventually(lambda: any(model["context_tokens"] == 200 for model in client.models()))
    with pytest.raises(ContextLengthExceeded, match="200"):
        client.submit("x" * 2000)
    with pytest.raises(InvalidRequest):
        client.submit("Hi", idempotency_key="a b")
    ended = client.submit("Hi")
    store.run(calls.finish(claim(store), State.SUCCEEDED, outcome_of(State.SUCCEEDED)))
    with pytest.raises(JobNotCancellable):
        client.cancel(ended)


def test_an_idempotency_key_stands_for_one_job(client: Any) -> None:
    first = client.submit("Hi", idempotency_key="k1")
    assert client.submit("Hi", idempotency_key="k1").id == first.id
    with pytest.raises(IdempotencyConflict):
        client.submit("Other", idempotency_key="k1")
    assert [job.id for job in client.jobs()] == [first.id]


def test_a_queued_job_can_be_cancelled_and_that_again(client: Any) -> None:
    job = client.submit("Hi", start_by_s=60.0)
    assert client.cancel(job).state is State.CANCELLED
    assert client.cancel(job.id).state is State.CANCELLED
    with pytest.raises(JobCancelled):
        client.result(job)


def test_listing_gives_every_job_once_over_several_pages(client: Any) -> None:
    jobs = client.submit_many([f"prompt {number}" for number in range(130)], concurrency=8)
    assert len({job.id for job in jobs}) == 130
    listed = [job.id for job in client.jobs()]
    assert len(listed) == 130
    assert set(listed) == {job.id for job in jobs}
    assert [job.id for job in client.jobs(limit=7)] == listed[:7]


def test_a_batch_given_again_with_its_prefix_adds_nothing(client: Any) -> None:
    first = client.submit_many(["a", "b"], idempotency_prefix="night")
    again = client.submit_many(["a", "b", "c"], idempotency_prefix="night")
    assert [job.id for job in again[:2]] == [job.id for job in first]
    assert len(list(client.jobs())) == 3


def test_many_jobs_are_waited_for_together(client: Any, store: Store) -> None:
    jobs = client.submit_many(["a", "b"])
    for _ in jobs:
        finish(store, claim(store))
    assert [job.id for job in client.wait_many(jobs, timeout_s=20)] == [job.id for job in jobs]


def test_the_service_tells_what_it_serves(client: Any) -> None:
    workers = eventually(client.workers)
    assert [worker["id"] for worker in workers] == ["w"]
    assert MODEL in [model["id"] for model in client.models()]
    assert client.health()["status"] in {"ok", "degraded"}


def test_a_stream_tells_states_text_and_the_end(client: Any, store: Store) -> None:
    job = client.submit("Hi", stream=True)
    held = claim(store)
    emit(store, held, "forty", "-two")
    waker = later(finish, store, held, "forty-two")
    events = list(client.stream(job))
    waker.join()
    assert StatusEvent(job.id, State.RUNNING, 1) in events
    assert [event.text for event in events if isinstance(event, DeltaEvent)] == ["forty", "-two"]
    assert isinstance(events[-1], DoneEvent)
    assert events[-1].job.result == JobResult(
        text="forty-two", finish_reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=2)
    )


def test_a_new_attempt_tells_the_reader_to_drop_the_old_text(client: Any, store: Store) -> None:
    job = client.submit("Hi", stream=True)
    emit(store, claim(store, token="first"), "lost")

    def take_over() -> None:
        # The lease of the first attempt has run out, as seen by the sweep.
        store.client.zadd(f"quill:leases:{MODEL}", {job.id: 1})
        eventually(lambda: store.client.llen(store.keys.ticket_list(MODEL)))
        held = claim(store, token="second")
        emit(store, held, "kept")
        finish(store, held, "kept")

    taker = later(take_over)
    events = list(client.stream(job))
    taker.join()
    texts = [event.text for event in events if isinstance(event, DeltaEvent)]
    assert texts == ["lost", "kept"]
    restart = events.index(RestartEvent(2))
    assert [event.text for event in events[restart:] if isinstance(event, DeltaEvent)] == ["kept"]
    assert isinstance(events[-1], DoneEvent)


def test_a_reply_that_is_lost_after_the_job_was_admitted_makes_no_second_job(
    kind: str, client: Any, gateway_url: str
) -> None:
    with BreakingProxy(gateway_url, 0, 0, 40) as proxy, opened(kind, proxy.url) as far:
        job = far.submit("Hi")
        assert proxy.broken == 3
    assert [one.id for one in client.jobs()] == [job.id]


def test_a_batch_over_breaking_connections_makes_one_job_a_prompt(
    kind: str, client: Any, gateway_url: str
) -> None:
    with BreakingProxy(gateway_url, *[0, 200] * 3) as proxy, opened(kind, proxy.url) as far:
        jobs = far.submit_many([f"prompt {number}" for number in range(12)], concurrency=3)
        assert proxy.broken == 6
    assert len({job.id for job in jobs}) == 12
    assert {one.id for one in client.jobs()} == {job.id for job in jobs}


@pytest.mark.parametrize("budget_bytes", [0, 150, 333, 400, 460, 500, 555, 610])
def test_a_stream_over_breaking_connections_neither_loses_nor_doubles_text(
    kind: str, client: Any, store: Store, gateway_url: str, budget_bytes: int
) -> None:
    job = client.submit("Hi", stream=True)
    held = claim(store)
    words = [f"word{number} " for number in range(8)]
    emit(store, held, *words)
    finish(store, held)
    with BreakingProxy(gateway_url, budget_bytes, budget_bytes) as proxy, opened(kind, proxy.url) as far:
        events = list(far.stream(job))
        assert proxy.broken == 2
    assert [event.text for event in events if isinstance(event, DeltaEvent)] == words
    assert isinstance(events[-1], DoneEvent)
    assert not any(isinstance(event, RestartEvent) for event in events)


def test_a_gateway_that_is_not_there_is_named(kind: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with opened(kind, url, max_retries=1) as client, pytest.raises(GatewayUnreachable, match=url):
        client.health()
