"""A job's events over any number of connections, none lost and none given twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from quill.client.events import DoneEvent, Event, StatusEvent, event_of
from quill.client.retry import Policy
from quill.client.sse import SseParser
from quill.client.steps import Answer, Call, Feed, Item, Piece, Read, Reply, Send

#: Three keep-alive comments in a row did not come: the connection is dead.
SILENCE_S = 45.0
#: A connection that held this long was sound, whatever it brought; its end is not one more failure in a row.
SOUND_AFTER_S = 10.0


class _Position:
    """How far the caller has got, which is what a new connection takes up from."""

    def __init__(self, job_id: str, query: Mapping[str, str] | None) -> None:
        self._path = f"/v1/jobs/{quote(job_id, safe='')}/events"
        self._query = query or {}
        self._last_id = ""
        self._status: StatusEvent | None = None

    def call(self) -> Call:
        resume = {"last-event-id": self._last_id} if self._last_id else {}
        headers = {"accept": "text/event-stream", **resume}
        return Call("GET", self._path, self._query, headers=headers, read_timeout_s=SILENCE_S)

    def news(self, parser: SseParser, piece: Piece) -> Iterator[Event]:
        """The complete events in ``piece``, without the status that a new connection tells again."""
        for raw in parser.feed(piece.data):
            self._last_id = raw.id or self._last_id
            event = event_of(raw)
            if isinstance(event, StatusEvent):
                if event == self._status:
                    continue
                self._status = event
            if event is not None:
                yield event


def follow(job_id: str, policy: Policy, query: Mapping[str, str] | None = None) -> Feed[Event]:
    """Ends after a ``DoneEvent``. Raises ``GatewayUnreachable`` after too many failures in a row, or what the
    gateway's refusal stands for."""
    position = _Position(job_id, query)
    failures, pause_s = 0, 0.0
    while True:
        answer: Answer = yield Send(position.call(), pause_s, is_stream=True)
        opened_s, parser = policy.clock(), SseParser()
        if isinstance(answer, Reply) and answer.is_success:
            answer = yield Read()
        while isinstance(answer, Piece):
            for event in position.news(parser, answer):
                failures = 0
                yield Item(event)
                if isinstance(event, DoneEvent):
                    return
            answer = yield Read()
        if policy.clock() - opened_s >= SOUND_AFTER_S:
            failures = 0
        failures += 1
        pause_s = policy.next_pause_s(failures, answer)
