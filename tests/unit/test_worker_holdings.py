"""What a worker holds: attempts, not jobs."""

from __future__ import annotations

from contextlib import ExitStack

from quill.result import JobResult
from quill.store.attempt import Claim, Holding
from worker.holdings import HeldJob, Holdings


class Watched:
    """A handle that remembers whether it was aborted."""

    produced_tokens = 3

    def __init__(self) -> None:
        self.is_aborted = False

    def result(self, timeout_s: float | None = None) -> JobResult:
        raise NotImplementedError

    def abort(self) -> None:
        self.is_aborted = True


def claim(job_id: str = "a", attempt: int = 1) -> Claim:
    return Claim(job_id, attempt, f"token {attempt}", "m", "t", b'{"prompt":"x"}', False, 0)


def attach(job: HeldJob) -> Watched:
    handle = Watched()
    job.attach(handle)
    return handle


def named(job_id: str = "a", attempt: int = 1) -> Holding:
    return Holding(job_id, attempt, f"token {attempt}")


def test_a_job_that_is_claimed_again_stops_its_earlier_attempt() -> None:
    holdings = Holdings()
    with ExitStack() as stack:
        first = attach(stack.enter_context(holdings.hold(claim(attempt=1))))
        second = attach(stack.enter_context(holdings.hold(claim(attempt=2))))
        assert (first.is_aborted, second.is_aborted) == (True, False)
        assert [holding.attempt for holding in holdings.snapshot()] == [1, 2]


def test_the_end_of_an_earlier_attempt_leaves_the_later_one_held() -> None:
    holdings = Holdings()
    with holdings.hold(claim(attempt=1)):
        later = holdings.hold(claim(attempt=2))
        later.__enter__()
    assert [holding.attempt for holding in holdings.snapshot()] == [2]
    later.__exit__(None, None, None)
    assert holdings.snapshot() == []


def test_only_the_attempt_that_is_named_is_stopped() -> None:
    holdings = Holdings()
    with holdings.hold(claim(attempt=2)) as job, holdings.hold(claim("b")) as neighbour:
        handles = [attach(job), attach(neighbour)]
        assert holdings.stop([named(attempt=1), named("c")]) == []
        assert [handle.is_aborted for handle in handles] == [False, False]
        assert holdings.stop([named(attempt=2)]) == ["a"]
        assert [handle.is_aborted for handle in handles] == [True, False]


def test_a_cancel_stops_every_attempt() -> None:
    holdings = Holdings()
    with holdings.hold(claim(attempt=1)) as first, holdings.hold(claim(attempt=2)) as second:
        handles = [attach(first), attach(second)]
        holdings.cancel("a")
        assert [handle.is_aborted for handle in handles] == [True, True]


def test_a_cancel_that_comes_before_its_claim_is_kept_for_it() -> None:
    holdings = Holdings()
    holdings.cancel("a")
    with holdings.hold(claim()) as job, holdings.hold(claim("b")) as neighbour:
        assert (attach(job).is_aborted, attach(neighbour).is_aborted) == (True, False)


def test_what_is_held_after_the_hand_back_is_handed_back_too() -> None:
    holdings = Holdings()
    with holdings.hold(claim()) as job:
        handle = attach(job)
        holdings.hand_back()
        assert handle.is_aborted
    with holdings.hold(claim("b")) as job:
        assert attach(job).is_aborted
