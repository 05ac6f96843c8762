"""Every error that Quill raises, in one tree.

QuillError
├── RequestError               the caller must change something
│   ├── MalformedBody          400  not JSON, or not JSON that can be read safely
│   ├── ContextLengthExceeded  400
│   ├── ExceedsLimit           400
│   ├── InvalidApiKey          401
│   ├── PermissionDenied       403
│   ├── ModelNotFound          404
│   ├── JobNotFound            404
│   ├── TenantNotFound         404
│   ├── KeyNotFound            404
│   ├── EndpointNotFound       404
│   ├── DeliveryNotFound       404
│   ├── RouteNotFound          404
│   ├── MethodNotAllowed       405
│   ├── JobNotCancellable      409
│   ├── TenantExists           409
│   ├── DocumentChanged        409
│   ├── NotADeadLetter         409
│   ├── TooManyEndpoints       409
│   ├── EndpointDisabled       409
│   ├── BodyTooLarge           413
│   ├── UnsupportedMediaType   415
│   ├── InvalidRequest         422
│   └── IdempotencyConflict    422
├── RateLimited                429  a limit is reached; the same request may be sent again later
├── Unavailable                the service must recover; the same request may be sent again
│   ├── BacklogTooLong         503
│   ├── QueueFull              503
│   └── StoreUnavailable       503
├── InternalError              500  a defect of ours
├── FenceError                a worker's write was refused (quill.store.refusals); it never reaches a caller
├── EngineError                why one generation failed; becomes the job's ``error``
│   ├── EngineClosed
│   ├── EngineFault
│   ├── EngineLost
│   ├── RequestUnreadable
│   ├── RunTimedOut
│   └── PoisonJob
└── OutcomeError               what the SDK raises for a job that did not succeed
    ├── JobFailed
    ├── JobCancelled
    └── JobExpired

A class carries its wire code, its HTTP status and whether the same request may simply be sent again; its
docstring is the default message, so it says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:  # pydantic, a tenth of a second of every `quill --help`
    from quill.job import JobFault


@dataclass(frozen=True, slots=True)
class Fault:
    """One place in a request that is wrong: a JSON pointer (RFC 6901) and what is expected there."""

    pointer: str
    detail: str


class QuillError(Exception):
    """Something went wrong in Quill."""

    code: ClassVar[str] = "quill_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str | None = None,
        *,
        faults: tuple[Fault, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        self.message = message or (self.__doc__ or self.code).strip()
        self.faults = faults
        self.retry_after_s = retry_after_s
        super().__init__(self.message)


class RequestError(QuillError):
    """The request cannot be served as it is."""

    code = "request_error"
    status = 400


class MalformedBody(RequestError):
    """The body is not JSON that can be read safely. Send one UTF-8 JSON object."""

    code = "malformed_body"


class ContextLengthExceeded(RequestError):
    """The prompt and the answer do not fit the model's context. Shorten the prompt or lower max_tokens."""

    code = "context_length_exceeded"


class ExceedsLimit(RequestError):
    """The request alone is larger than a limit allows. Make it smaller, or ask for a higher limit."""

    code = "request_exceeds_limit"


class InvalidApiKey(RequestError):
    """There is no valid API key. Send `Authorization: Bearer sk_...`, neither expired nor revoked."""

    code = "invalid_api_key"
    status = 401


class PermissionDenied(RequestError):
    """The API key may not do this. Use a key with the scope, model or class that it takes."""

    code = "permission_denied"
    status = 403


class ModelNotFound(RequestError):
    """No such model is served here. GET /v1/models lists the models."""

    code = "model_not_found"
    status = 404


class JobNotFound(RequestError):
    """No such job. It never existed, or its result was kept for its time and then removed."""

    code = "job_not_found"
    status = 404


class TenantNotFound(RequestError):
    """No such tenant. Create it first."""

    code = "tenant_not_found"
    status = 404


class KeyNotFound(RequestError):
    """No such API key."""

    code = "key_not_found"
    status = 404


class EndpointNotFound(RequestError):
    """No such webhook endpoint. GET /v1/webhook-endpoints lists them."""

    code = "webhook_endpoint_not_found"
    status = 404


class DeliveryNotFound(RequestError):
    """No such delivery. The endpoint never had it, or it was kept for its time and then removed."""

    code = "webhook_delivery_not_found"
    status = 404


class RouteNotFound(RequestError):
    """There is nothing at this path. GET /openapi.json lists the paths."""

    code = "route_not_found"
    status = 404


class MethodNotAllowed(RequestError):
    """This path does not take this method. GET /openapi.json lists the methods."""

    code = "method_not_allowed"
    status = 405


class JobNotCancellable(RequestError):
    """The job has ended, so it can no longer be cancelled. Its state is unchanged."""

    code = "job_not_cancellable"
    status = 409


class TenantExists(RequestError):
    """There is a tenant of this name already. Change its plan, or choose another name."""

    code = "tenant_exists"
    status = 409


class DocumentChanged(RequestError):
    """Somebody else changed it at the same time. Read it again, and change it if that is still wanted."""

    code = "document_changed"
    status = 409


class NotADeadLetter(RequestError):
    """Only a job that failed can be replayed or purged. GET /v1/dead-letters lists them."""

    code = "not_a_dead_letter"
    status = 409


class TooManyEndpoints(RequestError):
    """A tenant has no more webhook endpoints than this. Change one, or remove one first."""

    code = "too_many_webhook_endpoints"
    status = 409


class EndpointDisabled(RequestError):
    """The webhook endpoint is disabled, so nothing is sent there. Enable it first."""

    code = "webhook_endpoint_disabled"
    status = 409


class BodyTooLarge(RequestError):
    """The body is larger than this gateway takes."""

    code = "body_too_large"
    status = 413


class UnsupportedMediaType(RequestError):
    """The body must be JSON. Send it with Content-Type: application/json."""

    code = "unsupported_media_type"
    status = 415


class InvalidRequest(RequestError):
    """The request has fields that are missing, unknown or out of range; `errors` points at each."""

    code = "invalid_request"
    status = 422


class IdempotencyConflict(RequestError):
    """This Idempotency-Key was used before with another body. Use a new key for a new request."""

    code = "idempotency_conflict"
    status = 422


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
        faults: tuple[Fault, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        """``violated`` names the policies, as the RateLimit-Policy header does."""
        super().__init__(message, faults=faults, retry_after_s=retry_after_s)
        self.violated = violated


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


class InternalError(QuillError):
    """Quill failed at this request through a fault of its own. The request id names it in the logs."""

    code = "internal_error"


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


def _tree(base: type[QuillError]) -> dict[str, type[QuillError]]:
    found = {base.code: base}
    for child in base.__subclasses__():
        found |= _tree(child)
    return found


#: Wire code -> class, for clients that turn an answer back into an error.
BY_CODE: dict[str, type[QuillError]] = _tree(QuillError)
