"""Who may call a route: each names the scope that it takes, or stands in the list of those that are open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from gateway.principals import LOCAL_PRINCIPAL, Principal
from gateway.state import Gateway
from quill.errors import InvalidApiKey, PermissionDenied
from quill.tenancy.records import Scope

#: For orchestrators, and for whoever wants to know how to call the others.
OPEN = frozenset({"/healthz", "/readyz"})
_KEY_HEADERS = (b"authorization", b"x-api-key")

Handler = Callable[[Request, Principal, Gateway], Awaitable[Response]]


async def authorized(request: Request, scope: Scope) -> Principal:
    """Raises ``InvalidApiKey`` or ``PermissionDenied``."""
    gateway: Gateway = request.app.state.gateway
    if gateway.settings.auth == "off":
        return LOCAL_PRINCIPAL
    principal = await gateway.principals.of(key_of(request))
    check_scope(principal, scope)
    return principal


def check_scope(caller: Principal, scope: Scope) -> None:
    """Raises ``PermissionDenied``."""
    if scope not in caller.scopes:
        raise PermissionDenied(f"The API key lacks the scope `{scope.value}`. Use one that has it.")


def key_of(request: Request) -> str:
    """Raises ``InvalidApiKey`` if there is none, or more than one."""
    given = [value for name, value in request.scope["headers"] if name in _KEY_HEADERS]
    if len(given) != 1:
        raise InvalidApiKey
    header: bytes = given[0]
    kind, _, text = header.decode("latin-1").partition(" ")
    return text.strip() if kind.lower() == "bearer" else kind


@dataclass(frozen=True, slots=True)
class Requires:
    """For a route's signature."""

    scope: Scope

    async def __call__(self, request: Request) -> Principal:
        return await authorized(request, self.scope)


class Direct:
    """An endpoint of a busy route, which needs no router to find and no signature to read."""

    def __init__(self, path: str, scope: Scope, handle: Handler) -> None:
        self.path = path
        self.scope = scope
        self._handle = handle
        self.__name__ = handle.__name__
        self.__doc__ = handle.__doc__

    async def __call__(self, request: Request) -> Response:
        return await self._handle(request, await authorized(request, self.scope), request.app.state.gateway)


def direct(path: str, scope: Scope) -> Callable[[Handler], Direct]:
    return partial(Direct, path, scope)


Submitter = Annotated[Principal, Depends(Requires(Scope.SUBMIT))]
Reader = Annotated[Principal, Depends(Requires(Scope.READ))]
Canceller = Annotated[Principal, Depends(Requires(Scope.CANCEL))]
WebhookOwner = Annotated[Principal, Depends(Requires(Scope.WEBHOOKS))]
Observer = Annotated[Principal, Depends(Requires(Scope.OBSERVE))]
Admin = Annotated[Principal, Depends(Requires(Scope.ADMIN))]


def guarded(router: APIRouter) -> APIRouter:
    """Raises ``RuntimeError`` if it has a route that anybody may call though nothing says so."""
    for route in router.routes:
        is_open = isinstance(route, APIRoute) and route.path in OPEN
        if not is_open and not (isinstance(route, APIRoute) and any(_scopes(route))):
            raise RuntimeError(f"{route} takes no scope")
    return router


def _scopes(route: APIRoute) -> Iterator[Scope]:
    asked = [route.endpoint, *(inner.call for inner in route.dependant.dependencies)]
    yield from (call.scope for call in asked if isinstance(call, Direct | Requires))
