"""Prompts that take the real engine seconds to read hold up nobody and cost nobody a lease."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quill.client import Client
from quill.job import JobRequest
from quill.states import State
from tests.checkpoints import save_checkpoint
from tests.processes import Fleet
from tests.valkey import ValkeyServer

CONTEXT_TOKENS = 4096
#: Slow enough that reading the long prompt in one piece takes seconds on two cores.
SIZES = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": CONTEXT_TOKENS,
}


@pytest.mark.timeout(170)
def test_long_prompts_cause_no_stall_and_no_step_of_a_second(
    valkey: ValkeyServer, fleet: Fleet, tmp_path: Path
) -> None:
    model = save_checkpoint(tmp_path / "model", sizes=SIZES)
    worker = fleet.start(
        "worker", model=model, served_model="quill-tiny", slots=16, prefill_chunk_tokens=CONTEXT_TOKENS
    )
    worker.wait_for("worker_ready", within_s=120)
    _, url = fleet.gateway()
    # No two begin alike, so that nothing is read but once.
    prompts = ["x" * 3500, *(f"{number:02d}".ljust(500, "y") for number in range(16))]
    with Client(url) as client:
        jobs = client.submit_many([JobRequest(prompt=prompt, max_tokens=4) for prompt in prompts])
        ends = [client.wait(job, timeout_s=120) for job in jobs]
    assert {(job.state, job.attempt) for job in ends} == {(State.SUCCEEDED, 1)}
    assert sum(job.result.usage.prompt_tokens for job in ends if job.result) > 3500 + 16 * 500
    with valkey.client() as store:
        assert {store.hget(f"quill:job:{job.id}", "lost") for job in ends} == {b"0"}
        (worker_id,) = store.zrange("quill:seen", 0, -1)
        report = json.loads(store.hget(f"quill:worker:{worker_id.decode()}", "report") or "{}")
    assert 0 < report["longest_step_s"] < 1
