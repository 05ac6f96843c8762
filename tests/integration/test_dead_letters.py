"""Jobs that failed: listed with their reason, run anew once, forgotten on demand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from quill.cli import main
from quill.client import Client
from quill.errors import JobNotFound, NotADeadLetter
from quill.job import Job, JobRequest
from quill.states import TERMINAL, State
from quill.store import admission, calls, listing
from quill.store.run import Store
from tests.integration.jobs import MODEL, TENANT, admit, claim, job_in, join, outcome_of, submission
from tests.processes import Fleet

LOCAL = "local"
DEAD = listing.Listing.DEAD


@pytest.fixture
def url(fleet: Fleet) -> str:
    return fleet.gateway(models=json.dumps([MODEL]))[1]


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


def failed(store: Store, **changes: object) -> str:
    return job_in(store, State.FAILED, **({"tenant": LOCAL} | changes)).job_id


def letters(store: Store, tenant: str = LOCAL) -> list[str]:
    return [entry.job_id for entry in store.run(listing.page(tenant, None, 100, DEAD))]


def traces(store: Store, job_id: str) -> list[bytes]:
    return list(store.client.scan_iter(match=f"*{job_id}*"))


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_only_failed_jobs_are_dead_letters(store: Store, state: State) -> None:
    job_id = job_in(store, state).job_id
    assert letters(store, TENANT) == ([job_id] if state is State.FAILED else [])


def test_dead_letters_are_listed_with_their_reason(store: Store, client: Client) -> None:
    job_ids = [failed(store) for _ in range(3)]
    listed = list(client.dead_letters())
    assert [job.id for job in listed] == job_ids[::-1]
    assert {job.error.code for job in listed if job.error} == {"job_failed"}
    assert [job.id for job in client.dead_letters(1)] == job_ids[-1:]


def test_pages_of_dead_letters_hold_each_once(store: Store, client: Client) -> None:
    job_ids = [failed(store) for _ in range(103)]
    assert [job.id for job in client.dead_letters()] == job_ids[::-1]


def test_a_letter_is_replayed_as_a_new_job_that_knows_it(store: Store, client: Client) -> None:
    request = JobRequest(prompt="17 + 25", max_tokens=7, metadata={"order": "9"})
    old_id = failed(store, request=request)
    job = client.replay(old_id)
    assert job.id != old_id
    assert (job.replay_of, job.model, job.metadata) == (old_id, MODEL, {"order": "9"})
    assert client.get(job.id).replay_of == old_id
    assert client.get(old_id).replayed_as == job.id
    join(store)
    held = claim(store)
    assert held.request.prompt == "17 + 25"
    assert letters(store) == []


def test_however_often_a_letter_is_replayed_there_is_one_new_job(store: Store, client: Client) -> None:
    old_id = failed(store)
    assert len({client.replay(old_id).id for _ in range(3)}) == 1


def test_a_replay_that_fails_is_a_letter_of_its_own(store: Store, client: Client) -> None:
    job = client.replay(failed(store))
    join(store)
    store.run(calls.finish(claim(store), State.FAILED, outcome_of(State.FAILED)))
    assert letters(store) == [job.id]
    assert client.replay(job.id).replay_of == job.id


@pytest.mark.parametrize("state", [state for state in State if state is not State.FAILED])
def test_a_job_that_has_not_failed_is_neither_replayed_nor_purged(
    store: Store, client: Client, state: State
) -> None:
    if state is State.CANCELLED:
        job_id = admit(store, tenant=LOCAL)
        client.cancel(job_id)
    else:
        job_id = job_in(store, state, tenant=LOCAL).job_id
    for attempt in (client.replay, client.purge):
        with pytest.raises(NotADeadLetter):
            attempt(job_id)
    assert client.get(job_id).state is state


@pytest.mark.parametrize("owner", ["mallory", None])
def test_another_tenants_letter_is_as_unknown_as_none(
    store: Store, client: Client, owner: str | None
) -> None:
    job_id = failed(store, tenant=owner) if owner else "job_unknown"
    for attempt in (client.replay, client.purge):
        with pytest.raises(JobNotFound):
            attempt(job_id)
    assert letters(store, "mallory") == ([job_id] if owner else [])


def test_nothing_is_left_of_a_purged_job(store: Store, client: Client) -> None:
    job_id = failed(store, idempotency_digest="d", fingerprint="f", celery_id="c")
    client.purge(job_id)
    assert traces(store, job_id) == []
    assert letters(store) == []
    assert store.run(listing.page(LOCAL, None, 10)) == []
    assert not store.client.exists("quill:idem:local:d", "quill:reply:c")
    assert store.client.zcard("quill:expiry") == 0
    with pytest.raises(JobNotFound):
        client.get(job_id)


def test_all_letters_are_purged_and_nothing_else(store: Store, client: Client) -> None:
    foreign = failed(store, tenant="other")
    for _ in range(101):
        failed(store)
    store.run(calls.leave("w", MODEL))
    kept = admit(store, tenant=LOCAL)
    assert client.purge_all() == 101
    assert letters(store) == []
    assert letters(store, "other") == [foreign]
    assert client.get(kept).state is State.QUEUED


def test_a_letter_leaves_the_list_together_with_its_record(store: Store) -> None:
    job_id = failed(store)
    store.client.zadd("quill:expiry", {f"{job_id} {LOCAL}": 1})
    store.run(calls.sweep())
    assert letters(store) == []


@pytest.fixture
def dead(url: str) -> Callable[..., Result]:
    return lambda *args: CliRunner().invoke(main, ["dead", *args, "--url", url], env={"COLUMNS": "160"})


def test_the_command_lists_replays_and_purges(
    store: Store, client: Client, dead: Callable[..., Result]
) -> None:
    first, second, third = (failed(store) for _ in range(3))
    shown = dead()
    assert (shown.exit_code, shown.stdout.count("job_failed")) == (0, 3)
    replayed = Job.model_validate_json(dead("--replay", first, "--json").stdout)
    assert replayed.replay_of == first
    assert dead("--purge", second).stdout == "1 purged\n"
    assert [json.loads(line)["id"] for line in dead("--json").stdout.splitlines()] == [third]
    assert dead("--purge").stdout == "1 purged\n"
    assert list(client.dead_letters()) == []


@pytest.mark.parametrize("args", [("--replay", "--purge"), ("job_1",)])
def test_the_command_refuses_what_it_cannot_mean(dead: Callable[..., Result], args: tuple[str, ...]) -> None:
    assert dead(*args).exit_code == 2


def test_a_replay_in_the_store_takes_only_its_own_tenants_letter(store: Store) -> None:
    letter = failed(store)
    store.run(admission.admit(submission(tenant="mallory", replay_of=letter)))
    assert letters(store) == [letter]
