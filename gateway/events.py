"""One reader of the event stream a process wakes everybody who waits for a job."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError

from quill.store.run import AsyncStore, translated

_BLOCK_S = 1.0
_BATCH = 1000


def spread(pause_s: float) -> float:
    """The pause, or up to half of it less, so that thousands who came at once, as after a restart, part."""
    return pause_s * random.uniform(0.5, 1)


class Bell:
    """Rings when something happened to a job; rings that nobody waited for are remembered once.

    Thousands wait at a time, and each again after every comment: a wait is a future, a timer, and no more.
    """

    def __init__(self, *, for_output: bool = True) -> None:
        """``for_output``: also when the job only wrote something."""
        self.is_for_output = for_output
        self._has_rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        self._has_rung = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, timeout_s: float) -> bool:
        """Whether it rang, which is at once, or not within the time. For one task at a time."""
        if not self._has_rung:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(timeout_s, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
        has_rung, self._has_rung = self._has_rung, False
        return has_rung


def entries_of(reply: Any) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """What XREAD found, in whichever shape redis-py gives it: `?protocol=3` in the URL makes it another."""
    for _, entries in reply.items() if isinstance(reply, dict) else reply:
        yield from entries[0] if entries and isinstance(entries[0], list) else entries


class Events:
    def __init__(self, store: AsyncStore, store_timeout_s: float, forget: Callable[[], None]) -> None:
        """``forget`` is called when a tenant or a key was changed, or may have been."""
        self._store = store
        self._forget = forget
        # Below the socket's timeout, so that a silent stream is not taken for a dead server; 0 is for ever.
        self._block_ms = math.ceil(min(_BLOCK_S, store_timeout_s / 2) * 1000)
        #: The last entry seen; ``None`` if some may have been missed.
        self._last: bytes | None = None
        self._bells: dict[str, set[Bell]] = {}

    @contextmanager
    def listening(self, job_id: str, *, for_output: bool = True) -> Iterator[Bell]:
        """Listen before the first look at the job, or its end may fall between the two."""
        bell = Bell(for_output=for_output)
        self._bells.setdefault(job_id, set()).add(bell)
        try:
            yield bell
        finally:
            bells = self._bells[job_id]
            bells.discard(bell)
            if not bells:
                del self._bells[job_id]

    async def read(self) -> float:
        """One read. Raises ``Unavailable``."""
        try:
            if self._last is None:
                self._last = await self._newest()
                # What happened before is unknown, and from here on nothing is missed: everybody looks again.
                self._ring_all()
                self._forget()
            await self._read_on(self._last)
        except RedisError as error:
            self._last = None
            raise translated(error) from error
        return 0.0

    async def _read_on(self, last: bytes) -> None:
        events = self._store.keys.events
        reply: Any = await self._store.client.xread({events: last}, count=_BATCH, block=self._block_ms)
        for entry_id, fields in entries_of(reply):
            self._last = entry_id
            self._ring(fields)

    async def _newest(self) -> bytes:
        """The last entry's id: a fixed place to read on from, where `$` would skip what comes between."""
        newest: Any = await self._store.client.xrevrange(self._store.keys.events, count=1)
        return newest[0][0] if newest else b"0"

    def _ring(self, fields: dict[bytes, bytes]) -> None:
        if b"changed" in fields:
            self._forget()
            return
        if not self._bells:
            return
        grown = fields.get(b"grown")
        for job_id in (grown or fields[b"job"]).decode().split(" "):
            for bell in self._bells.get(job_id, ()):
                if bell.is_for_output or not grown:
                    bell.ring()

    def _ring_all(self) -> None:
        for bells in self._bells.values():
            for bell in bells:
                bell.ring()
