"""So many clients that ask for something and then are only there, in a process of their own."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks.connection import HOST

_OTHER_FILES = 1000
#: Connections that are made at once.
_AT_ONCE = 100
#: Strangers have no common beat, as those who came together and were sent away together would have.
_BACK_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Members:
    """So many connections that send this and then nothing more; one that ends is made anew."""

    count: int
    request: bytes
    #: They are there when they have read so far.
    answer: bytes = b""


@contextmanager
def crowd(port: int, members: Members) -> Iterator[None]:
    """In a process of its own, whose files do not count here. It is there when the block begins."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_stand, args=(port, members, there))
    process.start()
    try:
        here.recv()
        yield
    finally:
        here.send(None)
        process.join()
    if process.exitcode:
        raise RuntimeError("a crowd lost members, so this measured less than it says")


def _stand(port: int, members: Members, told: Connection) -> None:
    allow_files(members.count)
    asyncio.run(_stand_there(port, members, told))


class _Member(asyncio.Protocol):
    """Looks at nothing after the answer, as what it does takes time of the store's core."""

    def __init__(self, members: Members) -> None:
        loop = asyncio.get_running_loop()
        self.is_there: asyncio.Future[None] = loop.create_future()
        self.is_gone: asyncio.Future[None] = loop.create_future()
        self._members = members
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._members.request)
        if not self._members.answer:
            self.is_there.set_result(None)

    def data_received(self, data: bytes) -> None:
        if not self.is_there.done():
            self._read += data
            if self._members.answer in self._read:
                self.is_there.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_there.done():
            self.is_there.set_exception(exc or ConnectionError("gone before it was answered"))
        self.is_gone.set_result(None)


async def _stand_there(port: int, members: Members, told: Connection) -> None:
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def join() -> _Member:
        async with gate:
            _, member = await loop.create_connection(lambda: _Member(members), HOST, port)
            await member.is_there
            return member

    async def stay(member: _Member) -> None:
        # Who never finishes a request is answered with a 408 after some seconds, and would be gone.
        while True:
            await member.is_gone
            await asyncio.sleep(random.uniform(0, _BACK_WITHIN_S))
            member = await join()

    joined = await asyncio.gather(*(join() for _ in range(members.count)))
    staying = [asyncio.create_task(stay(member)) for member in joined]
    told.send(len(joined))
    await asyncio.to_thread(told.recv)
    # One that could not come back makes the measure another one.
    await asyncio.gather(*(task for task in staying if task.done()))
    for task in staying:
        task.cancel()


def allow_files(count: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + _OTHER_FILES, most), most))
