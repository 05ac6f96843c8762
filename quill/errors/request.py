"""What a caller must change."""

from __future__ import annotations

from quill.errors.base import QuillError


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


class MalformedRequest(RequestError):
    """What arrived cannot be read as an HTTP request. Send it with an HTTP client, to the right port."""

    code = "malformed_request"


class RequestTimeout(RequestError):
    """The request did not arrive in full within its time. Send it again, all of it at once."""

    code = "request_timeout"
    status = 408
    retryable = True


class UrlTooLong(RequestError):
    """The URL is longer than this gateway takes. Send fewer or shorter query parameters."""

    code = "url_too_long"
    status = 414


class HeadersTooLarge(RequestError):
    """The request has more or longer headers than this gateway takes. Send fewer or shorter ones."""

    code = "headers_too_large"
    status = 431
