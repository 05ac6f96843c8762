"""What a stream tells of a job, one type an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from quill.client.failures import UnexpectedAnswer
from quill.client.sse import RawEvent
from quill.job import Job
from quill.result import TokenLogprob
from quill.states import State


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """The job came to this state."""

    id: str
    state: State
    attempt: int
    position: int | None = None


@dataclass(frozen=True, slots=True)
class DeltaEvent:
    """New output. Texts of one attempt are put together in the order in which they come."""

    attempt: int
    text: str = ""
    reasoning: str = ""
    #: Of the tokens that ``text`` completes, if they were asked for.
    logprobs: tuple[TokenLogprob, ...] = ()
    #: Which answer grew, from 0, where `n` asked for more than one.
    choice: int = 0


@dataclass(frozen=True, slots=True)
class RestartEvent:
    """A new attempt begins from nothing: drop all text and reasoning that came before."""

    attempt: int


@dataclass(frozen=True, slots=True)
class DoneEvent:
    """The job has ended, however it did; always the last event."""

    job: Job


Event: TypeAlias = StatusEvent | DeltaEvent | RestartEvent | DoneEvent

_SHAPES: dict[str, TypeAdapter[Event]] = {
    "status": TypeAdapter(StatusEvent),
    "delta": TypeAdapter(DeltaEvent),
    "restart": TypeAdapter(RestartEvent),
}


def event_of(raw: RawEvent) -> Event | None:
    """``None`` for a kind that this version does not know. Raises ``UnexpectedAnswer``."""
    try:
        if raw.event == "done":
            return DoneEvent(Job.model_validate_json(raw.data, extra="ignore"))
        shape = _SHAPES.get(raw.event)
        return shape and shape.validate_json(raw.data)
    except ValidationError as error:
        raise UnexpectedAnswer(f"A `{raw.event}` event has an unknown shape.") from error
