"""What the scripts answer when they refuse, and the errors that this stands for.

FenceError                     a worker's write was refused; it never reaches a caller
├── StaleTicket
│   └── WorkerKept
├── Fenced
├── IllegalTransition
├── RetriesSpent
├── WorkerBusy
└── UnknownWorker
"""

from __future__ import annotations

from quill.errors import (
    BacklogTooLong,
    DeliveryNotFound,
    DocumentChanged,
    EndpointDisabled,
    ExceedsLimit,
    IdempotencyConflict,
    JobNotCancellable,
    JobNotFound,
    QueueFull,
    QuillError,
    RateLimited,
    TooManyEndpoints,
)


class FenceError(QuillError):
    """A worker's write was refused."""

    code = "fence_error"


class StaleTicket(FenceError):
    """The ticket was overtaken: its job is claimed, ended or waits for a newer ticket."""

    code = "stale_ticket"


class WorkerKept(StaleTicket):
    """The worker is kept for another job, so this one went to others; ask slowly for further tickets."""

    code = "worker_kept"


class Fenced(FenceError):
    """Another attempt owns the job now, or it has ended; this attempt can no longer write."""

    code = "fenced"


class IllegalTransition(FenceError):
    """The job's state does not lead to the wanted one."""

    code = "illegal_transition"


class RetriesSpent(FenceError):
    """The job has been tried as often as it may be."""

    code = "retries_spent"


class WorkerBusy(FenceError):
    """The job gets this worker to itself as soon as nothing else runs there; claim it again soon."""

    code = "worker_busy"


class UnknownWorker(FenceError):
    """The store does not know this worker (it was silent too long); it has to join again."""

    code = "unknown_worker"


#: What a Lua script answers when it refuses -> the error it stands for. Every refusal is listed.
BY_REFUSAL: dict[str, type[QuillError]] = {
    "MISSING": JobNotFound,
    "STALE": StaleTicket,
    "FENCED": Fenced,
    "ILLEGAL": IllegalTransition,
    "SPENT": RetriesSpent,
    "BUSY": WorkerBusy,
    "KEPT": WorkerKept,
    "UNKNOWN": UnknownWorker,
    "CONFLICT": IdempotencyConflict,
    "FULL": QueueFull,
    "LATE": BacklogTooLong,
    "BEYOND": ExceedsLimit,
    "LIMITED": RateLimited,
    "ENDED": JobNotCancellable,
    "CHANGED": DocumentChanged,
    "CROWDED": TooManyEndpoints,
    "DISABLED": EndpointDisabled,
    "ABSENT": DeliveryNotFound,
}
