"""Workers that come, go, fall silent and come back: what they offer, and what they run without offering."""

from __future__ import annotations

import pytest

from quill.states import State
from quill.store import calls, listing
from quill.store.refusals import UnknownWorker
from quill.store.run import Store
from tests.integration.jobs import MODEL, TENANT, admit, claim, job_in, join, outcome_of


def tickets(store: Store, model: str = MODEL) -> int:
    return int(store.client.llen(store.keys.ticket_list(model)))


def capacity(store: Store, model: str = MODEL) -> int:
    return int(store.client.hget(store.keys.model(model), "capacity") or 0)


def fall_silent(store: Store, worker: str) -> None:
    store.client.zadd(store.keys.seen, {worker: 1})
    store.run(calls.sweep())


@pytest.mark.parametrize("departure", ["drains", "falls silent"])
def test_jobs_of_a_worker_that_goes_take_no_slot_of_those_who_stay(store: Store, departure: str) -> None:
    join(store, 4, "w")
    for _ in range(4):
        admit(store)
        claim(store, worker="w")
    if departure == "drains":
        store.run(calls.leave("w", MODEL))
    else:
        fall_silent(store, "w")
    join(store, 4, "v")
    for _ in range(6):
        admit(store)
    assert tickets(store) == 4


def test_jobs_that_a_worker_starts_after_it_left_take_no_slot_of_others_either(store: Store) -> None:
    join(store, 2, "w")
    admit(store), admit(store)
    store.run(calls.leave("w", MODEL))
    claim(store, worker="w"), claim(store, worker="w")
    join(store, 2, "v")
    admit(store), admit(store)
    assert tickets(store) == 2


def test_jobs_of_a_worker_that_comes_back_fill_its_slots_again(store: Store) -> None:
    join(store, 2, "w")
    admit(store), admit(store)
    held = [claim(store, worker="w"), claim(store, worker="w")]
    fall_silent(store, "w")
    admit(store)
    join(store, 2, "w")
    assert tickets(store) == 0
    store.run(calls.finish(held[0], State.SUCCEEDED, outcome_of(State.SUCCEEDED)))
    assert tickets(store) == 1


def test_a_worker_that_is_heard_of_keeps_its_record_however_long_the_store_was_away(store: Store) -> None:
    join(store)
    store.run(calls.renew("w", "{}", []))
    record = store.keys.worker("w")
    assert store.client.pttl(record) == -1
    fall_silent(store, "w")
    assert 0 < store.client.pttl(record) <= 60_000
    join(store)
    assert store.client.pttl(record) == -1


def test_a_worker_without_a_record_joins_again(store: Store) -> None:
    join(store)
    store.client.delete(store.keys.worker("w"))
    with pytest.raises(UnknownWorker):
        store.run(calls.renew("w", "{}", []))


def test_who_says_goodbye_after_it_was_forgotten_leaves_no_record(store: Store) -> None:
    join(store)
    fall_silent(store, "w")
    store.client.delete(store.keys.worker("w"))
    store.run(calls.leave("w", MODEL))
    assert not store.client.exists(store.keys.worker("w"))


def test_a_worker_that_joins_for_another_model_leaves_the_first(store: Store) -> None:
    join(store, 4)
    join(store, 4, model="n")
    assert (capacity(store), capacity(store, "n")) == (0, 4)
    fall_silent(store, "w")
    assert (capacity(store), capacity(store, "n")) == (0, 0)


def test_a_lost_lease_comes_before_all_listings_that_expire(store: Store) -> None:
    held = job_in(store, State.RUNNING)
    expiry = f"{store.keys.namespace}:expiry"
    store.client.zadd(expiry, {f"job_{number} {TENANT}": number for number in range(1, 101)})
    store.client.zadd(f"{store.keys.namespace}:leases:{MODEL}", {held.job_id: 1})
    swept = store.run(calls.sweep())
    assert not store.client.zcard(f"{store.keys.namespace}:leases:{MODEL}")
    assert swept.next_due_ms == 0
    while store.run(calls.sweep()).next_due_ms == 0:
        pass
    assert not store.client.zcard(expiry)


def test_a_replay_of_a_letter_whose_record_is_gone_brings_none_of_it_back(store: Store) -> None:
    letter = job_in(store, State.FAILED)
    record = f"{store.keys.namespace}:job:{letter.job_id}"
    store.client.delete(record)
    admit(store, replay_of=letter.job_id)
    assert not store.client.exists(record)
    assert not store.run(listing.page(TENANT, None, 10, listing.Listing.DEAD))
