"""A TCP proxy that breaks the way to the store on demand, in the words of Shopify's toxiproxy."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

#: Of SO_LINGER: closing sends RST instead of FIN.
_ABORT = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Toxic:
    """What is wrong with every connection, those that are open already included."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    #: Nothing passes, and nobody is told.
    is_blackhole: bool = False
    #: Requests arrive, replies do not.
    drops_replies: bool = False
    #: A connection is cut in place of its next reply: the server has done what was asked.
    cuts_replies: bool = False


HEALTHY = Toxic()


class FaultProxy:
    def __init__(self, upstream_port: int, seed: int = 0) -> None:
        self.toxic = HEALTHY
        self.dropped_bytes = 0
        self.delayed_bytes = 0
        self.cut = 0
        self.port = 0
        self._upstream_port = upstream_port
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._do(self._listen())

    def stop(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reset(self) -> int:
        """Every open connection ends by RST; gives how many did."""
        return self._do(self._abort_all())

    def _do(self, work: Coroutine[Any, Any, int]) -> int:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def _close(self) -> int:
        # asyncio loses sockets that it has accepted and does not serve yet when their server closes, so the
        # door is shut first.
        self._loop.remove_reader(self._server.sockets[0].fileno())
        ended = await self._abort_all()
        while serving := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(serving, timeout=0.1)
            await self._abort_all()
        self._server.close()
        return ended

    async def _abort_all(self) -> int:
        writers = list(self._writers)
        for writer in writers:
            _abort(writer)
        return len(writers) // 2

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            _abort(writer)
            return
        ends = {writer, far_writer}
        self._writers |= ends
        await asyncio.gather(
            self._pump(reader, far_writer, is_reply=False), self._pump(far_reader, writer, is_reply=True)
        )
        for end in ends:
            with suppress(OSError):
                await end.wait_closed()
        self._writers -= ends

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                toxic = self.toxic
                if is_reply and toxic.cuts_replies:
                    self.cut += 1
                    break
                if toxic.is_blackhole or (is_reply and toxic.drops_replies):
                    self.dropped_bytes += len(data)
                    continue
                if toxic.latency_s:
                    self.delayed_bytes += len(data)
                    await asyncio.sleep(toxic.latency_s + self._random.uniform(0, toxic.jitter_s))
                sink.write(data)
                await sink.drain()
        sink.close()


def _abort(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    writer.transport.abort()
