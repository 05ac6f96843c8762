"""Bytes from a stranger -> JobRequest, in bounded memory, time and depth; never an echo of what was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import accumulate

from pydantic import ValidationError
from quill.errors import BodyTooLarge, Fault, InvalidRequest, MalformedBody, UnsupportedMediaType
from quill.job import JobRequest
from starlette.requests import Request

#: Brackets within brackets; a JobRequest needs three.
_DEPTH_AT_MOST = 32
#: Wrong places that one answer names.
_FAULTS_AT_MOST = 20
#: A longer key is not repeated in a pointer, which then names its parent.
_KEY_CHARS_AT_MOST = 64

_JSON = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
#: A JSON string, ended or not. Possessive, so that no input makes it look twice at a byte.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_SURROGATE = re.compile("[\ud800-\udfff]")


async def read_request(request: Request, max_bytes: int) -> JobRequest:
    """Raises ``UnsupportedMediaType``, ``BodyTooLarge``, ``MalformedBody`` or ``InvalidRequest``."""
    # A missing type is refused too: any web page may send such a body to a server on this machine.
    if not _JSON.fullmatch(request.headers.get("content-type", "")):
        raise UnsupportedMediaType
    return parse(await _read(request, max_bytes))


async def _read(request: Request, max_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
    return bytes(body)


def parse(body: bytes) -> JobRequest:
    """Raises ``MalformedBody`` or ``InvalidRequest``."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not UTF-8 at byte {error.start}.") from None
    if depth_of(body) > _DEPTH_AT_MOST:
        raise MalformedBody(f"The body is nested deeper than {_DEPTH_AT_MOST} levels.")
    try:
        return JobRequest.model_validate_json(body)
    except ValidationError as error:
        # The library's error holds the input, so it must not become the cause of ours.
        raise _error_of(error, text) from None


def depth_of(body: bytes) -> int:
    if body.count(b"[") + body.count(b"{") <= _DEPTH_AT_MOST:
        return 0
    brackets = _STRING.sub(b"", body).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _error_of(error: ValidationError, text: str) -> MalformedBody | InvalidRequest:
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return _malformed(text, found[0]["ctx"]["error"])
    if found[0]["type"] == "model_type" and not found[0]["loc"]:
        return MalformedBody("The body must be a JSON object.", faults=(Fault("", "must be an object"),))
    places = {entry["loc"]: entry for entry in found}
    faults = [
        Fault(pointer_of(loc), _sentence(entry["msg"]))
        for loc, entry in places.items()
        if not (entry["type"] == "too_short" and _is_explained(loc, places))
    ]
    return InvalidRequest(faults=tuple(faults[:_FAULTS_AT_MOST]))


def _is_explained(loc: tuple[int | str, ...], places: object) -> bool:
    """A list whose items were all refused is called too short besides, which it was not."""
    assert isinstance(places, dict)
    return any(len(other) > len(loc) and other[: len(loc)] == loc for other in places)


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Tuple", "List")


def pointer_of(loc: tuple[int | str, ...]) -> str:
    """A JSON pointer (RFC 6901); it ends before anything that is too long to be repeated."""
    pointer = ""
    for step in loc:
        if len(str(step)) > _KEY_CHARS_AT_MOST:
            break
        pointer += "/" + str(step).replace("~", "~0").replace("/", "~1")
    return pointer


def _malformed(text: str, reason: str) -> MalformedBody:
    """Half a surrogate pair is what careless programs send, so its place is looked for."""
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    loc = next(_surrogates(document, ()), None)
    if loc is None:
        return MalformedBody(f"The body is not JSON: {reason}.")
    fault = Fault(pointer_of(loc), "holds half a surrogate pair, which is no character")
    return MalformedBody("The body holds text that is not Unicode.", faults=(fault,))


def _surrogates(value: object, loc: tuple[int | str, ...]) -> Iterator[tuple[int | str, ...]]:
    match value:
        case str() if _SURROGATE.search(value):
            yield loc
        case list():
            for index, item in enumerate(value):
                yield from _surrogates(item, (*loc, index))
        case dict():
            for key, item in value.items():
                if _SURROGATE.search(key):
                    yield loc
                yield from _surrogates(item, (*loc, key))
