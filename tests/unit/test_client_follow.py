"""A stream over many connections, by a hand-driven feed: what is asked again and what the caller gets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quill.client import DeltaEvent, DoneEvent, Event, GatewayUnreachable, RestartEvent, StatusEvent
from quill.client.failures import UnexpectedAnswer
from quill.client.follow import SOUND_AFTER_S, follow
from quill.client.retry import Policy
from quill.client.steps import Answer, Feed, Item, Lost, Piece, Reply, Send
from quill.errors import JobNotFound
from quill.states import State
from tests.clients import sse, succeeded_json

OPEN = Reply(200, {}, b"")
CUT = Lost("The gateway ended a stream")
GONE = Reply(404, {}, b'{"code": "job_not_found", "detail": "No such job."}')
RUNNING = sse("status", {"id": "job_1", "state": "running", "attempt": 1, "position": None})
DONE = sse("done", succeeded_json())


def delta(number: int) -> bytes:
    return sse("delta", {"attempt": 1, "text": f"{number} "}, f"1.{number}-0")


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, DeltaEvent))


def driven(feed: Feed[Event], *answers: Answer) -> tuple[list[Event], list[Send]]:
    """The events and every sending, until the feed ends. Raises what it raises."""
    events: list[Event] = []
    sent: list[Send] = []
    left = list(answers)
    try:
        step = next(feed)
        while True:
            if isinstance(step, Item):
                events.append(step.value)
                step = next(feed)
                continue
            if isinstance(step, Send):
                sent.append(step)
            step = feed.send(left.pop(0))
    except StopIteration:
        assert not left
        return events, sent


def followed(*answers: Answer, max_retries: int = 4) -> tuple[list[Event], list[Send]]:
    return driven(follow("job_1", Policy(max_retries, draw=lambda: 1.0)), *answers)


def test_a_stream_is_typed_events_up_to_the_end() -> None:
    restart = sse("restart", {"attempt": 2})
    events, sent = followed(OPEN, Piece(RUNNING + delta(1)), Piece(restart + DONE))
    assert events[:3] == [
        StatusEvent("job_1", State.RUNNING, 1),
        DeltaEvent(1, "1 "),
        RestartEvent(2),
    ]
    assert isinstance(events[3], DoneEvent)
    assert events[3].job.result is not None
    assert len(sent) == 1
    assert "last-event-id" not in sent[0].call.headers


def test_a_cut_stream_is_taken_up_after_the_last_whole_event() -> None:
    half = delta(3)[:-5]
    answers = (OPEN, Piece(RUNNING + delta(1) + delta(2) + half), CUT, OPEN, Piece(RUNNING + delta(3) + DONE))
    events, sent = followed(*answers)
    assert sent[1].call.headers["last-event-id"] == "1.2-0"
    assert text_of(events) == "1 2 3 "
    assert sum(isinstance(event, StatusEvent) for event in events) == 1


@given(cut=st.integers(0, 400))
@settings(max_examples=60)
def test_a_cut_at_any_byte_neither_loses_nor_doubles_text(cut: int) -> None:
    deltas = [delta(number) for number in range(1, 6)]
    first = (RUNNING + b"".join(deltas))[:cut]
    seen = sum(first.count(one) for one in deltas)
    rest = RUNNING + b"".join(deltas[seen:]) + DONE
    events, sent = followed(OPEN, *([Piece(first)] if first else []), CUT, OPEN, Piece(rest))
    assert text_of(events) == "1 2 3 4 5 "
    assert sent[1].call.headers.get("last-event-id") == (f"1.{seen}-0" if seen else None)


def test_equal_pieces_of_text_are_all_news() -> None:
    twice = sse("delta", {"attempt": 1, "text": "ha"}, "1.1-0") + sse(
        "delta", {"attempt": 1, "text": "ha"}, "1.2-0"
    )
    events, _ = followed(OPEN, Piece(twice + DONE))
    assert text_of(events) == "haha"


def test_failures_in_a_row_are_bounded() -> None:
    with pytest.raises(GatewayUnreachable):
        followed(*[CUT] * 5)


def test_news_between_failures_starts_their_count_again() -> None:
    rounds = [answer for number in range(9) for answer in (OPEN, Piece(delta(number)), CUT, CUT)]
    events, _ = followed(*rounds, OPEN, Piece(DONE), max_retries=2)
    assert len(events) == 10


def test_a_gateway_that_only_repeats_the_status_is_given_up() -> None:
    told_and_cut: tuple[Answer, ...] = (OPEN, Piece(RUNNING), CUT)
    with pytest.raises(GatewayUnreachable):
        followed(*told_and_cut * 9)


def test_a_silent_connection_that_held_for_a_while_was_no_failure() -> None:
    clock = iter(float(at) for at in range(0, 10_000, int(SOUND_AFTER_S)))
    feed = follow("job_1", Policy(1, draw=lambda: 1.0, clock=lambda: next(clock)))
    silent: tuple[Answer, ...] = (OPEN, Piece(b": keep-alive\n\n"), CUT)
    events, _ = driven(feed, *silent * 9, OPEN, Piece(DONE))
    assert len(events) == 1


def test_pauses_between_connections_grow() -> None:
    _, sent = followed(CUT, CUT, CUT, OPEN, Piece(DONE))
    assert [step.pause_s for step in sent] == [0.0, 0.25, 0.5, 1.0]


def test_a_refusal_ends_the_stream() -> None:
    with pytest.raises(JobNotFound):
        followed(GONE)


def test_a_gateway_that_loses_its_store_in_the_middle_is_asked_again() -> None:
    trouble = sse("error", {"code": "store_unavailable", "message": "The store does not answer."})
    events, sent = followed(OPEN, Piece(delta(1) + trouble), CUT, OPEN, Piece(delta(2) + DONE))
    assert text_of(events) == "1 2 "
    assert len(sent) == 2


@pytest.mark.parametrize("event", ["status", "delta", "restart", "done"])
@pytest.mark.parametrize("data", ["null", "[]", '{"x": 1}', "{"])
def test_an_event_of_an_unknown_shape_is_an_unexpected_answer(event: str, data: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=event):
        followed(OPEN, Piece(f"event: {event}\ndata: {data}\n\n".encode()))


def test_kinds_of_events_and_fields_of_a_later_gateway_are_passed_over() -> None:
    later = sse("weather", {"sun": True}) + sse("delta", {"attempt": 1, "text": "x", "logprobs": []}, "1.1-0")
    events, _ = followed(OPEN, Piece(later + DONE))
    assert text_of(events) == "x"


def test_an_id_is_quoted_into_its_path() -> None:
    _, sent = driven(follow("../x?y", Policy()), OPEN, Piece(DONE))
    assert sent[0].call.path == "/v1/jobs/..%2Fx%3Fy/events"


def test_a_connection_that_brings_no_news_does_not_lose_the_place() -> None:
    answers = (OPEN, Piece(delta(1)), CUT, OPEN, Piece(RUNNING), CUT, OPEN, Piece(delta(2) + DONE))
    events, sent = followed(*answers)
    assert [step.call.headers.get("last-event-id") for step in sent] == [None, "1.1-0", "1.1-0"]
    assert text_of(events) == "1 2 "
