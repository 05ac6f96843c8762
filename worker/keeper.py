"""The lease keeper: one thread that renews every lease, reports health and sweeps for everybody."""

from __future__ import annotations

import threading
import time

import structlog

from quill.errors import Unavailable
from quill.pricing import ModelFacts
from quill.settings import RENEW_S
from quill.store import calls
from quill.store.refusals import UnknownWorker
from quill.store.run import Store
from worker.health import Health
from worker.holdings import Holdings
from worker.transport import DroppedTickets

_log = structlog.get_logger(__name__)

#: Between two tries while the store is away.
_RETRY_S = 0.25


class Keeper:
    def __init__(
        self,
        store: Store,
        holdings: Holdings,
        health: Health,
        *,
        worker_id: str,
        model: str,
        slots: int,
        facts: ModelFacts,
        tokenizer: bytes,
    ) -> None:
        self._store = store
        self._holdings = holdings
        self._health = health
        self._worker_id = worker_id
        self._model = model
        self._slots = slots
        self._facts = facts
        self._tokenizer = tokenizer
        self._is_draining = threading.Event()
        self._has_ended = threading.Event()
        self._wake = threading.Event()
        #: The store does not answer.
        self.is_away = False
        self._thread = threading.Thread(target=self._loop, name="quill-keeper", daemon=True)

    def start(self) -> None:
        """Waits for the store once, so that a worker which is ready is also known."""
        self._join()
        self._thread.start()

    def drain(self) -> None:
        """Takes the slots back but goes on renewing."""
        self._is_draining.set()
        self._wake.set()

    def stop(self) -> None:
        self._has_ended.set()
        self._wake.set()
        self._thread.join()

    @property
    def has_ended(self) -> threading.Event:
        """Set when the worker no longer waits for the store."""
        return self._has_ended

    def _report(self) -> str:
        state = "draining" if self._is_draining.is_set() else "serving"
        return self._health.report(state, DroppedTickets.count)

    def _join(self) -> None:
        slots = 0 if self._is_draining.is_set() else self._slots
        call = calls.join(self._worker_id, self._model, slots, self._report(), self._facts, self._tokenizer)
        while not self._has_ended.is_set():
            try:
                capacity = self._store.run(call)
            except Unavailable:
                self._note_away()
                if self._is_draining.is_set():  # it has nothing to offer, and somebody waits for its end
                    return
                self._has_ended.wait(_RETRY_S)
                continue
            _log.info("joined", action="join", slots=slots, capacity=capacity)
            return

    def _note_away(self) -> None:
        if not self.is_away:
            _log.warning("the store is away; generation goes on", action="store_away")
        self.is_away = True

    def _note_back(self) -> None:
        if self.is_away:
            _log.info("the store is back", action="store_back")
        self.is_away = False

    def _renew(self) -> None:
        try:
            fenced = self._store.run(calls.renew(self._worker_id, self._report(), self._holdings.snapshot()))
        except UnknownWorker:
            self._join()
            fenced = self._store.run(calls.renew(self._worker_id, self._report(), self._holdings.snapshot()))
        if stopped := self._holdings.stop(fenced):
            _log.warning("stops jobs that others own now", action="fenced", jobs=stopped)

    def _loop(self) -> None:
        renew_at_s = sweep_at_s = time.monotonic()
        has_left = False
        while not self._has_ended.is_set():
            self._wake.clear()
            now_s = time.monotonic()
            try:
                if self._is_draining.is_set() and not has_left:
                    self._store.run(calls.leave(self._worker_id, self._model))
                    has_left = True
                if now_s >= renew_at_s:
                    self._renew()
                    renew_at_s = now_s + RENEW_S
                if now_s >= sweep_at_s:
                    sweep = self._store.run(calls.sweep())
                    sweep_at_s = time.monotonic() + sweep.next_due_ms / 1000
                self._note_back()
                pause_s = min(renew_at_s, sweep_at_s) - time.monotonic()
            except (Unavailable, UnknownWorker):
                self._note_away()
                pause_s = _RETRY_S
            self._wake.wait(max(pause_s, 0))
        self._leave_quietly(has_left)

    def _leave_quietly(self, has_left: bool) -> None:
        if has_left:
            return
        try:
            self._store.run(calls.leave(self._worker_id, self._model))
        except Unavailable:
            _log.warning("could not say goodbye; the sweep will notice", action="leave_failed")
