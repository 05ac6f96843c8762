"""Jobs in a given state, brought there by the scripts themselves."""

from __future__ import annotations

import json

from quill import ids
from quill.broker import parse_ticket
from quill.errors import JobFailed
from quill.job import JobRequest
from quill.pricing import ModelFacts
from quill.result import JobResult, Usage
from quill.states import State
from quill.store import admission, calls, record
from quill.store.admission import Submission
from quill.store.attempt import Claim
from quill.store.run import Store

MODEL = "m"
TENANT = "acme"
WORKER = "w"
FACTS = ModelFacts(context_tokens=1000)
RESULT = JobResult(
    text="42", finish_reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=2)
).model_dump_json()


def outcome_of(state: State) -> str:
    return RESULT if state is State.SUCCEEDED else record.fault_json(JobFailed)


def submission(**changes: object) -> Submission:
    request = changes.pop("request", JobRequest(prompt="What is 17 + 25?"))
    fields: dict[str, object] = {
        "job_id": ids.new_job_id(),
        "tenant": TENANT,
        "model": MODEL,
        "request": request,
        "cost_tokens": 100,
        "result_ttl_s": 3600.0,
        "max_queued_jobs": 1000,
    }
    return Submission(**(fields | changes))  # type: ignore[arg-type]  # a test may change any field


def admit(store: Store, **changes: object) -> str:
    return store.run(admission.admit(submission(**changes))).job_id


def join(store: Store, slots: int = 1, worker: str = WORKER, model: str = MODEL) -> None:
    store.run(calls.join(worker, model, slots, "{}", FACTS))


def ticket(store: Store, model: str = MODEL) -> tuple[str, int]:
    """Takes the oldest ticket off the list, as a worker does."""
    entry = store.client.rpop(store.keys.ticket_list(model))
    assert isinstance(entry, bytes)
    return parse_ticket(json.loads(entry)["headers"]["id"])


def claim(store: Store, token: str = "token", worker: str = WORKER) -> Claim:
    job_id, seq = ticket(store)
    return store.run(calls.claim(job_id, seq, worker, token))


def seq_of(store: Store, job_id: str) -> int:
    seq = store.client.hget(f"{store.keys.namespace}:job:{job_id}", "seq")
    assert isinstance(seq, bytes)
    return int(seq)


def state_of(store: Store, job_id: str, tenant: str = TENANT) -> State:
    job = store.run(calls.read(tenant, [job_id]))[0]
    assert job is not None
    return job.state


def job_in(store: Store, state: State, **changes: object) -> Claim:
    """A job in this state; of a queued one that was never claimed the claim is a made-up one."""
    job_id = admit(store, **changes)
    unclaimed = Claim(job_id, 0, "", MODEL, TENANT, b'{"prompt":"x"}', False, 0)
    if state is State.QUEUED:
        return unclaimed
    if state is State.CANCELLED:
        store.run(calls.cancel(job_id, TENANT))
        return unclaimed
    join(store)
    claimed = claim(store)
    if state is not State.RUNNING:
        store.run(calls.finish(claimed, state, outcome_of(state)))
    return claimed
