"""A worker killed under a hundred jobs, while another has a hundred free slots."""

from __future__ import annotations

import os
import signal

import pytest

from benchmarks.kills import JOBS, Bench
from benchmarks.worker import MODEL
from quill.chaos.parts import children_of
from quill.states import State
from quill.store.run import Store
from tests.processes import Fleet, Process, eventually


def host(fleet: Fleet, module: str, step_s: float) -> Process:
    started = fleet.start(module, engine="simulated", served_model=MODEL, slots=JOBS, simulated_step_s=step_s)
    started.wait_for("worker_ready")
    return started


def kill_under_all(bench: Bench, fleet: Fleet, module: str) -> int:
    """Gives when, by the store's clock; the jobs would have gone on for 20 s and take 2 s on the other."""
    busy = host(fleet, module, 0.1)
    bench.admit()
    eventually(lambda: set(bench.states()) == {State.RUNNING})
    host(fleet, module, 0.01)
    at_ms = bench.now_ms()
    for pid in children_of(busy.pid) if module == "quill.supervision" else [busy.pid]:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: set(bench.states()) == {State.SUCCEEDED}, within_s=30)
    return at_ms


@pytest.mark.timeout(90)
def test_all_jobs_of_a_killed_worker_run_again_within_9_s(store: Store, fleet: Fleet) -> None:
    bench = Bench(store)
    at_ms = kill_under_all(bench, fleet, "worker")
    slowest_s = bench.slowest_s(State.RUNNING, at_ms)
    assert slowest_s is not None
    assert slowest_s < 9


@pytest.mark.timeout(90)
def test_all_jobs_of_a_supervised_one_are_back_in_their_line_within_a_second(
    store: Store, fleet: Fleet
) -> None:
    bench = Bench(store)
    at_ms = kill_under_all(bench, fleet, "quill.supervision")
    requeued_s, rerun_s = (bench.slowest_s(state, at_ms) for state in (State.QUEUED, State.RUNNING))
    assert requeued_s is not None
    assert rerun_s is not None
    assert requeued_s < 1
    assert rerun_s < 2
