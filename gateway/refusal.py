"""Requests that end before the application sees them: what is said of them, and as which bytes."""

from __future__ import annotations

from http import HTTPStatus

from gateway.access import RawHeaders, protected
from gateway.problems import problem
from quill.errors import QuillError


def refusal(error: QuillError, request_id: str, server_headers: RawHeaders) -> bytes:
    """A whole answer, the last one of its connection."""
    answer = problem(error, request_id)
    own = [*server_headers, *answer.raw_headers, (b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % header for header in protected(own, request_id))
    phrase = HTTPStatus(error.status).phrase.encode()
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (error.status, phrase, head, bytes(answer.body))
