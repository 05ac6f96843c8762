from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quill.client.sse import RawEvent, SseParser

STREAM = (
    ': keep-alive\n\nid: 1.5-0\nevent: delta\ndata: {"text":"十七 🙂"}\n\n'
    "event: status\r\ndata: first\r\ndata: second\r\n\r\n"
    "id\ndata:no space\nretry: 10\nunknown: x\nevent\n\n"
    "event: nothing\n\nid: bad\0id\ndata:  two spaces\n\ndata\n\ndata: cut off"
).encode()
EVENTS = [
    RawEvent("delta", '{"text":"十七 🙂"}', "1.5-0"),
    RawEvent("status", "first\nsecond", "1.5-0"),
    RawEvent("message", "no space", ""),
    RawEvent("message", " two spaces", ""),
    RawEvent("message", "", ""),
]


def parsed(*pieces: bytes) -> list[RawEvent]:
    parser = SseParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def test_a_whole_stream_gives_its_events() -> None:
    assert parsed(STREAM) == EVENTS


@pytest.mark.parametrize("at", range(len(STREAM)))
def test_a_cut_at_any_byte_changes_nothing(at: int) -> None:
    assert parsed(STREAM[:at], STREAM[at:]) == EVENTS


def test_single_bytes_give_the_same_events() -> None:
    assert parsed(*(bytes([byte]) for byte in STREAM)) == EVENTS


@given(cuts=st.lists(st.integers(0, len(STREAM))))
def test_cuts_anywhere_change_nothing(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert parsed(*(STREAM[a:b] for a, b in pairwise(edges))) == EVENTS


@given(st.lists(st.binary()))
def test_no_bytes_make_the_parser_fail(pieces: list[bytes]) -> None:
    parsed(*pieces)


@given(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])))
def test_any_line_of_text_comes_through(text: str) -> None:
    assert parsed(f"data: {text}\n\n".encode()) == [RawEvent("message", text, "")]


def test_an_event_that_was_not_ended_is_not_given() -> None:
    assert parsed(b"id: 1\nevent: delta\ndata: {}\n") == []
