"""Receivers of webhooks and hosts of images, good and bad, and the names under which they are found."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
#: Of one request.
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    answer: Answer
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    #: The client went away before the answer was complete.
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError):
                while True:
                    await self._answer_one(reader, writer)
        except ConnectionError:
            self.left.set()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line[16:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
        self.requests.append(head + await reader.readexactly(int(lengths[0]) if lengths else 0))
        await self.answer(writer)


@asynccontextmanager
async def listening(
    handle: Handle, host: str, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Gives the port. Nothing of a connection is left afterwards."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        # asyncio's own callback takes a cancelled handler for a defect (until Python 3.12).
        with suppress(asyncio.CancelledError):
            await handle(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(handle_and_close, host, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        # A transport is closed by the loop's next turn.
        await asyncio.sleep(0)


@asynccontextmanager
async def receiving(
    answer: Answer, host: str, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    async with listening(receiver.serve, host, port, tls) as receiver.port:
        yield receiver


def saying(reply: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()

    return answer


def saying_once(reply: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        await saying(reply)(writer)
        writer.write_eof()

    return answer


def repeating(head: bytes, piece: bytes, pause_s: float = 0.0) -> Answer:
    """Without an end."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return answer


def redirecting(location: str, status: int = 302) -> Answer:
    return saying(f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())


class Names:
    """A resolver that gives one answer after the other, and the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int, asker: str) -> list[str]:
        self.asked.append(host)
        return list(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
