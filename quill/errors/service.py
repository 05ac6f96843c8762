"""What the service must recover from, or a caller wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quill.errors.base import Fault, QuillError

if TYPE_CHECKING:  # pydantic, a tenth of a second of every `quill --help`
    from quill.limits import Rooms


class RateLimited(QuillError):
    """A limit is reached. Nothing was accepted; send the same request again after Retry-After."""

    code = "rate_limit_exceeded"
    status = 429
    retryable = True

    def __init__(
        self,
        message: str | None = None,
        *,
        violated: tuple[str, ...] = (),
        rooms: Rooms | None = None,
        faults: tuple[Fault, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        """``violated`` names the policies, as the RateLimit-Policy header does; ``rooms`` is what is left."""
        super().__init__(message, faults=faults, retry_after_s=retry_after_s)
        self.violated = violated
        self.rooms = rooms


class Unavailable(QuillError):
    """The service cannot take the request just now. Send it again later."""

    code = "unavailable"
    status = 503
    retryable = True


class BacklogTooLong(Unavailable):
    """By the line before it the job would start later than start_by_s. Send it again after Retry-After."""

    code = "backlog_too_long"


class QueueFull(Unavailable):
    """The queue is full. Nothing was accepted; send the same request again later."""

    code = "queue_full"


class StoreUnavailable(Unavailable):
    """The queue's store does not answer. Send the same request, with the same Idempotency-Key, again."""

    code = "store_unavailable"


class TooManyConnections(Unavailable):
    """This gateway has as many connections as it takes. Close idle ones, or connect again later."""

    code = "too_many_connections"


class InternalError(QuillError):
    """Quill failed at this request through a fault of its own. The request id names it in the logs."""

    code = "internal_error"
