"""The one reader of the store's event stream, and whom it wakes. A waiter costs no connection."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Flag, auto

from quill.store.run import AsyncStore, translated
from redis.exceptions import RedisError

#: Entries that one read takes at most.
_COUNT = 1000


class News(Flag):
    """What may have happened to a job since its watcher looked last."""

    NONE = 0
    #: Its attempt wrote more output.
    GROWN = auto()
    #: Its state, or which attempt owns it, changed; also if that cannot be ruled out.
    CHANGED = auto()


class Watch:
    """One watcher's interest in one job. Opened before the job is first read, it misses nothing."""

    def __init__(self, is_closing: asyncio.Event) -> None:
        self._is_closing = is_closing
        self._woken = asyncio.Event()
        self._news = News.NONE

    @property
    def is_closing(self) -> bool:
        """The gateway shuts down: answer now with what is known."""
        return self._is_closing.is_set()

    def notify(self, news: News) -> None:
        self._news |= news
        self._woken.set()

    async def wait(self, timeout_s: float) -> News:
        """All news since the last call, at once or as soon as there is any, none after the timeout."""
        if not self._woken.is_set():
            try:
                async with asyncio.timeout(timeout_s):
                    await self._woken.wait()
            except TimeoutError:
                return News.NONE
        self._woken.clear()
        news, self._news = self._news, News.NONE
        return news


class Events:
    """``store`` is the reader's own: its blocking read holds a connection all the time."""

    def __init__(self, store: AsyncStore, block_s: float) -> None:
        self._store = store
        self._block_ms = round(block_s * 1000)
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)
        self._is_closing = asyncio.Event()
        #: The last entry that was seen; ``None`` if some may have been missed.
        self._last: bytes | None = None

    @property
    def watched_jobs(self) -> int:
        return len(self._watches)

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Watch]:
        watch = Watch(self._is_closing)
        self._watches[job_id].add(watch)
        try:
            yield watch
        finally:
            self._watches[job_id].discard(watch)
            if not self._watches[job_id]:
                del self._watches[job_id]

    def close(self) -> None:
        """Sends every watcher home."""
        self._is_closing.set()
        self._wake_all()

    async def read(self) -> float:
        """One read; wakes whom it concerns. Raises ``Unavailable``, after which everybody is woken."""
        try:
            await self._read()
        except RedisError as error:
            self._last = None
            raise translated(error) from error
        return 0.0

    async def _read(self) -> None:
        client, stream = self._store.client, self._store.keys.events
        if self._last is None:
            newest = await client.xrevrange(stream, count=1)
            self._last = newest[0][0] if newest else b"0-0"
            self._wake_all()
        found = await client.xread({stream: self._last}, count=_COUNT, block=self._block_ms)
        for _, entries in found:
            for entry_id, fields in entries:
                self._announce(fields)
                self._last = entry_id

    def _announce(self, fields: Mapping[bytes, bytes]) -> None:
        if b"grown" in fields:
            for job_id in fields[b"grown"].decode().split():
                self._notify(job_id, News.GROWN)
        elif b"job" in fields:
            self._notify(fields[b"job"].decode(), News.CHANGED)

    def _notify(self, job_id: str, news: News) -> None:
        for watch in self._watches.get(job_id, ()):
            watch.notify(news)

    def _wake_all(self) -> None:
        for job_id in self._watches:
            self._notify(job_id, News.CHANGED)
