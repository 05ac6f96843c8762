"""Thousands of idle readers, and clients that never finish a request, beside good ones.

    python -m benchmarks.idle [--readers 5000] [--stallers 500] [--seconds 45]

Good clients submit at a steady rate: their p50 and p99 alone, and while the others are there, for so long
that every reader is sent comments and looked after again. The gateway's memory is read before, with all
readers, and at the end; its connections to the store are counted. It has a core of its own, everything else
the other. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import psutil

from benchmarks import served
from benchmarks.connection import HOST, Target, run
from benchmarks.open_loop import Summary, offer, poisson, summary
from benchmarks.pinned import punctual, two_cores

RATE_PER_S = 200.0
_SEED = 1
_OTHER_FILES = 1000
_WARM_UP_S = 10.0
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


def good_clients(target: Target, seconds: float) -> Summary:
    dues_s = list(poisson(random.Random(_SEED), RATE_PER_S, seconds))
    with punctual():
        return summary(run(offer(target, dues_s)), target.accepted)


async def accepted_job(target: Target) -> str:
    """Its path."""
    reader, writer = await asyncio.open_connection(HOST, target.port)
    writer.write(target.request)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return next(line for line in head.decode().split("\r\n") if line.startswith("location: ")).split()[1]


def measure(gateway: served.Served, readers: int, stallers: int, seconds: float) -> dict[str, Any]:
    target, process = gateway.target, psutil.Process(gateway.pid)
    lines = target.request.split(b"\r\n")
    key = next(line for line in lines if line.lower().startswith(b"authorization"))
    good_clients(target, _WARM_UP_S)
    rss_mib = [process.memory_info().rss >> 20]
    alone = good_clients(target, seconds)
    job = asyncio.run(accepted_job(target)).encode()
    listen = b"GET %s/events HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % (job, key)
    stall = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Le"
    with crowd(target.port, Members(readers, listen, b"event: status")):
        rss_mib.append(process.memory_info().rss >> 20)
        with crowd(target.port, Members(stallers, stall)):
            beside = good_clients(target, seconds)
        rss_mib.append(process.memory_info().rss >> 20)
        outgoing = [
            item for item in process.net_connections() if item.raddr and item.laddr.port != target.port
        ]
    return {
        "p50_ms": [round(found.p50_ms, 2) for found in (alone, beside)],
        "p99_ms": [round(found.p99_ms, 2) for found in (alone, beside)],
        "p99_ratio": round(beside.p99_ms / alone.p99_ms, 2),
        "errors": [dict(found.errors) for found in (alone, beside)],
        "void": alone.is_void or beside.is_void,
        "rss_mib": rss_mib,
        "store_connections": len(outgoing),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--readers", type=int, default=5000)
    parser.add_argument("--stallers", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=45.0)
    options = parser.parse_args()
    # The gateway inherits it.
    allow_files(options.readers + options.stallers)
    core, rest = two_cores()
    os.sched_setaffinity(0, {rest})
    with served.quill(core, "warning") as gateway:
        found = measure(gateway, options.readers, options.stallers, options.seconds)
    how = {"readers": options.readers, "stallers": options.stallers, "rate_per_s": RATE_PER_S}
    print(json.dumps({"benchmark": "idle", **how, **found}))


if __name__ == "__main__":
    main()
