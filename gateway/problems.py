"""Errors as application/problem+json (RFC 9457); of what was sent, only short names of fields get in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from gateway import ratelimit
from quill.errors import (
    Fault,
    InvalidApiKey,
    InvalidRequest,
    MethodNotAllowed,
    QuillError,
    RateLimited,
    RequestError,
    RouteNotFound,
)

MEDIA_TYPE = "application/problem+json"
#: Characters of a field's name that an answer repeats.
_NAME_AT_MOST = 64
#: For errors that say only that the same request may be sent again.
_RETRY_AFTER_S = 1.0
#: OpenAI's SDKs wait no longer than this before a next try.
_SDK_PATIENCE_S = 120.0


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable: what a program should look at.")
    request_id: str
    errors: tuple[Fault, ...] | None = None
    violated_policies: tuple[str, ...] | None = Field(
        default=None,
        serialization_alias="violated-policies",
        description="The limits that are reached, as RateLimit-Policy names them.",
    )


def pointer(path: Sequence[str | int]) -> str:
    """RFC 6901, as a URI fragment. It ends before a name that is too long to be repeated."""
    short = itertools.takewhile(lambda part: len(part) <= _NAME_AT_MOST, map(str, path))
    return "#" + "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in short)


def problem_of(error: QuillError, request_id: str) -> Problem:
    return Problem(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.message,
        code=error.code,
        request_id=request_id,
        errors=error.faults or None,
        violated_policies=error.violated if isinstance(error, RateLimited) else None,
    )


def problem(error: QuillError, request_id: str) -> Response:
    body = problem_of(error, request_id)
    headers = ratelimit.headers_of(error.rooms) if isinstance(error, RateLimited) and error.rooms else {}
    retry_after_s = error.retry_after_s
    if retry_after_s is None and error.retryable:
        retry_after_s = _RETRY_AFTER_S
    if retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(retry_after_s))
    if isinstance(error, InvalidApiKey):
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == HTTPStatus.CONFLICT or (retry_after_s or 0) > _SDK_PATIENCE_S:
        # OpenAI's SDKs repeat a 409 unless they are told not to, and come back early if the wait is long.
        headers["x-should-retry"] = "false"
    return Response(body.model_dump_json(exclude_none=True, by_alias=True), error.status, headers, MEDIA_TYPE)


#: pydantic's error types -> our sentences; its own can quote the input.
_SENTENCES: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "tuple_type": "must be an array",
    "list_type": "must be an array",
    "finite_number": "must be a finite number",
    "string_pattern_mismatch": "has characters that are not allowed here",
    "string_unicode": "must be valid Unicode",
    "int_parsing": "must be an integer",
    "float_parsing": "must be a number",
    "int_parsing_size": "is too large",
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("must be greater than {}", "gt"),
    "greater_than_equal": ("must be at least {}", "ge"),
    "less_than": ("must be less than {}", "lt"),
    "less_than_equal": ("must be at most {}", "le"),
    "string_too_long": ("must have at most {} characters", "max_length"),
    "string_too_short": ("must have at least {} characters", "min_length"),
    "too_long": ("must have at most {} items", "max_length"),
    "too_short": ("must have at least {} items", "min_length"),
    "literal_error": ("must be one of {}", "expected"),
    "enum": ("must be one of {}", "expected"),
}


def fault_of(error: Mapping[str, Any], root: Sequence[str | int] = ()) -> Fault:
    """Our words for one of pydantic's errors."""
    kind = error["type"]
    place = pointer([*root, *(part for part in error["loc"] if part != "[key]")])
    if kind in _BOUNDS:
        sentence, name = _BOUNDS[kind]
        return Fault(place, sentence.format(error["ctx"][name]))
    if kind == "value_error":
        return Fault(place, str(error["ctx"]["error"]))
    return Fault(place, _SENTENCES.get(kind, "is not valid"))


def _of_http(error: HTTPException) -> QuillError:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return RouteNotFound()
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed()
    return RequestError()


def install(app: FastAPI) -> None:
    """Every error of a route leaves through here; a defect of ours is answered by `Access`."""

    def request_id(request: Request) -> str:
        return str(request.scope.get("request_id", ""))

    @app.exception_handler(QuillError)
    async def ours(request: Request, error: QuillError) -> Response:
        return problem(error, request_id(request))

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, error: RequestValidationError) -> Response:
        faults = tuple(fault_of(one) for one in error.errors())
        return problem(InvalidRequest(faults=faults), request_id(request))

    @app.exception_handler(HTTPException)
    async def frameworks(request: Request, error: HTTPException) -> Response:
        response = problem(_of_http(error), request_id(request))
        response.headers.update(error.headers or {})
        return response
