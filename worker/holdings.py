"""The jobs that this worker holds right now; runner, lease keeper and flusher share it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from quill.store.attempt import Chunk, Claim, Holding
from worker.engines.base import Handle


class HeldJob:
    """One claim and, once the engine has it, the engine's handle."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self._lock = threading.Lock()
        self._handle: Handle | None = None
        self._is_stopped = False

    def attach(self, handle: Handle) -> None:
        with self._lock:
            self._handle = handle
            is_stopped = self._is_stopped
        if is_stopped:
            handle.abort()

    def stop(self) -> None:
        """Aborts the generation, now or as soon as the engine has it."""
        with self._lock:
            self._is_stopped = True
            handle = self._handle
        if handle is not None:
            handle.abort()

    @property
    def holding(self) -> Holding:
        handle = self._handle
        produced_tokens = handle.produced_tokens if handle else 0
        return Holding(self.claim.job_id, self.claim.attempt, self.claim.token, produced_tokens)


#: A claim's job and attempt: of two attempts of one job that a worker holds, the store knows the later.
AttemptKey = tuple[str, int]

#: Cancels that came before their claims; each is of moments ago.
_EARLY_CANCELS_KEPT = 256


class Holdings:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[AttemptKey, HeldJob] = {}
        #: Jobs that were cancelled between their claim and its arrival here; that is final for every attempt.
        self._cancelled: deque[str] = deque(maxlen=_EARLY_CANCELS_KEPT)
        #: Whether this worker takes no more jobs.
        self.is_closed = False
        self._hands_back = False

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[HeldJob]:
        """Keeps the claim's lease alive while the block runs; earlier attempts of its job lost theirs."""
        job, key = HeldJob(claim), (claim.job_id, claim.attempt)
        with self._lock:
            earlier = self._attempts_of(claim.job_id)
            self._held[key] = job
            must_stop = self._hands_back or claim.job_id in self._cancelled
        for attempt in (*earlier, *([job] if must_stop else [])):
            attempt.stop()
        try:
            yield job
        finally:
            with self._lock:
                self._held.pop(key, None)

    def _attempts_of(self, job_id: str) -> list[HeldJob]:
        return [job for (held_id, _), job in self._held.items() if held_id == job_id]

    def snapshot(self) -> list[Holding]:
        with self._lock:
            held = list(self._held.values())
        return [job.holding for job in held]

    def close(self) -> None:
        self.is_closed = True

    def hand_back(self) -> None:
        """Aborts everything, also what is held from now on, for other workers to run."""
        with self._lock:
            self._hands_back = True
            held = list(self._held.values())
        for job in held:
            job.stop()

    def cancel(self, job_id: str) -> None:
        """Aborts the job, now or when its claim gets here."""
        with self._lock:
            held = self._attempts_of(job_id)
            if not held:
                self._cancelled.append(job_id)
        for job in held:
            job.stop()

    def stop(self, attempts: Iterable[Holding | Chunk]) -> list[str]:
        """Aborts those of the attempts that are held here, and names their jobs: others have just ended."""
        with self._lock:
            found = [self._held.get((attempt.job_id, attempt.attempt)) for attempt in attempts]
        named = [job for job in found if job]
        for job in named:
            job.stop()
        return [job.claim.job_id for job in named]
