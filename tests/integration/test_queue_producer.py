"""The producer that goes straight to the store; the test plays the worker."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from quill import Queue
from quill.embedded import free_port
from quill.errors import (
    ContextLengthExceeded,
    IdempotencyConflict,
    JobNotCancellable,
    JobNotFound,
    ModelNotFound,
    StoreUnavailable,
)
from quill.job import JobClass, JobRequest
from quill.pricing import ModelFacts, TokenizersMissing
from quill.states import State
from quill.store import calls
from quill.store.run import Store
from tests.integration.jobs import MODEL, RESULT, claim, outcome_of
from tests.processes import eventually
from tests.valkey import ValkeyServer

ASKED = JobRequest(prompt="What is 17 + 25?", model=MODEL)
#: By its bytes it is longer than the model's context, by its words it is not.
LONG = JobRequest(prompt="considerable " * 20, model=MODEL, max_tokens=10)


@pytest.fixture(autouse=True)
def known_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has named the model, so that it may be asked for before its first worker."""
    monkeypatch.setenv("QUILL_MODELS", f'["{MODEL}"]')


@pytest.fixture
def queue(valkey: ValkeyServer) -> Iterator[Queue]:
    with Queue(valkey.url) as queue:
        yield queue


def join(store: Store, tokenizer: str = "") -> None:
    facts = ModelFacts(context_tokens=60, base_tokens=5, message_tokens=5, tokenizer=tokenizer)
    store.run(calls.join("w", MODEL, 1, "{}", facts))


def publish_tokenizer(store: Store, digest: str) -> None:
    """One token a word."""
    words = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    words.pre_tokenizer = Whitespace()
    store.client.set(store.keys.tokenizer(digest), zlib.compress(words.to_str().encode()))


def cost_of(store: Store, job_id: str) -> int:
    cost = store.client.hget(f"{store.keys.namespace}:job:{job_id}", "cost")
    assert isinstance(cost, bytes)
    return int(cost)


def test_a_submitted_job_reaches_a_worker_and_comes_back(queue: Queue, store: Store) -> None:
    job_id = queue.submit(ASKED)
    assert queue.get(job_id).state is State.QUEUED
    join(store)
    held = claim(store)
    assert (held.job_id, held.tenant, held.request) == (job_id, "local", ASKED)
    timer = threading.Timer(0.1, store.run, [calls.finish(held, State.SUCCEEDED, RESULT)])
    timer.start()
    ended = queue.wait(job_id, timeout_s=20)
    timer.join()
    assert ended.result is not None
    assert ended.result.text == "42"


def test_an_idempotency_key_stands_for_one_job(queue: Queue) -> None:
    job_id = queue.submit(ASKED, idempotency_key="k1")
    assert queue.submit(ASKED, idempotency_key="k1") == job_id
    assert queue.submit(ASKED) != job_id
    with pytest.raises(IdempotencyConflict):
        queue.submit(JobRequest(prompt="Other", model=MODEL), idempotency_key="k1")


def test_every_detail_of_a_request_reaches_the_worker(queue: Queue, store: Store) -> None:
    fields = {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "model": MODEL,
        "temperature": 0.5,
        "seed": 7,
        "thinking": True,
        "stream": True,
        "class": JobClass.INTERACTIVE,
        "metadata": {"a": "b"},
    }
    request = JobRequest.model_validate(fields)
    queue.submit(request)
    join(store)
    held = claim(store)
    assert held.request == request
    assert held.is_streaming


def test_tenants_do_not_see_each_other(valkey: ValkeyServer) -> None:
    with Queue(valkey.url, tenant="acme") as acme, Queue(valkey.url, tenant="other") as other:
        job_id = acme.submit(ASKED)
        with pytest.raises(JobNotFound):
            other.get(job_id)
        with pytest.raises(JobNotFound):
            other.cancel(job_id)
        assert acme.get(job_id).state is State.QUEUED


def test_namespaces_do_not_see_each_other(valkey: ValkeyServer) -> None:
    with Queue(valkey.url, namespace="one") as one, Queue(valkey.url, namespace="two") as two:
        job_id = one.submit(ASKED)
        assert one.get(job_id).id == job_id
        with pytest.raises(JobNotFound):
            two.get(job_id)


def test_queued_and_running_jobs_can_be_cancelled_but_not_ended_ones(queue: Queue, store: Store) -> None:
    assert queue.cancel(queue.submit(ASKED)).state is State.CANCELLED
    running = queue.submit(ASKED)
    join(store)
    claim(store)
    assert queue.cancel(running).state is State.CANCELLED
    ended = queue.submit(ASKED)
    store.run(calls.finish(claim(store), State.SUCCEEDED, outcome_of(State.SUCCEEDED)))
    with pytest.raises(JobNotCancellable):
        queue.cancel(ended)


def test_waiting_ends_in_time(queue: Queue) -> None:
    job_id = queue.submit(ASKED)
    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        queue.wait(job_id, timeout_s=0.2)
    assert time.monotonic() - began_s < 2


