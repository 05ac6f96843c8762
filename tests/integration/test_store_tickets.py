"""Tickets that are lost, left behind or in the way."""

from __future__ import annotations

import pytest

from quill.job import JobRequest
from quill.store import calls
from quill.store.run import Store
from tests.integration.jobs import MODEL, TENANT, admit, claim, join, ticket


def tickets(store: Store) -> int:
    return int(store.client.llen(store.keys.ticket_list(MODEL)))


def make_overdue(store: Store, *job_ids: str) -> None:
    store.client.zadd(f"{store.keys.namespace}:tickets:{MODEL}", dict.fromkeys(job_ids, 1), xx=True)
    store.run(calls.sweep())


def term_ms(store: Store, job_id: str) -> float:
    """Until its ticket is overdue."""
    seconds, micros = store.client.time()
    due_ms = store.client.zscore(f"{store.keys.namespace}:tickets:{MODEL}", job_id)
    assert due_ms is not None
    return due_ms - (seconds * 1000 + micros / 1000)


def test_a_lost_ticket_is_pushed_again_though_younger_ones_lie_on_the_list(store: Store) -> None:
    join(store, 3)
    lost, *waiting = [admit(store) for _ in range(3)]
    assert ticket(store) == (lost, 1)
    make_overdue(store, lost, *waiting)
    assert [ticket(store)[0] for _ in range(3)] == [*waiting, lost]


def test_tickets_that_nobody_took_yet_are_not_doubled(store: Store) -> None:
    join(store, 3)
    waiting = [admit(store) for _ in range(3)]
    make_overdue(store, *waiting)
    assert [ticket(store) for _ in range(3)] == [(job_id, 1) for job_id in waiting]


def test_garbage_at_the_head_of_the_list_loses_no_ticket(store: Store) -> None:
    join(store)
    store.client.rpush(store.keys.ticket_list(MODEL), b"garbage")
    lost = admit(store)
    make_overdue(store, lost)
    assert tickets(store) == 2
    store.client.rpop(store.keys.ticket_list(MODEL))
    assert ticket(store) == (lost, 1)
    make_overdue(store, lost)
    assert ticket(store) == (lost, 3)


def test_the_first_ticket_is_overdue_soon_and_later_ones_have_time(store: Store) -> None:
    join(store)
    job_id = admit(store)
    assert term_ms(store, job_id) <= 1500
    ticket(store)
    make_overdue(store, job_id)
    assert 1500 < term_ms(store, job_id) <= 5000


@pytest.mark.parametrize("way", ["cancelled", "expired"])
def test_a_job_that_ends_with_its_ticket_on_the_list_takes_it_along(store: Store, way: str) -> None:
    """Or whoever submits and cancels in a loop puts a thousand dead tickets before everybody else's."""
    join(store)
    for _ in range(20):
        job_id = admit(store, request=JobRequest(prompt="x", start_by_s=60))
        assert tickets(store) == 1
        if way == "cancelled":
            store.run(calls.cancel(job_id, TENANT))
        else:
            store.client.zadd(f"{store.keys.namespace}:due", {job_id: 1})
            store.run(calls.sweep())
        assert tickets(store) == 0
    patient = admit(store)
    assert claim(store).job_id == patient
