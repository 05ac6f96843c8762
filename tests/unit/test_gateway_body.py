"""A body is read twice only where that tells more: what the careful reader refuses is refused anyway."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from gateway.body import DEPTH_AT_MOST, _depth, parse_json, read_model
from quill.errors import BodyTooLarge, InvalidRequest, MalformedBody, QuillError
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


def outcome(body: bytes, length: bytes = b"0") -> JobRequest | type[QuillError]:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    request = Request({"type": "http", "headers": headers}, receive)
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


@pytest.mark.parametrize(("digits", "is_taken"), [(b"2", True), (b"999999999999", False), (b"", True)])
def test_a_length_may_be_declared_with_thousands_of_zeros(digits: bytes, is_taken: bool) -> None:
    answer = outcome(BODY, b"0" * 5000 + digits)
    assert isinstance(answer, JobRequest) if is_taken else answer is BodyTooLarge


TEXTS = st.text(st.sampled_from('[]{}"\\\n\u00fcx'))
VALUES = st.recursive(
    TEXTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(VALUES, st.integers(0, DEPTH_AT_MOST + 4), st.booleans())
def test_a_body_is_refused_for_its_depth_exactly(value: object, wrapped: int, is_ascii: bool) -> None:
    """Whatever its strings look like; those around are there so that it is counted at all."""
    for _ in range(wrapped):
        value = [value]
    body = json.dumps({"a": value, "b": [[]] * DEPTH_AT_MOST}, ensure_ascii=is_ascii).encode()
    assert (refusal(body) is MalformedBody) is (1 + max(depth_of(value), 2) > DEPTH_AT_MOST)


@pytest.mark.parametrize(
    "piece", [b"[],", b"[]", b"{}", b'"[",', b'"",', b'\\"', b"[" * 30 + b"]" * 30, b"["]
)
def test_no_megabyte_of_anything_holds_up_the_event_loop(piece: bytes) -> None:
    body = b'{"nothing":[' + b"[]," * DEPTH_AT_MOST + piece * (1_000_000 // len(piece))
    times_s = []
    for _ in range(3):
        began_s = time.perf_counter()
        _depth(body)
        times_s.append(time.perf_counter() - began_s)
    assert min(times_s) < 0.03


@given(st.lists(st.sampled_from(["\\ud83d", "\\uDE00", "\\\\", "\\n", "ud83d", "\\u0041", "x"]), max_size=8))
def test_a_lone_surrogate_is_found_wherever_escapes_put_it(pieces: list[str]) -> None:
    text = "".join(pieces)
    is_lone = any("\ud800" <= char <= "\udfff" for char in json.loads(f'"{text}"'))
    assert (refusal(f'{{"a": "{text}"}}'.encode()) is InvalidRequest) is is_lone


@pytest.mark.parametrize("count", [1, 200_000])
def test_a_lone_surrogate_is_named_with_its_place_where_that_costs_little(count: int) -> None:
    body = b'{"a":[' + b"[]," * count + b'"\\ud800"]}'
    with pytest.raises(InvalidRequest) as refused:
        parse_json(body)
    assert [fault.pointer for fault in refused.value.faults] == ["#/a/1" if count == 1 else "#"]


def test_a_thousand_jobs_of_many_messages_are_not_too_deep() -> None:
    job = {"messages": [{"role": "user", "content": "x"}] * 20, "metadata": {"a": "b"}}
    parse_json(json.dumps({"jobs": [job] * 1000}).encode())
