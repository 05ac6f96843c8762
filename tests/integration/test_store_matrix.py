"""Every pair of states through every script: only the edges of the table can be walked."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from quill.errors import QuillError
from quill.job import JobRequest
from quill.states import EDGES, TERMINAL, TRANSITIONS, State
from quill.store import admission, calls
from quill.store.attempt import Chunk, Claim, Holding
from quill.store.run import Store
from tests.integration.jobs import TENANT, WORKER, job_in, join, outcome_of, seq_of, state_of, submission

Aim = Callable[[Store, Claim], object]


def _index(store: Store, name: str) -> str:
    return f"{store.keys.namespace}:{name}"


def claim_now(store: Store, claim: Claim) -> object:
    join(store)
    return store.run(calls.claim(claim.job_id, seq_of(store, claim.job_id), "w2", "other token"))


def claim_too_late(store: Store, claim: Claim) -> object:
    join(store)
    store.client.zadd(_index(store, "due"), {claim.job_id: 1})
    return claim_now(store, claim)


def finish_as(target: State) -> Aim:
    return lambda store, claim: store.run(calls.finish(claim, target, outcome_of(target)))


def cancel(store: Store, claim: Claim) -> object:
    return store.run(calls.cancel(claim.job_id, TENANT))


def decline(store: Store, claim: Claim) -> object:
    join(store)
    return store.run(calls.decline(claim.job_id, seq_of(store, claim.job_id)))


def release(store: Store, claim: Claim) -> object:
    return store.run(calls.release(claim))


def retry(store: Store, claim: Claim) -> object:
    return store.run(calls.retry(claim, base_s=1, pause_at_most_s=60, draw=0.5))


def bury(store: Store, claim: Claim) -> object:
    return store.run(calls.bury(WORKER, is_crash=False))


def bury_poison(store: Store, claim: Claim) -> object:
    store.client.hset(_index(store, f"job:{claim.job_id}"), "stalls", 2)
    return store.run(calls.bury(WORKER, is_crash=True))


def end_a_pause(store: Store, claim: Claim) -> object:
    store.client.zadd(_index(store, "delayed:m"), {claim.job_id: 1}, xx=True)
    return store.run(calls.sweep())


def sweep_a_dead_lease(store: Store, claim: Claim) -> object:
    store.client.zadd(_index(store, "leases:m"), {claim.job_id: 1})
    return store.run(calls.sweep())


def sweep_the_dead_lease_of_poison(store: Store, claim: Claim) -> object:
    store.client.hset(_index(store, f"job:{claim.job_id}"), "stalls", 2)
    return sweep_a_dead_lease(store, claim)


def sweep_a_late_start(store: Store, claim: Claim) -> object:
    store.client.zadd(_index(store, "due"), {claim.job_id: 1})
    return store.run(calls.sweep())


def sweep_a_lost_ticket(store: Store, claim: Claim) -> object:
    store.client.zadd(_index(store, "tickets:m"), {claim.job_id: 1})
    return store.run(calls.sweep())


def admit_again(store: Store, claim: Claim) -> object:
    return store.run(admission.admit(submission(job_id=claim.job_id)))


def renew(store: Store, claim: Claim) -> object:
    return store.run(calls.renew("w", "{}", [Holding(claim.job_id, claim.attempt, claim.token)]))


def emit(store: Store, claim: Claim) -> object:
    return store.run(calls.emit([Chunk(claim.job_id, claim.attempt, claim.token, 1, "{}")], 60))


AIMS: list[tuple[str, State | None, Aim]] = [
    ("claim", State.RUNNING, claim_now),
    ("claim", State.EXPIRED, claim_too_late),
    *(("finish", target, finish_as(target)) for target in State),
    ("cancel", State.CANCELLED, cancel),
    ("decline", None, decline),
    ("bury", State.QUEUED, bury),
    ("bury", State.FAILED, bury_poison),
    ("release", State.QUEUED, release),
    ("retry", State.QUEUED, retry),
    ("sweep", None, end_a_pause),
    ("sweep", State.QUEUED, sweep_a_dead_lease),
    ("sweep", State.FAILED, sweep_the_dead_lease_of_poison),
    ("sweep", State.EXPIRED, sweep_a_late_start),
    ("sweep", None, sweep_a_lost_ticket),
    ("admit", None, admit_again),
    ("renew", None, renew),
    ("emit", None, emit),
]


@pytest.fixture
def served(store: Store) -> Store:
    """A model with a worker that is known and free."""
    store.client.sadd(store.keys.models, "m")
    return store


@pytest.mark.parametrize("origin", list(State))
@pytest.mark.parametrize(("script", "target", "aim"), AIMS)
def test_a_script_walks_exactly_its_edges(
    served: Store, script: str, origin: State, target: State | None, aim: Aim
) -> None:
    claim = job_in(served, origin)
    with suppress(QuillError):
        aim(served, claim)
    reached = state_of(served, claim.job_id)
    is_edge = target is not None and (origin, target) in EDGES.get(script, frozenset())
    if (script, origin, target) == ("finish", State.QUEUED, State.SUCCEEDED):
        is_edge = False  # nobody ever claimed this one; the late finish has its own test below
    assert reached is (target if is_edge else origin)


@pytest.mark.parametrize("target", list(State))
def test_a_finish_after_a_lost_lease_may_only_succeed(served: Store, target: State) -> None:
    claim = job_in(served, State.RUNNING)
    sweep_a_dead_lease(served, claim)
    assert state_of(served, claim.job_id) is State.QUEUED
    with suppress(QuillError):
        finish_as(target)(served, claim)
    expected = State.SUCCEEDED if target is State.SUCCEEDED else State.QUEUED
    assert state_of(served, claim.job_id) is expected


def test_the_table_has_no_way_out_of_a_terminal_state() -> None:
    assert not {origin for origin, _ in TRANSITIONS} & TERMINAL


def test_every_state_can_be_reached_from_queued() -> None:
    reached = {State.QUEUED}
    for _ in State:
        reached |= {end for origin, end in TRANSITIONS if origin in reached}
    assert reached == set(State)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_every_key_of_an_ended_job_has_an_end(store: Store, state: State) -> None:
    claim = job_in(store, state, request=JobRequest(prompt="x", stream=True))
    kept = list(store.client.scan_iter(match=f"*{claim.job_id}*"))
    assert kept
    assert all(store.client.pttl(key) > 0 for key in kept)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_ended_job_is_in_no_index(store: Store, state: State) -> None:
    claim = job_in(store, state)
    for index in ("due", "leases:m", "tickets:m", "delayed:m", "line:m:standard:acme"):
        assert store.client.zscore(_index(store, index), claim.job_id) is None
    waiting = store.client.hget(store.keys.model("m"), "waiting")
    assert waiting == b"0"


@pytest.mark.parametrize("forged", [{"attempt": 2}, {"token": "guess"}, {"attempt": 2, "token": "guess"}])
def test_a_wrong_attempt_or_token_ends_nothing(served: Store, forged: dict[str, object]) -> None:
    claim = job_in(served, State.RUNNING)
    with pytest.raises(QuillError) as refused:
        finish_as(State.SUCCEEDED)(served, replace(claim, **forged))  # type: ignore[arg-type]
    assert refused.value.code == "fenced"
    assert state_of(served, claim.job_id) is State.RUNNING


def test_a_claim_past_the_time_to_start_expires_the_job(served: Store) -> None:
    claim = job_in(served, State.QUEUED, request=JobRequest(prompt="x", start_by_s=0.001))
    join(served)
    time.sleep(0.01)
    with pytest.raises(QuillError) as refused:
        claim_now(served, claim)
    assert refused.value.code == "stale_ticket"
    assert state_of(served, claim.job_id) is State.EXPIRED
