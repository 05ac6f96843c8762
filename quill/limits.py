"""What may be asked for, and by whom: rates, jobs at once, and what may wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from quill.wire import Wire

#: Bounds beyond this many units a period would lose whole units to rounding in the store.
_COUNT_AT_MOST = 10**12


class Dimension(StrEnum):
    REQUESTS = "requests"
    #: Reserved for prompt and answer, settled by what was really used.
    TOKENS = "tokens"
    #: Accepted and not ended.
    CONCURRENT_JOBS = "concurrent_jobs"
    #: Accepted and not running.
    QUEUED_JOBS = "queued_jobs"
    QUEUED_BYTES = "queued_bytes"


class Rate(Wire):
    """So many in a period, evenly spread, after a burst."""

    count: int = Field(ge=1, le=_COUNT_AT_MOST)
    period_s: int = Field(default=60, ge=1, le=31 * 86_400)
    burst: int | None = Field(default=None, ge=1, le=_COUNT_AT_MOST, description="At once; absent: count.")


class Limits(Wire):
    """Of one scope; what is absent is unlimited."""

    requests: Rate | None = None
    tokens: Rate | None = None
    concurrent_jobs: int | None = Field(default=None, ge=1, le=_COUNT_AT_MOST)
    queued_jobs: int | None = Field(default=None, ge=1, le=_COUNT_AT_MOST)
    queued_bytes: int | None = Field(default=None, ge=1, le=_COUNT_AT_MOST)


@dataclass(frozen=True, slots=True)
class Bound:
    """One dimension of one scope, as the store's scripts check it."""

    dimension: Dimension
    #: Whose it is: `key/<id>`, `tenant/<id>`, `model/<name>` or `global`.
    scope: str
    limit: int
    #: Of a rate; 0 for what is counted at an instant.
    period_s: int = 0
    #: What fits at once.
    capacity: int = 0

    @property
    def kind(self) -> str:
        """Whose it is, without saying who that is."""
        return self.scope.partition("/")[0]

    @property
    def name(self) -> str:
        """As callers know it."""
        return f"{self.kind}-{self.dimension}"

    def arguments(self) -> tuple[str | int, ...]:
        return self.dimension.value, self.scope, self.limit, self.period_s * 1000, self.capacity


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of a bound after a request, and when all of it will be there again."""

    bound: Bound
    left: int
    full_in_s: float


def bounds_of(scope: str, limits: Limits) -> Iterator[Bound]:
    for dimension in Dimension:
        limit: Rate | int | None = getattr(limits, dimension.value)
        if isinstance(limit, Rate):
            yield Bound(dimension, scope, limit.count, limit.period_s, limit.burst or limit.count)
        elif limit is not None:
            yield Bound(dimension, scope, limit, capacity=limit)


def never_fits(bounds: Iterable[Bound], cost_tokens: int) -> Bound | None:
    """A limit of tokens that no waiting will make large enough for a request."""
    tokens = (bound for bound in bounds if bound.dimension is Dimension.TOKENS)
    return next((bound for bound in tokens if bound.capacity < cost_tokens), None)
