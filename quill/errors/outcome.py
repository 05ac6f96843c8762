"""What the SDK raises for a job that did not succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quill.errors.base import Fault, QuillError

if TYPE_CHECKING:  # pydantic, a tenth of a second of every `quill --help`
    from quill.job import JobFault


class OutcomeError(QuillError):
    """The job ended without a result."""

    code = "no_result"

    def __init__(
        self,
        message: str | None = None,
        *,
        job_id: str | None = None,
        fault: JobFault | None = None,
        faults: tuple[Fault, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        """``fault`` is the job's own ``error``; ``None`` if it ended without a word."""
        super().__init__(message, faults=faults, retry_after_s=retry_after_s)
        self.job_id = job_id
        self.fault = fault


class JobFailed(OutcomeError):
    """The job failed; its `error` says why."""

    code = "job_failed"


class JobCancelled(OutcomeError):
    """The job was cancelled."""

    code = "job_cancelled"


class JobExpired(OutcomeError):
    """The job's time was over before it ended."""

    code = "job_expired"
