"""Everything the two clients do, as flows of plain data: what is sent, and what its answer means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from quill.client.asking import body_of, header_safe, new_idempotency_key
from quill.client.events import Event
from quill.client.failures import UnexpectedAnswer
from quill.client.follow import follow
from quill.client.retry import Policy, exchange
from quill.client.steps import Call, Feed, Flow, Item, Reply
from quill.job import Job, JobRequest
from quill.states import TERMINAL

#: One long-poll; proxies often end a request that is silent for 30 s or more.
WAIT_SLICE_S = 25.0
#: What a slice may take longer than it was asked to.
WAIT_MARGIN_S = 10.0
#: A gateway that answers long-polls at once is still asked no more often than this.
SHORTEST_ROUND_S = 0.2
PAGE_SIZE = 100

_JOBS_PATH = "/v1/jobs"
_LETTERS_PATH = "/v1/dead-letters"
#: Asks the gateway to cancel the job if this request's connection ends before its answer.
_TAKE_ALONG = {"cancel_on_disconnect": "true"}


def id_of(job: Job | str) -> str:
    return job if isinstance(job, str) else job.id


def parse_job(reply: Reply) -> Job:
    """Raises ``UnexpectedAnswer``. A later gateway's new fields are ignored."""
    try:
        return Job.model_validate_json(reply.body, extra="ignore")
    except ValidationError as error:
        raise UnexpectedAnswer from error


def parse_object(reply: Reply) -> dict[str, Any]:
    """Raises ``UnexpectedAnswer``."""
    try:
        parsed = json.loads(reply.body)
    except ValueError as error:
        raise UnexpectedAnswer from error
    if not isinstance(parsed, dict):
        raise UnexpectedAnswer
    return parsed


def _job_path(job_id: str) -> str:
    return f"{_JOBS_PATH}/{quote(job_id, safe='')}"


def _letter_path(job_id: str) -> str:
    return f"{_LETTERS_PATH}/{quote(job_id, safe='')}"


@dataclass(frozen=True, slots=True)
class Core:
    policy: Policy

    def submit(self, request: JobRequest, idempotency_key: str | None) -> Flow[Job]:
        """The key makes the request safe to repeat: however often it arrives, there is one job."""
        key = new_idempotency_key() if idempotency_key is None else header_safe(idempotency_key)
        headers = {"content-type": "application/json", "idempotency-key": key}
        call = Call("POST", _JOBS_PATH, headers=headers, body=body_of(request))
        return parse_job((yield from exchange(call, self.policy)))

    def get(self, job_id: str) -> Flow[Job]:
        return parse_job((yield from exchange(Call("GET", _job_path(job_id)), self.policy)))

    def cancel(self, job_id: str) -> Flow[Job]:
        return parse_job((yield from exchange(Call("DELETE", _job_path(job_id)), self.policy)))

    def until_s(self, timeout_s: float | None) -> float | None:
        return None if timeout_s is None else self.policy.clock() + timeout_s

    def wait(self, job_id: str, until_s: float | None, *, cancel_on_disconnect: bool = False) -> Flow[Job]:
        """Long-polls in slices until the job has ended. Raises ``TimeoutError`` at ``until_s``."""
        clock, pause_s = self.policy.clock, 0.0
        flags = _TAKE_ALONG if cancel_on_disconnect else {}
        while True:
            begun_s = clock()
            slice_s = WAIT_SLICE_S if until_s is None else min(WAIT_SLICE_S, max(0.0, until_s - begun_s))
            call = Call(
                "GET",
                _job_path(job_id),
                query={"wait": f"{slice_s:.3f}", **flags},
                read_timeout_s=slice_s + WAIT_MARGIN_S,
            )
            job = parse_job((yield from exchange(call, self.policy, pause_s=pause_s, until_s=until_s)))
            if job.state in TERMINAL:
                return job
            if until_s is not None and clock() >= until_s:
                raise TimeoutError(f"Job {job_id} was still {job.state} when the time was over.")
            pause_s = max(0.0, SHORTEST_ROUND_S - (clock() - begun_s))

    def stream(self, job_id: str, *, cancel_on_disconnect: bool = False) -> Feed[Event]:
        return follow(job_id, self.policy, _TAKE_ALONG if cancel_on_disconnect else None)

    def replay(self, job_id: str) -> Flow[Job]:
        return parse_job((yield from exchange(Call("POST", f"{_letter_path(job_id)}/replay"), self.policy)))

    def purge(self, job_id: str) -> Flow[None]:
        yield from exchange(Call("DELETE", _letter_path(job_id)), self.policy)

    def purge_all(self) -> Flow[int]:
        """Gives how many were forgotten."""
        purged, has_more = 0, True
        while has_more:
            answer = parse_object((yield from exchange(Call("DELETE", _LETTERS_PATH), self.policy)))
            purged, has_more = purged + int(answer["purged"]), bool(answer["has_more"])
        return purged

    def jobs(self, limit: int | None) -> Feed[Job]:
        return self._pages(_JOBS_PATH, limit)

    def dead_letters(self, limit: int | None) -> Feed[Job]:
        return self._pages(_LETTERS_PATH, limit)

    def _pages(self, path: str, limit: int | None) -> Feed[Job]:
        """The newest first, page after page, ``limit`` of them at most."""
        left, after = limit, ""
        while left is None or left > 0:
            query = {"limit": str(PAGE_SIZE if left is None else min(left, PAGE_SIZE))}
            if after:
                query["after"] = after
            page = parse_object((yield from exchange(Call("GET", path, query), self.policy)))
            jobs, after = _page_of(page)
            for job in jobs[:left]:
                yield Item(job)
            left = None if left is None else left - len(jobs)
            if not after:
                return

    def listing(self, path: str) -> Flow[list[dict[str, Any]]]:
        """The entries of ``/v1/models`` or ``/v1/workers``."""
        found = parse_object((yield from exchange(Call("GET", path), self.policy))).get("data")
        if not isinstance(found, list):
            raise UnexpectedAnswer
        return found

    def health(self) -> Flow[dict[str, Any]]:
        return parse_object((yield from exchange(Call("GET", "/v1/health"), self.policy)))


def _page_of(page: Mapping[str, Any]) -> tuple[list[Job], str]:
    """The jobs, and the cursor of the next page or nothing."""
    try:
        jobs = [Job.model_validate_json(json.dumps(entry), extra="ignore") for entry in page["data"]]
        return jobs, str(page["next"]) if page["has_more"] and jobs else ""
    except (KeyError, TypeError, ValidationError) as error:
        raise UnexpectedAnswer from error
