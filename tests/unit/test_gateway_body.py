"""A body is read twice only where that tells more: what the careful reader refuses is refused anyway."""

from __future__ import annotations

import asyncio
import json

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from gateway.body import parse_json, read_model
from quill.errors import InvalidRequest, MalformedBody, QuillError
from quill.job import JobRequest

BODY = json.dumps(
    {
        "prompt": 'What is "17" + 25?\n\u00fc\U0001f600',
        "temperature": 0.5,
        "max_tokens": 64,
        "metadata": {"a": "b"},
        "stop": ["x", "y"],
    },
    ensure_ascii=False,
).encode()
PIECES = (
    b"NaN",
    b"-Infinity",
    b"1e999",
    b'"\\ud800"',
    b"\\ud800",
    b"\\udc00\\ud800",
    b"\xed\xa0\x80",
    b"\xff",
    b"\x00",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"01",
    b"null",
    b"\\x",
    b"9" * 5000,
    b"[" * 40,
)


def outcome(body: bytes) -> JobRequest | type[QuillError]:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    request = Request({"type": "http", "headers": [(b"content-type", b"application/json")]}, receive)
    try:
        return asyncio.run(read_model(request, JobRequest, 1_000_000))
    except QuillError as error:
        return type(error)


def refusal(body: bytes) -> type[QuillError] | None:
    try:
        parse_json(body)
    except QuillError as error:
        return type(error)
    return None


@given(
    st.lists(st.tuples(st.integers(0, len(BODY)), st.integers(0, 12), st.sampled_from(PIECES)), max_size=3)
)
def test_whatever_a_body_is_broken_by_the_careful_readers_refusal_stands(
    edits: list[tuple[int, int, bytes]],
) -> None:
    body = BODY
    for place, taken, piece in edits:
        body = body[:place] + piece + body[place + taken :]
    refused = refusal(body)
    assert refused is None or outcome(body) is refused


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"prompt": "x", "temperature": NaN}', MalformedBody),
        (b'{"prompt": "x", "nothing": -Infinity}', MalformedBody),
        (b'{"prompt": "\\ud800"}', InvalidRequest),
        (b'{"prompt": "x", "nothing": ' + b"[" * 40 + b"]" * 40 + b"}", MalformedBody),
        (b'{"prompt": "x", "nothing": 1}', InvalidRequest),
        (b'["prompt"]', InvalidRequest),
        (b'{"prompt": "x"', MalformedBody),
    ],
)
def test_what_is_wrong_with_a_body_is_told_by_its_first_fault(body: bytes, error: type[QuillError]) -> None:
    assert outcome(body) is error


def test_a_good_body_is_taken() -> None:
    taken = outcome(BODY)
    assert isinstance(taken, JobRequest)
    assert taken.metadata == {"a": "b"}
