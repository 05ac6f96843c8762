"""A worker's output on its way to the store, while the store is there and while it is not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

from quill.job import JobRequest
from quill.result import TokenLogprob
from quill.settings import Settings
from quill.states import State
from quill.store import calls
from quill.store.attempt import Chunk, Claim
from quill.store.run import Store
from tests.integration.jobs import job_in, outcome_of
from tests.processes import eventually
from tests.valkey import ValkeyServer
from worker.engines.base import Delta
from worker.flusher import Flusher


def streaming(store: Store) -> Claim:
    return job_in(store, State.RUNNING, request=JobRequest(prompt="x", stream=True))


def flusher(store: Store) -> Flusher:
    return Flusher(store, 60, 60, lambda _: None)


def written(store: Store, claim: Claim) -> list[str]:
    entries: Any = store.client.xrange(store.keys.output(claim.job_id, claim.attempt))
    return [json.loads(fields[b"chunk"]).get("text", "") for _, fields in entries]


def chunk(claim: Claim, number: int, text: str) -> Chunk:
    return Chunk(claim.job_id, claim.attempt, claim.token, number, json.dumps({"text": text}))


def test_what_is_written_twice_is_there_once(store: Store) -> None:
    claim = streaming(store)
    for _ in range(2):
        store.run(calls.emit([chunk(claim, 1, "once")], 60))
    store.run(calls.emit([chunk(claim, 2, "more")], 60))
    assert written(store, claim) == ["once", "more"]


def test_a_tail_that_was_written_before_is_there_once(store: Store) -> None:
    claim = streaming(store)
    store.run(calls.emit([chunk(claim, 1, "once")], 60))
    tail = [chunk(claim, 1, "once"), chunk(claim, 2, "end")]
    call = calls.finish(claim, State.SUCCEEDED, outcome_of(State.SUCCEEDED), tail=tail)
    store.run(call)
    store.run(call)
    assert written(store, claim) == ["once", "end"]


def test_the_first_of_an_answer_does_not_wait_for_the_next_round(store: Store) -> None:
    claim, writing = streaming(store), flusher(store)
    writing.start()
    on_delta = writing.open(claim)
    on_delta(Delta("first"))
    eventually(lambda: written(store, claim) == ["first"])
    on_delta(Delta("later"))
    writing.stop()
    assert written(store, claim) == ["first"]
    assert [json.loads(left.data)["text"] for left in writing.close(claim)] == ["later"]


def test_output_of_an_outage_is_merged_and_whole(
    own_valkey: ValkeyServer, connect: Callable[[str], Store]
) -> None:
    store = connect(own_valkey.url)
    claim = streaming(store)
    impatient = Store.connect(Settings(redis_url=own_valkey.url), timeout_s=0.05)
    flush = flusher(impatient)
    on_delta = flush.open(claim)
    on_delta(Delta(text="before "))
    os.kill(own_valkey.pid, signal.SIGSTOP)
    for number in range(50):
        flush.flush()
        on_delta(Delta(text=f"{number} "))
    os.kill(own_valkey.pid, signal.SIGCONT)
    while True:
        flush.flush()
        if len(texts := written(store, claim)) == 2:
            break
    assert texts == ["before ", "".join(f"{number} " for number in range(50))]
    assert flush.close(claim) == []
    impatient.close()


def test_a_job_that_ends_during_an_outage_keeps_its_numbers(
    own_valkey: ValkeyServer, connect: Callable[[str], Store]
) -> None:
    store = connect(own_valkey.url)
    claim = streaming(store)
    flush = flusher(store)
    on_delta = flush.open(claim)
    on_delta(Delta(text="a"))
    own_valkey.kill()
    flush.flush()
    on_delta(Delta(text="b", reasoning="c"))
    tail = flush.close(claim)
    assert [(piece.number, json.loads(piece.data)) for piece in tail] == [
        (1, {"text": "a"}),
        (2, {"text": "b", "reasoning": "c"}),
    ]


def test_every_answer_of_a_job_has_chunks_of_its_own(store: Store) -> None:
    claim = streaming(store)
    output = flusher(store)
    on_delta = output.open(claim)
    told = TokenLogprob(token="b", bytes=(98,), logprob=-0.5)
    for delta in (Delta(text="a"), Delta(text="x", choice=1), Delta(text="b", logprobs=(told,))):
        on_delta(delta)
    output.flush()
    on_delta(Delta(reasoning="hm", choice=1))
    output.flush()
    entries: Any = store.client.xrange(store.keys.output(claim.job_id, claim.attempt))
    assert [json.loads(fields[b"chunk"]) for _, fields in entries] == [
        {"text": "ab", "logprobs": [{"token": "b", "bytes": [98], "logprob": -0.5, "top_logprobs": []}]},
        {"choice": 1, "text": "x"},
        {"choice": 1, "reasoning": "hm"},
    ]
