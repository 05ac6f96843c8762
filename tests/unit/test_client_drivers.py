"""One table of scenarios on both clients: the logic is one, and the two drivers must not differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from quill.client import BatchIncomplete, DoneEvent, GatewayUnreachable, UnexpectedAnswer
from quill.errors import InvalidRequest, JobFailed, JobNotCancellable, JobNotFound, QueueFull, QuillError
from quill.job import JobRequest
from quill.states import State
from tests.clients import KINDS, Script, answer, events, job_json, opened, problem, sse, succeeded_json

REFUSED = httpx2.ConnectError("[Errno 111] Connection refused")
Open = Callable[..., Any]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the drivers slept; they do not really."""
    slept: list[float] = []

    async def sleep(pause_s: float) -> None:
        slept.append(pause_s)

    import asyncio

    import quill.client.async_driver
    import quill.client.driver

    monkeypatch.setattr(quill.client.driver, "time", SimpleNamespace(sleep=slept.append))
    fake = SimpleNamespace(sleep=sleep, TaskGroup=asyncio.TaskGroup)
    monkeypatch.setattr(quill.client.async_driver, "asyncio", fake)
    return slept


@pytest.fixture
def client(kind: str, pauses: list[float]) -> Iterator[Open]:
    """Opens a client before a script of answers."""
    managers = []

    def open_before(script: Script, **options: Any) -> Any:
        managers.append(opened(kind, transport=script, **options))
        return managers[-1].__enter__()

    yield open_before
    for manager in managers:
        manager.__exit__(None, None, None)


def paths(script: Script) -> list[str]:
    return [f"{request.method} {request.url.raw_path.decode()}" for request in script.seen]


@pytest.mark.parametrize(
    ("answers", "act", "seen"),
    [
        ([job_json()], lambda c: c.submit("Hi").id == "job_1", ["POST /v1/jobs"]),
        ([job_json()], lambda c: c.submit(JobRequest(prompt="Hi")).state is State.QUEUED, ["POST /v1/jobs"]),
        ([job_json(position=3)], lambda c: c.get("job_1").position == 3, ["GET /v1/jobs/job_1"]),
        ([job_json(state="cancelled")], lambda c: c.cancel("job_1").id == "job_1", ["DELETE /v1/jobs/job_1"]),
        (
            [job_json(state="running"), succeeded_json()],
            lambda c: c.wait("job_1").result.text == "42",
            ["GET /v1/jobs/job_1?wait=25.000"] * 2,
        ),
        ([succeeded_json()], lambda c: c.result("job_1").text == "42", ["GET /v1/jobs/job_1?wait=25.000"]),
        (
            [job_json(), succeeded_json()],
            lambda c: c.generate("Hi", max_tokens=5).text == "42",
            ["POST /v1/jobs", "GET /v1/jobs/job_1?wait=25.000"],
        ),
        (
            [{"object": "list", "data": [{"id": "m"}]}],
            lambda c: c.models() == [{"id": "m"}],
            ["GET /v1/models"],
        ),
        ([{"object": "list", "data": []}], lambda c: c.workers() == [], ["GET /v1/workers"]),
        ([{"status": "ok"}], lambda c: c.health() == {"status": "ok"}, ["GET /v1/health"]),
    ],
    ids=[
        "submit",
        "submit ready",
        "get",
        "cancel",
        "wait",
        "result",
        "generate",
        "models",
        "workers",
        "health",
    ],
)
def test_a_method_sends_its_requests_and_reads_their_answers(
    client: Open, answers: list[Any], act: Callable[[Any], bool], seen: list[str]
) -> None:
    script = Script(*(answer(body) for body in answers))
    assert act(client(script))
    assert paths(script) == seen


def test_a_submission_says_only_what_was_said(client: Open) -> None:
    script = Script(answer(job_json(), 202))
    client(script).submit("Hi", thinking=False, job_class="batch", idempotency_key="k1")
    assert json.loads(script.seen[0].content) == {"prompt": "Hi", "thinking": False, "class": "batch"}
    assert script.seen[0].headers["idempotency-key"] == "k1"
    assert script.seen[0].headers["content-type"] == "application/json"


def test_a_retried_submission_keeps_its_key_and_another_one_has_its_own(
    client: Open, pauses: list[float]
) -> None:
    unavailable = problem("store_unavailable", 503, retry_after="1")
    lost = httpx2.ReadError("reset")
    script = Script(REFUSED, unavailable, lost, answer(job_json()), answer(job_json("job_2")))
    opened_client = client(script)
    opened_client.submit("Hi")
    opened_client.submit("Hi")
    keys = [request.headers["idempotency-key"] for request in script.seen]
    assert len(set(keys[:4])) == 1
    assert keys[4] != keys[0]
    assert pauses[0] < 0.25
    assert 1.0 <= pauses[1] < 1.5


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        httpx2.ConnectTimeout("late"),
        httpx2.ReadTimeout("late"),
        httpx2.WriteError("broken pipe"),
        httpx2.PoolTimeout("full"),
        httpx2.RemoteProtocolError("closed"),
        httpx2.DecodingError("gzip"),
        httpx2.ProxyError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_http_library_become_ours(client: Open, error: Exception) -> None:
    script = Script(*[error] * 3)
    with pytest.raises(GatewayUnreachable, match=r"http://gateway") as caught:
        client(script, max_retries=2).get("job_1")
    assert len(script.seen) == 3
    assert not isinstance(caught.value.__context__, httpx2.HTTPError)


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (lambda: problem("invalid_request", 422), InvalidRequest),
        (lambda: problem("job_not_found", 404), JobNotFound),
        (lambda: problem("job_not_cancellable", 409), JobNotCancellable),
        (lambda: answer(["no job"]), UnexpectedAnswer),
        (lambda: answer({}, 302), UnexpectedAnswer),
    ],
)
def test_a_refusal_is_told_at_once(
    client: Open, refusal: Callable[[], httpx2.Response], error: type[QuillError]
) -> None:
    script = Script(refusal())
    with pytest.raises(error):
        client(script).cancel("job_1")


