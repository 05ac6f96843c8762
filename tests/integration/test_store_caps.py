"""How many of a tenant's jobs run at once, and when a waiting one will probably start."""

from __future__ import annotations

import pytest

from quill.job import Job, JobRequest
from quill.states import State
from quill.store import admission, calls
from quill.store.attempt import Claim
from quill.store.run import Store
from tests.integration.jobs import MODEL, TENANT, admit, claim, join, outcome_of, submission

CAP = 2


def tickets(store: Store, model: str = MODEL) -> int:
    return int(store.client.llen(store.keys.ticket_list(model)))


def end(store: Store, held: Claim) -> None:
    store.run(calls.finish(held, State.SUCCEEDED, outcome_of(State.SUCCEEDED)))


def look(store: Store, job_id: str) -> Job:
    job = store.run(calls.read(TENANT, [job_id]))[0]
    assert job is not None
    return job


def busy(store: Store) -> int:
    return int(store.client.scard(f"{store.keys.namespace}:busy:{TENANT}"))


def test_a_tenant_runs_no_more_jobs_at_once_than_its_cap(store: Store) -> None:
    join(store, 10)
    for _ in range(5):
        admit(store, max_running_jobs=CAP)
    assert tickets(store) == CAP
    first = claim(store)
    assert tickets(store) == CAP - 1
    end(store, first)
    assert tickets(store) == CAP


def test_a_cap_holds_over_classes_and_models(store: Store) -> None:
    join(store, 10)
    join(store, 10, "v", "n")
    admit(store, max_running_jobs=CAP)
    admit(store, max_running_jobs=CAP, request=JobRequest.model_validate({"prompt": "x", "class": "batch"}))
    admit(store, max_running_jobs=CAP, model="n")
    assert (tickets(store), tickets(store, "n")) == (CAP, 0)
    end(store, claim(store))
    store.run(calls.sweep())
    assert tickets(store, "n") == 1


def test_a_capped_tenant_holds_up_nobody(store: Store) -> None:
    join(store, 10)
    for _ in range(5):
        admit(store, max_running_jobs=CAP)
    admit(store, tenant="other")
    assert tickets(store) == CAP + 1


@pytest.mark.parametrize("way", ["finish", "release", "retry", "cancel", "bury", "lease", "ticket"])
def test_every_way_out_makes_room_for_the_next(store: Store, way: str) -> None:
    """Whatever becomes of the one that ran, as many as before are under way afterwards."""
    join(store, 10)
    job_ids = [admit(store, max_running_jobs=CAP) for _ in range(CAP + 3)]
    held = claim(store)
    namespace = store.keys.namespace
    if way == "finish":
        end(store, held)
    elif way == "release":
        store.run(calls.release(held))
    elif way == "retry":
        store.run(calls.retry(held, base_s=60, pause_at_most_s=60, draw=1))
    elif way == "cancel":
        store.run(calls.cancel(held.job_id, TENANT))
    elif way == "bury":
        store.run(calls.bury("w", is_crash=False))
        join(store, 10)
    elif way == "lease":
        store.client.zadd(f"{namespace}:leases:{MODEL}", {held.job_id: 1})
        store.run(calls.sweep())
    else:
        store.client.delete(store.keys.ticket_list(MODEL))
        waiting = set(job_ids) - {held.job_id}
        store.client.zadd(f"{namespace}:tickets:{MODEL}", dict.fromkeys(waiting, 1), xx=True)
        store.run(calls.sweep())
    under_way = store.client.zcard(f"{namespace}:tickets:{MODEL}") + store.client.zcard(
        f"{namespace}:leases:{MODEL}"
    )
    assert under_way == busy(store) == CAP


def test_capped_tenants_at_the_head_cost_no_pause(store: Store) -> None:
    """However many there are, sweeps go on at once until the one behind them has the free slot."""
    join(store, 61)
    admit(store, tenant="last", cost_tokens=1_000_000)
    for _ in range(2):
        for number in range(60):
            admit(store, tenant=f"capped{number}", max_running_jobs=1)
    admit(store, tenant="last")
    assert tickets(store) == 61
    join(store, 62)
    while store.run(calls.sweep()).next_due_ms == 0:
        pass
    assert tickets(store) == 62


def test_nothing_is_left_of_a_cap_when_all_jobs_have_ended(store: Store) -> None:
    join(store, 10)
    for _ in range(6):
        admit(store, max_running_jobs=CAP)
    for _ in range(6):
        end(store, claim(store))
    assert busy(store) == 0
    assert not store.client.exists(f"{store.keys.namespace}:capped:{TENANT}")


def test_nobody_guesses_a_start_before_any_run_has_ended(store: Store) -> None:
    assert look(store, admit(store)).estimated_start_at is None


def measured(store: Store, run_ms: int, slots: int) -> None:
    """A model whose runs take so long, with all slots taken."""
    join(store, slots)
    for _ in range(slots):
        admit(store, tenant="before")
        claim(store)
    store.client.hset(store.keys.model(MODEL), "run_ms", run_ms)


def test_a_job_behind_others_starts_after_their_runs(store: Store) -> None:
    measured(store, 10_000, slots=4)
    jobs = [look(store, admit(store)) for _ in range(8)]
    assert [job.position for job in jobs] == list(range(1, 9))
    waits_s = [job.estimated_start_at - job.created_at for job in jobs if job.estimated_start_at]
    assert waits_s == pytest.approx([2.5 * rank for rank in range(1, 9)], abs=0.1)


def test_the_start_of_a_job_depends_on_who_shares_the_model(store: Store) -> None:
    measured(store, 10_000, slots=4)
    for _ in range(10):
        admit(store, tenant="other")
    job = look(store, admit(store))
    assert job.estimated_start_at is not None
    assert job.estimated_start_at - job.created_at == pytest.approx(5, abs=0.1)


def test_the_admission_tells_what_a_look_tells(store: Store) -> None:
    measured(store, 10_000, slots=4)
    told = store.run(admission.admit(submission()))
    seen = look(store, told.job_id)
    assert told.estimated_start_at == pytest.approx(seen.estimated_start_at, abs=0.1)


def test_a_capped_tenant_waits_for_its_own_jobs(store: Store) -> None:
    measured(store, 10_000, slots=100)
    job_ids = [admit(store, max_running_jobs=1) for _ in range(3)]
    last = look(store, job_ids[-1])
    assert last.estimated_start_at is not None
    assert last.estimated_start_at - last.created_at == pytest.approx(30, abs=0.1)


def test_ends_move_the_mean_run(store: Store) -> None:
    measured(store, 1_600, slots=1)
    admit(store)
    join(store, 1, "v")
    end(store, claim(store))
    run_ms = float(store.client.hget(store.keys.model(MODEL), "run_ms") or 0)
    assert 1_490 < run_ms < 1_600
