"""Every error that Quill raises, in one tree.

QuillError
├── RequestError               the caller must change something
│   ├── MalformedRequest       400  not HTTP
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
│   ├── RequestTimeout         408
│   ├── JobNotCancellable      409
│   ├── TenantExists           409
│   ├── DocumentChanged        409
│   ├── NotADeadLetter         409
│   ├── TooManyEndpoints       409
│   ├── EndpointDisabled       409
│   ├── BodyTooLarge           413
│   ├── UrlTooLong             414
│   ├── UnsupportedMediaType   415
│   ├── InvalidRequest         422
│   ├── IdempotencyConflict    422
│   └── HeadersTooLarge        431
├── RateLimited                429  a limit is reached; the same request may be sent again later
├── Unavailable                the service must recover; the same request may be sent again
│   ├── BacklogTooLong         503
│   ├── QueueFull              503
│   ├── TooManyConnections     503
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

from quill.errors.base import Fault, QuillError
from quill.errors.engine import (
    EngineClosed,
    EngineError,
    EngineFault,
    EngineLost,
    PoisonJob,
    RequestUnreadable,
    RunTimedOut,
)
from quill.errors.outcome import JobCancelled, JobExpired, JobFailed, OutcomeError
from quill.errors.request import (
    BodyTooLarge,
    ContextLengthExceeded,
    DeliveryNotFound,
    DocumentChanged,
    EndpointDisabled,
    EndpointNotFound,
    ExceedsLimit,
    HeadersTooLarge,
    IdempotencyConflict,
    InvalidApiKey,
    InvalidRequest,
    JobNotCancellable,
    JobNotFound,
    KeyNotFound,
    MalformedBody,
    MalformedRequest,
    MethodNotAllowed,
    ModelNotFound,
    NotADeadLetter,
    PermissionDenied,
    RequestError,
    RequestTimeout,
    RouteNotFound,
    TenantExists,
    TenantNotFound,
    TooManyEndpoints,
    UnsupportedMediaType,
    UrlTooLong,
)
from quill.errors.service import (
    BacklogTooLong,
    InternalError,
    QueueFull,
    RateLimited,
    StoreUnavailable,
    TooManyConnections,
    Unavailable,
)

__all__ = [
    "BY_CODE",
    "BacklogTooLong",
    "BodyTooLarge",
    "ContextLengthExceeded",
    "DeliveryNotFound",
    "DocumentChanged",
    "EndpointDisabled",
    "EndpointNotFound",
    "EngineClosed",
    "EngineError",
    "EngineFault",
    "EngineLost",
    "ExceedsLimit",
    "Fault",
    "HeadersTooLarge",
    "IdempotencyConflict",
    "InternalError",
    "InvalidApiKey",
    "InvalidRequest",
    "JobCancelled",
    "JobExpired",
    "JobFailed",
    "JobNotCancellable",
    "JobNotFound",
    "KeyNotFound",
    "MalformedBody",
    "MalformedRequest",
    "MethodNotAllowed",
    "ModelNotFound",
    "NotADeadLetter",
    "OutcomeError",
    "PermissionDenied",
    "PoisonJob",
    "QueueFull",
    "QuillError",
    "RateLimited",
    "RequestError",
    "RequestTimeout",
    "RequestUnreadable",
    "RouteNotFound",
    "RunTimedOut",
    "StoreUnavailable",
    "TenantExists",
    "TenantNotFound",
    "TooManyConnections",
    "TooManyEndpoints",
    "Unavailable",
    "UnsupportedMediaType",
    "UrlTooLong",
]


def _tree(base: type[QuillError]) -> dict[str, type[QuillError]]:
    found = {base.code: base}
    for child in base.__subclasses__():
        found |= _tree(child)
    return found


#: Wire code -> class, for clients that turn an answer back into an error.
BY_CODE: dict[str, type[QuillError]] = _tree(QuillError)
