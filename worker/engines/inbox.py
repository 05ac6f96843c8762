"""How requests reach an engine's thread, and how it learns that it shall end."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Generic, TypeVar

from quill.errors import EngineClosed

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """Any thread puts, the engine's thread drains. What was put before the end is drained before it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self.is_closed = False
        #: Set for the engine's thread once it has drained everything.
        self.has_ended = False

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, item: Item) -> None:
        """Raises ``EngineClosed``."""
        with self._lock:
            if self.is_closed:
                raise EngineClosed
            self._queue.put(item)

    def close(self) -> None:
        with self._lock:
            if not self.is_closed:
                self.is_closed = True
                self._queue.put(None)

    def drain(self, *, wait: bool) -> list[Item]:
        """Everything that has arrived; with `wait`, at least one item or the end."""
        items: list[Item] = []
        while not self.has_ended and ((wait and not items) or not self._queue.empty()):
            item = self._queue.get()
            if item is None:
                self.has_ended = True
            else:
                items.append(item)
        return items
