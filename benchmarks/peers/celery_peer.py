"""Stock Celery: late acknowledgement, a visibility timeout of 10 s that is looked at every second."""

from __future__ import annotations

import sys

from celery import Celery

from benchmarks.peers.job import URL, work

APP = Celery("peer", broker=URL)
APP.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": 10,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)
run = APP.task(name="run")(work)


def main() -> None:
    command, number = sys.argv[1:]
    if command == "submit":
        for job in range(int(number)):
            run.delay(str(job))
    else:
        quiet = ["--without-gossip", "--without-mingle", "-l", "ERROR"]
        APP.worker_main(["worker", "-P", "threads", "-c", number, *quiet])


if __name__ == "__main__":
    main()
