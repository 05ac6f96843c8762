"""The calls for what a tenant has: pages of its jobs, its dead letters, and what may become of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from quill.job import Job, JobRequest
from quill.states import State
from quill.store.call import Call, Reply
from quill.store.record import job_of, request_of


class Listing(StrEnum):
    #: Every job whose record is kept.
    OWNED = "owned"
    #: Jobs that failed and were neither replayed nor purged.
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class PageEntry:
    job_id: str
    #: Admission time, which is also the cursor for what came before it.
    admitted_us: int


def page(
    tenant: str, before_us: int | None, limit: int, listing: Listing = Listing.OWNED
) -> Call[list[PageEntry]]:
    """Gives the tenant's newest jobs that were admitted before ``before_us``."""

    def parse(_: str, reply: Reply) -> list[PageEntry]:
        return [
            PageEntry(job_id.decode(), int(at)) for job_id, at in zip(reply[::2], reply[1::2], strict=True)
        ]

    return Call("page", (listing.value, tenant, "" if before_us is None else before_us, limit), parse)


def request(tenant: str, job_id: str) -> Call[tuple[Job, JobRequest] | None]:
    """A job with what it was asked; ``None`` where the tenant has no such job."""

    def parse(_: str, reply: Reply) -> tuple[Job, JobRequest] | None:
        entry = reply[0]
        return entry and (job_of(job_id, entry), request_of(entry[1]))

    return Call("read", (tenant, 1, job_id), parse)


def purge(tenant: str, job_ids: Sequence[str]) -> Call[int]:
    """Forgets those of the jobs that are failed; gives how many."""
    return Call("purge", (tenant, State.FAILED.value, *job_ids), lambda _, reply: int(reply[0]))
