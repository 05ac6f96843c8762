"""From a request's bytes to JSON that is safe to read: bounded, strict UTF-8, shallow, no surprises."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar

import numpy as np
from fastapi import Request
from pydantic import BaseModel, ValidationError

from gateway.problems import fault_of, pointer
from quill.errors import BodyTooLarge, Fault, InvalidRequest, MalformedBody, UnsupportedMediaType

Model = TypeVar("Model", bound=BaseModel)

#: Deeper than any request of ours; the parser's own stack is far away from it.
DEPTH_AT_MOST = 32
#: Wrong places that one answer names; a body can have as many as it has bytes.
FAULTS_AT_MOST = 20
#: Down and up, as signed bytes.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(set(range(256)) - set(b'[{]}"'))
#: The only thing that a model's own parser takes and `parse_json` does not.
_CONSTANTS = (b"NaN", b"Infinity")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
#: A high one without a low one behind it, or a low one without a high one before it, where no `\\` is left.
_LONE_ESCAPE = re.compile(
    rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])", re.DOTALL
)
#: Commas and brackets of a body in which the place of a surrogate is looked for, a microsecond each.
_PLACES_AT_MOST = 10_000
_JSON = re.compile(rb"application/(?:[\w.+-]+\+)?json\s*(?:;|$)", re.IGNORECASE)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Raises ``BodyTooLarge`` before more than ``max_bytes`` were taken, ``UnsupportedMediaType``."""
    given = dict(request.scope["headers"])
    if not _JSON.match(given.get(b"content-type", b"")):
        raise UnsupportedMediaType
    declared = given.get(b"content-length", b"")
    # `int` takes no thousands of digits; without the zeros before them llhttp has let twenty through at most.
    if declared.isdigit() and int(declared.lstrip(b"0") or b"0") > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {max_bytes} bytes, which is what this gateway takes.")


def _depth(body: bytes) -> int:
    """0 for what has too few brackets to be deep. A loop in Python took a second for a megabyte."""
    if body.count(b"[") + body.count(b"{") <= DEPTH_AT_MOST:
        return 0
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Strings that stand side by side now are one, which is nothing to what is outside of them.
    marks = unescaped.translate(_STEPS, _OTHERS).replace(b'""', b"")
    outside = b"".join(marks.split(b'"')[::2])
    return int(np.cumsum(np.frombuffer(outside, np.int8), dtype=np.int32).max(initial=0))


def _refuse_constant(_: str) -> NoReturn:
    raise MalformedBody("The body has a number that JSON does not know (NaN or Infinity).")


def _surrogates(value: Any, path: tuple[str | int, ...] = ()) -> Fault | None:
    if isinstance(value, str):
        return Fault(pointer(path), "must not contain lone surrogates") if _SURROGATE.search(value) else None
    items: Any = ()
    if isinstance(value, dict):
        if any(_SURROGATE.search(name) for name in value):
            return Fault(pointer(path), "must not contain lone surrogates in names")
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    found = (_surrogates(item, (*path, name)) for name, item in items)
    return next((fault for fault in found if fault), None)


def _check_depth(body: bytes) -> None:
    if _depth(body) > DEPTH_AT_MOST:
        raise MalformedBody(f"The body is nested deeper than {DEPTH_AT_MOST} levels.")


def parse_json(body: bytes) -> dict[str, Any]:
    """Raises ``MalformedBody`` or, with a pointer, ``InvalidRequest``."""
    _check_depth(body)
    try:
        value = json.loads(body.decode("utf-8", "strict"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedBody from error
    if not isinstance(value, dict):
        raise InvalidRequest(faults=(Fault("#", "must be an object"),))
    # In strict UTF-8 a surrogate can only be an escape.
    if b"\\u" in body and _LONE_ESCAPE.search(body.replace(b"\\\\", b"__")):
        is_small = sum(map(body.count, (b",", b"[", b"{"))) <= _PLACES_AT_MOST
        fault = _surrogates(value) if is_small else None
        raise InvalidRequest(faults=(fault or Fault("#", "must not contain lone surrogates"),))
    return value


async def read_model(request: Request, model: type[Model], max_bytes: int) -> Model:
    """The body as a strict model. Raises what the two steps before it raise, and ``InvalidRequest``."""
    body = await read_body(request, max_bytes)
    _check_depth(body)
    try:
        wanted = model.model_validate_json(body)
    except ValidationError as error:
        # Whether it is JSON at all comes first.
        parse_json(body)
        raise InvalidRequest(faults=_faults_of(error)) from None
    if any(constant in body for constant in _CONSTANTS):
        parse_json(body)
    return wanted


def _faults_of(error: ValidationError) -> tuple[Fault, ...]:
    found = error.errors(include_url=False, include_input=False)
    refused = {one["loc"][:depth] for one in found for depth in range(1, len(one["loc"]))}
    # A list whose only items were refused is called too short besides, which it was not.
    own = [one for one in found if one["type"] != "too_short" or one["loc"] not in refused]
    return tuple(fault_of(one) for one in own[:FAULTS_AT_MOST])
