"""What Celery starts and stops around the pool's life."""

from __future__ import annotations

from typing import Any, Protocol

from celery import bootsteps
from celery.worker import components


class Attendant(Protocol):
    """Something with a thread of its own that running jobs depend on."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Attendance(bootsteps.StartStopStep):
    """Starts the attendants in order before the pool, and stops them in reverse after it has drained."""

    requires = (components.Hub,)

    def __init__(self, worker: Any, attendants: tuple[Attendant, ...] = (), **options: Any) -> None:
        self._attendants = attendants
        super().__init__(worker, **options)

    def start(self, _: Any) -> None:
        for attendant in self._attendants:
            attendant.start()

    def stop(self, _: Any) -> None:
        for attendant in reversed(self._attendants):
            attendant.stop()

    terminate = stop
