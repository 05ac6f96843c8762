"""The busiest routes, answered before the router: its layers would take as long as all that they lead to."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.caller import Direct
from gateway.problems import problem
from quill.errors import QuillError


class Express:
    """Pure ASGI. What it does not know, by method and path, it leaves to the app."""

    def __init__(self, app: ASGIApp, routes: Mapping[tuple[str, str], Direct]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        try:
            response = await route(Request(scope, receive))
        except QuillError as error:
            response = problem(error, scope["request_id"])
        await response(scope, receive, send)
