"""What is left of a caller's limits, in the headers that clients know.

`RateLimit` and `RateLimit-Policy`: IETF draft-ietf-httpapi-ratelimit-headers-10; `x-ratelimit-*`: as OpenAI's
API has them. A model's limits and the whole service's stay untold: they are other tenants' doing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

from quill.limits import Bound, Dimension, Room

_TOLD = {"key", "tenant"}
_UNITS = {Dimension.CONCURRENT_JOBS: ";qu=concurrent-requests", Dimension.QUEUED_BYTES: ";qu=content-bytes"}
_OPENAI = (Dimension.REQUESTS, Dimension.TOKENS)


def headers_of(rooms: Sequence[Room]) -> dict[str, str]:
    told = [room for room in rooms if room.bound.kind in _TOLD]
    if not told:
        return {}
    headers = {
        "RateLimit-Policy": _policies(tuple(room.bound for room in told)),
        "RateLimit": ", ".join(_state(room) for room in told),
    }
    return headers | _openai(told)


@lru_cache(maxsize=1024)
def _policies(bounds: tuple[Bound, ...]) -> str:
    return ", ".join(map(_policy, bounds))


def _policy(bound: Bound) -> str:
    window = f";w={bound.period_s}" if bound.period_s else ""
    return f'"{bound.name}";q={bound.capacity}{window}{_UNITS.get(bound.dimension, "")}'


def _state(room: Room) -> str:
    reset = f";t={math.ceil(room.full_in_s)}" if room.bound.period_s else ""
    return f'"{room.bound.name}";r={room.left}{reset}'


def _openai(rooms: Iterable[Room]) -> dict[str, str]:
    """Of the tightest for requests, and for tokens."""
    tightest: dict[str, Room] = {}
    for room in rooms:
        dimension = room.bound.dimension
        if dimension in _OPENAI and (dimension not in tightest or room.left < tightest[dimension].left):
            tightest[dimension] = room
    found: dict[str, str] = {}
    for name, room in tightest.items():
        found[f"x-ratelimit-limit-{name}"] = str(room.bound.capacity)
        found[f"x-ratelimit-remaining-{name}"] = str(room.left)
        found[f"x-ratelimit-reset-{name}"] = duration(room.full_in_s)
    return found


def duration(seconds: float) -> str:
    """As OpenAI writes it: `12ms`, `7.66s`, `6m0s`, `1h0m3s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest_s = divmod(seconds, 60)
    if not minutes:
        return f"{rest_s:.2f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{math.floor(rest_s)}s"
