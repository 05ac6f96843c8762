"""What bounds the outbox: nothing waits there for ever, nor any number for one endpoint."""

from __future__ import annotations

import time

import pytest

from quill.chaos.remains import take_stock
from quill.errors import DeliveryNotFound, RateLimited
from quill.states import State
from quill.store import webhooks
from quill.store.run import Store
from quill.store.webhooks import Report
from quill.webhooks.records import Attempt, Endpoint, Outcome
from tests.integration.jobs import TENANT, job_in, state_of
from tests.integration.outbox import (
    DELIVERED,
    LIFE_S,
    age,
    attempts,
    fail,
    pass_time,
    ping,
    rest_ms,
    retrying,
    settle,
    subscribe,
    take,
    take_one,
    ttl_ms,
)

#: As `_outbox.lua` has it.
WAITING_AT_MOST = 10_000
#: As `quill.store.webhooks` has it.
REPLAYS_A_MINUTE = 100
#: Of one `take`.
GIVEN_UP_AT_MOST = 100


def newest(store: Store, endpoint: Endpoint) -> Attempt:
    return attempts(store, endpoint, limit=1)[0].attempt


def crowd(store: Store, endpoint: Endpoint, waiting: int = WAITING_AT_MOST) -> None:
    far_ms = time.time_ns() // 1_000_000 + 3_600_000
    store.client.zadd(f"quill:outbox:{endpoint.id}", {f"msg_{number}": far_ms for number in range(waiting)})


def test_what_is_too_old_is_dead_and_not_sent_but_can_be_had_later(store: Store) -> None:
    endpoint = subscribe(store)
    delivery_id = ping(store, endpoint)
    age(store, delivery_id)
    assert take(store) == []
    dead = newest(store, endpoint)
    assert (dead.delivery_id, dead.outcome, dead.reason) == (delivery_id, Outcome.DEAD, "expired")
    assert ttl_ms(store, delivery_id) > 0
    take(store)
    assert take_stock(store.client, "quill").places == {}
    store.run(webhooks.redeliver(TENANT, endpoint.id, delivery_id))
    assert take_one(store).id == delivery_id


def test_what_is_too_old_is_dead_though_its_endpoint_rests(store: Store) -> None:
    endpoint = subscribe(store)
    tried = ping(store, endpoint)
    fail(store, endpoint, 5)
    untried, young = ping(store, endpoint, "evt_2"), ping(store, endpoint, "evt_3")
    for old in (tried, untried):
        age(store, old)
    assert rest_ms(store, endpoint) > 0
    assert take(store) == []
    dead = {entry.attempt.delivery_id for entry in attempts(store, endpoint, limit=2)}
    assert dead == {tried, untried}
    assert all(ttl_ms(store, old) > 0 for old in dead)
    assert rest_ms(store, endpoint) > 0
    pass_time(store, endpoint)
    assert take_one(store).id == young


def test_a_crowd_that_is_too_old_is_given_up_some_at_a_time(store: Store) -> None:
    endpoint = subscribe(store)
    fail_for_good(store, endpoint)
    crowd_ids = [ping(store, endpoint, f"evt_{number}") for number in range(GIVEN_UP_AT_MOST + 20)]
    for old in crowd_ids:
        age(store, old)
    waiting = []
    for _ in range(2):
        assert take(store) == []
        waiting.append(sum(ttl_ms(store, old) == -1 for old in crowd_ids))
    assert waiting == [20, 0]


def fail_for_good(store: Store, endpoint: Endpoint) -> None:
    first = ping(store, endpoint, "evt_first")
    fail(store, endpoint, 5)
    pass_time(store, endpoint)
    settle(store, take_one(store), Report(Outcome.DEAD, 500))
    assert ttl_ms(store, first) > 0
    assert rest_ms(store, endpoint) > 0


def test_a_try_that_fails_is_the_last_if_the_next_would_come_too_late(store: Store) -> None:
    endpoint = subscribe(store)
    delivery_id = ping(store, endpoint)
    age(store, delivery_id, LIFE_S - 50)
    settle(store, take_one(store), retrying(10))
    assert newest(store, endpoint).outcome is Outcome.RETRYING
    pass_time(store, endpoint)
    settle(store, take_one(store), retrying(100))
    dead = newest(store, endpoint)
    assert (dead.outcome, dead.status, dead.retry_at) == (Outcome.DEAD, 500, None)
    assert ttl_ms(store, delivery_id) > 0


