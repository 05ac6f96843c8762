"""One reader of the event stream a process wakes everybody who waits for a job."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from redis.exceptions import RedisError

from quill.store.run import AsyncStore

_log = structlog.get_logger(__name__)

#: Below every socket timeout, so that a silent stream is not taken for a dead server.
_BLOCK_MS = 1000
_BATCH = 1000
_RETRY_S = 0.25


class Bell:
    """Rings when something happened to a job; rings that nobody waited for are remembered once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, timeout_s: float) -> None:
        """Returns at the next ring, or after the time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout_s)
        self._event.clear()


class Events:
    def __init__(self, store: AsyncStore) -> None:
        self._store = store
        self._bells: dict[str, set[Bell]] = {}

    @contextmanager
    def listening(self, job_id: str) -> Iterator[Bell]:
        """Listen before the first look at the job, or its end may fall between the two."""
        bell = Bell()
        self._bells.setdefault(job_id, set()).add(bell)
        try:
            yield bell
        finally:
            bells = self._bells[job_id]
            bells.discard(bell)
            if not bells:
                del self._bells[job_id]

    async def read(self) -> None:
        last = b"$"
        while True:
            try:
                last = await self._read_on(last)
            except RedisError:
                _log.warning("the event stream is away", action="events_away")
                await asyncio.sleep(_RETRY_S)
                # What happened meanwhile is unknown: everybody looks again.
                last = b"$"
                self._ring_all()

    async def _read_on(self, last: bytes) -> bytes:
        events = self._store.keys.events
        reply: Any = await self._store.client.xread({events: last}, count=_BATCH, block=_BLOCK_MS)
        if not reply:
            return last if last != b"$" else await self._newest()
        streams = reply.items() if isinstance(reply, dict) else reply
        for _, entries in streams:
            batch = entries[0] if entries and isinstance(entries[0], list) else entries
            for entry_id, fields in batch:
                last = entry_id
                self._ring(fields)
        return last

    async def _newest(self) -> bytes:
        """The last entry's id: a fixed place to read on from, where `$` would skip what comes between."""
        newest: Any = await self._store.client.xrevrange(self._store.keys.events, count=1)
        self._ring_all()
        return newest[0][0] if newest else b"0"

    def _ring(self, fields: dict[bytes, bytes]) -> None:
        if not self._bells:
            return
        for job_id in (fields.get(b"grown") or fields[b"job"]).decode().split(" "):
            for bell in self._bells.get(job_id, ()):
                bell.ring()

    def _ring_all(self) -> None:
        for bells in self._bells.values():
            for bell in bells:
                bell.ring()
