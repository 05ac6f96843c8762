"""Both clients behind the same blocking calls, so that one scenario runs on either; and scripted answers."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from quill.client import AsyncClient, Client

KINDS = ("sync", "async")


async def _collected(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


class Awaited:
    """Every call is run to its end; what it would have given one by one is a list."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._runner = asyncio.Runner()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            made = getattr(self._client, name)(*args, **options)
            return self._runner.run(_collected(made) if inspect.isasyncgen(made) else made)

        return call

    def shut(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


@contextmanager
def opened(kind: str, base_url: str | None = "http://gateway", **options: Any) -> Iterator[Any]:
    """``Client`` itself, or an ``AsyncClient`` that looks like one."""
    if kind == "sync":
        with Client(base_url, **options) as client:
            yield client
        return
    awaited = Awaited(AsyncClient(base_url, **options))
    try:
        yield awaited
    finally:
        awaited.shut()


class Script(httpx2.MockTransport):
    """Plays a gateway: each request gets the next answer; what was asked stays in ``seen``."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        super().__init__(self._answer)
        self._answers = list(answers)
        self.seen: list[httpx2.Request] = []

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def job_json(job_id: str = "job_1", state: str = "queued", **changes: Any) -> dict[str, Any]:
    return {"id": job_id, "state": state, "model": "m", "class": "standard", "created_at": 1.0} | changes


def succeeded_json(job_id: str = "job_1", text: str = "42", **changes: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "reasoning_tokens": 0}
    result = {"text": text, "reasoning": None, "finish_reason": "stop", "usage": usage}
    return job_json(job_id, "succeeded", result=result, **changes)


def answer(body: object, status: int = 200, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, json=body, headers=named)


def problem(code: str, status: int, detail: str = "It is so.", **headers: str) -> httpx2.Response:
    return answer({"title": "Problem", "status": status, "detail": detail, "code": code}, status, **headers)


def sse(event: str, data: object, event_id: str = "") -> bytes:
    head = f"id: {event_id}\n" if event_id else ""
    return f"{head}event: {event}\ndata: {json.dumps(data)}\n\n".encode()


def events(*pieces: bytes) -> httpx2.Response:
    return httpx2.Response(200, content=b"".join(pieces), headers={"content-type": "text/event-stream"})
