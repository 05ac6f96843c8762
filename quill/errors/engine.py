"""Why one generation failed; it becomes the job's ``error``."""

from __future__ import annotations

from quill.errors.base import QuillError


class EngineError(QuillError):
    """The engine failed while it worked on this job."""

    code = "engine_error"


class EngineClosed(EngineError):
    """The engine was closed before the job ended."""

    code = "engine_closed"


class EngineFault(EngineError):
    """The engine failed under this job through no fault of the job's. It was tried as often as it may be."""

    code = "engine_fault"
    retryable = True


class EngineLost(EngineError):
    """The engine's device failed and does not answer any more. Its worker is replaced."""

    code = "engine_lost"
    retryable = True


class RequestUnreadable(EngineError):
    """The job was taken by a newer release than its workers'. Upgrade the workers, then replay it."""

    code = "request_unreadable"
    retryable = True


class RunTimedOut(EngineError):
    """The run took longer than the job's run_timeout_s; `result` has what it had produced."""

    code = "run_timed_out"


class PoisonJob(EngineError):
    """Workers crashed under this job again and again, the last one while it ran nothing else."""

    code = "poison"
