"""A gateway dies at each of its round trips to the store: the caller that asks again has one job."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from quill.chaos.proxy import FaultProxy, Toxic
from quill.client import Client
from quill.errors import QuillError
from quill.job import JobRequest
from quill.states import State
from quill.store import calls, listing
from quill.store.run import Store
from tests.integration.jobs import FACTS
from tests.processes import Fleet, Process
from tests.valkey import ValkeyServer

MODEL = "quill-tiny"
#: What becomes of the connection at the round trip.
BREAKS = {
    "before the request arrives": Toxic(is_blackhole=True),
    "before the reply arrives": Toxic(drops_replies=True),
    "in place of the reply": Toxic(cuts_replies=True),
}


def _submit(url: str, request: JobRequest) -> None:
    with suppress(QuillError), Client(url, max_retries=0) as client:
        client.submit(request, idempotency_key="k")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("toxic", BREAKS.values(), ids=BREAKS.keys())
def test_a_submit_that_a_gateway_died_in_gives_one_job(
    valkey: ValkeyServer, store: Store, fleet: Fleet, tmp_path: Path, toxic: Toxic
) -> None:
    store.run(calls.join("w", MODEL, 1, "{}", FACTS))
    proxy = FaultProxy(valkey.port)
    proxy.start()
    doomed = Process(
        "gateway",
        tmp_path / "doomed.log",
        redis_url=f"redis://127.0.0.1:{proxy.port}/0",
        port=0,
        auth="off",
    )
    fleet.processes.append(doomed)
    url = f"http://127.0.0.1:{doomed.wait_for('gateway_ready')['port']}"
    request = JobRequest(prompt="once", max_tokens=3)
    with Client(url, max_retries=0) as client:
        client.submit(JobRequest(prompt="before"))
    proxy.toxic = toxic
    asking = threading.Thread(target=_submit, args=(url, request))
    asking.start()
    time.sleep(0.5)  # its background reads break too, so that something broke would not say that this did
    assert proxy.cut + proxy.dropped_bytes > 0
    doomed.kill()
    asking.join()
    proxy.stop()
    _, url = fleet.gateway()
    with Client(url) as client:
        first = client.submit(request, idempotency_key="k")
        again = client.submit(request, idempotency_key="k")
    assert first.id == again.id
    assert first.state is State.QUEUED
    assert len(store.run(listing.page("local", None, 10))) == 2
