"""Whose job is next: shares by weight and by tokens really used, and classes that never starve."""

from __future__ import annotations

from collections import Counter

import pytest

from quill.job import JobClass, JobRequest
from quill.states import State
from quill.store import calls
from quill.store.attempt import Holding
from quill.store.run import Store
from tests.integration.jobs import MODEL, RESULT, admit, claim, join


def fill(store: Store, tenant: str, count: int, **changes: object) -> None:
    for _ in range(count):
        admit(store, tenant=tenant, **changes)


def served(store: Store, count: int, used_tokens: dict[str, int] | None = None) -> Counter[str]:
    """Runs this many jobs one after the other; gives how many each tenant got."""
    tenants: Counter[str] = Counter()
    for _ in range(count):
        held = claim(store)
        tenants[held.tenant] += 1
        used = (used_tokens or {}).get(held.tenant, 100)
        store.run(calls.finish(held, State.SUCCEEDED, RESULT, produced_tokens=used))
    return tenants


def test_tenants_are_served_by_their_weights(store: Store) -> None:
    for tenant, weight in (("gold", 3.0), ("silver", 2.0), ("bronze", 1.0)):
        fill(store, tenant, 70, weight=weight)
    join(store)
    assert served(store, 60) == pytest.approx({"gold": 30, "silver": 20, "bronze": 10}, abs=1)


def test_a_tenant_is_charged_what_it_used_and_not_what_it_reserved(store: Store) -> None:
    """Both reserve 1,000 tokens a job; the terse one uses 100, so it gets ten times as many jobs."""
    fill(store, "terse", 120, cost_tokens=1000)
    fill(store, "wordy", 120, cost_tokens=1000)
    join(store)
    counts = served(store, 110, used_tokens={"terse": 100, "wordy": 1000})
    assert counts == pytest.approx({"terse": 100, "wordy": 10}, abs=3)


def test_a_lost_attempt_is_not_charged_twice(store: Store) -> None:
    fill(store, "unlucky", 30, cost_tokens=100)
    fill(store, "lucky", 30, cost_tokens=100)
    join(store)
    for _ in range(5):
        held = claim(store)
        store.run(calls.release(held))
    assert served(store, 20) == pytest.approx({"lucky": 10, "unlucky": 10}, abs=1)


def test_a_line_that_is_empty_for_a_moment_forgets_no_debt(store: Store) -> None:
    join(store)
    admit(store, tenant="early", cost_tokens=100)
    costly = claim(store)  # nobody waits now
    fill(store, "early", 30)
    fill(store, "late", 30)
    store.run(calls.finish(costly, State.SUCCEEDED, RESULT, produced_tokens=1000))
    assert served(store, 10) == pytest.approx({"late": 10}, abs=1)


def test_tokens_of_an_earlier_busy_period_give_no_credit_in_the_next(store: Store) -> None:
    join(store)
    admit(store, tenant="early", cost_tokens=100_000)
    old = claim(store)
    for flows in ("classes:m", "tenants:m:standard"):
        tags = f"{store.keys.namespace}:{flows}:tags"
        assert 0 < store.client.pttl(tags) <= 60_000
        store.client.delete(tags)  # as if it had expired
    fill(store, "early", 30)
    fill(store, "late", 30)
    store.run(calls.finish(old, State.SUCCEEDED, RESULT, produced_tokens=1))
    assert served(store, 20) == pytest.approx({"early": 10, "late": 10}, abs=1)


def test_a_class_that_has_waited_for_its_bound_is_served_next(store: Store) -> None:
    batch = JobRequest.model_validate({"prompt": "x", "class": JobClass.BATCH})
    interactive = JobRequest.model_validate({"prompt": "x", "class": JobClass.INTERACTIVE})
    join(store)
    fill(store, "a", 3, request=batch, cost_tokens=1_000_000)
    fill(store, "b", 30, request=interactive)
    costly = {"a": 1_000_000}
    assert served(store, 1, costly) == {"a": 1}
    tags = f"{store.keys.namespace}:classes:{MODEL}:tags"
    assert served(store, 10) == {"b": 10}
    store.client.hincrby(tags, " served batch", -31_000)
    assert served(store, 3, costly) == {"a": 1, "b": 2}


def reserve_much_and_use_little(store: Store) -> None:
    """Ten costly reservations of a tenant that goes on move the clock; what they really use does not."""
    join(store, 10)
    fill(store, "early", 10, cost_tokens=32_000)
    fill(store, "early", 60)
    reserved = [claim(store) for _ in range(10)]
    join(store, 1)
    for held in reserved:
        store.run(calls.finish(held, State.SUCCEEDED, RESULT, produced_tokens=100))


def test_who_comes_later_waits_for_what_was_used_and_not_for_what_was_reserved(store: Store) -> None:
    reserve_much_and_use_little(store)
    fill(store, "late", 60)
    assert served(store, 50)["late"] >= 20


def test_a_class_that_comes_later_waits_for_what_was_used(store: Store) -> None:
    interactive = JobRequest.model_validate({"prompt": "x", "class": JobClass.INTERACTIVE})
    reserve_much_and_use_little(store)
    fill(store, "late", 60, request=interactive)
    assert served(store, 50)["late"] >= 30


@pytest.mark.parametrize("end", ["ticketed", "running", "expired"])
def test_a_job_that_ends_early_costs_what_it_used(store: Store, end: str) -> None:
    join(store)
    job_id = admit(store, tenant="early", cost_tokens=32_000)
    if end == "expired":
        store.client.zadd(f"{store.keys.namespace}:due", {job_id: 1})
        store.run(calls.sweep())
    else:
        if end == "running":
            claim(store)
        store.run(calls.cancel(job_id, "early"))
    fill(store, "early", 30)
    fill(store, "late", 30)
    assert served(store, 20) == pytest.approx({"early": 10, "late": 10}, abs=1)


def test_a_cancelled_run_is_charged_what_it_was_known_to_have_produced(store: Store) -> None:
    join(store)
    job_id = admit(store, tenant="early", cost_tokens=32_000)
    held = claim(store)
    fill(store, "early", 30)
    fill(store, "late", 30)
    store.run(calls.renew("w", "{}", [Holding(held.job_id, held.attempt, held.token, 1000)]))
    store.run(calls.cancel(job_id, "early"))
    assert served(store, 20) == pytest.approx({"late": 15, "early": 5}, abs=1)
