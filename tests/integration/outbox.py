"""Webhook endpoints and their deliveries, brought where a test wants them by the scripts themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from quill.store import documents, webhooks
from quill.store.run import Store
from quill.store.webhooks import Delivery, Destination, LogEntry, Report
from quill.webhooks import signing
from quill.webhooks.records import Endpoint, EventType, Outcome, SigningSecret, new_endpoint_id
from tests.integration.jobs import TENANT

LEASE_S = 60.0
REST_S = 30.0
LIFE_S = 3600.0
DELIVERED = Report(Outcome.DELIVERED, 200)
DEAD = Report(Outcome.DEAD, 500)


def retrying(pause_s: float = 100.0) -> Report:
    return Report(Outcome.RETRYING, 500, pause_s=pause_s)


def subscribe(
    store: Store, *event_types: EventType, tenant: str = TENANT, url: str = "https://example.com"
) -> Endpoint:
    endpoint = Endpoint(
        id=new_endpoint_id(),
        tenant=tenant,
        name="",
        url=url,
        event_types=event_types,
        secrets=(SigningSecret(text=signing.new_secret()),),
        created_at=1.0,
    )
    store.run(webhooks.subscribe(None, endpoint))
    return endpoint


def change(store: Store, endpoint: Endpoint, after: Endpoint | None) -> None:
    store.run(webhooks.subscribe(store.run(documents.get("endpoint", [endpoint.id], Endpoint))[0], after))


def disable(store: Store, endpoint: Endpoint) -> None:
    change(store, endpoint, endpoint.model_copy(update={"is_enabled": False}))


def take(
    store: Store,
    limit: int = 20,
    each: int = 16,
    of_tenant: int = 32,
    lease_s: float = LEASE_S,
    busy_with: Mapping[Destination, int] = MappingProxyType({}),
) -> list[Delivery]:
    call = webhooks.take(
        limit=limit, each=each, of_tenant=of_tenant, lease_s=lease_s, life_s=LIFE_S, busy_with=busy_with
    )
    return list(store.run(call).deliveries)


def take_one(store: Store, lease_s: float = LEASE_S) -> Delivery:
    [lent] = take(store, lease_s=lease_s)
    return lent


def settle(store: Store, lent: Delivery, report: Report) -> None:
    store.run(webhooks.settle(lent, report, life_s=LIFE_S, rest_s=REST_S))


def ping(store: Store, endpoint: Endpoint, event_id: str = "evt_1") -> str:
    """As if all others had been long ago."""
    store.client.delete(f"quill:budget:requests:60000000:webhook-tests/{endpoint.tenant}")
    return store.run(webhooks.ping(endpoint.tenant, endpoint.id, event_id))


def attempts(store: Store, endpoint: Endpoint, before: str = "", limit: int = 100) -> list[LogEntry]:
    return store.run(webhooks.attempts(endpoint.id, before, limit))


def pass_time(store: Store, endpoint: Endpoint) -> None:
    """All that the endpoint waits for is over."""
    waiting = f"quill:outbox:{endpoint.id}"
    members: Any = store.client.zrange(waiting, 0, -1)
    store.client.zadd(waiting, dict.fromkeys(members, 1))
    store.client.zadd("quill:outbox", {f"{endpoint.id} {endpoint.tenant}": 1}, xx=True)
    if store.client.exists(f"quill:breaker:{endpoint.id}"):
        store.client.hset(f"quill:breaker:{endpoint.id}", "until", 1)


def age(store: Store, delivery_id: str, age_s: float = LIFE_S + 1) -> None:
    """As if it had been asked for so long ago."""
    at_ms = time.time_ns() // 1_000_000 - round(age_s * 1000)
    store.client.zadd("quill:undelivered", {delivery_id: at_ms}, xx=True)
    store.client.hset(f"quill:delivery:{delivery_id}", "at", at_ms)


def ttl_ms(store: Store, delivery_id: str) -> int:
    found: int = store.client.pttl(f"quill:delivery:{delivery_id}")
    return found


def rest_ms(store: Store, endpoint: Endpoint) -> int:
    until = store.client.hget(f"quill:breaker:{endpoint.id}", "until")
    return int(until or 0) - time.time_ns() // 1_000_000


def fail(store: Store, endpoint: Endpoint, times: int) -> None:
    """One after the other, as one delivery."""
    for _ in range(times):
        pass_time(store, endpoint)
        settle(store, take_one(store), retrying())
