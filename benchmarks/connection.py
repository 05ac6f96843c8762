"""HTTP/1.1 over plain sockets: a load generator in Python must leave the store most of their core."""

from __future__ import annotations

import asyncio
import gc
import json
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from httptools import HttpResponseParser

T = TypeVar("T")

HOST = "127.0.0.1"
#: Stands for the status of a request that got no reply.
LOST = 0


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, what, and the status of a request that was taken."""

    port: int
    request: bytes
    accepted: int

    @classmethod
    def of(
        cls, port: int, path: str, body: Mapping[str, object], headers: dict[str, str], *, accepted: int
    ) -> Target:
        content = json.dumps(body).encode()
        fields = {
            "Host": f"{HOST}:{port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
        }
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in (fields | headers).items())]
        return cls(port, "\r\n".join([*lines, "", ""]).encode() + content, accepted)


class Connection(asyncio.Protocol):
    """Kept alive; one request at a time, as servers bound how many may wait behind another."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._on_reply: Callable[[int], None] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: bytes, on_reply: Callable[[int], None]) -> None:
        """Tells the status to ``on_reply``, and ``LOST`` if the connection ends before."""
        self._on_reply = on_reply
        if self._transport.is_closing():
            self._tell(LOST)
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._tell(self._parser.get_status_code())

    def connection_lost(self, _: Exception | None) -> None:
        self._tell(LOST)

    def _tell(self, status: int) -> None:
        on_reply, self._on_reply = self._on_reply, None
        if on_reply:
            on_reply(status)

    def abort(self) -> None:
        self._transport.abort()


@asynccontextmanager
async def connected(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """What is unanswered at the end is lost, and its senders are told so."""
    loop = asyncio.get_running_loop()
    pool = [(await loop.create_connection(Connection, HOST, port))[1] for _ in range(count)]
    try:
        yield pool
    finally:
        for connection in pool:
            connection.abort()
        await asyncio.sleep(0)  # the loop tells them before it comes back here


def run(work: Coroutine[Any, Any, T]) -> T:
    """On a loop whose timers are exact to microseconds: epoll's, the default, round up to milliseconds."""

    def exact() -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(selectors.SelectSelector())

    gc.collect()
    gc.disable()  # a collection would be counted as the server's slowness
    try:
        with asyncio.Runner(loop_factory=exact) as runner:
            return runner.run(work)
    finally:
        gc.enable()
