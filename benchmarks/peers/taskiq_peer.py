"""taskiq on a Redis stream: a message that nobody acknowledged for 10 s is claimed by another consumer."""

from __future__ import annotations

import asyncio
import os
import sys

from taskiq_redis import RedisStreamBroker

from benchmarks.peers.job import JOB_S, URL, note

#: Longer than a job, or every job would run twice.
_IDLE_MS = 10_000

broker = RedisStreamBroker(URL, idle_timeout=_IDLE_MS, xread_block=1000)


@broker.task(task_name="run")
async def run(name: str) -> None:
    note("starts", name)
    await asyncio.sleep(JOB_S)
    note("ends", name)


async def submit(count: int) -> None:
    await broker.startup()
    for job in range(count):
        await run.kiq(str(job))
    await broker.shutdown()


def main() -> None:
    command, number = sys.argv[1:]
    if command == "submit":
        asyncio.run(submit(int(number)))
    else:
        options = ["--workers", "1", "--max-async-tasks", number, "--log-level", "ERROR"]
        arguments = [
            sys.executable,
            "-m",
            "taskiq",
            "worker",
            "benchmarks.peers.taskiq_peer:broker",
            *options,
        ]
        os.execv(sys.executable, arguments)


if __name__ == "__main__":
    main()
