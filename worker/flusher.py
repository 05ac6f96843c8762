"""Writes the growing output of all streaming jobs, a few times a second, in one call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from quill.errors import Unavailable
from quill.store import calls
from quill.store.calls import Chunk, Claim
from quill.store.run import Store
from worker.engines.base import Delta, OnDelta

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Pending:
    """Output that is not written yet; it merges, so its size is bounded by the answer's."""

    claim: Claim
    text: list[str]
    reasoning: list[str]

    def take(self) -> str:
        parts = {"text": "".join(self.text), "reasoning": "".join(self.reasoning)}
        self.text.clear()
        self.reasoning.clear()
        filled = {name: part for name, part in parts.items() if part}
        return json.dumps(filled, ensure_ascii=False) if filled else ""


class Flusher:
    def __init__(
        self, store: Store, period_s: float, ttl_s: float, on_fenced: Callable[[list[str]], object]
    ) -> None:
        self._store = store
        self._period_s = period_s
        self._ttl_s = ttl_s
        self._on_fenced = on_fenced
        self._pending: dict[str, _Pending] = {}
        #: Guards the buffers; held for moments, since the engine's thread takes it for every token.
        self._buffers = threading.Lock()
        #: Held during a write, so that a job's tail never overtakes what is under way.
        self._writing = threading.Lock()
        self._unwritten: list[Chunk] = []
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="flusher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._has_ended.set()
        self._thread.join()

    def open(self, claim: Claim) -> OnDelta:
        """Gives the function that the engine calls with this job's output."""
        pending = _Pending(claim, [], [])
        with self._buffers:
            self._pending[claim.job_id] = pending

        def on_delta(delta: Delta) -> None:
            with self._buffers:
                pending.text.append(delta.text)
                pending.reasoning.append(delta.reasoning)

        return on_delta

    def close(self, claim: Claim) -> str:
        """Ends a job's output and gives what is not written yet, for `finish` to write."""
        with self._writing:
            with self._buffers:
                pending = self._pending.pop(claim.job_id, None)
                tail = pending.take() if pending else ""
            left = [chunk for chunk in self._unwritten if chunk.job_id == claim.job_id]
            self._unwritten = [chunk for chunk in self._unwritten if chunk.job_id != claim.job_id]
        return _merged([*(chunk.data for chunk in left), tail])

    def _loop(self) -> None:
        while not self._has_ended.wait(self._period_s):
            self.flush()

    def flush(self) -> None:
        with self._writing:
            with self._buffers:
                fresh = [
                    Chunk(pending.claim.job_id, pending.claim.attempt, pending.claim.token, data)
                    for pending in self._pending.values()
                    if (data := pending.take())
                ]
            self._unwritten.extend(fresh)
            if not self._unwritten:
                return
            try:
                fenced = self._store.run(calls.emit(self._unwritten, self._ttl_s))
            except Unavailable:
                _log.warning("output could not be written yet", action="emit_failed")
                return
            self._unwritten = []
        if fenced:
            self._on_fenced(fenced)


def _merged(chunks: list[str]) -> str:
    parts = [json.loads(chunk) for chunk in chunks if chunk]
    if not parts:
        return ""
    names = ("text", "reasoning")
    whole = {name: "".join(part.get(name, "") for part in parts) for name in names}
    return json.dumps({name: value for name, value in whole.items() if value}, ensure_ascii=False)
