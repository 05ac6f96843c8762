"""The busiest routes, answered before the router: its layers would take as long as all that they lead to."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.caller import Direct
from gateway.problems import problem
from quill.errors import QuillError


class Express:
    """Pure ASGI. What it does not know, and whatever has a query, it leaves to the app."""

    def __init__(self, app: ASGIApp, routes: Sequence[tuple[str, Direct]]) -> None:
        """``routes``: methods and endpoints, the busiest first."""
        self._app = app
        self._routes = [(method, compile_path(route.path)[0], route) for method, route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._route_of(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        try:
            response = await route(Request(scope, receive))
        except QuillError as error:
            response = problem(error, scope["request_id"])
        await response(scope, receive, send)

    def _route_of(self, scope: Scope) -> Direct | None:
        if scope["type"] != "http" or scope["query_string"]:
            return None
        for method, pattern, route in self._routes:
            if method == scope["method"] and (match := pattern.match(scope["path"])):
                scope["path_params"] = match.groupdict()
                return route
        return None
