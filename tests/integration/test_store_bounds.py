"""Limits inside `admit`: all are checked, then all are taken, and what is taken comes back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quill.errors import BacklogTooLong, RateLimited
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
    return list(store.client.scan_iter(f"{store.keys.namespace}:rate:*"))


def age(store: Store, seconds: float) -> None:
    """As if every bucket had been filled so long ago."""
    for name in level_keys(store):
        stored = store.client.get(name)
        assert isinstance(stored, bytes)
        level, at_us = stored.split()
        store.client.set(name, b"%s %d" % (level, int(at_us) - round(seconds * 1e6)))


def test_a_burst_from_many_gateways_at_once_overshoots_by_nothing(store: Store) -> None:
    limits = bounds(requests=Rate(count=50, period_s=86_400), concurrent_jobs=70)

    def burst(_: int) -> int:
        accepted = 0
        for _ in range(20):
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


def test_what_never_fits_is_known_before_the_store_is_asked() -> None:
    limits = bounds(tokens=Rate(count=1000, period_s=60, burst=50)) + bounds("key/a", tokens=Rate(count=40))
    assert limits.tokens_at_once == limits.items[1]
