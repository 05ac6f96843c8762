"""What the store said of its jobs, event by event, read while everything around breaks."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import redis

_READ_S = 0.2
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """A job's change of state; the time is the store's."""

    at_ms: int
    job_id: str
    state: str
    attempt: int


class Recorder:
    """Reads the event stream from its beginning, past the store's restarts."""

    def __init__(self, port: int, stream: str) -> None:
        self._client = redis.Redis(port=port, socket_timeout=2)
        self._stream = stream
        self._last = "0-0"
        self._changes: list[Change] = []
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> list[Change]:
        """Reads on to the end of the stream; gives everything."""
        self._has_ended.set()
        self._thread.join()
        while self._read():
            pass
        self._client.close()
        return self._changes

    @property
    def changes(self) -> list[Change]:
        return list(self._changes)

    def _loop(self) -> None:
        while not self._has_ended.is_set():
            try:
                is_behind = self._read()
            except redis.RedisError:
                is_behind = False
            if not is_behind:
                time.sleep(_READ_S)

    def _read(self) -> bool:
        """Whether there may be more."""
        entries: Any = self._client.xrange(self._stream, f"({self._last}", "+", count=_BATCH)
        for entry_id, fields in entries:
            self._last = entry_id.decode()
            if b"job" in fields:
                at_ms = int(self._last.split("-")[0])
                job_id, state = fields[b"job"].decode(), fields[b"state"].decode()
                self._changes.append(Change(at_ms, job_id, state, int(fields[b"attempt"])))
        return len(entries) == _BATCH
