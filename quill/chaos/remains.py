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
    return Remains(places, {model: _counts(client, prefix, model) for model in models}, immortal)


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
