"""Does the core's steps with blocking I/O, and nothing more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

import httpx2

from quill.client import wire
from quill.client.batch import Batch, Progress
from quill.client.steps import Answer, Feed, Flow, Item, Piece, Read, Send
from quill.job import Job

T = TypeVar("T")


class _Line:
    """One flow's way to the gateway: sends, and reads on in the stream that a ``Send`` left open."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http
        self._open: httpx2.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def do(self, step: Send | Read) -> Answer:
        try:
            return self._send(step) if isinstance(step, Send) else self._read()
        except wire.HTTP_ERRORS as error:
            return wire.lost(self._http, error)

    def _send(self, step: Send) -> Answer:
        self.close()
        if step.pause_s > 0:
            time.sleep(step.pause_s)
        response = self._http.send(wire.request(self._http, step.call), stream=step.is_stream)
        if step.is_stream and response.is_success:
            self._open, self._pieces = response, response.iter_bytes()
            return wire.reply(response, b"")
        return wire.reply(response, response.read())

    def _read(self) -> Answer:
        for data in self._pieces:
            return Piece(data)
        return wire.ended(self._http)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


class Driver:
    def __init__(self, http: httpx2.Client) -> None:
        self._http = http

    def close(self) -> None:
        self._http.close()

    def run(self, flow: Flow[T]) -> T:
        line = _Line(self._http)
        try:
            step = next(flow)
            while True:
                step = flow.send(line.do(step))
        except StopIteration as end:
            value: T = end.value
            return value

    def feed(self, feed: Feed[T]) -> Generator[T, None, None]:
        line = _Line(self._http)
        try:
            step = next(feed)
            while True:
                if isinstance(step, Item):
                    yield step.value
                    step = next(feed)
                else:
                    step = feed.send(line.do(step))
        except StopIteration:
            return
        finally:
            line.close()

    def each(
        self,
        inputs: Sequence[T],
        operation: Callable[[T], Flow[Job]],
        concurrency: int,
        on_progress: Progress | None,
    ) -> list[Job]:
        batch = Batch(inputs, on_progress)

        def work() -> None:
            while (taken := batch.take()) is not None:
                index, given = taken
                try:
                    batch.put(index, self.run(operation(given)))
                except Exception as error:
                    batch.stop(error)

        # Daemons, so that Ctrl-C does not wait for the long-polls under way.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(batch.runners(concurrency))]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException as error:
            batch.stop(error)
            raise
        return batch.jobs()
