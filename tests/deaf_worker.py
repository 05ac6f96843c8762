"""A worker that asks its broker for nothing after the first answers: `python -m tests.deaf_worker`."""

from __future__ import annotations

from quill.settings import WorkerSettings
from worker import transport
from worker.boot import boot

_ANSWERS = 3


class DeafChannel(transport.Channel):
    requests = 0

    def _brpop_start(self, timeout: float | None = None) -> None:
        DeafChannel.requests += 1
        if DeafChannel.requests <= _ANSWERS:
            super()._brpop_start(timeout)


def main() -> int:
    transport.Transport.Channel = DeafChannel
    return boot(WorkerSettings())


if __name__ == "__main__":
    raise SystemExit(main())
