"""SAQ: jobs have a heartbeat of some seconds, and the sweep runs every second."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from saq import Queue, Worker

from benchmarks.peers.job import JOB_S, SILENCE_S, URL, note


async def run(context: dict[str, Any], *, name: str) -> None:
    note("starts", name)
    for _ in range(int(JOB_S)):
        await asyncio.sleep(1)
        await context["job"].update()
    note("ends", name)


async def submit(queue: Queue, count: int) -> None:
    for job in range(count):
        await queue.enqueue("run", name=str(job), timeout=60, heartbeat=SILENCE_S, retries=10)
    await queue.disconnect()


def main() -> None:
    command, number = sys.argv[1:]
    queue = Queue.from_url(URL)
    if command == "submit":
        asyncio.run(submit(queue, int(number)))
    else:
        worker = Worker(queue, [("run", run)], concurrency=int(number), timers={"sweep": 1})
        asyncio.run(worker.start())


if __name__ == "__main__":
    main()
