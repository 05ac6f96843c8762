"""For trusted services beside the store: submits straight to Redis, by the same script as the gateway."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from quill import ids
from quill.admission import Admitter
from quill.errors import JobNotFound
from quill.job import Job, JobRequest
from quill.settings import AdmissionSettings
from quill.states import TERMINAL
from quill.store import calls
from quill.store.run import Store

_POLL_FIRST_S = 0.01
_POLL_AT_MOST_S = 0.5


class Queue:
    """Not safe for two threads to close; everything else may be shared."""

    def __init__(self, redis_url: str, *, tenant: str = "local", namespace: str = "quill") -> None:
        settings = AdmissionSettings(redis_url=redis_url, namespace=namespace)
        self._store = Store.connect(settings)
        self._admitter = Admitter(self._store, settings)
        self._tenant = tenant

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._store.close()

    def submit(self, request: JobRequest, *, idempotency_key: str | None = None) -> str:
        """Gives the job's id.

        The same ``idempotency_key`` gives the same job for as long as that job can be read. Raises
        ``ModelNotFound``, ``ContextLengthExceeded``, ``TokenizersMissing`` (only a long prompt has to be
        counted), ``IdempotencyConflict`` or ``Unavailable``.
        """
        digest = ids.fingerprint(self._tenant, idempotency_key) if idempotency_key else ""
        admission = self._admitter.admit(
            self._tenant, request, job_id=ids.new_job_id(), idempotency_digest=digest
        )
        return admission.job_id

    def get(self, job_id: str) -> Job:
        """Raises ``JobNotFound``."""
        found = self._store.run(calls.read(self._tenant, [job_id]))[0]
        if found is None:
            raise JobNotFound
        return found

    def cancel(self, job_id: str) -> Job:
        """Raises ``JobNotCancellable`` or ``JobNotFound``."""
        self._store.run(calls.cancel(job_id, self._tenant))
        return self.get(job_id)

    def wait(self, job_id: str, timeout_s: float | None = None) -> Job:
        """Polls until the job has ended. Raises ``TimeoutError``."""
        deadline_s = time.monotonic() + (float("inf") if timeout_s is None else timeout_s)
        pause_s = _POLL_FIRST_S
        while (job := self.get(job_id)).state not in TERMINAL:
            if time.monotonic() + pause_s > deadline_s:
                raise TimeoutError(f"the job has not ended within {timeout_s} s")
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _POLL_AT_MOST_S)
        return job