def test_a_prompt_that_surely_fits_is_estimated_from_its_bytes_and_the_template(
    queue: Queue, store: Store
) -> None:
    join(store)
    assert cost_of(store, queue.submit(JobRequest(prompt="x" * 8, model=MODEL, max_tokens=5))) == 2 + 10 + 5


def test_a_long_prompt_is_counted_by_the_published_tokenizer(queue: Queue, store: Store) -> None:
    publish_tokenizer(store, "d1")
    join(store, tokenizer="d1")
    assert cost_of(store, queue.submit(LONG)) == 20 + 5 + 5 + 10
    with pytest.raises(ContextLengthExceeded, match="60 tokens"):
        queue.submit(JobRequest(prompt="considerable " * 60, model=MODEL))


def test_without_a_published_tokenizer_a_long_prompt_is_estimated(queue: Queue, store: Store) -> None:
    join(store)
    with pytest.raises(ContextLengthExceeded):
        queue.submit(JobRequest(prompt="x" * 4 * 60, model=MODEL))


def test_a_tokenizer_is_read_and_parsed_once(queue: Queue, store: Store) -> None:
    publish_tokenizer(store, "d1")
    join(store, tokenizer="d1")
    first = cost_of(store, queue.submit(LONG))
    store.client.delete(store.keys.tokenizer("d1"))
    assert cost_of(store, queue.submit(LONG)) == first


def test_tokenizers_are_told_apart_by_their_digests(queue: Queue, store: Store) -> None:
    publish_tokenizer(store, "d1")
    join(store, tokenizer="d1")
    by_words = cost_of(store, queue.submit(LONG))
    join(store, tokenizer="unpublished")
    with pytest.raises(ContextLengthExceeded):
        queue.submit(LONG)
    join(store, tokenizer="d1")
    assert cost_of(store, queue.submit(LONG)) == by_words


@pytest.mark.parametrize("junk", [b"junk", zlib.compress(b"junk")])
def test_a_tokenizer_that_cannot_be_read_counts_as_none(queue: Queue, store: Store, junk: bytes) -> None:
    store.client.set(store.keys.tokenizer("d1"), junk)
    join(store, tokenizer="d1")
    with pytest.raises(ContextLengthExceeded):
        queue.submit(LONG)


def test_without_the_tokenizers_package_a_long_prompt_names_what_to_install(
    queue: Queue, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    publish_tokenizer(store, "d1")
    join(store, tokenizer="d1")
    assert queue.submit(ASKED)
    with pytest.raises(TokenizersMissing, match=r"quill-queue\[producer\]"):
        queue.submit(LONG)


def test_a_mistyped_model_is_refused_instead_of_queued_for_ever(queue: Queue, store: Store) -> None:
    with pytest.raises(ModelNotFound):
        queue.submit(JobRequest(prompt="Hi", model="quill-tinny"))
    assert store.client.keys("*") == []


def test_a_model_is_known_once_a_worker_has_served_it(queue: Queue, store: Store) -> None:
    request = JobRequest(prompt="Hi", model="new")
    with pytest.raises(ModelNotFound):
        queue.submit(request)
    store.run(calls.join("w", "new", 1, "{}", ModelFacts(context_tokens=60)))
    store.run(calls.leave("w", "new"))
    assert queue.get(queue.submit(request)).model == "new"


def test_the_default_model_may_be_asked_for_before_its_first_worker(
    valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUILL_DEFAULT_MODEL", "ours")
    with Queue(valkey.url) as queue:
        assert queue.get(queue.submit(JobRequest(prompt="Hi"))).model == "ours"
        assert queue.get(queue.submit(JobRequest(prompt="Hi", model="ours"))).model == "ours"


def test_the_same_request_is_the_same_however_it_is_written(queue: Queue) -> None:
    plain = JobRequest(prompt="Hi", model=MODEL, metadata={"a": "1", "b": "2"})
    spelled_out = JobRequest(prompt="Hi", model=MODEL, metadata={"b": "2", "a": "1"}, stream=False)
    assert queue.submit(plain, idempotency_key="k1") == queue.submit(spelled_out, idempotency_key="k1")


def test_a_store_that_is_away_is_a_typed_error() -> None:
    with Queue(f"redis://127.0.0.1:{free_port()}/0") as queue, pytest.raises(StoreUnavailable):
        queue.submit(ASKED)


def test_threads_share_a_queue(queue: Queue) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(queue.submit(ASKED))) for _ in range(16)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(found) == 16)
    assert len(set(found)) == 16


def test_a_producer_loads_no_http_client_and_no_engine(valkey: ValkeyServer) -> None:
    code = (
        "import sys\nfrom quill import Queue\nfrom quill.job import JobRequest\n"
        f"queue = Queue({valkey.url!r})\nprint(queue.submit(JobRequest(prompt='Hi')))\nqueue.close()\n"
        "assert not {'httpx2', 'torch', 'celery', 'rich', 'fastapi'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("job_")
