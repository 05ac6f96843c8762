"""From a parsed request to an accepted job: permitted, cleaned, priced, admitted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.cleaning import cleaned
from gateway.directory import Directory
from gateway.identity import Identity
from gateway.patience import patience
from gateway.permission import check_answer, check_permission, check_size, with_defaults
from gateway.principals import Principal
from gateway.tracing import traceparent
from quill import ids
from quill.admission import fingerprint
from quill.errors import (
    JobNotFound,
    ModelNotFound,
    QuillError,
    Unavailable,
)
from quill.job import Job, JobRequest
from quill.limits import NO_ROOMS, Bounds, Rooms, bounds_of
from quill.pricing import ModelFacts, Price, estimate, measure, surely_fits
from quill.prompts import PromptPresets
from quill.sanitizing import SanitizeReport
from quill.settings import GatewaySettings
from quill.states import State
from quill.store import admission, calls
from quill.store.admission import Submission
from quill.store.run import AsyncStore

#: Jobs that are admitted in one round trip to the store.
_ROUND_TRIP = 100
#: Facts of the models of one request's jobs, each asked for once: those of a model that no worker has served
#: yet come from the store.
Known = dict[str, ModelFacts | None]

#: The same object for the same two, with all that was worked out of it.
_joined = lru_cache(maxsize=4096)(Bounds.__add__)


@dataclass(frozen=True, slots=True)
class Admitted:
    job: Job
    is_replay: bool
    rooms: Rooms = NO_ROOMS


@dataclass(frozen=True, slots=True)
class Draft:
    """A job as it will be if the store takes it."""

    submission: Submission
    report: SanitizeReport | None


class Admission:
    def __init__(self, store: AsyncStore, directory: Directory, settings: GatewaySettings) -> None:
        self._store = store
        self._directory = directory
        self._settings = settings
        self._presets = PromptPresets.load(settings.presets)
        everybody = bounds_of("global", settings.global_limits)
        self._of_model = {
            name: bounds_of(f"model/{name}", limits) + everybody
            for name, limits in settings.model_limits.items()
        }
        self._of_any_model = everybody

    async def admit(self, caller: Principal, request: JobRequest, identity: Identity) -> Admitted:
        """Raises ``PermissionDenied``, ``InvalidRequest``, ``ModelNotFound``, ``ContextLengthExceeded``,
        what the store's `admit` raises, and ``JobNotFound`` for a key whose job has just gone.
        """
        return await self._admit(caller, await self._draft(caller, request, identity, {}))

    async def admit_each(
        self, caller: Principal, requests: Sequence[tuple[JobRequest, Identity]]
    ) -> list[Admitted | QuillError]:
        """An entry a request, an error where ``admit`` would raise one; a round trip a hundred.

        Raises ``Unavailable`` only if none was accepted: who is told nothing may ask for all of them again.
        """
        known: Known = {}
        answers: list[Admitted | QuillError] = []
        for first in range(0, len(requests), _ROUND_TRIP):
            try:
                answers += await self._admit_some(caller, requests[first : first + _ROUND_TRIP], known)
            except Unavailable as error:
                if not any(isinstance(answer, Admitted) for answer in answers):
                    raise
                return answers + [error] * (len(requests) - len(answers))
        return answers

    async def replay(self, caller: Principal, letter: Job, request: JobRequest) -> Admitted:
        """Raises what ``admit`` raises. However often it is asked for, a letter has one replay."""
        request = request.model_copy(update={"model": letter.model})
        identity = Identity(ids.fingerprint(caller.tenant, "replay", letter.id))
        return await self._admit(
            caller, await self._draft(caller, request, identity, {}, replay_of=letter.id)
        )

    async def _tried(
        self, caller: Principal, request: JobRequest, identity: Identity, known: Known
    ) -> Draft | QuillError:
        try:
            return await self._draft(caller, request, identity, known)
        except Unavailable:
            raise
        except QuillError as error:
            return error

    async def _draft(
        self, caller: Principal, asked: JobRequest, identity: Identity, known: Known, *, replay_of: str = ""
    ) -> Draft:
        plan, settings = caller.plan, self._settings
        model = asked.model or settings.default_model
        check_permission(caller, asked, model)
        request = with_defaults(self._presets.apply(asked), plan)
        check_answer(plan, request)
        # Before, as cleaning takes time, and after, as to escape makes longer.
        check_size(plan, request)
        facts = await self._facts(model, known)
        request, report = await cleaned(request, plan.sanitize, facts)
        check_size(plan, request)
        price = await self._price(request, facts)
        submission = Submission(
            job_id=ids.new_job_id(),
            tenant=caller.tenant,
            model=model,
            request=request,
            cost_tokens=price.cost_tokens,
            prompt_tokens=price.prompt_tokens,
            result_ttl_s=settings.result_ttl_s,
            max_queued_jobs=settings.max_queued_jobs,
            max_running_jobs=plan.max_running_jobs or settings.max_running_jobs,
            fingerprint=fingerprint(asked) if identity.digest else "-",
            idempotency_digest=identity.digest,
            digest_ttl_s=identity.stands_for_s,
            is_first_try=identity.is_first_try,
            weight=plan.weight,
            replay_of=replay_of,
            bounds=_joined(caller.bounds, self._of_model.get(model, self._of_any_model)),
            traceparent=traceparent(),
        )
        return Draft(submission, report)

    async def _admit(self, caller: Principal, draft: Draft) -> Admitted:
        async with patience(self._settings):
            admitted = await self._store.run(admission.admit(draft.submission))
            earlier = await self._earlier(caller, [admitted.job_id] if admitted.is_replay else [])
        told = _told(draft, admitted, earlier)
        if isinstance(told, QuillError):
            raise told
        return told

    async def _admit_some(
        self, caller: Principal, requests: Sequence[tuple[JobRequest, Identity]], known: Known
    ) -> list[Admitted | QuillError]:
        """Raises ``Unavailable`` where nobody knows of any that it was accepted."""
        drafts = [await self._tried(caller, request, identity, known) for request, identity in requests]
        good = [draft for draft in drafts if isinstance(draft, Draft)]
        # Also if there are none: to wait for nothing lets other callers have their turn.
        async with patience(self._settings):
            answers = await self._store.run_each([admission.admit(draft.submission) for draft in good])
        told = iter(await self._told_each(caller, good, answers))
        return [next(told) if isinstance(draft, Draft) else draft for draft in drafts]

    async def _told_each(
        self, caller: Principal, drafts: Sequence[Draft], answers: Sequence[admission.Admission | QuillError]
    ) -> list[Admitted | QuillError]:
        """Who cannot read again what was admitted before keeps what was admitted now."""
        replayed = [one.job_id for one in answers if isinstance(one, admission.Admission) and one.is_replay]
        earlier: Mapping[str, Job | QuillError]
        try:
            async with patience(self._settings):
                earlier = await self._earlier(caller, replayed)
        except Unavailable as error:
            earlier = dict.fromkeys(replayed, error)
        return [
            answer if isinstance(answer, QuillError) else _told(draft, answer, earlier)
            for draft, answer in zip(drafts, answers, strict=True)
        ]

    async def _earlier(self, caller: Principal, job_ids: Sequence[str]) -> dict[str, Job | QuillError]:
        """Jobs that were admitted before, all in one round trip."""
        jobs = await self._store.run(calls.read(caller.tenant, job_ids)) if job_ids else []
        return {job_id: job or JobNotFound() for job_id, job in zip(job_ids, jobs, strict=True)}

    async def _facts(self, model: str, known: Known) -> ModelFacts | None:
        """``None`` for a model of ours that no worker has served yet."""
        if model not in known:
            known[model] = await self._directory.facts(model)
        facts = known[model]
        if facts is None:
            ours = {self._settings.default_model, *self._settings.models, *self._directory.snapshot.models}
            if model not in ours:
                raise ModelNotFound
        return facts

    async def _price(self, request: JobRequest, facts: ModelFacts | None) -> Price:
        if facts is None or surely_fits(request, facts):
            return estimate(request, facts)
        count = await self._directory.counter(facts.tokenizer)
        return await asyncio.to_thread(measure, request, facts, count)


def _told(
    draft: Draft, admitted: admission.Admission, earlier: Mapping[str, Job | QuillError]
) -> Admitted | QuillError:
    if not admitted.is_replay:
        return Admitted(_fresh(draft, admitted), is_replay=False, rooms=admitted.rooms)
    job = earlier[admitted.job_id]
    # Our own id comes back when only the reply to the first try was lost.
    return job if isinstance(job, QuillError) else Admitted(job, is_replay=job.id != draft.submission.job_id)


def _fresh(draft: Draft, admitted: admission.Admission) -> Job:
    """The job as it was just admitted, without asking the store a second time."""
    submission = draft.submission
    return Job(
        id=admitted.job_id,
        state=State.QUEUED,
        model=submission.model,
        job_class=submission.request.job_class,
        stream=submission.request.stream,
        position=admitted.position,
        estimated_start_at=admitted.estimated_start_at,
        created_at=admitted.created_at,
        replay_of=submission.replay_of or None,
        sanitization=draft.report,
        metadata=dict(submission.request.metadata),
    )
