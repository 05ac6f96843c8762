"""Writes the growing output of all streaming jobs, a few times a second, in one call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from quill.errors import Unavailable
from quill.result import TokenLogprob
from quill.store import calls
from quill.store.attempt import Chunk, Claim
from quill.store.run import Store
from worker.engines.base import Delta, OnDelta
from worker.holdings import AttemptKey

_log = structlog.get_logger(__name__)


def _key(owner: Claim | Chunk) -> AttemptKey:
    return owner.job_id, owner.attempt


@dataclass(slots=True)
class _Grown:
    """One answer's output that is in no chunk yet; it merges, so its size is bounded by the answer's."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def add(self, delta: Delta) -> None:
        self.text.append(delta.text)
        self.reasoning.append(delta.reasoning)
        self.logprobs += delta.logprobs

    def as_json(self, choice: int) -> str:
        fields = {
            "choice": choice,
            "text": "".join(self.text),
            "reasoning": "".join(self.reasoning),
            "logprobs": [told.model_dump() for told in self.logprobs],
        }
        return json.dumps({name: value for name, value in fields.items() if value}, ensure_ascii=False)


@dataclass(slots=True)
class _Pending:
    claim: Claim
    #: By choice.
    grown: dict[int, _Grown] = field(default_factory=dict)
    number: int = 0

    def add(self, delta: Delta) -> None:
        self.grown.setdefault(delta.choice, _Grown()).add(delta)

    def take(self) -> list[Chunk]:
        """The next chunks, one for each answer that grew."""
        grown, self.grown = self.grown, {}
        return [self._chunk(part.as_json(choice)) for choice, part in sorted(grown.items())]

    def _chunk(self, data: str) -> Chunk:
        self.number += 1
        return Chunk(self.claim.job_id, self.claim.attempt, self.claim.token, self.number, data)


class Flusher:
    def __init__(
        self, store: Store, period_s: float, ttl_s: float, on_fenced: Callable[[list[Chunk]], object]
    ) -> None:
        self._store = store
        self._period_s = period_s
        self._ttl_s = ttl_s
        self._on_fenced = on_fenced
        self._pending: dict[AttemptKey, _Pending] = {}
        #: Guards the buffers; held for moments, since the engine's thread takes it for every token.
        self._buffers = threading.Lock()
        #: Held during a write, so that a job's tail never overtakes what is under way.
        self._writing = threading.Lock()
        #: What the last write may or may not have brought; nothing new goes out before it has once more.
        self._unwritten: list[Chunk] = []
        self._is_away = False
        #: Somebody waits for the first of an answer, which is worth a write of its own.
        self._is_urgent = threading.Event()
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="quill-flusher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._has_ended.set()
        self._is_urgent.set()
        self._thread.join()

    def open(self, claim: Claim) -> OnDelta:
        """Gives the function that the engine calls with this attempt's output."""
        pending = _Pending(claim)
        with self._buffers:
            self._pending[_key(claim)] = pending

        def on_delta(delta: Delta) -> None:
            with self._buffers:
                is_first = not (pending.number or pending.grown)
                pending.add(delta)
            if is_first:
                self._is_urgent.set()

        return on_delta

    def close(self, claim: Claim) -> list[Chunk]:
        """Ends an attempt's output and gives what is not written yet, for `finish` to write."""
        with self._writing:
            with self._buffers:
                pending = self._pending.pop(_key(claim), None)
                last = pending.take() if pending else []
            left = [chunk for chunk in self._unwritten if _key(chunk) == _key(claim)]
            self._unwritten = [chunk for chunk in self._unwritten if _key(chunk) != _key(claim)]
        return [*left, *last]

    def _loop(self) -> None:
        while True:
            self._is_urgent.wait(self._period_s)
            self._is_urgent.clear()
            if self._has_ended.is_set():
                return
            self.flush()

    def flush(self) -> None:
        with self._writing:
            self._unwritten = self._unwritten or self._taken()
            if not self._unwritten:
                return
            try:
                fenced = self._store.run(calls.emit(self._unwritten, self._ttl_s))
            except Unavailable:
                self._note_away()
                return
            self._unwritten = []
            self._is_away = False
        if fenced:
            self._on_fenced(fenced)

    def _taken(self) -> list[Chunk]:
        with self._buffers:
            return [chunk for pending in self._pending.values() for chunk in pending.take()]

    def _note_away(self) -> None:
        if not self._is_away:
            _log.warning("output cannot be written yet; it is kept", action="emit_failed")
        self._is_away = True
