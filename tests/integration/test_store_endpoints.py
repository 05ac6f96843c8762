"""Endpoints in the store: what they hear of, when they are left alone, and what is left of them."""

from __future__ import annotations

import time

import pytest

from quill.chaos.remains import take_stock
from quill.errors import DocumentChanged, EndpointDisabled, TooManyEndpoints
from quill.states import State
from quill.store import documents, webhooks
from quill.store.run import Store
from quill.webhooks.records import ENDPOINTS_AT_MOST, Endpoint, EventType
from tests.integration.jobs import TENANT, job_in
from tests.integration.outbox import (
    DELIVERED,
    REST_S,
    attempts,
    change,
    disable,
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


def test_an_endpoint_hears_only_what_it_wants_and_only_of_its_own_tenant(store: Store) -> None:
    all_ends, failures = subscribe(store), subscribe(store, EventType.FAILED, EventType.EXPIRED)
    subscribe(store, tenant="other")
    disable(store, subscribe(store))
    job_in(store, State.SUCCEEDED)
    job_in(store, State.FAILED)
    heard = {(lent.endpoint.id, lent.type) for lent in take(store)}
    assert heard == {
        (all_ends.id, "job.succeeded"),
        (all_ends.id, "job.failed"),
        (failures.id, "job.failed"),
    }


def test_a_tenant_without_endpoints_leaves_nothing(store: Store) -> None:
    job_in(store, State.SUCCEEDED)
    assert not any(b":delivery:" in key or b":outbox" in key for key in store.client.scan_iter())


def test_an_endpoint_that_fails_five_times_in_a_row_rests(store: Store) -> None:
    endpoint = subscribe(store)
    ping(store, endpoint)
    fail(store, endpoint, 4)
    pass_time(store, endpoint)
    assert rest_ms(store, endpoint) < 0
    settle(store, take_one(store), retrying(0))
    assert 0 < rest_ms(store, endpoint) <= REST_S * 1000
    for number in range(3):
        ping(store, endpoint, f"evt_more{number}")
    assert take(store) == []
    taken = store.run(webhooks.take(limit=1, each=1, of_tenant=1, lease_s=1, life_s=60, busy_with={}))
    assert taken.next_due_s > 1


def test_after_its_rest_an_endpoint_gets_one_probe_whose_failure_prolongs_it(store: Store) -> None:
    endpoint = subscribe(store)
    ping(store, endpoint)
    fail(store, endpoint, 5)
    for number in range(3):
        ping(store, endpoint, f"evt_more{number}")
    rests_ms = []
    for _ in range(6):
        pass_time(store, endpoint)
        probe = take_one(store)
        assert take(store) == []
        settle(store, probe, retrying())
        rests_ms.append(rest_ms(store, endpoint))
    wanted_ms = [60_000, 120_000, 240_000, 300_000, 300_000, 300_000]
    assert rests_ms == [pytest.approx(wanted, abs=1000) for wanted in wanted_ms]
    pass_time(store, endpoint)
    settle(store, take_one(store), DELIVERED)
    assert len(take(store)) == 3


def test_a_probe_whose_sender_died_is_followed_by_another(store: Store) -> None:
    endpoint = subscribe(store)
    ping(store, endpoint)
    fail(store, endpoint, 5)
    pass_time(store, endpoint)
    take_one(store, lease_s=0.02)
    time.sleep(0.03)
    take_one(store)


def test_what_was_under_way_when_an_endpoint_broke_prolongs_no_rest(store: Store) -> None:
    endpoint = subscribe(store)
    for number in range(12):
        ping(store, endpoint, f"evt_{number}")
    for lent in take(store):
        settle(store, lent, retrying())
    assert 0 < rest_ms(store, endpoint) <= REST_S * 1000


@pytest.mark.parametrize("update", [{"url": "https://example.org"}, {"secrets": ()}], ids=["url", "secrets"])
def test_an_endpoint_that_is_another_now_is_tried_at_once(store: Store, update: dict[str, object]) -> None:
    endpoint = subscribe(store)
    ping(store, endpoint)
    fail(store, endpoint, 5)
    changed = endpoint.model_copy(update=update)
    change(store, endpoint, changed)
    ping(store, endpoint, "evt_2")
    assert take_one(store).endpoint == changed


def test_an_endpoint_that_is_enabled_again_is_tried_at_once(store: Store) -> None:
    endpoint = subscribe(store)
    ping(store, endpoint)
    fail(store, endpoint, 5)
    disable(store, endpoint)
    change(store, endpoint, endpoint)
    ping(store, endpoint, "evt_2")
    assert take_one(store).event_id == "evt_2"


@pytest.mark.parametrize(
    "update",
    [{}, {"name": "x"}, {"event_types": (EventType.FAILED,)}],
    ids=["nothing", "name", "event_types"],
)
def test_no_other_change_ends_the_rest_of_an_endpoint(store: Store, update: dict[str, object]) -> None:
    endpoint = subscribe(store)
    ping(store, endpoint)
    fail(store, endpoint, 5)
    change(store, endpoint, endpoint.model_copy(update=update))
    ping(store, endpoint, "evt_2")
    assert take(store) == []
    assert rest_ms(store, endpoint) > 0


def test_what_waits_for_a_disabled_endpoint_is_dead_but_can_be_had_later(store: Store) -> None:
    endpoint = subscribe(store)
    due, waiting = ping(store, endpoint, "evt_1"), ping(store, endpoint, "evt_2")
    settle(store, take(store, limit=1)[0], retrying())
    disable(store, endpoint)
    assert take(store) == []
    dropped = {entry.attempt.delivery_id for entry in attempts(store, endpoint, limit=2)}
    assert dropped == {due, waiting}
    assert all(ttl_ms(store, one) > 0 for one in (due, waiting))
    assert take_stock(store.client, "quill").places == {}
    with pytest.raises(EndpointDisabled):
        store.run(webhooks.redeliver(TENANT, endpoint.id, due))
    with pytest.raises(EndpointDisabled):
        ping(store, endpoint, "evt_3")
    change(store, endpoint, endpoint)
    store.run(webhooks.redeliver(TENANT, endpoint.id, due))
    assert take_one(store).id == due


def test_nothing_is_left_of_a_removed_endpoint(store: Store) -> None:
    endpoint = subscribe(store)
    delivery_ids = [ping(store, endpoint, f"evt_{number}") for number in range(3)]
    settle(store, take(store, limit=1)[0], retrying())
    change(store, endpoint, None)
    assert take(store) == []
    assert not store.client.exists(*(f"quill:delivery:{one}" for one in delivery_ids))
    kept = (key for key in store.client.scan_iter() if key != b"quill:events")
    assert not any(endpoint.id.encode() in (store.client.dump(key) or b"") + key for key in kept)


def test_an_endpoint_that_only_a_newer_release_can_read_waits_for_one(store: Store) -> None:
    endpoint, other = subscribe(store), subscribe(store)
    document = store.client.get(f"quill:endpoint:{endpoint.id}")
    assert isinstance(document, bytes)
    store.client.set(f"quill:endpoint:{endpoint.id}", document.replace(b'"url":"', b'"url":1,"was":"'))
    for one in (endpoint, other):
        ping(store, one)
    assert take_one(store).endpoint.id == other.id


def test_a_tenant_has_a_number_of_endpoints_and_no_more(store: Store) -> None:
    made = [subscribe(store) for _ in range(ENDPOINTS_AT_MOST)]
    with pytest.raises(TooManyEndpoints):
        subscribe(store)
    store.run(webhooks.subscribe(None, made[-1]))  # a repeat of the call that made it
    change(store, made[0], made[0].model_copy(update={"name": "first"}))
    subscribe(store, tenant="other")
    change(store, made[0], None)
    subscribe(store)


def test_an_endpoint_is_changed_only_over_what_was_read(store: Store) -> None:
    endpoint = subscribe(store)
    before = store.run(documents.get("endpoint", [endpoint.id], Endpoint))[0]
    disable(store, endpoint)
    with pytest.raises(DocumentChanged):
        store.run(webhooks.subscribe(before, endpoint.model_copy(update={"name": "x"})))
    assert store.client.hgetall(f"quill:hooks:{TENANT}") == {}
