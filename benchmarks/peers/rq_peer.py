"""RQ: a pool of one process a job, monitored every second; its heartbeat outlives a worker by a minute."""

from __future__ import annotations

import sys

import redis
from rq import Queue, Retry, Worker
from rq.worker_pool import WorkerPool

from benchmarks.peers.job import URL, work


class AttentiveWorker(Worker):
    """Looks for abandoned jobs every few seconds instead of every ten minutes."""

    def __init__(self, *args: object, **options: object) -> None:
        quick = {"job_monitoring_interval": 1, "maintenance_interval": 1, "worker_ttl": 18}
        super().__init__(*args, **(options | quick))


def main() -> None:
    command, number = sys.argv[1:]
    connection = redis.Redis.from_url(URL)
    if command == "submit":
        queue = Queue("peer", connection=connection)
        for job in range(int(number)):
            queue.enqueue(work, str(job), retry=Retry(max=5))
    else:
        WorkerPool(["peer"], connection, int(number), AttentiveWorker).start(logging_level="ERROR")


if __name__ == "__main__":
    main()
