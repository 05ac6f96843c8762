"""What callers were told: the auditor holds the store to it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from quill.job import Job, JobRequest
from quill.states import State


@dataclass(slots=True)
class Entry:
    """One request under one idempotency key, however often it was sent."""

    tenant: str
    key: str
    request: JobRequest
    #: Every id that it was ever given; more than one is a double.
    job_ids: set[str] = field(default_factory=set)
    #: Ends that a caller saw: (state, outcome as JSON).
    ends: set[tuple[State, str]] = field(default_factory=set)
    was_cancelled: bool = False
    #: Of each attempt that was read as a stream to its end.
    streamed: dict[int, str] = field(default_factory=dict)
    #: Another body under the same key was taken.
    was_confused: bool = False

    @property
    def job_id(self) -> str | None:
        return min(self.job_ids, default=None)


def outcome_of(job: Job) -> str:
    """What must never change once it was seen."""
    result = job.result.model_dump_json() if job.result else ""
    return result + (job.error.model_dump_json() if job.error else "")


class Ledger:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def open(self, tenant: str, key: str, request: JobRequest) -> Entry:
        entry = Entry(tenant, key, request)
        with self._lock:
            self._entries.append(entry)
        return entry

    def note_end(self, entry: Entry, job: Job) -> None:
        with self._lock:
            entry.ends.add((job.state, outcome_of(job)))

    @property
    def entries(self) -> Sequence[Entry]:
        with self._lock:
            return list(self._entries)

    @property
    def accepted(self) -> Sequence[Entry]:
        return [entry for entry in self.entries if entry.job_ids]
