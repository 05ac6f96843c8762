"""Our queue beside stock Celery's: `python -m benchmarks.queue`; the last line is one JSON object.

Drain: no-op jobs filled beforehand, both worker sides with a threads pool of 8 and `-l WARNING` on the same
Valkey, interleaved pairs, the median of the ratios. Hop: every job of an open loop, from its admission by the
store's clock to the engine's step that takes it up; on one machine both read the same clock.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from celery import Celery

from benchmarks.server import valkey
from quill import ids
from quill.job import JobRequest
from quill.settings import Settings
from quill.store import admission
from quill.store.admission import Submission
from quill.store.run import Store

POOL = 8
MODEL = "bench"
HOP_RATE_PER_S = 50

STOCK = Celery("stock", broker=os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/1"))
STOCK.conf.update(task_ignore_result=True, task_acks_late=True, broker_connection_retry_on_startup=True)


@STOCK.task(name="noop")
def noop() -> None:
    pass


def submission(number: int) -> Submission:
    request = JobRequest(prompt=f"job {number}", max_tokens=1)
    return Submission(ids.new_job_id(), "bench", MODEL, request, 10, 600.0, 10_000_000)


def drained(done: Callable[[], int], total: int) -> float:
    """Jobs a second between a tenth and the whole, so that the process's start does not count."""
    first = total // 10
    while done() < first:
        time.sleep(0.002)
    started_s, began_at = time.perf_counter(), done()
    while (now := done()) < total:
        time.sleep(0.002)
    return (now - began_at) / (time.perf_counter() - started_s)


def process(*command: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def our_worker(
    settings: Settings, slots: int, module: str = "worker", **environment: str
) -> subprocess.Popen[bytes]:
    return process(
        "-m",
        module,
        QUILL_REDIS_URL=settings.redis_url,
        QUILL_MODEL=MODEL,
        QUILL_ENGINE="simulated",
        QUILL_SLOTS=str(slots),
        QUILL_SIMULATED_STEP_S="0",
        QUILL_LOG_LEVEL="warning",
        **environment,
    )


def stop(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(10)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def ended(store: Store) -> int:
    return int(store.client.zcard(f"{store.keys.namespace}:expiry"))


def our_drain(store: Store, settings: Settings, jobs: int) -> tuple[float, float, float]:
    """(jobs/s, Redis commands a job, bytes a queued job without its payload)"""
    store.client.flushall()
    before_bytes = store.client.info("memory")["used_memory"]
    payload_bytes = 0
    for number in range(jobs):
        one = submission(number)
        payload_bytes += len(one.request.model_dump_json(by_alias=True, exclude_defaults=True))
        store.run(admission.admit(one))
    filled_bytes = store.client.info("memory")["used_memory"] - before_bytes - payload_bytes
    store.client.config_resetstat()
    worker = our_worker(settings, POOL)
    try:
        rate = drained(lambda: ended(store), jobs)
        commands = _client_commands(store)
    finally:
        stop(worker)
    return rate, commands / jobs, filled_bytes / jobs


def _client_commands(store: Store) -> int:
    """Calls that crossed the wire: scripts and what Celery sends, not what runs inside Lua."""
    stats = store.client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "brpop"))


def left_of_stock(store: Store) -> int:
    with store.client.pipeline() as pipe:
        pipe.llen("celery")
        pipe.hlen("unacked")
        return sum(pipe.execute())


def stock_drain(store: Store, url: str, jobs: int) -> float:
    store.client.flushall()
    with STOCK.connection_for_write(url) as connection, connection.Producer() as producer:
        for _ in range(jobs):
            noop.apply_async(producer=producer)
    arguments = ["worker", "-P", "threads", "-c", str(POOL), "-l", "WARNING"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    worker = process("-m", "celery", "-A", "benchmarks.queue:STOCK", *arguments, *quiet)
    try:
        return drained(lambda: jobs - left_of_stock(store), jobs)
    finally:
        stop(worker)


def hops_ms(store: Store, settings: Settings, jobs: int, stamps: Path) -> list[float]:
    """Of all ``jobs``, in ascending order."""
    store.client.flushall()
    worker = our_worker(settings, 32, "benchmarks.stamping_worker", BENCH_STAMPS=str(stamps))
    try:
        while not store.client.exists(f"{store.keys.namespace}:members:{MODEL}"):
            time.sleep(0.05)
        time.sleep(1)
        created_us = open_loop(store, jobs)
        while ended(store) < jobs:
            time.sleep(0.01)
    finally:
        stop(worker)
    started = (line.split(" ", 1) for line in stamps.read_text().splitlines())
    started_us = {prompt: int(at_us) for at_us, prompt in started}
    return sorted((started_us[prompt] - at_us) / 1000 for prompt, at_us in created_us.items())


def open_loop(store: Store, jobs: int) -> dict[str, int]:
    """Submits at a steady rate, whatever the service does; gives each prompt's time of admission."""
    created_us = {}
    due_s = time.perf_counter()
    for number in range(jobs):
        one = submission(number)
        admitted = store.run(admission.admit(one))
        created_us[one.request.turns[0].content] = round(admitted.created_at * 1_000_000)
        due_s += 1 / HOP_RATE_PER_S
        time.sleep(max(due_s - time.perf_counter(), 0))
    return created_us


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--hop-jobs", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, valkey() as url:
        os.environ["BENCH_REDIS_URL"] = url
        STOCK.conf.broker_url = url
        settings = Settings(redis_url=url)
        store = Store.connect(settings)
        try:
            drains = measure_drains(store, settings, url, options.jobs, options.pairs)
            hops = measure_hops(store, settings, options.hop_jobs, Path(folder) / "stamps")
            print(json.dumps(drains | hops))
        finally:
            store.close()


def measure_drains(store: Store, settings: Settings, url: str, jobs: int, pairs: int) -> dict[str, float]:
    ratios, ours = [], (0.0, 0.0, 0.0)
    for pair in range(pairs):
        ours = our_drain(store, settings, jobs)
        stock = stock_drain(store, url, jobs)
        ratios.append(ours[0] / stock)
        print(f"pair {pair + 1}: ours {ours[0]:.0f}/s, stock {stock:.0f}/s", file=sys.stderr)
    return {
        "drain_ratio": round(statistics.median(ratios), 3),
        "commands_per_job": round(ours[1], 2),
        "bytes_per_queued_job": round(ours[2]),
    }


def measure_hops(store: Store, settings: Settings, jobs: int, stamps: Path) -> dict[str, float]:
    hops = hops_ms(store, settings, jobs, stamps)
    return {
        "hop_jobs": len(hops),
        "hop_p50_ms": round(hops[len(hops) // 2], 2),
        "hop_p99_ms": round(hops[int(len(hops) * 0.99)], 2),
        "hop_max_ms": round(hops[-1], 2),
    }


if __name__ == "__main__":
    main()
