"""The outermost layer of a request: its id, its one log line, and the answer to what nobody foresaw."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from quill.errors import InternalError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.background import where
from gateway.problems import problem_response

log = structlog.get_logger()

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
#: Asked for every few seconds by whoever watches; a line each would drown the others.
_PROBES = frozenset({"/healthz", "/readyz"})
#: What proxies call a request whose client went away.
_CLIENT_WENT_AWAY = 499


class Access:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        began_s, status = time.perf_counter(), None

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_marked)
        except ClientDisconnect:
            status = status or _CLIENT_WENT_AWAY
        except Exception as error:
            # Not raised again: the server would log the message, which may quote a prompt.
            log.error(
                "A request failed through a fault of ours",
                action="request_failed",
                error_type=type(error).__name__,
                where=where(error),
            )
            if status is None:
                await problem_response(InternalError(), request_id)(scope, receive, send_marked)
        finally:
            _log_line(scope, status, time.perf_counter() - began_s)
            structlog.contextvars.unbind_contextvars("request_id")


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _SANE_ID.fullmatch(given) else "req_" + secrets.token_hex(12)


def _log_line(scope: Scope, status: int | None, elapsed_s: float) -> None:
    template = getattr(scope.get("route"), "path", None)
    write = log.debug if template in _PROBES else log.info
    write(
        "Request",
        action="request",
        method=scope["method"],
        route=template,
        status=status,
        ms=round(elapsed_s * 1000, 1),
    )
