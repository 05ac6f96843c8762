"""The asyncio client: `Client`, awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from types import TracebackType
from typing import Any, Self, Unpack

import httpx2

from quill.client import wire
from quill.client.asking import Options, job_request, keyed
from quill.client.async_driver import AsyncDriver
from quill.client.batch import DEFAULT_CONCURRENCY, Progress
from quill.client.core import Core, id_of
from quill.client.events import Event
from quill.client.failures import result_of
from quill.client.retry import DEFAULT_MAX_RETRIES, Policy
from quill.job import Job, JobRequest
from quill.result import JobResult


class AsyncClient:
    """Every method does and raises what ``Client``'s method of that name does, without blocking."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
        longest_pause_s: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._core = Core(Policy(max_retries, longest_pause_s))
        self._driver = AsyncDriver(
            httpx2.AsyncClient(transport=transport, **wire.connection(base_url, api_key))
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._driver.close()

    async def submit(
        self,
        prompt: str | JobRequest | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Job:
        return await self._driver.run(self._core.submit(job_request(prompt, options), idempotency_key))

    async def get(self, job_id: str) -> Job:
        return await self._driver.run(self._core.get(job_id))

    async def wait(
        self, job: Job | str, timeout_s: float | None = None, *, cancel_on_disconnect: bool = False
    ) -> Job:
        flow = self._core.wait(
            id_of(job), self._core.until_s(timeout_s), cancel_on_disconnect=cancel_on_disconnect
        )
        return await self._driver.run(flow)

    async def result(
        self, job: Job | str, timeout_s: float | None = None, *, cancel_on_disconnect: bool = False
    ) -> JobResult:
        return result_of(await self.wait(job, timeout_s, cancel_on_disconnect=cancel_on_disconnect))

    async def generate(
        self,
        prompt: str | JobRequest | None = None,
        *,
        timeout_s: float | None = None,
        cancel_on_disconnect: bool = False,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> JobResult:
        job = await self.submit(prompt, idempotency_key=idempotency_key, **options)
        return await self.result(job, timeout_s, cancel_on_disconnect=cancel_on_disconnect)

    def stream(self, job: Job | str, *, cancel_on_disconnect: bool = False) -> AsyncGenerator[Event, None]:
        return self._driver.feed(self._core.stream(id_of(job), cancel_on_disconnect=cancel_on_disconnect))

    async def cancel(self, job: Job | str) -> Job:
        return await self._driver.run(self._core.cancel(id_of(job)))

    def jobs(self, limit: int | None = None) -> AsyncGenerator[Job, None]:
        return self._driver.feed(self._core.jobs(limit))

    def dead_letters(self, limit: int | None = None) -> AsyncGenerator[Job, None]:
        return self._driver.feed(self._core.dead_letters(limit))

    async def replay(self, job: Job | str) -> Job:
        return await self._driver.run(self._core.replay(id_of(job)))

    async def purge(self, job: Job | str) -> None:
        await self._driver.run(self._core.purge(id_of(job)))

    async def purge_all(self) -> int:
        return await self._driver.run(self._core.purge_all())

    async def submit_many(
        self,
        requests: Iterable[JobRequest | str],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: Progress | None = None,
        idempotency_prefix: str | None = None,
    ) -> list[Job]:
        return await self._driver.each(
            keyed(requests, idempotency_prefix),
            lambda pair: self._core.submit(*pair),
            concurrency,
            on_progress,
        )

    async def wait_many(
        self,
        jobs: Iterable[Job | str],
        timeout_s: float | None = None,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: Progress | None = None,
    ) -> list[Job]:
        until_s = self._core.until_s(timeout_s)
        return await self._driver.each(
            [id_of(job) for job in jobs],
            lambda job_id: self._core.wait(job_id, until_s),
            concurrency,
            on_progress,
        )

    async def models(self) -> list[dict[str, Any]]:
        return await self._driver.run(self._core.listing("/v1/models"))

    async def workers(self) -> list[dict[str, Any]]:
        return await self._driver.run(self._core.listing("/v1/workers"))

    async def health(self) -> dict[str, Any]:
        return await self._driver.run(self._core.health())
