"""The job of every peer: it says when it starts and when it ends, and takes its time between."""

from __future__ import annotations

import os
import time

import redis

URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/0")
JOB_S = float(os.environ.get("BENCH_JOB_S", "8"))
#: A worker that shows no life for so long has lost its jobs, where a peer can be told.
SILENCE_S = 5


def note(what: str, name: str) -> None:
    with redis.Redis.from_url(URL) as client:
        client.rpush(f"bench:{what}", f"{name} {time.time()}")


def work(name: str) -> None:
    note("starts", name)
    time.sleep(JOB_S)
    note("ends", name)
