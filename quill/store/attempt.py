"""One attempt at a job, as the worker that claimed it holds it and speaks of it."""

from __future__ import annotations

from dataclasses import dataclass

from quill.errors import RequestUnreadable
from quill.job import DEFAULT_MAX_RETRIES, JobRequest
from quill.store.record import request_of


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt's right to run a job: nobody without this attempt and token may write to it."""

    job_id: str
    attempt: int
    token: str
    model: str
    tenant: str
    request_json: bytes
    is_streaming: bool
    #: From admission to this claim.
    wait_ms: int
    #: Of the request that the job came from; empty if that had none.
    traceparent: str = ""

    @property
    def request(self) -> JobRequest:
        """Parsed anew each time. Raises ``RequestUnreadable``."""
        return request_of(self.request_json)

    @property
    def max_retries(self) -> int:
        try:
            return self.request.max_retries
        except RequestUnreadable:
            return DEFAULT_MAX_RETRIES


@dataclass(frozen=True, slots=True)
class Holding:
    """What a worker says of a job that it runs."""

    job_id: str
    attempt: int
    token: str
    produced_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one attempt's output."""

    job_id: str
    attempt: int
    token: str
    #: From 1 in each attempt; what is written again under its number is written once.
    number: int
    #: JSON.
    data: str
