"""A parser of server-sent events that takes bytes as they come; lines end in LF or CRLF
(https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RawEvent:
    event: str
    data: str
    #: Of this event or the last one before it that had an id.
    id: str


class SseParser:
    """Feed it pieces cut anywhere; it gives the events that are complete."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._data: list[str] = []
        self._id = ""

    def feed(self, piece: bytes) -> Iterator[RawEvent]:
        """An event that is never ended by an empty line is never given, as the standard demands."""
        # Splitting bytes is safe in UTF-8: no part of a longer character looks like a line's end.
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            found = self._take(line.removesuffix(b"\r").decode(errors="replace"))
            if found is not None:
                yield found

    def _take(self, line: str) -> RawEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
        return None

    def _dispatch(self) -> RawEvent | None:
        event, data = self._event or "message", self._data
        self._event, self._data = "", []
        return RawEvent(event, "\n".join(data), self._id) if data else None
