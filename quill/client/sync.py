"""The blocking client."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Any, Self, Unpack

import httpx2

from quill.client import wire
from quill.client.asking import Options, job_request, keyed
from quill.client.batch import DEFAULT_CONCURRENCY, Progress
from quill.client.core import Core, id_of
from quill.client.driver import Driver
from quill.client.events import Event
from quill.client.failures import result_of
from quill.client.retry import DEFAULT_MAX_RETRIES, Policy
from quill.job import Job, JobRequest
from quill.result import JobResult


class Client:
    """Submits jobs to a gateway and brings back their results. Threads may share one.

    Every method raises the ``QuillError`` that the gateway's answer stands for, ``GatewayUnreachable`` when
    there is none after all retries, and never an error of the HTTP library.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        max_retries: int = DEFAULT_MAX_RETRIES,
        longest_pause_s: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """``base_url`` and ``api_key`` default to QUILL_URL and QUILL_API_KEY, the former then to
        http://127.0.0.1:8000. A gateway that asks for a pause above ``longest_pause_s`` is not retried."""
        self._core = Core(Policy(max_retries, longest_pause_s))
        self._driver = Driver(httpx2.Client(transport=transport, **wire.connection(base_url, api_key)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._driver.close()

    def submit(
        self,
        prompt: str | JobRequest | None = None,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Hands a job in; give a prompt, ``messages`` or a ready ``JobRequest``.

        Retries never make a second job. Raises ``InvalidRequest``, ``ModelNotFound``,
        ``ContextLengthExceeded``, ``QueueFull``, ``IdempotencyConflict``.
        """
        return self._driver.run(self._core.submit(job_request(prompt, options), idempotency_key))

    def get(self, job_id: str) -> Job:
        """The job as it is now. Raises ``JobNotFound``."""
        return self._driver.run(self._core.get(job_id))

    def wait(
        self, job: Job | str, timeout_s: float | None = None, *, cancel_on_disconnect: bool = False
    ) -> Job:
        """The job once it has ended, however it did. Raises ``TimeoutError``; the job goes on then.

        With ``cancel_on_disconnect`` the gateway cancels it if this program dies meanwhile.
        """
        flow = self._core.wait(
            id_of(job), self._core.until_s(timeout_s), cancel_on_disconnect=cancel_on_disconnect
        )
        return self._driver.run(flow)

    def result(
        self, job: Job | str, timeout_s: float | None = None, *, cancel_on_disconnect: bool = False
    ) -> JobResult:
        """Waits for what the job produced. Raises ``JobFailed``, ``JobCancelled``, ``JobExpired`` or
        ``TimeoutError``."""
        return result_of(self.wait(job, timeout_s, cancel_on_disconnect=cancel_on_disconnect))

    def generate(
        self,
        prompt: str | JobRequest | None = None,
        *,
        timeout_s: float | None = None,
        cancel_on_disconnect: bool = False,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> JobResult:
        """``submit`` and ``result`` in one; ``timeout_s`` bounds the waiting."""
        job = self.submit(prompt, idempotency_key=idempotency_key, **options)
        return self.result(job, timeout_s, cancel_on_disconnect=cancel_on_disconnect)

    def stream(self, job: Job | str, *, cancel_on_disconnect: bool = False) -> Generator[Event, None, None]:
        """The job's events to its end, over as many connections as it takes.

        After a ``RestartEvent`` drop the text so far. Only a job submitted with ``stream=True`` has deltas.
        With ``cancel_on_disconnect`` the job is cancelled when this generator is closed before its end.
        """
        return self._driver.feed(self._core.stream(id_of(job), cancel_on_disconnect=cancel_on_disconnect))

    def cancel(self, job: Job | str) -> Job:
        """Raises ``JobNotCancellable`` or ``JobNotFound``."""
        return self._driver.run(self._core.cancel(id_of(job)))

    def jobs(self, limit: int | None = None) -> Generator[Job, None, None]:
        """The caller's jobs, the newest first: ``limit`` of them, or all."""
        return self._driver.feed(self._core.jobs(limit))

    def dead_letters(self, limit: int | None = None) -> Generator[Job, None, None]:
        """Jobs that failed and were neither replayed nor purged, the newest first, with their reasons."""
        return self._driver.feed(self._core.dead_letters(limit))

    def replay(self, job: Job | str) -> Job:
        """A failed job's request as a new job, once. Raises ``NotADeadLetter`` or ``JobNotFound``."""
        return self._driver.run(self._core.replay(id_of(job)))

    def purge(self, job: Job | str) -> None:
        """Forgets a failed job at once. Raises ``NotADeadLetter`` or ``JobNotFound``."""
        self._driver.run(self._core.purge(id_of(job)))

    def purge_all(self) -> int:
        """Forgets every dead letter; gives how many."""
        return self._driver.run(self._core.purge_all())

    def submit_many(
        self,
        requests: Iterable[JobRequest | str],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: Progress | None = None,
        idempotency_prefix: str | None = None,
    ) -> list[Job]:
        """One job a request, in their order, ``concurrency`` requests at a time.

        Raises ``BatchIncomplete`` with the jobs made so far. Giving the same requests and
        ``idempotency_prefix`` again adds only what is missing.
        """
        return self._driver.each(
            keyed(requests, idempotency_prefix),
            lambda pair: self._core.submit(*pair),
            concurrency,
            on_progress,
        )

    def wait_many(
        self,
        jobs: Iterable[Job | str],
        timeout_s: float | None = None,
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        on_progress: Progress | None = None,
    ) -> list[Job]:
        """All the jobs once they have ended, in their order. Raises ``BatchIncomplete``, also when
        ``timeout_s``, which is for all of them together, is over."""
        until_s = self._core.until_s(timeout_s)
        return self._driver.each(
            [id_of(job) for job in jobs],
            lambda job_id: self._core.wait(job_id, until_s),
            concurrency,
            on_progress,
        )

    def models(self) -> list[dict[str, Any]]:
        return self._driver.run(self._core.listing("/v1/models"))

    def workers(self) -> list[dict[str, Any]]:
        return self._driver.run(self._core.listing("/v1/workers"))

    def health(self) -> dict[str, Any]:
        return self._driver.run(self._core.health())
