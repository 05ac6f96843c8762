"""The jobs that this worker holds right now; runner, lease keeper and flusher share it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from quill.store.calls import Claim, Holding
from worker.engines.base import Handle


class HeldJob:
    """One claim and, once the engine has it, the engine's handle."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self._lock = threading.Lock()
        self._handle: Handle | None = None
        self._is_stopped = False
        #: Whether it was stopped so that another worker can run it.
        self.is_handed_back = False

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

    def hand_back(self) -> None:
        self.is_handed_back = True
        self.stop()

    @property
    def holding(self) -> Holding:
        handle = self._handle
        produced_tokens = handle.produced_tokens if handle else 0
        return Holding(self.claim.job_id, self.claim.attempt, self.claim.token, produced_tokens)


class Holdings:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, HeldJob] = {}
        #: Whether this worker takes no more jobs.
        self.is_closed = False
        self._hands_back = False

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[HeldJob]:
        """Keeps the claim's lease alive while the block runs."""
        job = HeldJob(claim)
        with self._lock:
            self._held[claim.job_id] = job
            if self._hands_back:
                job.hand_back()
        try:
            yield job
        finally:
            with self._lock:
                if self._held.get(claim.job_id) is job:
                    del self._held[claim.job_id]

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
            job.hand_back()

    def stop(self, job_ids: Sequence[str]) -> list[str]:
        """Aborts those of the named jobs that are held here, and names them: others have just ended."""
        with self._lock:
            named = [self._held[job_id] for job_id in job_ids if job_id in self._held]
        for job in named:
            job.stop()
        return [job.claim.job_id for job in named]
