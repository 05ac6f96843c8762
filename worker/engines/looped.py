"""What engines have in common whose work is awaited: one thread with an event loop, one task a request."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import Future

from quill.errors import EngineClosed
from worker.engines.base import EngineInfo, OnDelta
from worker.engines.generation import Generation
from worker.engines.meter import Meter
from worker.engines.startup import refusal

log = logging.getLogger(__name__)


class TaskGeneration(Generation):
    """Aborting cancels the task that works on it."""

    __slots__ = ("_forget", "_loop", "task")

    def __init__(
        self,
        on_delta: OnDelta | None,
        loop: asyncio.AbstractEventLoop,
        forget: Callable[[TaskGeneration], None],
    ) -> None:
        super().__init__(on_delta)
        self._loop = loop
        self._forget = forget
        self.task: asyncio.Task[None] | None = None

    def _end(self) -> None:
        # First: whoever has the outcome finds it counted.
        self._forget(self)
        super()._end()

    def abort(self) -> None:
        super().abort()
        try:
            self._loop.call_soon_threadsafe(self.cancel)
        except RuntimeError:  # the loop is closed, and with it every request has ended
            return

    def cancel(self) -> None:
        """On the loop; only once the task has begun, since one that has not ends nothing."""
        if self.task is not None:
            self._loop.call_soon(self.task.cancel)


class LoopedEngine(ABC):
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="quill-engine", daemon=True)
        self._started: Future[EngineInfo] = Future()
        self._info: EngineInfo | None = None
        self._is_closed = False
        #: The loop runs, and will hear of the end.
        self._is_serving = False
        self._held: dict[TaskGeneration, asyncio.Task[None]] = {}
        self._meter = Meter()
        #: When the last output came, or the first request after a time without any.
        self._since_s = 0.0
        self._outputs = 0
        self._completed = 0

    @abstractmethod
    async def _boot(self) -> EngineInfo:
        """Raises ``EngineError`` with the reason."""

    @abstractmethod
    async def _shut_down(self) -> None:
        """No request is left."""

    def start(self) -> EngineInfo:
        with self._lock:
            if self._is_closed:
                raise EngineClosed
            if self._thread.ident is None:
                self._loop = asyncio.new_event_loop()
                self._thread.start()
        self._info = self._started.result()
        return self._info

    def close(self) -> None:
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            if not was_closed and self._is_serving:
                self._loop.call_soon_threadsafe(self._stop)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def _ready(self) -> EngineInfo:
        """Raises ``EngineClosed``."""
        if self._info is None or self._is_closed:
            raise EngineClosed("The engine is not running.")
        return self._info

    def _generation(self, on_delta: OnDelta | None) -> TaskGeneration:
        return TaskGeneration(on_delta, self._loop, self._forget)

    def _launch(self, generation: TaskGeneration, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """From any thread; ``work`` ends the generation, however it ends itself. Raises ``EngineClosed``."""
        with self._lock:
            if self._is_closed:
                raise EngineClosed("The engine is not running.")
            self._loop.call_soon_threadsafe(self._begin, generation, work)

    def _begin(self, generation: TaskGeneration, work: Callable[[], Coroutine[None, None, None]]) -> None:
        if not self._held:
            self._since_s = time.monotonic()
        generation.task = self._held[generation] = self._loop.create_task(work())

    def _forget(self, generation: TaskGeneration) -> None:
        del self._held[generation]
        self._completed += 1

    def _note(self, tokens: int) -> None:
        """An output came; on the loop."""
        now_s = time.monotonic()
        self._meter.mark(tokens, now_s - self._since_s)
        self._since_s = now_s
        self._outputs += 1

    @property
    def _silence_s(self) -> float:
        """Since nothing comes, though some answers have begun: how long a prompt is read nobody can tell."""
        has_begun = any(generation.produced_tokens for generation in list(self._held))
        return time.monotonic() - self._since_s if has_begun else 0.0

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            info = self._loop.run_until_complete(self._boot())
        except BaseException as error:  # whoever waits for the start must hear of it, whatever it was
            self._loop.close()
            self._started.set_exception(refusal(error))
            return
        with self._lock:
            self._is_serving = not self._is_closed
        self._started.set_result(info)
        if self._is_serving:
            self._loop.run_forever()
        self._loop.run_until_complete(self._shut_down())
        self._loop.close()

    def _stop(self) -> None:
        """On the loop, behind all that was launched: every request ends as aborted, then the loop does."""
        for task in self._held.values():
            self._loop.call_soon(task.cancel)
        gathered = asyncio.gather(*self._held.values(), return_exceptions=True)
        gathered.add_done_callback(lambda _: self._loop.stop())
