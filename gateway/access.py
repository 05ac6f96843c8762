"""Names every request, writes one access line for it, and sees that no error leaves as text.

All of it runs for every request, so headers stay raw pairs of bytes here.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, reset_contextvars

from gateway.defects import log_defect
from gateway.problems import problem
from gateway.tracing import TRACE
from quill.errors import InternalError
from quill.trace import Trace

_log = structlog.get_logger(__name__)

RawHeaders = Iterable[tuple[bytes, bytes]]

#: What proxies note for a client that went away before it was answered.
_CLIENT_LEFT = 499
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
#: For answers that a browser was tricked into asking for (OWASP REST security cheat sheet). A route that
#: sends one of them itself means it. There is no CORS header: no other site's page may read anything.
_PROTECTION = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


def new_request_id() -> str:
    return secrets.token_hex(8)


def protected(headers: RawHeaders, request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers of any answer of ours, given the ones that are its own."""
    own = list(headers)
    names = {name for name, _ in own}
    added = [header for header in _PROTECTION if header[0] not in names]
    return [*own, *added, (b"x-request-id", request_id.encode())]


def _identified(scope: Scope) -> tuple[str, Trace]:
    """The caller's own names for its request and trace, where they are sane."""
    request_id, trace = "", None
    headers: RawHeaders = scope["headers"]
    for name, value in headers:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"traceparent":
            trace = Trace.after(value.decode("latin-1"))
    return request_id or new_request_id(), trace or Trace.begin()


class Access:
    """Pure ASGI, so that streams pass through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, trace = _identified(scope)
        scope["request_id"] = request_id
        started_s = time.perf_counter()
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = protected(message.get("headers", ()), request_id)
            await send(message)

        named = bind_contextvars(request_id=request_id, trace_id=trace.trace_id)
        traced = TRACE.set(trace)
        try:
            await self._app(scope, receive, send_named)
        except ClientDisconnect:
            status = status or _CLIENT_LEFT
        except Exception as error:  # the server would log its text, which may be a prompt
            log_defect("internal_error", error)
            if not status:
                await problem(InternalError(), request_id)(scope, receive, send_named)
        finally:
            _log_access(scope, status, time.perf_counter() - started_s)
            TRACE.reset(traced)
            reset_contextvars(**named)


def _log_access(scope: Scope, status: int, took_s: float) -> None:
    _log.info(
        "request",
        action="request",
        method=scope["method"],
        # The template, never the path: ids and query strings stay out of logs.
        route=getattr(scope.get("route"), "path", None),
        status=status,
        ms=round(took_s * 1000, 2),
    )
