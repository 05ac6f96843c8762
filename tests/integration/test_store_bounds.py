"""Limits inside `admit`: all are checked, then all are taken, and what is taken comes back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quill.errors import BacklogTooLong, ExceedsLimit, RateLimited
from quill.job import JobRequest
from quill.limits import Bounds, Dimension, Limits, Rate, bounds_of
from quill.states import State
from quill.store import admission, calls
from quill.store.admission import Admission
from quill.store.run import Store
from tests.integration.jobs import MODEL, TENANT, WORKER, admit, claim, join, outcome_of, submission

SCOPE = f"tenant/{TENANT}"


def bounds(scope: str = SCOPE, **limits: Any) -> Bounds:
    return bounds_of(scope, Limits.model_validate(limits))


def ask(store: Store, limits: Bounds, **changes: object) -> Admission:
    return store.run(admission.admit(submission(bounds=limits, **changes)))


def left(store: Store, limits: Bounds) -> list[int]:
    """What is left of each before the next job of 100 tokens, found by asking and counting it back."""
    return list(ask(store, limits).rooms.left)


def members(store: Store, dimension: Dimension, scope: str = SCOPE) -> int:
    return int(store.client.scard(f"{store.keys.namespace}:{dimension.value}:{scope}"))


def queued_bytes(store: Store, scope: str = SCOPE) -> int:
    return int(store.client.get(f"{store.keys.namespace}:queued_bytes:{scope}") or 0)


def level_keys(store: Store) -> list[bytes]:
    return list(store.client.scan_iter(f"{store.keys.namespace}:budget:*"))


def age(store: Store, seconds: float) -> None:
    """As if all that was admitted had been so long ago; below zero, as if the clock had been set back."""
    ago_us = round(seconds * 1e6)
    for name in level_keys(store):
        stored = store.client.get(name)
        assert isinstance(stored, bytes)
        level, at_us, since_us, rest = stored.split(maxsplit=3)
        store.client.set(name, b"%s %d %d %s" % (level, int(at_us) - ago_us, int(since_us) - ago_us, rest))
    for name in store.client.scan_iter(f"{store.keys.namespace}:job:*"):
        marks = store.client.hget(name, "marks")
        if isinstance(marks, bytes):
            since_us, rest = marks.split(maxsplit=1)
            store.client.hset(name, "marks", b"%d %s" % (int(since_us) - ago_us, rest))


#: Bytes of the request that `submission` makes.
_REQUEST_BYTES = len(JobRequest(prompt="What is 17 + 25?").model_dump_json(exclude_defaults=True))


@pytest.mark.parametrize("scope", ["key/a", SCOPE, f"model/{MODEL}", "global"])
@pytest.mark.parametrize(
    "limit",
    [
        {"requests": Rate(count=50, period_s=86_400)},
        {"tokens": Rate(count=5099, period_s=86_400)},
        {"concurrent_jobs": 50},
        {"queued_jobs": 50},
        {"queued_bytes": 51 * _REQUEST_BYTES - 1},
    ],
    ids=lambda limit: next(iter(limit)),
)
def test_a_burst_from_many_gateways_at_once_overshoots_by_nothing(
    store: Store, limit: dict[str, Any], scope: str
) -> None:
    limits = bounds(scope, **limit)

    def burst(_: int) -> int:
        accepted = 0
        for _ in range(10):
            try:
                ask(store, limits)
                accepted += 1
            except RateLimited:
                pass
        return accepted

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(burst, range(8))) == 50


@pytest.mark.parametrize(
    ("limits", "policy"),
    [
        ({"requests": Rate(count=2, period_s=3600)}, "tenant-requests"),
        ({"tokens": Rate(count=250, period_s=3600)}, "tenant-tokens"),
        ({"concurrent_jobs": 2}, "tenant-concurrent_jobs"),
        ({"queued_jobs": 2}, "tenant-queued_jobs"),
    ],
)
def test_what_is_beyond_a_limit_is_refused_and_says_which(
    store: Store, limits: dict[str, Any], policy: str
) -> None:
    for _ in range(2):
        ask(store, bounds(**limits))
    with pytest.raises(RateLimited) as refused:
        ask(store, bounds(**limits))
    assert refused.value.violated == (policy,)
    assert refused.value.retry_after_s
    assert refused.value.retry_after_s >= 1


def test_bytes_that_wait_are_bounded(store: Store) -> None:
    request = JobRequest(prompt="x" * 600)
    limits = bounds(queued_bytes=1000)
    ask(store, limits, request=request)
    with pytest.raises(RateLimited):
        ask(store, limits, request=request)
    join(store)
    store.run(calls.sweep())
    claim(store)
    ask(store, limits, request=request)


def test_who_is_refused_by_one_limit_has_spent_nothing_of_the_others(store: Store) -> None:
    limits = bounds(requests=Rate(count=10, period_s=86_400), concurrent_jobs=1)
    wide = bounds(requests=Rate(count=10, period_s=86_400))
    ask(store, limits)
    for _ in range(5):
        with pytest.raises(RateLimited):
            ask(store, limits)
    assert left(store, wide) == [8]


def test_a_limit_of_each_scope_counts_and_all_that_are_reached_are_named(store: Store) -> None:
    limits = (
        bounds("key/a", concurrent_jobs=1) + bounds("global", concurrent_jobs=1) + bounds(concurrent_jobs=5)
    )
    ask(store, limits)
    with pytest.raises(RateLimited) as refused:
        ask(store, limits)
    assert refused.value.violated == ("key-concurrent_jobs", "global-concurrent_jobs")


def test_a_rate_refills_evenly_up_to_its_burst(store: Store) -> None:
    limits = bounds(requests=Rate(count=10, period_s=100, burst=3))
    for expected in (2, 1, 0):
        assert left(store, limits) == [expected]
    with pytest.raises(RateLimited) as refused:
        ask(store, limits)
    assert refused.value.retry_after_s == pytest.approx(10, abs=1)
    age(store, 10)
    assert left(store, limits) == [0]
    age(store, 1000)
    assert left(store, limits) == [2]


def test_a_bucket_that_is_empty_is_gone(store: Store) -> None:
    ask(store, bounds(requests=Rate(count=10, period_s=10)))
    (name,) = level_keys(store)
    assert 0 < int(store.client.pttl(name)) <= 1002


def test_a_replay_costs_nothing(store: Store) -> None:
    limits = bounds(requests=Rate(count=10, period_s=86_400), tokens=Rate(count=1000, period_s=86_400))
    wanted = submission(bounds=limits)
    store.run(admission.admit(wanted))
    assert store.run(admission.admit(wanted)).is_replay
    assert left(store, limits) == [8, 800]


def test_tokens_are_reserved_and_settled_by_what_was_used(store: Store) -> None:
    limits = bounds(tokens=Rate(count=1000, period_s=86_400))
    join(store)
    assert left(store, limits) == [900]
    store.run(
        calls.finish(
            claim(store), State.SUCCEEDED, outcome_of(State.SUCCEEDED), prompt_tokens=10, produced_tokens=20
        )
    )
    assert left(store, limits) == [870]


def test_more_than_was_reserved_is_charged_too(store: Store) -> None:
    limits = bounds(tokens=Rate(count=1000, period_s=86_400))
    join(store)
    ask(store, limits)
    store.run(
        calls.finish(
            claim(store), State.SUCCEEDED, outcome_of(State.SUCCEEDED), prompt_tokens=200, produced_tokens=100
        )
    )
    assert left(store, limits) == [600]


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_a_job_that_gave_nothing_costs_no_tokens(store: Store, state: State) -> None:
    limits = bounds(tokens=Rate(count=1000, period_s=86_400))
    job_id = ask(store, limits).job_id
    if state is State.CANCELLED:
        store.run(calls.cancel(job_id, TENANT))
    else:
        join(store)
        store.run(calls.finish(claim(store), state, outcome_of(state), prompt_tokens=50))
    assert left(store, limits) == [900]


def test_a_place_follows_its_job_through_its_whole_life(store: Store) -> None:
    limits = bounds(concurrent_jobs=9, queued_jobs=9, queued_bytes=9999)
    join(store)

    def counts() -> tuple[int, int, bool]:
        return (
            members(store, Dimension.CONCURRENT_JOBS),
            members(store, Dimension.QUEUED_JOBS),
            queued_bytes(store) > 0,
        )

    admit(store, bounds=limits)
    assert counts() == (1, 1, True)
    held = claim(store)
    assert counts() == (1, 0, False)
    store.run(calls.release(held))
    assert counts() == (1, 1, True)
    held = claim(store)
    store.run(calls.retry(held, base_s=0, pause_at_most_s=0, draw=0))
    assert counts() == (1, 1, True)
    claim(store)
    store.run(calls.bury(WORKER, is_crash=False))
    assert counts() == (1, 1, True)
    join(store)
    held = claim(store)
    store.run(calls.finish(held, State.SUCCEEDED, outcome_of(State.SUCCEEDED)))
    store.run(calls.finish(held, State.SUCCEEDED, outcome_of(State.SUCCEEDED)))
    assert counts() == (0, 0, False)


def test_a_ticket_that_is_given_back_counts_its_bytes_once(store: Store) -> None:
    join(store)
    job_id = admit(store, bounds=bounds(queued_bytes=9999))
    before = queued_bytes(store)
    store.run(calls.decline(job_id, 1))
    assert queued_bytes(store) == before > 0


def test_a_job_that_would_start_too_late_is_refused_with_the_time_to_come_back(store: Store) -> None:
    join(store)
    for _ in range(30):
        admit(store)
    store.client.hset(store.keys.model(MODEL), "run_ms", 1000)
    with pytest.raises(BacklogTooLong) as refused:
        admit(store, request=JobRequest(prompt="x", start_by_s=5))
    assert refused.value.retry_after_s
    assert 20 < refused.value.retry_after_s < 30
    admit(store, request=JobRequest(prompt="x", start_by_s=60))


@pytest.mark.parametrize(
    "limits",
    [
        bounds(tokens=Rate(count=1000, period_s=60, burst=150)) + bounds("key/a", tokens=Rate(count=99)),
        bounds(queued_bytes=9),
    ],
)
def test_what_would_never_fit_is_refused_for_good(store: Store, limits: Bounds) -> None:
    with pytest.raises(ExceedsLimit, match=str(limits.items[-1].capacity)):
        ask(store, limits)


def test_a_refusal_says_what_is_left_of_every_limit(store: Store) -> None:
    limits = bounds(requests=Rate(count=9, period_s=86_400), tokens=Rate(count=150, period_s=86_400))
    ask(store, limits)
    with pytest.raises(RateLimited) as refused:
        ask(store, limits)
    assert refused.value.rooms
    assert refused.value.rooms.left == [8, 50]
    assert refused.value.rooms.full_in_ms == pytest.approx([86_400_000 / 9, 86_400_000 / 1.5], rel=0.01)


def test_who_cancels_what_began_pays_for_its_prompt(store: Store) -> None:
    limits = bounds(tokens=Rate(count=1000, period_s=86_400))
    join(store)
    ask(store, limits, prompt_tokens=60)
    store.run(calls.cancel(claim(store).job_id, TENANT))
    assert left(store, limits) == [840]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 99), st.booleans()), max_size=20), st.data())
def test_where_nothing_drains_all_that_was_not_used_is_given_back(
    store: Store, steps: list[tuple[int, bool]], data: st.DataObject
) -> None:
    store.client.flushdb()
    limits = bounds(tokens=Rate(count=1, period_s=86_400, burst=10_000))
    waiting: dict[str, int] = {}
    for cost_tokens, is_cancelled in steps:
        if is_cancelled and waiting:
            job_id = data.draw(st.sampled_from(sorted(waiting)))
            del waiting[job_id]
            store.run(calls.cancel(job_id, TENANT))
        else:
            waiting[ask(store, limits, cost_tokens=cost_tokens).job_id] = cost_tokens
    # Something does drain, and what is left is rounded down.
    left_tokens = 10_000 - 1 - sum(waiting.values())
    assert left_tokens - 1 <= ask(store, limits, cost_tokens=1).rooms.left[0] <= left_tokens


@dataclass
class Hindsight:
    """A bucket of 1,000 tokens, one a second, that knew from the start what each job would use."""

    now_s: float = 0.0
    poured: dict[str, tuple[float, float]] = field(default_factory=dict)

    def level(self) -> float:
        level, at_s = 0.0, 0.0
        for poured_s, tokens in sorted(self.poured.values()):
            level, at_s = max(level - (poured_s - at_s), 0) + tokens, poured_s
        return max(level - (self.now_s - at_s), 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 900), st.booleans()), min_size=4), st.data())
def test_what_is_given_back_never_lets_more_through_than_was_used(
    store: Store, steps: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    """Nobody gains by what was reserved and not used: at no time is the bucket emptier than in hindsight."""
    store.client.flushdb()
    limits = bounds(tokens=Rate(count=1000, period_s=1000))
    hindsight, waiting = Hindsight(), list[str]()
    for passes_s, cost_tokens, is_cancelled in steps:
        age(store, passes_s)
        hindsight.now_s += passes_s
        if is_cancelled and waiting:
            job_id = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            store.run(calls.cancel(job_id, TENANT))
            del hindsight.poured[job_id]
        else:
            with suppress(RateLimited):
                waiting.append(ask(store, limits, cost_tokens=cost_tokens).job_id)
                hindsight.poured[waiting[-1]] = hindsight.now_s, cost_tokens
        with suppress(RateLimited):
            probe = ask(store, limits, cost_tokens=1)
            hindsight.poured[probe.job_id] = hindsight.now_s, 1
            # The store's clock goes on by itself.
            assert probe.rooms.left[0] <= 1000 - hindsight.level() + 5


def test_tokens_that_have_drained_are_not_given_back(store: Store) -> None:
    limits = bounds(tokens=Rate(count=1000, period_s=1000))
    parked = ask(store, limits, cost_tokens=600).job_id
    age(store, 500)
    ask(store, limits, cost_tokens=890)
    store.run(calls.cancel(parked, TENANT))
    assert left(store, limits) == [pytest.approx(10, abs=1)]


def test_a_clock_that_is_set_back_gives_a_job_nothing_out_of_a_newer_bucket(store: Store) -> None:
    limits = bounds(tokens=Rate(count=1000, period_s=1000))
    drained = ask(store, limits, cost_tokens=500).job_id
    store.client.delete(*level_keys(store))
    age(store, -1000)
    ask(store, limits, cost_tokens=300)
    store.run(calls.cancel(drained, TENANT))
    assert left(store, limits) == [600]


def test_a_clock_that_was_ahead_for_a_moment_keeps_nobodys_tokens(store: Store) -> None:
    limits = bounds(tokens=Rate(count=1000, period_s=1000))
    ask(store, limits)
    age(store, -3600)
    for _ in range(3):
        store.run(calls.cancel(ask(store, limits, cost_tokens=500).job_id, TENANT))
    assert left(store, limits) == [800]


def test_a_bucket_that_was_empty_since_owes_nobody(store: Store) -> None:
    limits = bounds(tokens=Rate(count=1000, period_s=1000))
    parked = ask(store, limits, cost_tokens=100).job_id
    age(store, 200)
    for _ in range(9):
        ask(store, limits)
    store.run(calls.cancel(parked, TENANT))
    assert left(store, limits) == [0]
