"""How a worker stops: it takes no more tickets, lets what runs finish for a while, and hands back the rest.

Celery's own warm shutdown ends its loop first; a ticket that was under way by then would lie in a buffer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from celery.worker import state

from worker.holdings import Holdings
from worker.keeper import Keeper
from worker.transport import Reception

_log = structlog.get_logger(__name__)

_LOOK_S = 0.02
#: Between two looks whether it shall begin.
_LISTEN_S = 0.1
#: For handing back; a store that is away for longer finds the leases run out.
_HAND_BACK_S = 5.0


class Drain:
    def __init__(self, holdings: Holdings, keeper: Keeper, grace_s: float) -> None:
        self._holdings = holdings
        self._keeper = keeper
        self._grace_s = grace_s
        # Plain attributes: a signal may interrupt the very code that holds an event's lock.
        self._has_begun = False
        #: Nothing runs here any more.
        self.is_done = threading.Event()
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="quill-drain", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin(self) -> None:
        """The second time it ends the grace. Signal handlers may call it."""
        if self._has_begun:
            self._grace_s = 0.0
        self._has_begun = True

    def close(self) -> None:
        """This worker takes no more jobs."""
        Reception.is_over = True
        self._holdings.close()
        self._keeper.drain()

    @property
    def patience_s(self) -> float:
        """It is done after so long, at the latest."""
        return self._grace_s + _HAND_BACK_S

    def stop(self) -> None:
        self._has_ended = True
        self._thread.join()

    def _run(self) -> None:
        while not self._has_begun:
            if self._has_ended:
                return
            time.sleep(_LISTEN_S)
        _log.info("takes no more jobs", action="drain", running=len(self._holdings.snapshot()))
        self.close()
        if not self._is_idle_within(lambda: self._grace_s):
            _log.warning("hands back what has not ended in time", action="hand_back", grace_s=self._grace_s)
            self._holdings.hand_back()
            if not self._is_idle_within(lambda: _HAND_BACK_S):
                self._keeper.has_ended.set()
        self.is_done.set()
        state.should_stop = 0

    def _is_idle_within(self, patience_s: Callable[[], float]) -> bool:
        began_s = time.monotonic()
        while Reception.is_waiting or state.reserved_requests or self._holdings.snapshot():
            if time.monotonic() - began_s > patience_s():
                return False
            time.sleep(_LOOK_S)
        return True
