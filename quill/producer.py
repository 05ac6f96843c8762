"""For trusted services beside the store: submits straight to Redis, by the same script as the gateway."""

from __future__ import annotations

import time
import zlib
from types import TracebackType
from typing import Self

from redis.exceptions import RedisError

from quill import ids
from quill.errors import JobNotFound
from quill.job import Job, JobRequest
from quill.pricing import ModelFacts, Price, estimate, measure, surely_fits, tokenizer_count
from quill.settings import IntakeSettings
from quill.states import TERMINAL
from quill.store import calls
from quill.store.calls import Admission, Submission
from quill.store.run import Store, translated

_POLL_FIRST_S = 0.01
_POLL_AT_MOST_S = 0.5


class Queue:
    """Not safe for two threads to close; everything else may be shared."""

    def __init__(self, redis_url: str, *, tenant: str = "local", namespace: str = "quill") -> None:
        self._settings = IntakeSettings(redis_url=redis_url, namespace=namespace)
        self._store = Store.connect(self._settings)
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

        Raises ``ContextLengthExceeded``, ``IdempotencyConflict`` or ``Unavailable``.
        """
        digest = ids.fingerprint(self._tenant, idempotency_key) if idempotency_key else ""
        return admit(
            self._store,
            self._settings,
            self._tenant,
            request,
            job_id=ids.new_job_id(),
            idempotency_digest=digest,
        ).job_id

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


def admit(
    store: Store,
    settings: IntakeSettings,
    tenant: str,
    request: JobRequest,
    *,
    job_id: str,
    idempotency_digest: str = "",
    celery_id: str = "",
) -> Admission:
    """Prices a request and admits it. Raises what ``Queue.submit`` raises."""
    model = request.model or settings.default_model
    price = _price(store, request, model, settings.default_max_tokens)
    submission = Submission(
        job_id=job_id,
        tenant=tenant,
        model=model,
        request=request,
        cost_tokens=price.cost_tokens,
        result_ttl_s=settings.result_ttl_s,
        max_queued_jobs=settings.max_queued_jobs,
        fingerprint=ids.fingerprint(request.model_dump_json(by_alias=True)),
        idempotency_digest=idempotency_digest,
        celery_id=celery_id,
    )
    return store.run(calls.admit(submission))


def _price(store: Store, request: JobRequest, model: str, default_max_tokens: int) -> Price:
    try:
        fields = store.client.hgetall(store.keys.model(model))
        facts = ModelFacts.of(fields)  # type: ignore[arg-type]  # the client does not decode
        if facts is None or surely_fits(request, facts):
            return estimate(request, default_max_tokens)
        packed = store.client.get(store.keys.tokenizer(facts.tokenizer)) if facts.tokenizer else None
    except RedisError as error:
        raise translated(error) from error
    count = tokenizer_count(zlib.decompress(packed)) if isinstance(packed, bytes) else None
    return measure(request, facts, default_max_tokens, count)