def test_what_is_on_its_way_is_not_given_up_before_its_lease_ends(store: Store) -> None:
    endpoint = subscribe(store)
    delivery_id = ping(store, endpoint)
    lent = take_one(store)
    age(store, delivery_id)
    assert take(store) == []
    assert attempts(store, endpoint) == []
    settle(store, lent, DELIVERED)
    assert [entry.attempt.outcome for entry in attempts(store, endpoint)] == [Outcome.DELIVERED]
    assert not store.client.exists("quill:undelivered")


def test_a_sender_that_is_late_brings_nothing_back_that_was_given_up(store: Store) -> None:
    endpoint = subscribe(store)
    delivery_id = ping(store, endpoint)
    lent = take_one(store)
    age(store, delivery_id)
    pass_time(store, endpoint)
    assert take(store) == []
    settle(store, lent, retrying())
    assert [entry.attempt.reason for entry in attempts(store, endpoint)] == ["expired"]
    assert ttl_ms(store, delivery_id) > 0


def test_what_an_older_release_posted_dies_of_age_too(store: Store) -> None:
    endpoint = subscribe(store)
    old, young = ping(store, endpoint, "evt_1"), ping(store, endpoint, "evt_2")
    age(store, old)
    store.client.delete("quill:undelivered")
    assert [lent.id for lent in take(store)] == [young]
    assert newest(store, endpoint).reason == "expired"


def test_what_is_asked_for_again_begins_a_new_life(store: Store) -> None:
    endpoint = subscribe(store)
    delivery_id = ping(store, endpoint)
    settle(store, take_one(store), DELIVERED)
    age(store, delivery_id)
    store.run(webhooks.redeliver(TENANT, endpoint.id, delivery_id))
    assert take_one(store).id == delivery_id


def test_a_job_ends_as_ever_though_its_endpoint_has_all_that_may_wait(store: Store) -> None:
    crowded, other = subscribe(store), subscribe(store)
    crowd(store, crowded)
    job_id = job_in(store, State.SUCCEEDED).job_id
    assert state_of(store, job_id) is State.SUCCEEDED
    dead = newest(store, crowded)
    assert (dead.subject, dead.outcome, dead.reason) == (job_id, Outcome.DEAD, "outbox_full")
    assert store.client.zcard(f"quill:outbox:{crowded.id}") == WAITING_AT_MOST
    assert take_one(store).endpoint == other


def test_of_what_found_the_outbox_full_only_the_log_tells(store: Store) -> None:
    endpoint = subscribe(store)
    crowd(store, endpoint)
    job_in(store, State.SUCCEEDED)
    dead = newest(store, endpoint)
    assert not store.client.exists(f"quill:delivery:{dead.delivery_id}")
    with pytest.raises(DeliveryNotFound):
        store.run(webhooks.redeliver(TENANT, endpoint.id, dead.delivery_id))
    store.client.zremrangebyrank(f"quill:outbox:{endpoint.id}", 0, 0)
    job_in(store, State.FAILED)
    assert take_one(store).type == "job.failed"


def test_a_tenant_repeats_so_many_a_minute_and_no_more(store: Store) -> None:
    endpoint, other = subscribe(store), subscribe(store, tenant="other")
    waiting, others = ping(store, endpoint), ping(store, other)
    for lent in take(store):
        settle(store, lent, retrying())
    for _ in range(REPLAYS_A_MINUTE):
        store.run(webhooks.redeliver(TENANT, endpoint.id, waiting))
    with pytest.raises(RateLimited) as limited:
        store.run(webhooks.redeliver(TENANT, endpoint.id, waiting))
    assert limited.value.retry_after_s == pytest.approx(1, abs=0.5)
    assert limited.value.violated == ("webhook-replays",)
    store.run(webhooks.redeliver("other", other.id, others))
    on_its_way = take(store)[0]
    store.run(webhooks.redeliver(on_its_way.endpoint.tenant, on_its_way.endpoint.id, on_its_way.id))


def test_nothing_is_sent_by_hand_into_an_outbox_that_is_full(store: Store) -> None:
    endpoint = subscribe(store)
    arrived = ping(store, endpoint)
    settle(store, take_one(store), DELIVERED)
    crowd(store, endpoint)
    with pytest.raises(RateLimited):
        store.run(webhooks.redeliver(TENANT, endpoint.id, arrived))
    with pytest.raises(RateLimited) as limited:
        ping(store, endpoint, "evt_2")
    assert (limited.value.violated, limited.value.retry_after_s) == (("webhook-outbox",), 60)
    assert store.client.zcard(f"quill:outbox:{endpoint.id}") == WAITING_AT_MOST
    assert ttl_ms(store, arrived) > 0
    assert ping(store, endpoint) == arrived
