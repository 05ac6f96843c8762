"""A worker whose simulated engine notes when it starts a job: `python -m benchmarks.stamping_worker`.

Set by `QUILL_*` as any worker; the file BENCH_STAMPS gets one line a job of one token: microseconds since the
epoch, and its prompt.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TextIO

from quill.settings import WorkerSettings
from worker.boot import boot
from worker.engines.base import Delta, GenerationRequest, OnDelta
from worker.engines.generation import Generation
from worker.engines.simulated import SimulatedEngine


class StampingEngine(SimulatedEngine):
    def __init__(self, slots: int, stamps: TextIO) -> None:
        super().__init__(slots=slots)
        self._stamps = stamps

    def submit(self, request: GenerationRequest, on_delta: OnDelta | None = None) -> Generation:
        def stamp(delta: Delta) -> None:
            """On the engine's thread, in the step that takes the job up."""
            self._stamps.write(f"{time.time_ns() // 1000} {request.messages[0].content}\n")
            if on_delta is not None:
                on_delta(delta)

        return super().submit(request, stamp)


def main() -> int:
    settings = WorkerSettings()
    # By lines: a job that has ended has been noted.
    with Path(os.environ["BENCH_STAMPS"]).open("w", buffering=1) as stamps:
        return boot(settings, lambda _: StampingEngine(settings.slots or 32, stamps))


if __name__ == "__main__":
    raise SystemExit(main())
