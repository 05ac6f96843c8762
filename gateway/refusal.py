"""Requests that end before the application sees them: what is said of them, and as which bytes."""

from __future__ import annotations

from http import HTTPStatus

from gateway.access import RawHeaders, protected
from gateway.problems import problem
from quill.errors import QuillError, RequestError, Unavailable


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


class TooManyConnections(Unavailable):
    """This gateway has as many connections as it takes. Close idle ones, or connect again later."""

    code = "too_many_connections"


def refusal(error: QuillError, request_id: str, server_headers: RawHeaders) -> bytes:
    """A whole answer, the last one of its connection."""
    answer = problem(error, request_id)
    own = [*server_headers, *answer.raw_headers, (b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % header for header in protected(own, request_id))
    phrase = HTTPStatus(error.status).phrase.encode()
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (error.status, phrase, head, bytes(answer.body))
