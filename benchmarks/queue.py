"""Our queue beside stock Celery's: `python -m benchmarks.queue`; the last line is one JSON object.

Drain: no-op jobs filled beforehand, both worker sides with a threads pool of 8 and `-l WARNING` on the same
Valkey, interleaved pairs, the median of the ratios. Hop: an open loop from admit to the engine's start.
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

from quill import ids
from quill.embedded import free_port, server_command
from quill.job import JobRequest
from quill.settings import Settings
from quill.store import calls
from quill.store.calls import Submission
from quill.store.run import Store

POOL = 8
MODEL = "bench"
HOP_RATE_PER_S = 50
HOP_JOBS = 500

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


def our_worker(settings: Settings, slots: int) -> subprocess.Popen[bytes]:
    return process(
        "-m",
        "worker",
        QUILL_REDIS_URL=settings.redis_url,
        QUILL_MODEL=MODEL,
        QUILL_ENGINE="simulated",
        QUILL_SLOTS=str(slots),
        QUILL_SIMULATED_STEP_S="0",
        QUILL_LOG_LEVEL="warning",
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
        store.run(calls.admit(one))
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


def hops_ms(store: Store, settings: Settings) -> list[float]:
    """From admission to the claim that starts the engine, by the store's own clock."""
    store.client.flushall()
    worker = our_worker(settings, 32)
    try:
        while not store.client.exists(f"{store.keys.namespace}:members:{MODEL}"):
            time.sleep(0.05)
        time.sleep(1)
        due_s = time.perf_counter()
        for number in range(HOP_JOBS):
            store.run(calls.admit(submission(number)))
            due_s += 1 / HOP_RATE_PER_S
            time.sleep(max(due_s - time.perf_counter(), 0))
        while ended(store) < HOP_JOBS:
            time.sleep(0.01)
        recent = store.client.lrange(store.keys.recent(MODEL), 0, -1)
        return sorted(json.loads(entry)["wait_ms"] for entry in recent)
    finally:
        stop(worker)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = subprocess.Popen(server_command(port, Path(folder)), stdout=subprocess.DEVNULL)
        url = os.environ["BENCH_REDIS_URL"] = f"redis://127.0.0.1:{port}/0"
        STOCK.conf.broker_url = url
        settings = Settings(redis_url=url)
        store = Store.connect(settings)
        time.sleep(0.5)
        try:
            print(json.dumps(measure(store, settings, url, options.jobs, options.pairs)))
        finally:
            store.close()
            server.kill()
            server.wait()


def measure(store: Store, settings: Settings, url: str, jobs: int, pairs: int) -> dict[str, float]:
    ratios, ours = [], (0.0, 0.0, 0.0)
    for pair in range(pairs):
        ours = our_drain(store, settings, jobs)
        stock = stock_drain(store, url, jobs)
        ratios.append(ours[0] / stock)
        print(f"pair {pair + 1}: ours {ours[0]:.0f}/s, stock {stock:.0f}/s", file=sys.stderr)
    hops = hops_ms(store, settings)
    return {
        "drain_ratio": round(statistics.median(ratios), 3),
        "hop_p50_ms": hops[len(hops) // 2],
        "hop_p99_ms": hops[int(len(hops) * 0.99)],
        "commands_per_job": round(ours[1], 2),
        "bytes_per_queued_job": round(ours[2]),
    }


if __name__ == "__main__":
    main()
