"""From a parsed request to an accepted job: model, price, admit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.directory import Directory
from gateway.patience import patience
from quill import ids
from quill.admission import fingerprint
from quill.errors import Fault, InvalidRequest, JobNotFound, ModelNotFound
from quill.job import Job, JobRequest
from quill.pricing import ModelFacts, Price, estimate, measure, surely_fits
from quill.prompts import PromptPresets
from quill.settings import GatewaySettings
from quill.states import State
from quill.store import calls
from quill.store.calls import Submission
from quill.store.run import AsyncStore

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
        self._presets = PromptPresets.load(settings.presets)

    async def admit(self, tenant: str, request: JobRequest, idempotency_key: str | None) -> Admitted:
        """Raises ``ModelNotFound``, ``ContextLengthExceeded``, what `admit` of the store raises, and
        ``JobNotFound`` for a key whose job has just gone.
        """
        return await self._admit(tenant, request, idempotency_digest(tenant, idempotency_key))

    async def replay(self, tenant: str, letter: Job, request: JobRequest) -> Admitted:
        """Raises what ``admit`` raises. However often it is asked for, a letter has one replay."""
        request = request.model_copy(update={"model": letter.model})
        digest = ids.fingerprint(tenant, "replay", letter.id)
        return await self._admit(tenant, request, digest, replay_of=letter.id)

    async def _admit(self, tenant: str, request: JobRequest, digest: str, *, replay_of: str = "") -> Admitted:
        asked, request = request, self._presets.apply(request)
        model = request.model or self._settings.default_model
        price = await self._price(request, await self._facts(model))
        submission = Submission(
            job_id=ids.new_job_id(),
            tenant=tenant,
            model=model,
            request=request,
            cost_tokens=price.cost_tokens,
            result_ttl_s=self._settings.result_ttl_s,
            max_queued_jobs=self._settings.max_queued_jobs,
            max_running_jobs=self._settings.max_running_jobs,
            fingerprint=fingerprint(asked) if digest else "-",
            idempotency_digest=digest,
            replay_of=replay_of,
        )
        async with patience(self._settings):
            admission = await self._store.run(calls.admit(submission))
            if not admission.is_replay:
                return Admitted(_fresh(submission, admission), is_replay=False)
            earlier = (await self._store.run(calls.read(tenant, [admission.job_id])))[0]
        if earlier is None:
            raise JobNotFound
        # Our own id comes back when only the reply to the first try was lost.
        return Admitted(earlier, is_replay=earlier.id != submission.job_id)

    async def _facts(self, model: str) -> ModelFacts | None:
        """``None`` for a model of ours that no worker has served yet."""
        facts = await self._directory.facts(model)
        if facts is None:
            ours = {self._settings.default_model, *self._settings.models, *self._directory.snapshot.models}
            if model not in ours:
                raise ModelNotFound
        return facts

    async def _price(self, request: JobRequest, facts: ModelFacts | None) -> Price:
        default_max_tokens = self._settings.default_max_tokens
        if facts is None or surely_fits(request, facts):
            return estimate(request, default_max_tokens)
        count = await self._directory.counter(facts.tokenizer)
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
        estimated_start_at=admission.estimated_start_at,
        created_at=admission.created_at,
        replay_of=submission.replay_of or None,
        metadata=dict(submission.request.metadata),
    )
