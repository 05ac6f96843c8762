"""A worker under supervision: when it dies, its jobs are back in their line at once."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from signal import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM

import structlog

from quill.errors import Unavailable
from quill.ids import new_worker_id
from quill.settings import Settings
from quill.store import calls
from quill.store.run import Store
from quill.supervision.child import Child

_log = structlog.get_logger(__name__)

#: A store that does not answer in this time is left to the sweep, which finds the leases run out.
_BURY_S = 1.0
#: A worker that ends by these was ended from outside: by an operator, a deploy, the kernel short of memory.
_FROM_OUTSIDE = frozenset({0, *(-number for number in (SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT))})


class WorkerChild(Child):
    def __init__(self, settings: Settings, environment: Mapping[str, str], module: str = "worker") -> None:
        """``module`` is for tests, whose workers fail on demand."""
        super().__init__("worker", [sys.executable, "-m", module], environment)
        self._settings = settings
        self.worker_id = ""

    def start(self) -> None:
        self.worker_id = new_worker_id()
        self.environment = {**self.environment, "QUILL_WORKER_ID": self.worker_id}
        super().start()

    def note_death(self, *, was_paused: bool) -> None:
        status = 0 if self.process is None else self.process.returncode
        is_crash = status not in _FROM_OUTSIDE and not was_paused
        _log.warning(
            "a worker died",
            action="worker_died",
            worker_id=self.worker_id,
            status=status,
            is_crash=is_crash,
        )
        store = Store.connect(self._settings, timeout_s=_BURY_S, max_connections=1)
        try:
            while store.run(calls.bury(self.worker_id, is_crash=is_crash)):
                pass
        except Unavailable:
            _log.warning("its jobs wait for their leases to end", action="bury_failed")
        finally:
            store.close()
