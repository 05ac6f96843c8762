"""Scripts that many callers ask for at once: each gets its own answer, whatever becomes of connections."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Connection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from quill.errors import JobNotFound, QuillError, StoreUnavailable
from quill.job import Job
from quill.settings import Settings
from quill.store import calls
from quill.store.call import Call
from quill.store.evaluations import SENDERS
from quill.store.run import AsyncStore, Store
from tests.integration.jobs import TENANT, admit, join
from tests.valkey import ValkeyServer


@pytest.fixture
async def asked(settings: Settings) -> AsyncIterator[AsyncStore]:
    opened = AsyncStore.connect(settings)
    try:
        yield opened
    finally:
        await opened.close()


def read(job_id: str) -> Call[list[Job | None]]:
    return calls.read(TENANT, [job_id])


def id_of(answer: list[Job | None] | QuillError) -> str:
    assert isinstance(answer, list)
    job = answer[0]
    assert job is not None
    return job.id


async def found(store: AsyncStore, job_id: str) -> str:
    answer = await store.run(read(job_id))
    return id_of(answer)


async def test_everybody_gets_their_own_answers_over_four_connections(
    store: Store, asked: AsyncStore
) -> None:
    job_ids = [admit(store) for _ in range(60)]
    connected = len(store.client.client_list())
    singles = asyncio.gather(*(found(asked, job_id) for job_id in job_ids))
    many = await asked.run_each([read(job_id) for job_id in job_ids])
    assert [id_of(answer) for answer in many] == job_ids
    assert await singles == job_ids
    assert len(store.client.client_list()) - connected <= 4


async def test_a_refusal_is_only_its_own_callers(store: Store, asked: AsyncStore) -> None:
    job_id = admit(store)
    good = asyncio.create_task(found(asked, job_id))
    with pytest.raises(JobNotFound):
        await asked.run(calls.cancel("job_x", TENANT))
    assert await good == job_id


async def test_who_asks_again_as_soon_as_they_are_answered_is_answered_again(
    store: Store, settings: Settings
) -> None:
    """By then the sender of the first answer is about to end."""
    job_id = admit(store)
    asked = AsyncStore.connect(settings, max_connections=1)
    try:
        async with asyncio.timeout(5):
            for _ in range(10):
                assert await found(asked, job_id) == job_id
    finally:
        await asked.close()


async def test_a_store_that_has_forgotten_the_scripts_is_told_them_again(
    store: Store, asked: AsyncStore
) -> None:
    job_ids = [admit(store) for _ in range(20)]
    store.client.script_flush()
    assert list(await asyncio.gather(*(found(asked, job_id) for job_id in job_ids))) == job_ids


async def test_a_connection_that_the_store_closed_is_made_anew(store: Store, asked: AsyncStore) -> None:
    job_id = admit(store)
    assert await found(asked, job_id) == job_id
    for one in store.client.client_list():
        if "evalsha" in one["cmd"] and int(one["id"]) != store.client.client_id():
            store.client.client_kill_filter(_id=one["id"])
    assert await found(asked, job_id) == job_id


async def test_who_gives_up_leaves_the_others_their_answers(store: Store, asked: AsyncStore) -> None:
    job_ids = [admit(store) for _ in range(40)]
    tasks = [asyncio.create_task(found(asked, job_id)) for job_id in job_ids]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers[1::2] == job_ids[1::2]
    assert all(isinstance(answer, asyncio.CancelledError | str) for answer in answers[::2])


async def test_a_store_that_hangs_is_given_up_and_later_answers_only_what_is_asked_then(
    own_valkey: ValkeyServer,
) -> None:
    """A reply that comes too late must not be taken for the next one's."""
    settings = Settings(redis_url=own_valkey.url, store_timeout_s=0.3)
    store, asked = Store.connect(settings, timeout_s=5), AsyncStore.connect(settings)
    try:
        join(store, 100)
        early, late = admit(store), admit(store)
        assert await found(asked, early) == early
        os.kill(own_valkey.pid, signal.SIGSTOP)
        began_s = time.monotonic()
        try:
            with pytest.raises(StoreUnavailable):
                await found(asked, early)
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
        assert time.monotonic() - began_s < 2
        assert await asyncio.gather(*(found(asked, late) for _ in range(20))) == [late] * 20
    finally:
        await asked.close()
        store.close()


def kill_connections(store: Store) -> int:
    """All but the test's own."""
    others = [one["id"] for one in store.client.client_list() if int(one["id"]) != store.client.client_id()]
    return sum(int(store.client.client_kill_filter(_id=other)) for other in others)


def deaf_to_ends(patch: pytest.MonkeyPatch) -> None:
    """The end of a connection comes to light where it is used, as if it had come no sooner."""

    async def can_read(_: Connection) -> bool:
        return False

    patch.setattr(Connection, "can_read", can_read)


async def test_nobody_fails_although_every_connection_is_dead(
    store: Store, asked: AsyncStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two find it out; while they pause, two others make those anew and are busy on them."""
    deaf_to_ends(monkeypatch)
    asked.evaluations.retry = Retry(ConstantBackoff(0.02), 1)
    job_id = admit(store)
    many = [read(job_id)] * 2000
    await asyncio.gather(*(asked.run_each(many[:100]) for _ in range(SENDERS)))
    # Tests before this one may have left some that are about to end.
    assert kill_connections(store) >= SENDERS
    early = [asyncio.create_task(found(asked, job_id)) for _ in range(2)]
    await asyncio.sleep(0.01)
    late = await asyncio.gather(*(asked.run_each(many) for _ in range(2)))
    assert await asyncio.gather(*early) == [job_id] * 2
    assert {id_of(answer) for answers in late for answer in answers} == {job_id}


async def test_who_waits_when_it_is_closed_is_told_and_nothing_is_asked_again(
    store: Store, settings: Settings
) -> None:
    asked = AsyncStore.connect(settings)
    job_id = admit(store)
    connected = len(store.client.client_list())
    waiting = [asyncio.create_task(found(asked, job_id)) for _ in range(100)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asked.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    await asyncio.sleep(0.2)
    assert len(store.client.client_list()) <= connected
