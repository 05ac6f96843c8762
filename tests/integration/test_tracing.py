"""One trace from a caller's request to the webhook that tells of its end (W3C Trace Context)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quill.store.run import Store
from tests.integration.test_webhooks import register, start
from tests.processes import Fleet, eventually
from tests.webhook_receiver import Receiver

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def test_gateway_worker_and_webhook_are_steps_of_the_callers_trace(
    fleet: Fleet, store: Store, receiver: Receiver
) -> None:
    gateway, http = start(fleet, receiver)
    worker = fleet.worker(simulated_step_s=0.0)
    with http:
        register(http, receiver.url("/ok"))
        headers = {"traceparent": PARENT, "Prefer": "wait=20"}
        reply = http.post("/v1/jobs", json={"prompt": "x", "max_tokens": 2}, headers=headers)
        assert reply.json()["state"] == "succeeded"
        got = eventually(lambda: receiver.got("/ok", 1))[0]
    assert TRACE_ID in {line["trace_id"] for line in gateway.said("request")}
    assert [line["trace_id"] for line in worker.said("claim")] == [TRACE_ID]
    version, trace_id, span_id, flags = got.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE_ID, "01")
    assert span_id not in PARENT
