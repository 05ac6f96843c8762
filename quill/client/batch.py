"""Many alike operations of which a few run at once: what is next, what came of it. The drivers run them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from quill.errors import QuillError
from quill.job import Job

T = TypeVar("T")

#: Called with how many of how many have ended, one call at a time.
Progress = Callable[[int, int], None]

DEFAULT_CONCURRENCY = 8


class BatchIncomplete(QuillError):
    """A batch stopped at its first error, which is the ``__cause__``.

    ``jobs`` has an entry an input in the same order: what came of it, or ``None``.
    """

    code = "batch_incomplete"

    def __init__(self, jobs: Sequence[Job | None], cause: QuillError | TimeoutError) -> None:
        done = sum(job is not None for job in jobs)
        super().__init__(f"The batch stopped after {done} of {len(jobs)}: {cause}")
        self.jobs = tuple(jobs)


class Batch(Generic[T]):
    """Safe to use from several threads. After the first error nothing new is handed out."""

    def __init__(self, inputs: Sequence[T], on_progress: Progress | None) -> None:
        self._inputs = inputs
        self._jobs: list[Job | None] = [None] * len(inputs)
        self._on_progress = on_progress
        self._given = self._done = 0
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    def runners(self, concurrency: int) -> int:
        return max(1, min(concurrency, len(self._inputs)))

    def take(self) -> tuple[int, T] | None:
        """The next input with its index, or ``None`` if there is no more to do."""
        with self._lock:
            if self._error is not None or self._given == len(self._inputs):
                return None
            index = self._given
            self._given += 1
            return index, self._inputs[index]

    def put(self, index: int, job: Job) -> None:
        with self._lock:
            self._jobs[index] = job
            self._done += 1
            if self._on_progress is not None:
                self._on_progress(self._done, len(self._inputs))

    def stop(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error

    def jobs(self) -> list[Job]:
        """In the order of the inputs. Raises ``BatchIncomplete``, or a defect as it came."""
        if isinstance(self._error, QuillError | TimeoutError):
            raise BatchIncomplete(self._jobs, self._error) from self._error
        if self._error is not None:
            raise self._error
        return [job for job in self._jobs if job is not None]
