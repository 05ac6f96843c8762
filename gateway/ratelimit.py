"""What is left of a caller's limits, in the headers that clients know.

`RateLimit` and `RateLimit-Policy`: IETF draft-ietf-httpapi-ratelimit-headers-10; `x-ratelimit-*`: as OpenAI's
API has them. A model's limits and the whole service's stay untold: they are other tenants' doing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from quill.limits import Bound, Bounds, Dimension, Rooms

_TOLD = {"key", "tenant"}
_UNITS = {Dimension.CONCURRENT_JOBS: ";qu=concurrent-requests", Dimension.QUEUED_BYTES: ";qu=content-bytes"}
_OPENAI = (Dimension.REQUESTS, Dimension.TOKENS)


@dataclass(frozen=True, slots=True)
class _Wording:
    """What stays the same from request to request."""

    policies: str
    #: For each that is told: its place among the bounds, and how its state begins.
    states: tuple[tuple[int, str], ...]
    #: Those that OpenAI has: dimension -> their places.
    openai: tuple[tuple[str, tuple[int, ...]], ...]


def headers_of(rooms: Rooms) -> dict[str, str]:
    wording = _wording_of(rooms.bounds)
    if not wording.states:
        return {}
    headers = {
        "RateLimit-Policy": wording.policies,
        "RateLimit": ", ".join(_state(rooms, place, beginning) for place, beginning in wording.states),
    }
    for dimension, places in wording.openai:
        tightest = min(places, key=rooms.left.__getitem__)
        headers[f"x-ratelimit-limit-{dimension}"] = str(rooms.bounds.items[tightest].capacity)
        headers[f"x-ratelimit-remaining-{dimension}"] = str(rooms.left[tightest])
        headers[f"x-ratelimit-reset-{dimension}"] = duration(rooms.full_in_ms[tightest] / 1000)
    return headers


@lru_cache(maxsize=4096)
def _wording_of(bounds: Bounds) -> _Wording:
    told = [(place, bound) for place, bound in enumerate(bounds.items) if bound.kind in _TOLD]
    openai = (
        (dimension.value, tuple(place for place, bound in told if bound.dimension is dimension))
        for dimension in _OPENAI
    )
    return _Wording(
        ", ".join(_policy(bound) for _, bound in told),
        tuple((place, f'"{bound.name}";r=') for place, bound in told),
        tuple((dimension, places) for dimension, places in openai if places),
    )


def _policy(bound: Bound) -> str:
    window = f";w={bound.period_s}" if bound.period_s else ""
    return f'"{bound.name}";q={bound.capacity}{window}{_UNITS.get(bound.dimension, "")}'


def _state(rooms: Rooms, place: int, beginning: str) -> str:
    reset = f";t={math.ceil(rooms.full_in_ms[place] / 1000)}" if rooms.bounds.items[place].period_s else ""
    return f"{beginning}{rooms.left[place]}{reset}"


def duration(seconds: float) -> str:
    """As OpenAI writes it: `12ms`, `7.66s`, `6m0s`, `1h0m3s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest_s = divmod(seconds, 60)
    if not minutes:
        return f"{rest_s:.2f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{math.floor(rest_s)}s"
