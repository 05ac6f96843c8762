"""uvicorn's HTTP protocol with bounds on what one client may take: time, memory and connections.

uvicorn waits for ever for a request that has begun (https://github.com/Kludex/uvicorn/issues/157) and its
parser holds a header of any size; middleware comes too late for both.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto
from typing import ClassVar

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.access import new_request_id
from gateway.refusal import refusal
from quill.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    MalformedRequest,
    QuillError,
    RequestTimeout,
    TooManyConnections,
    UrlTooLong,
)
from quill.settings import GatewaySettings

_log = structlog.get_logger(__name__)

#: Pipelined requests that wait behind the one that is answered; nothing but a benchmark sends more.
_PIPELINED_AT_MOST = 16
#: A slow client is served as long as it takes this much of its answer, or the rest, in `write_stall_s`.
_TAKEN_AT_LEAST_BYTES = 65_536
#: After a refusal the client may go on sending: closing at once would reset the connection under the answer
#: (RFC 9112, 9.6).
_LINGER_S = 1.0
#: What separates a header's name from its value and the next name.
_SEPARATORS_BYTES = 4


class _Phase(Enum):
    """How much is here of the request that arrives."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()


def protocol_of(settings: GatewaySettings) -> type[asyncio.Protocol]:
    """What uvicorn makes one of for every connection."""

    class Bounded(BoundedProtocol):
        bounds = settings
        addresses: ClassVar[Counter[str]] = Counter()

    return Bounded


class BoundedProtocol(HttpToolsProtocol):
    bounds: ClassVar[GatewaySettings]
    #: Open connections of each remote address.
    addresses: ClassVar[Counter[str]]

    _phase = _Phase.BETWEEN
    #: What is answered now or was last; `cycle` is what arrived last.
    _running: RequestResponseCycle | None = None
    _receive_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    #: Nothing that arrives is looked at any more.
    _is_deaf = False
    #: Arrived since the parser last gave something out, so at most this much is held in it.
    _held_bytes = 0
    _head_bytes = 0
    #: Of a body whose request has been answered.
    _late_bytes = 0

    # The connection.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        # Paused then means that there is something which the client has not taken yet.
        transport.set_write_buffer_limits(high=0)
        self.addresses[self._address] += 1
        if self._is_one_too_many():
            # It is no connection that a later one would have to wait for.
            self.connections.discard(self)
            self._answer(TooManyConnections())
            transport.close()
        else:
            self._receive_timer = self.loop.call_later(self.bounds.receive_head_s, self._overdue, 0.0)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_receive_timer()
        self._stop_write_timer()
        self._leave_running()
        self.addresses[self._address] -= 1
        if not self.addresses[self._address]:
            del self.addresses[self._address]

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def _is_one_too_many(self) -> bool:
        of_one = self.bounds.max_connections_per_address
        is_greedy = 0 < of_one < self.addresses[self._address]
        return is_greedy or len(self.connections) > self.bounds.max_connections

    # What arrives.
    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self._unset_keepalive_if_required()
        if self._phase is _Phase.BETWEEN:
            self._stop_receive_timer()
            self._phase = _Phase.HEAD
        self._held_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # An upgrade is answered as any request; what comes after it may be another protocol's.
            cause = error.__context__
            self._refuse(cause if isinstance(cause, QuillError) else MalformedRequest())
        else:
            self._watch()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _PIPELINED_AT_MOST:
            raise MalformedRequest
        super().on_message_begin()
        self._phase = _Phase.HEAD
        self._held_bytes = self._head_bytes = self._late_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.bounds.max_url_bytes:
            raise UrlTooLong

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + _SEPARATORS_BYTES
        if self._head_bytes > self.bounds.max_header_bytes or len(self.headers) >= self.bounds.max_headers:
            raise HeadersTooLarge
        # Trailers must not join the headers, which the application has judged already.
        if self._phase is _Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._phase = _Phase.BODY
        if not self.pipeline:
            self._running = self.cycle

    def on_body(self, body: bytes) -> None:
        self._held_bytes = 0
        if self.cycle.response_complete:
            self._late_bytes += len(body)
            if self._late_bytes > self.bounds.max_body_bytes:
                raise BodyTooLarge
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stop_receive_timer()
        self._phase = _Phase.BETWEEN
        self._held_bytes = 0

    # The time it takes.
    def _watch(self) -> None:
        """The clock runs while the gateway waits for the client, from the moment it began to."""
        if self._held_bytes > self.bounds.max_header_bytes:
            self._refuse(HeadersTooLarge())
        elif not self._owes_an_answer:
            self._wait()

    def _wait(self) -> None:
        if self._phase is _Phase.BETWEEN:
            # It was answered before it was here in full; uvicorn waits for the next one only from answers on.
            handler = self.timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, handler)
        elif self._receive_timer is None:
            first_s = min(self.bounds.receive_head_s, self.bounds.receive_s)
            left_s = self.bounds.receive_s - first_s
            self._receive_timer = self.loop.call_later(first_s, self._overdue, left_s)

    def _overdue(self, left_s: float) -> None:
        if self._phase is _Phase.BETWEEN:
            # Nothing was asked. An answer would be taken for that of a request which is on its way.
            self.transport.close()
        elif self._phase is _Phase.BODY and left_s > 0:
            self._receive_timer = self.loop.call_later(left_s, self._overdue, 0.0)
        else:
            self._refuse(RequestTimeout())

    def _stop_receive_timer(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None

    # Its end.
    @property
    def _owes_an_answer(self) -> bool:
        """To a request that is here in full."""
        running = self._running
        if running is None or running.response_complete:
            return False
        return running is not self.cycle or self._phase is not _Phase.BODY

    def _refuse(self, error: QuillError) -> None:
        """Answers what arrived until now, and hears no more."""
        self._is_deaf = True
        self._stop_receive_timer()
        if self.transport.is_closing():
            return
        if self._owes_an_answer:
            self._last_answer().keep_alive = False
            return
        is_answered = self._phase is _Phase.BODY and self.cycle.response_started
        if not is_answered:
            self._answer(error)
        self._leave_running()
        self.flow.resume_reading()
        self.transport.write_eof()
        self._receive_timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _last_answer(self) -> RequestResponseCycle:
        """Of those that are owed; a queued request that will never be here in full is forgotten."""
        if self._phase is _Phase.BODY:
            self.pipeline.popleft()
        assert self._running is not None
        self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        return self.cycle

    def _answer(self, error: QuillError) -> None:
        scope: Mapping[str, object] = self.cycle.scope if self._phase is _Phase.BODY else {}
        request_id = str(scope.get("request_id") or new_request_id())
        status = error.status
        _log.info("refused", action="refused", code=error.code, status=status, request_id=request_id)
        self.transport.write(refusal(error, request_id, self.server_state.default_headers))

    def _leave_running(self) -> None:
        """Tells the application that nobody reads its answer; uvicorn tells the request that came last."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    # What is answered.
    def on_response_complete(self) -> None:
        queued = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        self._running = queued or self._running
        if self._phase is not _Phase.BETWEEN and not self._is_deaf:
            self._unset_keepalive_if_required()
            self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def _watch_writing(self) -> None:
        unsent_bytes = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.bounds.write_stall_s, self._stalled, unsent_bytes)

    def _stalled(self, unsent_bytes: int) -> None:
        if unsent_bytes - self.transport.get_write_buffer_size() >= _TAKEN_AT_LEAST_BYTES:
            self._watch_writing()
        else:
            _log.info("dropped, as it does not read its answer", action="stalled")
            self.transport.abort()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
