"""An idempotency key stands for its job as long as that job can be read, no shorter and no longer."""

from __future__ import annotations

import pytest

from quill.errors import IdempotencyConflict
from quill.states import TERMINAL, State
from quill.store import admission, calls
from quill.store.admission import Admission
from quill.store.run import Store
from tests.integration.jobs import TENANT, admit, claim, job_in, join, state_of, submission
from tests.processes import eventually

LIVE = sorted(set(State) - TERMINAL)


def submit(store: Store, body: str = "body", tenant: str = TENANT, result_ttl_s: float = 3600) -> Admission:
    wanted = submission(tenant=tenant, idempotency_digest="k", fingerprint=body, result_ttl_s=result_ttl_s)
    return store.run(admission.admit(wanted))


def end_of(store: Store, name: str) -> int:
    """When the key is gone, in milliseconds since the epoch; -1 for never, -2 if it is gone."""
    found: int = store.client.pexpiretime(f"{store.keys.namespace}:{name}")
    return found


def test_a_key_belongs_to_one_tenant(store: Store) -> None:
    assert submit(store).job_id != submit(store, tenant="other").job_id


@pytest.mark.parametrize("state", LIVE)
def test_a_key_waits_as_long_as_its_job_does(store: Store, state: State) -> None:
    job_in(store, state, idempotency_digest="k")
    assert end_of(store, f"idem:{TENANT}:k") == -1


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_key_and_its_job_end_in_the_same_millisecond(store: Store, state: State) -> None:
    ended = job_in(store, state, idempotency_digest="k", result_ttl_s=7 * 86_400.0)
    assert end_of(store, f"idem:{TENANT}:k") == end_of(store, f"job:{ended.job_id}") > 0


@pytest.mark.parametrize("state", list(State))
def test_a_repeat_finds_the_job_whatever_became_of_it(store: Store, state: State) -> None:
    first = job_in(store, state, idempotency_digest="k", fingerprint="body")
    again = submit(store)
    assert (again.job_id, again.is_replay) == (first.job_id, True)
    with pytest.raises(IdempotencyConflict):
        submit(store, body="another")


def test_an_admission_tells_when_its_job_was_made_by_the_stores_clock(store: Store) -> None:
    first = submit(store)
    job = store.run(calls.read(TENANT, [first.job_id]))[0]
    assert job is not None
    assert first.created_at == submit(store).created_at == job.created_at


@pytest.mark.parametrize("body", ["body", "another"])
def test_once_the_job_is_gone_its_key_may_be_used_anew(store: Store, body: str) -> None:
    first = submit(store, result_ttl_s=0.02)
    store.run(calls.cancel(first.job_id, TENANT))
    eventually(lambda: store.run(calls.read(TENANT, [first.job_id])) == [None])
    anew = submit(store, body)
    assert anew.job_id != first.job_id
    assert not anew.is_replay
    assert state_of(store, anew.job_id) is State.QUEUED
    assert submit(store, body).job_id == anew.job_id


def test_a_key_never_answers_for_a_job_that_is_not_there(store: Store) -> None:
    first = submit(store)
    store.client.delete(f"{store.keys.namespace}:job:{first.job_id}")
    assert not submit(store).is_replay


def test_a_models_recent_ends_are_forgotten_in_time(store: Store) -> None:
    admit(store)
    join(store)
    store.run(calls.finish(claim(store), State.FAILED, "{}"))
    assert 0 < store.client.pttl(store.keys.recent("m")) <= 86_400_000
