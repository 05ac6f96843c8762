"""An open loop: requests leave at times of their own, whatever became of those before.

A closed loop asks less of a server that stalls, and so hides the stall. Here latency counts from the time at
which a request was meant to leave, also for one that has to wait until a connection is free. How much later
the generator came to it is its own lag: a run whose 99th percentile of that is above a millisecond measures
the generator, and is void.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from benchmarks.connection import LOST, Connection, Target, connected

CONNECTIONS = 64
LAG_AT_MOST_MS = 1.0
#: For the last replies.
_PATIENCE_S = 30.0


class Sample(NamedTuple):
    """One request. Times are from the start of the run, or from when it was due."""

    due_s: float
    lag_s: float
    latency_s: float
    status: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The percentiles are of what was accepted."""

    p50_ms: float
    p99_ms: float
    p999_ms: float
    accepted: int
    #: Other replies, by status.
    errors: Mapping[int, int]
    lag_p99_ms: float

    @property
    def is_void(self) -> bool:
        return self.lag_p99_ms > LAG_AT_MOST_MS


def poisson(
    dice: random.Random, rate_per_s: float, seconds: float, *, after_s: float = 0.0
) -> Iterator[float]:
    """When requests of callers are due who know nothing of each other."""
    due_s = after_s + dice.expovariate(rate_per_s)
    while due_s < after_s + seconds:
        yield due_s
        due_s += dice.expovariate(rate_per_s)


class Run:
    """Requests in flight, and the line of those that no connection is free for."""

    def __init__(self, target: Target, pool: Sequence[Connection], size: int) -> None:
        self.samples: list[Sample] = []
        self.all_ended = asyncio.Event()
        self._target = target
        self._size = size
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._line: deque[tuple[float, float]] = deque()
        self._open = set(pool)
        #: They take turns, so that the server finds none of them idle for long.
        self._idle = deque(pool)

    @property
    def now_s(self) -> float:
        return self._loop.time() - self._began_s

    def ask(self, due_s: float) -> None:
        self._line.append((due_s, self.now_s - due_s))
        if self._idle:
            self._ask_next(self._idle.popleft())
        elif not self._open:
            self.give_up()

    def give_up(self) -> None:
        while self._line:
            self._note(*self._line.popleft(), LOST)

    def _ask_next(self, connection: Connection) -> None:
        due_s, lag_s = self._line.popleft()
        connection.send(self._target.request, partial(self._answered, connection, due_s, lag_s))

    def _answered(self, connection: Connection, due_s: float, lag_s: float, status: int) -> None:
        self._note(due_s, lag_s, status)
        if status == LOST:
            self._open.discard(connection)
            if not self._open:
                self.give_up()
        elif self._line:
            self._ask_next(connection)
        else:
            self._idle.append(connection)

    def _note(self, due_s: float, lag_s: float, status: int) -> None:
        self.samples.append(Sample(due_s, lag_s, self.now_s - due_s, status))
        if len(self.samples) == self._size:
            self.all_ended.set()


async def offer(target: Target, dues_s: Sequence[float], connections: int = CONNECTIONS) -> list[Sample]:
    """One request at each of these times, of which there is one; gives them in the order of their ends."""
    async with connected(target.port, connections) as pool:
        run = Run(target, pool, len(dues_s))
        for due_s in dues_s:
            await asyncio.sleep(max(due_s - run.now_s, 0))
            run.ask(due_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await run.all_ended.wait()
        run.give_up()
    return run.samples


def percentile(values: Sequence[float], share: float) -> float:
    """Infinite if there is nothing: what never ends is slower than anything."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("inf")


def summary(samples: Sequence[Sample], accepted: int) -> Summary:
    latencies_ms = [sample.latency_s * 1000 for sample in samples if sample.status == accepted]
    errors = Counter(sample.status for sample in samples if sample.status != accepted)
    return Summary(
        p50_ms=percentile(latencies_ms, 0.5),
        p99_ms=percentile(latencies_ms, 0.99),
        p999_ms=percentile(latencies_ms, 0.999),
        accepted=len(latencies_ms),
        errors=dict(errors),
        lag_p99_ms=percentile([sample.lag_s * 1000 for sample in samples], 0.99),
    )
