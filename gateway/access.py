"""Names every request, writes one access line for it, and sees that no error leaves as text."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.defects import log_defect
from gateway.problems import problem
from quill.errors import InternalError

_log = structlog.get_logger(__name__)

#: What proxies note for a client that went away before it was answered.
_CLIENT_LEFT = 499
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


class Access:
    """Pure ASGI, so that streams pass through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
        scope["request_id"] = request_id
        started_s = time.perf_counter()
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_named)
            except ClientDisconnect:
                status = status or _CLIENT_LEFT
            except Exception as error:  # the server would log its text, which may be a prompt
                log_defect("internal_error", error)
                if not status:
                    await problem(InternalError(), request_id)(scope, receive, send_named)
            finally:
                route = scope.get("route")
                _log.info(
                    "request",
                    action="request",
                    method=scope["method"],
                    # The template, never the path: ids and query strings stay out of logs.
                    route=getattr(route, "path", None),
                    status=status,
                    ms=round((time.perf_counter() - started_s) * 1000, 2),
                )
