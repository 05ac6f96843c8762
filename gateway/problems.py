"""Errors as the caller sees them: application/problem+json (RFC 9457), and nothing of the request in it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from quill.errors import (
    Fault,
    InvalidRequest,
    MethodNotAllowed,
    QuillError,
    RequestError,
    RouteNotFound,
    Unavailable,
)
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

MEDIA_TYPE = "application/problem+json"

#: What an answer that the service is unavailable asks for if the error itself does not say.
_RETRY_AFTER_S = 1.0

_BY_STATUS: dict[int, type[RequestError]] = {404: RouteNotFound, 405: MethodNotAllowed}


class Place(BaseModel):
    """One place in the request that is wrong."""

    pointer: str | None = Field(
        default=None, description="A place in the body, as a JSON pointer in URI fragment form (RFC 6901)."
    )
    parameter: str | None = Field(default=None, description="A query parameter or a header.")
    detail: str


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str = Field(description="`urn:quill:error:` and the code.")
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; programs should look at this.")
    request_id: str
    errors: list[Place] | None = None


def _title(error: QuillError) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).capitalize()


def place_of(fault: Fault) -> Place:
    return Place(pointer="#" + quote(fault.pointer, safe="/~!$&'()*+,;=:@"), detail=fault.detail)


def _headers(error: QuillError, extra: Mapping[str, str] | None) -> dict[str, str]:
    headers = dict(extra or {})
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s or _RETRY_AFTER_S))
    if error.status == 409:
        # Clients of the OpenAI kind repeat a 409 by themselves, which never helps here.
        headers["X-Should-Retry"] = "false"
    return headers


def request_id_of(connection: HTTPConnection) -> str:
    return str(connection.scope.get("state", {}).get("request_id", ""))


def problem_response(
    error: QuillError,
    request_id: str,
    *,
    status: int | None = None,
    places: Iterable[Place] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer for an error. ``status`` overrules the error's own."""
    problem = Problem(
        type=f"urn:quill:error:{error.code}",
        title=_title(error),
        status=status or error.status,
        detail=error.message,
        code=error.code,
        request_id=request_id,
        errors=[*map(place_of, error.faults), *places] or None,
    )
    return Response(
        problem.model_dump_json(exclude_none=True),
        status_code=problem.status,
        headers=_headers(error, headers),
        media_type=MEDIA_TYPE,
    )


async def _on_quill_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, QuillError)
    return problem_response(error, request_id_of(request))


async def _on_invalid_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [Place(parameter=str(found["loc"][-1]), detail=found["msg"]) for found in error.errors()]
    return problem_response(InvalidRequest(), request_id_of(request), places=places)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    ours = _BY_STATUS.get(error.status_code, RequestError)()
    return problem_response(ours, request_id_of(request), status=error.status_code, headers=error.headers)


def add_problem_handlers(app: FastAPI) -> None:
    """Every error of a route becomes a problem; surprises are the access middleware's."""
    app.add_exception_handler(QuillError, _on_quill_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_parameters)
    app.add_exception_handler(HTTPException, _on_http_exception)
