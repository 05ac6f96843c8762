"""Ends a worker that no longer works, so that another takes its place: nothing inside could repair it."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from contextlib import suppress

import structlog
from celery.worker import state

from quill.errors import Unavailable
from quill.standstill import Standstill
from quill.store import calls
from quill.store.run import Store
from worker.drain import Drain
from worker.engines.base import Engine, EngineStats
from worker.keeper import Keeper
from worker.transport import Reception

_log = structlog.get_logger(__name__)

#: EX_SOFTWARE of <sysexits.h>.
EXIT_STATUS = 70
_LOOK_S = 0.25
#: A step may take so many times as long as those of late before the engine counts as hung.
_HANG_STEPS = 10
#: Beyond the time after which a step counts as hung, before a process that cannot even look is ended.
_BLIND_S = 5.0
#: Between two looks: the process stood still.
_PAUSE_S = 5.0
#: Between the end of the drain and the end of Celery's own loop, if that still turns.
_LEAVE_S = 1.0


def patience_s(stats: EngineStats, hang_s: float) -> float:
    """A step that takes longer is hung."""
    return max(hang_s, _HANG_STEPS * stats.mean_step_s)


class Watchdog:
    def __init__(
        self,
        store: Store,
        engine: Engine,
        keeper: Keeper,
        drain: Drain,
        *,
        worker_id: str,
        slots: int,
        hang_s: float,
        deaf_s: float,
    ) -> None:
        self._store = store
        self._engine = engine
        self._keeper = keeper
        self._drain = drain
        self._worker_id = worker_id
        self._slots = slots
        self._hang_s = hang_s
        self._deaf_s = deaf_s
        self._standstill = Standstill(_PAUSE_S)
        #: Until then the broker had no reason to answer.
        self._excused_s = 0.0
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="quill-watchdog", daemon=True)

    def start(self) -> None:
        self._excused_s = time.monotonic()
        self._standstill.look()
        self._thread.start()

    def stop(self) -> None:
        self._has_ended.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def _loop(self) -> None:
        while True:
            self._look()
            if self._has_ended.wait(_LOOK_S):
                return

    def _look(self) -> None:
        self._standstill.look()
        stats = self._engine.stats()
        hung_s = patience_s(stats, self._hang_s)
        # A step that hangs in C code with the interpreter's lock stops this thread too, and the keeper: the
        # leases run out. A timer that needs no Python ends the process then, and prints every thread's stack.
        faulthandler.dump_traceback_later(hung_s + _BLIND_S, exit=True)
        if stats.is_lost:
            self._crash("engine_lost", "the engine's device is lost")
        if min(stats.step_age_s, self._standstill.ago_s) > hung_s:
            self._crash("engine_hung", "a step of the engine does not end", step_age_s=stats.step_age_s)
        if self._is_deaf():
            self._leave()

    def _is_deaf(self) -> bool:
        """Consumers have been seen connected, and idle for ever (celery/celery#10205)."""
        now_s = time.monotonic()
        is_busy = len(state.reserved_requests) >= self._slots
        if is_busy or self._keeper.is_away or Reception.is_over:
            self._excused_s = now_s
        silent_s = now_s - max(self._excused_s, Reception.answered_s)
        return min(silent_s, self._standstill.ago_s) > self._deaf_s

    def _crash(self, action: str, event: str, **facts: object) -> None:
        """What runs here is taken back at once, and counts as aboard a crash: one of the jobs may be why."""
        _log.error(event, action=action, **facts)
        self._drain.close()  # or what is taken back would be claimed again here
        try:
            while self._store.run(calls.bury(self._worker_id, is_crash=True)):
                pass
        except Unavailable:
            _log.warning("its jobs wait for their leases to end", action="bury_failed")
        self._exit()

    def _leave(self) -> None:
        """What runs here still runs well, so it may end."""
        _log.error("the broker does not answer, though the store does", action="consumer_deaf")
        faulthandler.cancel_dump_traceback_later()  # the drain may take longer
        self._drain.begin()
        self._drain.is_done.wait(self._drain.patience_s + _LEAVE_S)
        self._exit()

    def _exit(self) -> None:
        """Without any cleaning up: a thread that hangs in C code would hold that up for ever."""
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(EXIT_STATUS)


def end_with_threads() -> None:
    """From here on a thread of ours that ends by a defect takes the process along.

    Without its keeper a worker would lose every job that it takes, without its engine none would ever end.
    """

    def end(failed: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(failed)
        if failed.thread is not None and failed.thread.name.startswith("quill-"):
            os._exit(EXIT_STATUS)

    threading.excepthook = end
