"""From a parsed request to an accepted job: model, price, admit."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from redis.exceptions import RedisError

from gateway.directory import Directory, Model
from quill import ids
from quill.errors import Fault, InvalidRequest, ModelNotFound
from quill.job import Job, JobRequest
from quill.pricing import Price, estimate, measure, surely_fits
from quill.settings import GatewaySettings
from quill.states import State
from quill.store import calls
from quill.store.calls import Submission
from quill.store.run import AsyncStore, translated

_KEY_AT_MOST = 255


@dataclass(frozen=True, slots=True)
class Admitted:
    job: Job
    is_replay: bool


def idempotency_digest(tenant: str, key: str | None) -> str:
    """Raises ``InvalidRequest`` for a key that is no short visible ASCII."""
    if key is None:
        return ""
    if not 0 < len(key) <= _KEY_AT_MOST or not all("!" <= char <= "~" for char in key):
        detail = f"must have 1 to {_KEY_AT_MOST} visible ASCII characters"
        raise InvalidRequest(faults=(Fault("Idempotency-Key", detail),))
    return ids.fingerprint(tenant, key)


class Admission:
    def __init__(self, store: AsyncStore, directory: Directory, settings: GatewaySettings) -> None:
        self._store = store
        self._directory = directory
        self._settings = settings

    async def admit(self, tenant: str, request: JobRequest, idempotency_key: str | None) -> Admitted:
        """Raises ``ModelNotFound``, ``ContextLengthExceeded`` and what `admit` of the store raises."""
        digest = idempotency_digest(tenant, idempotency_key)
        model = request.model or self._settings.default_model
        price = await self._price(request, await self._known(model))
        submission = Submission(
            job_id=ids.new_job_id(),
            tenant=tenant,
            model=model,
            request=request,
            cost_tokens=price.cost_tokens,
            result_ttl_s=self._settings.result_ttl_s,
            max_queued_jobs=self._settings.max_queued_jobs,
            fingerprint=ids.fingerprint(request.model_dump_json(by_alias=True)) if digest else "-",
            idempotency_digest=digest,
        )
        admission = await self._store.run(calls.admit(submission))
        if admission.is_replay:
            earlier = (await self._store.run(calls.read(tenant, [admission.job_id])))[0]
            if earlier is not None:
                return Admitted(earlier, is_replay=True)
        return Admitted(_fresh(submission, admission), admission.is_replay)

    async def _known(self, name: str) -> Model | None:
        model = await self._directory.model(name)
        if model is None and name != self._settings.default_model and name not in self._settings.models:
            raise ModelNotFound
        return model

    async def _price(self, request: JobRequest, model: Model | None) -> Price:
        facts = model.facts if model else None
        default_max_tokens = self._settings.default_max_tokens
        if facts is None or surely_fits(request, facts):
            return estimate(request, default_max_tokens)
        try:
            count = await self._directory.counter(facts.tokenizer)
        except RedisError as error:
            raise translated(error) from error
        return await asyncio.to_thread(measure, request, facts, default_max_tokens, count)


def _fresh(submission: Submission, admission: calls.Admission) -> Job:
    """The job as it was just admitted, without asking the store a second time."""
    return Job(
        id=admission.job_id,
        state=State.QUEUED,
        model=submission.model,
        job_class=submission.request.job_class,
        stream=submission.request.stream,
        position=admission.position,
        created_at=time.time(),
        metadata=dict(submission.request.metadata),
    )
