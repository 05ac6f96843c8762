"""One request inside an engine: the handle its caller holds, and the side on which the engine writes."""

from __future__ import annotations

import logging
import threading

from quill.errors import EngineError, QuillError
from quill.result import JobResult
from worker.engines.base import Delta, OnDelta

log = logging.getLogger(__name__)


class Generation:
    """The caller reads and aborts from any thread; what stands below `abort` is the engine's."""

    __slots__ = ("_ended", "_error", "_on_delta", "_result", "aborted", "produced_tokens")

    def __init__(self, on_delta: OnDelta | None = None) -> None:
        self.produced_tokens = 0
        self.aborted = False
        self._on_delta = on_delta
        self._ended = threading.Event()
        self._result: JobResult | None = None
        self._error: QuillError | None = None

    def result(self, timeout_s: float | None = None) -> JobResult:
        if not self._ended.wait(timeout_s):
            raise TimeoutError
        if self._result is None:
            raise self._error or EngineError()
        return self._result

    def abort(self) -> None:
        self.aborted = True

    def deliver(self, delta: Delta) -> None:
        """A callback that raises is not called again: its job goes on, and so do its neighbours."""
        if self._on_delta is None or not (delta.text or delta.reasoning):
            return
        try:
            self._on_delta(delta)
        except Exception:
            log.exception("A delta callback raised; it is dropped.", extra={"action": "drop_callback"})
            self._on_delta = None

    def finish(self, result: JobResult) -> None:
        self._result = result
        self._end()

    def fail(self, error: QuillError) -> None:
        self._error = error
        self._end()

    def _end(self) -> None:
        """From here on the caller sees the outcome."""
        self._ended.set()