def test_a_failed_job_is_an_error_of_generate_but_not_of_wait(client: Open) -> None:
    failed = job_json(state="failed", error={"code": "engine_error", "message": "Oh."})
    opened_client = client(Script(answer(failed), answer(job_json()), answer(failed)))
    assert opened_client.wait("job_1").state is State.FAILED
    with pytest.raises(JobFailed, match="engine_error"):
        opened_client.generate("Hi")


def test_waiting_ends_when_its_time_is_over(client: Open) -> None:
    script = Script(answer(job_json()))
    with pytest.raises(TimeoutError, match="job_1 was still queued"):
        client(script).wait("job_1", timeout_s=0)
    assert paths(script) == ["GET /v1/jobs/job_1?wait=0.000"]


def test_a_gateway_that_answers_long_polls_at_once_is_not_flooded(client: Open, pauses: list[float]) -> None:
    client(Script(*[answer(job_json(state="running"))] * 3, answer(succeeded_json()))).wait("job_1")
    assert len(pauses) == 3
    assert min(pauses) > 0.1


def page(*job_ids: str, after: str | None = None) -> httpx2.Response:
    jobs = [job_json(job_id) for job_id in job_ids]
    return answer({"object": "list", "data": jobs, "has_more": after is not None, "next": after})


def test_listing_walks_all_pages(client: Open) -> None:
    script = Script(page("a", "b", after="7"), page("c", after="5"), page("d"))
    assert [job.id for job in client(script).jobs()] == ["a", "b", "c", "d"]
    assert paths(script)[1] == "GET /v1/jobs?limit=100&after=7"


def test_listing_asks_for_no_more_than_it_needs(client: Open) -> None:
    script = Script(page("a", "b", after="7"), page("c", "d", after="5"))
    assert [job.id for job in client(script).jobs(limit=3)] == ["a", "b", "c"]
    assert paths(script) == ["GET /v1/jobs?limit=3", "GET /v1/jobs?limit=1&after=7"]


@pytest.mark.parametrize("body", [{}, {"data": [1], "has_more": False}, {"data": None, "has_more": False}])
def test_a_page_of_an_unknown_shape_is_an_unexpected_answer(client: Open, body: object) -> None:
    with pytest.raises(UnexpectedAnswer):
        list(client(Script(answer(body))).jobs())


@pytest.mark.parametrize("body", [{}, {"data": 1}, []])
def test_a_listing_of_an_unknown_shape_is_an_unexpected_answer(client: Open, body: object) -> None:
    with pytest.raises(UnexpectedAnswer):
        client(Script(answer(body))).models()


def test_a_stream_goes_on_after_a_break(client: Open) -> None:
    one = sse("delta", {"attempt": 1, "text": "a"}, "1.1-0")
    two = sse("delta", {"attempt": 1, "text": "b"}, "1.2-0")
    script = Script(
        events(one), REFUSED, problem("store_unavailable", 503), events(two, sse("done", succeeded_json()))
    )
    told = list(client(script).stream("job_1"))
    assert [event.text for event in told[:2]] == ["a", "b"]
    assert isinstance(told[2], DoneEvent)
    assert script.seen[-1].headers["last-event-id"] == "1.1-0"
    assert script.seen[-1].headers["accept"] == "text/event-stream"


def test_a_stream_of_a_job_that_is_not_there_is_an_error(client: Open) -> None:
    with pytest.raises(JobNotFound):
        list(client(Script(problem("job_not_found", 404))).stream("job_1"))


def echo(request: httpx2.Request) -> httpx2.Response:
    """A gateway whose jobs are named after their prompts."""
    if request.method == "POST":
        prompt = json.loads(request.content)["prompt"]
        return problem("queue_full", 422) if prompt == "full" else answer(job_json(prompt))
    return answer(succeeded_json(request.url.path.rpartition("/")[2]))


def test_a_batch_keeps_its_order_and_tells_its_progress(client: Open) -> None:
    told: list[tuple[int, int]] = []
    opened_client = client(httpx2.MockTransport(echo))
    prompts = [f"job_{number}" for number in range(20)]
    jobs = opened_client.submit_many(prompts, concurrency=4, on_progress=lambda *now: told.append(now))
    assert [job.id for job in jobs] == prompts
    assert told == [(number, 20) for number in range(1, 21)]
    assert [job.result.text for job in opened_client.wait_many(jobs, timeout_s=5)] == ["42"] * 20


def test_an_empty_batch_is_no_work(client: Open) -> None:
    assert client(Script()).submit_many([]) == []


def test_a_batch_that_fails_tells_what_was_accepted(client: Open) -> None:
    with pytest.raises(BatchIncomplete, match="after 2 of 4") as caught:
        client(httpx2.MockTransport(echo)).submit_many(["a", "b", "full", "d"], concurrency=1)
    assert [job and job.id for job in caught.value.jobs] == ["a", "b", None, None]
    assert isinstance(caught.value.__cause__, QueueFull)


def test_waiting_for_many_has_one_time_for_all(client: Open) -> None:
    script = Script(answer(succeeded_json("a")), answer(job_json("b")))
    with pytest.raises(BatchIncomplete, match="Job b was still") as caught:
        client(script).wait_many(["a", "b"], timeout_s=0, concurrency=1)
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_a_defect_in_the_callers_progress_is_not_hidden(client: Open) -> None:
    def fail(done: int, total: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client(httpx2.MockTransport(echo)).submit_many(["a", "b"], on_progress=fail)
