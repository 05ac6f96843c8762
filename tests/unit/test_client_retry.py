"""When a request is sent again, by hand-driven flows: nothing sleeps and nothing is sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quill.client.failures import GatewayUnreachable
from quill.client.retry import Policy, exchange
from quill.client.steps import Answer, Call, Lost, Reply
from quill.errors import InvalidRequest, JobNotCancellable, QueueFull, StoreUnavailable, Unavailable

CALL = Call("GET", "/v1/jobs/job_1")
OK = Reply(200, {}, b"{}")
LOST = Lost("The gateway cannot be reached")
#: Draws the whole of every pause.
POLICY = Policy(draw=lambda: 1.0)


def refused(code: str, status: int, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, json.dumps({"code": code, "detail": "It is so."}).encode())


def pauses_of(*answers: Answer, policy: Policy = POLICY, until_s: float | None = None) -> list[float]:
    """The pause before every sending but the first. Raises what the flow raises."""
    flow = exchange(CALL, policy, until_s=until_s)
    pauses = [next(flow).pause_s]
    try:
        for one in answers:
            pauses.append(flow.send(one).pause_s)
    except StopIteration as end:
        given = end.value
    assert given is answers[-1]
    return pauses[1:]


def test_a_success_is_taken_at_once() -> None:
    assert pauses_of(OK) == []


def test_the_bounds_of_the_pauses_double() -> None:
    assert pauses_of(LOST, LOST, LOST, LOST, OK) == [0.25, 0.5, 1.0, 2.0]


def test_the_bound_of_a_pause_stops_growing() -> None:
    assert pauses_of(*[LOST] * 2000, OK, policy=Policy(max_retries=2000, draw=lambda: 1.0))[-1] == 8.0


@given(draw=st.floats(0, 1, exclude_max=True), failures=st.integers(1, 20))
def test_a_pause_is_drawn_from_nothing_up_to_its_bound(draw: float, failures: int) -> None:
    policy = Policy(max_retries=20, draw=lambda: draw)
    pause_s = policy.pause_s(failures, GatewayUnreachable())
    assert pause_s is not None
    assert 0 <= pause_s <= min(8.0, 0.25 * 2 ** (failures - 1))


def test_retries_are_counted_and_the_last_failure_is_told() -> None:
    with pytest.raises(GatewayUnreachable, match="cannot be reached"):
        pauses_of(LOST, LOST, LOST, LOST, LOST, OK)


def test_no_retries_can_be_wanted() -> None:
    with pytest.raises(GatewayUnreachable):
        pauses_of(LOST, OK, policy=Policy(max_retries=0))


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_an_answer_that_says_later_is_retried(status: int) -> None:
    assert len(pauses_of(refused("unavailable", status), OK)) == 1


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 413, 422, 500, 501])
def test_an_answer_that_says_no_is_not_retried(status: int) -> None:
    with pytest.raises(InvalidRequest):
        pauses_of(refused("invalid_request", status), OK)


def test_the_gateways_word_beats_the_status() -> None:
    assert len(pauses_of(refused("job_not_cancellable", 409, x_should_retry="true"), OK)) == 1
    with pytest.raises(QueueFull):
        pauses_of(refused("queue_full", 503, x_should_retry="false"), OK)
    with pytest.raises(JobNotCancellable):
        pauses_of(refused("job_not_cancellable", 409, x_should_retry="perhaps"), OK)


def test_retry_after_is_waited_out_with_jitter_on_top() -> None:
    assert pauses_of(refused("queue_full", 503, retry_after="5"), OK) == [5.25]


def test_a_longer_pause_than_the_caller_allows_is_his_decision() -> None:
    with pytest.raises(QueueFull) as caught:
        pauses_of(refused("queue_full", 503, retry_after="31"), OK)
    assert caught.value.retry_after_s == 31.0


def test_jitter_does_not_lift_a_pause_over_its_cap() -> None:
    assert pauses_of(refused("queue_full", 503, retry_after="30"), OK) == [30.0]


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon", "", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_retry_after_that_is_no_number_of_seconds_counts_as_none(value: str) -> None:
    assert pauses_of(refused("queue_full", 503, retry_after=value), OK) == [0.25]


def test_retries_end_when_the_callers_time_is_over() -> None:
    now = iter([10.0, 10.2, 10.6])
    policy = Policy(draw=lambda: 1.0, clock=lambda: next(now))
    with pytest.raises(TimeoutError) as caught:
        pauses_of(LOST, refused("store_unavailable", 503), LOST, OK, policy=policy, until_s=10.65)
    assert isinstance(caught.value.__cause__, StoreUnavailable)


def test_a_proxys_answer_without_a_code_is_retried_by_its_status() -> None:
    answer = Reply(502, {}, b"<html>bad gateway</html>")
    with pytest.raises(Unavailable, match="502"):
        pauses_of(*[answer] * 5)
