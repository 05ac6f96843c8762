"""Does the core's steps with asyncio, and nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import TypeVar

import httpx2

from quill.client import wire
from quill.client.batch import Batch, Progress
from quill.client.steps import Answer, Feed, Flow, Item, Piece, Read, Send
from quill.job import Job

T = TypeVar("T")


class _AsyncLine:
    """One flow's way to the gateway: sends, and reads on in the stream that a ``Send`` left open."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self._open: httpx2.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def do(self, step: Send | Read) -> Answer:
        try:
            return await (self._send(step) if isinstance(step, Send) else self._read())
        except wire.HTTP_ERRORS as error:
            return wire.lost(self._http, error)

    async def _send(self, step: Send) -> Answer:
        await self.close()
        if step.pause_s > 0:
            await asyncio.sleep(step.pause_s)
        response = await self._http.send(wire.request(self._http, step.call), stream=step.is_stream)
        if step.is_stream and response.is_success:
            self._open, self._pieces = response, response.aiter_bytes()
            return wire.reply(response, b"")
        return wire.reply(response, await response.aread())

    async def _read(self) -> Answer:
        if self._pieces is not None:
            async for data in self._pieces:
                return Piece(data)
        return wire.ended(self._http)

    async def close(self) -> None:
        if self._open is not None:
            await self._open.aclose()
            self._open = None


class AsyncDriver:
    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def close(self) -> None:
        await self._http.aclose()

    async def run(self, flow: Flow[T]) -> T:
        line = _AsyncLine(self._http)
        try:
            step = next(flow)
            while True:
                step = flow.send(await line.do(step))
        except StopIteration as end:
            value: T = end.value
            return value

    async def feed(self, feed: Feed[T]) -> AsyncGenerator[T, None]:
        line = _AsyncLine(self._http)
        try:
            step = next(feed)
            while True:
                if isinstance(step, Item):
                    yield step.value
                    step = next(feed)
                else:
                    step = feed.send(await line.do(step))
        except StopIteration:
            return
        finally:
            await line.close()

    async def each(
        self,
        inputs: Sequence[T],
        operation: Callable[[T], Flow[Job]],
        concurrency: int,
        on_progress: Progress | None,
    ) -> list[Job]:
        batch = Batch(inputs, on_progress)

        async def work() -> None:
            while (taken := batch.take()) is not None:
                index, given = taken
                try:
                    batch.put(index, await self.run(operation(given)))
                except Exception as error:
                    batch.stop(error)

        async with asyncio.TaskGroup() as group:
            for _ in range(batch.runners(concurrency)):
                group.create_task(work())
        return batch.jobs()
