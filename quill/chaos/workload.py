"""Seeded callers: they submit, repeat themselves, stream, wait, cancel and go away, as real ones do."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

from quill.chaos.ledger import Entry, Ledger
from quill.client import Client, DeltaEvent, DoneEvent
from quill.errors import IdempotencyConflict, JobNotCancellable, JobNotFound, QuillError
from quill.job import JobRequest
from quill.producer import Queue
from quill.states import State

HTTP_TENANT = "local"
_WAIT_S = 10.0
_PAUSE_S = 0.2
#: Few, so that the same question is asked again and again and its answers can be compared.
_PROMPTS = 20
_LENGTHS = (5, 20, 50, 100, 200)


def request_of(dice: random.Random) -> JobRequest:
    """A job of 0.1 to 4 s."""
    fields: dict[str, object] = {
        "prompt": f"question {dice.randrange(_PROMPTS)}",
        "max_tokens": dice.choice(_LENGTHS),
        "class": dice.choice(("interactive", "standard", "standard", "batch")),
        "stream": dice.random() < 0.4,
    }
    if dice.random() < 0.1:
        fields["start_by_s"] = 1.5
    if dice.random() < 0.1:
        fields["run_timeout_s"] = 0.5
    return JobRequest.model_validate(fields)


class Caller(threading.Thread):
    """One at the gateway, over HTTP."""

    def __init__(self, urls: Sequence[str], ledger: Ledger, seed: str, ending: threading.Event) -> None:
        super().__init__(name=f"caller {seed}", daemon=True)
        self._dice = random.Random(seed)
        self._seed = seed
        self._ledger = ledger
        self._ending = ending
        self._clients = [Client(url, max_retries=2, longest_pause_s=1.0) for url in urls]
        self._number = 0

    def run(self) -> None:
        while not self._ending.is_set():
            self._live(self._new_entry())
        for client in self._clients:
            client.close()

    def _new_entry(self) -> Entry:
        self._number += 1
        return self._ledger.open(HTTP_TENANT, f"{self._seed}-{self._number}", request_of(self._dice))

    @property
    def _client(self) -> Client:
        return self._dice.choice(self._clients)

    def _live(self, entry: Entry) -> None:
        if not self._insist(lambda: self._submit(entry)):
            return
        if self._dice.random() < 0.1:
            self._insist(lambda: self._submit(entry))
        if self._dice.random() < 0.1:
            self._insist(lambda: self._confuse(entry))
        chosen = self._dice.random()
        if chosen < 0.15:
            self._ending.wait(self._dice.uniform(0, 1))
            self._insist(lambda: self._cancel(entry))
        elif entry.request.stream and chosen < 0.7:
            self._try(lambda: self._stream(entry))
        elif chosen < 0.7:
            self._try(lambda: self._wait(entry))

    def _insist(self, act: Callable[[], None]) -> bool:
        """Until it is answered, or the run ends."""
        while not self._try(act):
            if self._ending.wait(_PAUSE_S):
                return False
        return True

    def _try(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except (QuillError, TimeoutError):
            return False
        return True

    def _submit(self, entry: Entry) -> None:
        entry.job_ids.add(self._client.submit(entry.request, idempotency_key=entry.key).id)

    def _confuse(self, entry: Entry) -> None:
        other = entry.request.model_copy(update={"prompt": "another question"})
        try:
            self._client.submit(other, idempotency_key=entry.key)
        except IdempotencyConflict:
            return
        entry.was_confused = True

    def _cancel(self, entry: Entry) -> None:
        try:
            job = self._client.cancel(entry.job_id or "")
        except JobNotCancellable:
            return
        entry.was_cancelled = job.state is State.CANCELLED
        self._ledger.note_end(entry, job)

    def _wait(self, entry: Entry) -> None:
        self._ledger.note_end(entry, self._client.wait(entry.job_id or "", timeout_s=_WAIT_S))

    def _stream(self, entry: Entry) -> None:
        texts: dict[int, str] = {}
        for event in self._client.stream(entry.job_id or ""):
            if isinstance(event, DeltaEvent):
                texts[event.attempt] = texts.get(event.attempt, "") + event.text
            elif isinstance(event, DoneEvent):
                entry.streamed[event.job.attempt] = texts.get(event.job.attempt, "")
                self._ledger.note_end(entry, event.job)


class Producer(threading.Thread):
    """A service beside the store with tenants of its own; it only hands in."""

    def __init__(self, url: str, ledger: Ledger, tenant: str, seed: str, ending: threading.Event) -> None:
        super().__init__(name=f"producer {tenant}", daemon=True)
        self._queue = Queue(url, tenant=tenant)
        self._dice = random.Random(seed)
        self._ledger = ledger
        self._tenant = tenant
        self._ending = ending

    def run(self) -> None:
        number = 0
        while not self._ending.wait(self._dice.expovariate(1.5)):
            number += 1
            entry = self._ledger.open(self._tenant, f"{self._tenant}-{number}", request_of(self._dice))
            self._submit(entry)
        self._queue.close()

    def _submit(self, entry: Entry) -> None:
        while not self._ending.is_set():
            try:
                entry.job_ids.add(self._queue.submit(entry.request, idempotency_key=entry.key))
            except QuillError:
                self._ending.wait(_PAUSE_S)
            else:
                return


def resolve(entries: Sequence[Entry], gateway_url: str, store_url: str, until_s: float) -> list[Entry]:
    """Asks for every entry once more, which must give the id that it has, and waits for its end.

    Called when everything is healed. Gives those that have none at ``until_s`` (of `time.monotonic`).
    """
    stuck = []
    with Client(gateway_url, max_retries=5) as client:
        queues = {tenant: Queue(store_url, tenant=tenant) for tenant in {entry.tenant for entry in entries}}
        for entry in entries:
            queue = queues[entry.tenant]
            if entry.tenant == HTTP_TENANT:
                entry.job_ids.add(client.submit(entry.request, idempotency_key=entry.key).id)
            else:
                entry.job_ids.add(queue.submit(entry.request, idempotency_key=entry.key))
            if not _has_ended(queue, entry, until_s):
                stuck.append(entry)
        for queue in queues.values():
            queue.close()
    return stuck


def _has_ended(queue: Queue, entry: Entry, until_s: float) -> bool:
    try:
        for job_id in entry.job_ids:
            queue.wait(job_id, timeout_s=max(until_s - time.monotonic(), 0.1))
    except TimeoutError:
        return False
    except JobNotFound:  # lost, which is another matter
        return True
    return True
