"""A worker under supervision: when it dies, its jobs are back in their line at once."""

from __future__ import annotations

import sys
from collections.abc import Mapping

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


class WorkerChild(Child):
    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        super().__init__("worker", [sys.executable, "-m", "worker"], environment)
        self._settings = settings
        self.worker_id = ""

    def start(self) -> None:
        self.worker_id = new_worker_id()
        self.environment = {**self.environment, "QUILL_WORKER_ID": self.worker_id}
        super().start()

    def note_death(self) -> None:
        status = None if self.process is None else self.process.returncode
        _log.warning("a worker died", action="worker_died", worker_id=self.worker_id, status=status)
        store = Store.connect(self._settings, timeout_s=_BURY_S, max_connections=1)
        try:
            while store.run(calls.bury(self.worker_id)):
                pass
        except Unavailable:
            _log.warning("its jobs wait for their leases to end", action="bury_failed")
        finally:
            store.close()
