"""Deliveries in the store: what gets into the outbox, who gets it out, and how it comes to rest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from quill.chaos.remains import take_stock
from quill.errors import DeliveryNotFound, QuillError
from quill.job import JobRequest
from quill.states import TERMINAL, State
from quill.store import calls, listing, webhooks
from quill.store.refusals import Fenced
from quill.store.run import Store
from quill.store.webhooks import Delivery
from quill.webhooks.records import Endpoint, Outcome
from tests.integration.jobs import TENANT, WORKER, admit, claim, job_in, join
from tests.integration.outbox import (
    DEAD,
    DELIVERED,
    attempts,
    fail,
    pass_time,
    ping,
    retrying,
    settle,
    subscribe,
    take,
    take_one,
    ttl_ms,
)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_the_end_of_a_job_is_in_the_outbox_with_it(store: Store, state: State) -> None:
    endpoint = subscribe(store)
    job_id = job_in(store, state).job_id
    lent = take_one(store)
    assert (lent.type, lent.subject, lent.tries, lent.tries_of_round) == (f"job.{state}", job_id, 1, 1)
    assert lent.endpoint == endpoint
    assert "." not in lent.id


def expire_unstarted(store: Store) -> None:
    store.client.zadd("quill:due", {admit(store): 1})
    store.run(calls.sweep())


def expire_at_the_claim(store: Store) -> None:
    admit(store, request=JobRequest(prompt="x", start_by_s=0.001))
    time.sleep(0.01)
    join(store)
    with pytest.raises(QuillError):
        claim(store)


def poison(store: Store) -> None:
    claimed = job_in(store, State.RUNNING)
    store.client.hset(f"quill:job:{claimed.job_id}", "stalls", 2)
    store.run(calls.bury(WORKER, is_crash=True))


@pytest.mark.parametrize(
    ("end", "event_type"),
    [(expire_unstarted, "job.expired"), (expire_at_the_claim, "job.expired"), (poison, "job.failed")],
)
def test_an_end_that_no_worker_tells_is_heard_of_too(
    store: Store, end: Callable[[Store], None], event_type: str
) -> None:
    subscribe(store)
    end(store)
    assert take_one(store).type == event_type


def test_each_event_has_an_id_of_its_own_at_each_endpoint(store: Store) -> None:
    subscribe(store), subscribe(store)
    first = job_in(store, State.FAILED, celery_id="c").job_id
    store.run(listing.purge(TENANT, [first]))
    job_in(store, State.FAILED, job_id=first)  # the same foreign task, run anew after its job was forgotten
    lent = take(store)
    assert len({one.id for one in lent}) == 4
    assert len({one.event_id for one in lent}) == 2


def test_what_is_lent_is_lent_to_one_until_its_lease_ends(store: Store) -> None:
    endpoint = subscribe(store)
    ping(store, endpoint)
    first = take_one(store)
    assert take(store) == []
    pass_time(store, endpoint)
    again = take_one(store)
    assert (again.id, again.tries) == (first.id, 2)
    with pytest.raises(Fenced):
        settle(store, first, DELIVERED)
    settle(store, again, DELIVERED)
    assert [entry.attempt.attempt for entry in attempts(store, endpoint)] == [2]


def test_what_arrived_is_done_and_kept_for_its_time(store: Store) -> None:
    endpoint = subscribe(store)
    delivery_id = ping(store, endpoint)
    assert ttl_ms(store, delivery_id) == -1
    lent = take_one(store)
    for _ in range(2):
        settle(store, lent, DELIVERED)
    assert [entry.attempt.outcome for entry in attempts(store, endpoint)] == [Outcome.DELIVERED]
    assert ttl_ms(store, delivery_id) > 0
    assert store.client.pttl(f"quill:attempts:{endpoint.id}") > 0
    assert take_stock(store.client, "quill").places == {}


def test_what_failed_is_due_again_after_its_pause_under_the_same_id(store: Store) -> None:
    endpoint = subscribe(store)
    ping(store, endpoint)
    lent = take_one(store)
    for _ in range(2):
        settle(store, lent, retrying(0.05))
    [entry] = attempts(store, endpoint)
    assert (entry.attempt.outcome, entry.attempt.status) == (Outcome.RETRYING, 500)
    assert entry.attempt.retry_at is not None
    assert entry.attempt.retry_at - entry.attempt.at == pytest.approx(0.05, abs=0.01)
    assert take(store) == []
    time.sleep(0.06)
    again = take_one(store)
    assert (again.id, again.tries, again.tries_of_round, again.at_ms) == (lent.id, 2, 2, lent.at_ms)


def test_a_dead_delivery_is_kept_and_begins_anew_when_it_is_wanted(store: Store) -> None:
    endpoint = subscribe(store)
    delivery_id = ping(store, endpoint)
    settle(store, take_one(store), DEAD)
    assert take(store) == []
    assert ttl_ms(store, delivery_id) > 0
    for _ in range(2):
        store.run(webhooks.redeliver(TENANT, endpoint.id, delivery_id))
    assert ttl_ms(store, delivery_id) == -1
    lent = take_one(store)
    assert (lent.id, lent.tries, lent.tries_of_round) == (delivery_id, 2, 1)


def test_a_delivery_that_waits_can_be_hurried_and_one_on_its_way_cannot(store: Store) -> None:
    endpoint = subscribe(store)
    delivery_id = ping(store, endpoint)
    lent = take_one(store)
    store.run(webhooks.redeliver(TENANT, endpoint.id, delivery_id))
    assert take(store) == []
    settle(store, lent, retrying())
    store.run(webhooks.redeliver(TENANT, endpoint.id, delivery_id))
    assert take_one(store).tries == 2


def test_a_foreign_delivery_is_as_unknown_as_none(store: Store) -> None:
    endpoint, other = subscribe(store), subscribe(store)
    delivery_id = ping(store, endpoint)
    for tenant, endpoint_id, wanted in (
        ("mallory", endpoint.id, delivery_id),
        (TENANT, other.id, delivery_id),
        (TENANT, endpoint.id, "msg_none"),
    ):
        with pytest.raises(DeliveryNotFound):
            store.run(webhooks.redeliver(tenant, endpoint_id, wanted))


def test_a_test_event_is_posted_once_however_often_its_call_is_repeated(store: Store) -> None:
    endpoint = subscribe(store)
    assert ping(store, endpoint) == ping(store, endpoint)
    lent = take_one(store)
    assert lent.type == "test"
    ping(store, endpoint)
    settle(store, lent, DELIVERED)
    ping(store, endpoint)
    assert take(store) == []


def test_an_endpoint_with_much_to_hear_keeps_no_other_waiting(store: Store) -> None:
    crowded, other = subscribe(store), subscribe(store, tenant="other")
    for number in range(40):
        ping(store, crowded, f"evt_{number}")
    ping(store, other)
    time.sleep(0.002)  # in its millisecond all have the same right
    taken = [lent.endpoint.id for _ in range(2) for lent in take(store, limit=4)]
    assert taken.count(other.id) == 1


def test_a_sender_gets_no_more_of_an_endpoint_than_it_may_hold(store: Store) -> None:
    endpoint = subscribe(store)
    for number in range(10):
        ping(store, endpoint, f"evt_{number}")
    lent = take(store, each=4)
    assert len(lent) == 4
    assert take(store, each=4, busy_with={(endpoint.id, TENANT): 4}) == []
    settle(store, lent[0], DELIVERED)
    assert len(take(store, each=4, busy_with={(endpoint.id, TENANT): 3})) == 1


def test_a_sender_gets_no_more_of_a_tenant_than_it_may_hold_over_all_its_endpoints(store: Store) -> None:
    first, second, other = subscribe(store), subscribe(store), subscribe(store, tenant="other")
    for number in range(3):
        for endpoint in (first, second, other):
            ping(store, endpoint, f"evt_{number}")
    taken = Counter(lent.endpoint.tenant for lent in take(store, of_tenant=4))
    assert taken == {TENANT: 4, "other": 3}
    for endpoint in (first, second):
        pass_time(store, endpoint)
    held = {(first.id, TENANT): 2, (second.id, TENANT): 1}
    assert len(take(store, of_tenant=4, busy_with=held)) == 1


def test_a_delivery_without_a_record_holds_nothing_up(store: Store) -> None:
    endpoint = subscribe(store)
    lost, kept = ping(store, endpoint, "evt_1"), ping(store, endpoint, "evt_2")
    store.client.delete(f"quill:delivery:{lost}")
    assert take_one(store).id == kept
    with pytest.raises(Fenced):
        settle(store, replace(take_one_again(store, endpoint), id=lost), DELIVERED)


def take_one_again(store: Store, endpoint: Endpoint) -> Delivery:
    pass_time(store, endpoint)
    return take_one(store)


def test_a_delivery_that_an_older_release_posted_is_lent_as_one_without_a_trace(store: Store) -> None:
    delivery_id = ping(store, subscribe(store))
    store.client.hdel(f"quill:delivery:{delivery_id}", "trace")
    assert take_one(store).traceparent == ""


def test_the_log_is_read_in_pages_newest_first(store: Store) -> None:
    endpoint = subscribe(store)
    ping(store, endpoint)
    for _ in range(5):
        fail(store, endpoint, 1)
    newest = attempts(store, endpoint, limit=2)
    older = attempts(store, endpoint, newest[-1].id)
    assert [entry.attempt.attempt for entry in (*newest, *older)] == [5, 4, 3, 2, 1]
