"""What may be asked for, and by whom: rates, jobs at once, and what may wait."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

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

    @property
    def words(self) -> str:
        return f"{self.dimension} {self.scope} {self.limit} {self.period_s * 1000} {self.capacity}"


@dataclass(frozen=True, eq=False)
class Bounds:
    """All that a request has to fit into. What is worked out of them is so once, as few change."""

    items: tuple[Bound, ...] = ()

    @cached_property
    def argument(self) -> str:
        """Of the store's scripts."""
        return ",".join(bound.words for bound in self.items)

    def __add__(self, others: Bounds) -> Bounds:
        return Bounds(self.items + others.items) if others.items else self


NO_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Rooms:
    """What is left of bounds after a request, and in how many milliseconds all of each is there again."""

    bounds: Bounds = NO_BOUNDS
    left: Sequence[int] = ()
    full_in_ms: Sequence[int] = ()


NO_ROOMS = Rooms()


def bounds_of(scope: str, limits: Limits) -> Bounds:
    return Bounds(tuple(_bounds_of(scope, limits)))


def _bounds_of(scope: str, limits: Limits) -> Iterator[Bound]:
    for dimension in Dimension:
        limit: Rate | int | None = getattr(limits, dimension.value)
        if isinstance(limit, Rate):
            yield Bound(dimension, scope, limit.count, limit.period_s, limit.burst or limit.count)
        elif limit is not None:
            yield Bound(dimension, scope, limit, capacity=limit)
