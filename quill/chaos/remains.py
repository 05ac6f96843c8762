"""What is left in the store when every job has ended: nothing but records that expire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

#: Places that hold jobs only as long as they wait or run, and their webhooks until they are told.
_PLACES = (
    *("line:", "tickets:", "leases:", "delayed:", "apart:", "suspects:", "busy:", "held:", "due"),
    *("concurrent_jobs:", "queued_jobs:", "queued_bytes:", "outbox", "undelivered"),
)
#: Keys of jobs; the others belong to models, workers and tenants.
_OF_JOBS = ("job:", "request:", "result:", "out:", "idem:", "reply:", "stops:", "delivery:")


@dataclass(frozen=True, slots=True)
class Remains:
    #: Key -> jobs that it still holds.
    places: Mapping[str, Sequence[str]]
    #: Model -> (waiting jobs, capacity, slots that its members offer), as the store counts.
    counts: Mapping[str, tuple[int, int, int]]
    #: Keys of jobs without an end.
    immortal: Sequence[str]
    #: In the buckets of tokens, and paid by jobs that were admitted by one; equal where nothing drains.
    tokens_charged: float = 0.0
    tokens_paid: float = 0.0


def take_stock(client: redis.Redis, namespace: str) -> Remains:
    prefix = f"{namespace}:"
    names = [key.decode().removeprefix(prefix) for key in _scan(client, f"{prefix}*")]
    places = {
        name: members
        for name in names
        if name.startswith(_PLACES) and (members := _members(client, prefix + name))
    }
    immortal = [name for name in names if name.startswith(_OF_JOBS) and client.ttl(prefix + name) == -1]
    models = [name.removeprefix("members:") for name in names if name.startswith("members:")]
    counts = {model: _counts(client, prefix, model) for model in models}
    return Remains(places, counts, immortal, _charged(client, prefix), _paid(client, prefix))


def _charged(client: redis.Redis, prefix: str) -> float:
    """A level is kept times the bucket's period in microseconds, which its name tells."""
    buckets = [name.decode() for name in _scan(client, f"{prefix}budget:tokens:*")]
    levels: Any = client.mget(buckets) if buckets else []
    periods_us = [int(name.removeprefix(f"{prefix}budget:tokens:").partition(":")[0]) for name in buckets]
    return sum(
        int(level.split()[0]) / period_us
        for level, period_us in zip(levels, periods_us, strict=True)
        if level
    )


def _paid(client: redis.Redis, prefix: str) -> float:
    paid: Any = [client.hmget(name, "paid", "marks") for name in _scan(client, f"{prefix}job:*")]
    return sum(int(tokens or 0) for tokens, mark in paid if mark)


def _scan(client: redis.Redis, pattern: str) -> Iterator[bytes]:
    keys: Any = client.scan_iter(match=pattern, count=1000)
    yield from keys


def _members(client: redis.Redis, key: str) -> list[str]:
    kind: Any = client.type(key)
    if kind == b"string":
        return ["some jobs' bytes"]
    found: Any = client.smembers(key) if kind == b"set" else client.zrange(key, 0, -1)
    return sorted(member.decode() for member in found)


def _counts(client: redis.Redis, prefix: str, model: str) -> tuple[int, int, int]:
    facts: Any = client.hmget(f"{prefix}model:{model}", "waiting", "capacity")
    slots: Any = client.hvals(f"{prefix}members:{model}")
    return int(facts[0] or 0), int(facts[1] or 0), sum(int(count) for count in slots)
