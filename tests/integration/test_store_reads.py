"""Who looks at a job gets what it is and what came of it, not what was asked."""

from __future__ import annotations

from typing import Any

from quill.job import JobRequest
from quill.store import calls, listing
from quill.store.run import Store
from tests.integration.jobs import TENANT, admit

METADATA = {"order": "9", "\u00fc\U0001f600": 'a "b" \\'}


def written_bytes(store: Store) -> int:
    stats: Any = store.client.info("stats")
    written: int = stats["total_net_output_bytes"]
    return written


def test_a_look_at_many_jobs_does_not_move_their_requests(store: Store) -> None:
    request = JobRequest(prompt="x" * 200_000, metadata=METADATA)
    job_ids = [admit(store, request=request) for _ in range(20)]
    before_bytes = written_bytes(store)
    jobs = store.run(calls.read(TENANT, job_ids))
    assert written_bytes(store) - before_bytes < 100_000
    assert [job and (job.id, job.metadata) for job in jobs] == [(job_id, METADATA) for job_id in job_ids]


def test_a_job_without_metadata_has_no_field_for_it(store: Store) -> None:
    job_id = admit(store)
    assert not store.client.hexists(f"{store.keys.namespace}:job:{job_id}", "metadata")
    [job] = store.run(calls.read(TENANT, [job_id]))
    assert job is not None
    assert job.metadata == {}


def test_who_asks_for_the_request_gets_all_of_it(store: Store) -> None:
    request = JobRequest(prompt="What is 17 + 25?", metadata=METADATA)
    job_id = admit(store, request=request)
    found = store.run(listing.request(TENANT, job_id))
    assert found is not None
    assert (found[0].id, found[0].metadata, found[1]) == (job_id, METADATA, request)
    assert store.run(listing.request("another", job_id)) is None
