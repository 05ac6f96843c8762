"""A worker whose engine fails on demand: `python -m tests.faulty_worker`. The prompt says how.

`fault 2: ...` fails twice in a way that another try may not meet, then answers; `defect: ...` raises what no
engine should; `bad: ...` fails for good; `crash: ...` ends the process as a defect in C code does.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

from quill.errors import EngineError, EngineFault
from quill.settings import WorkerSettings
from worker.boot import boot
from worker.engines.base import GenerationRequest, OnDelta
from worker.engines.generation import Generation
from worker.engines.simulated import SimulatedEngine


class FaultyEngine(SimulatedEngine):
    def __init__(self, slots: int, decode_s_per_step: float) -> None:
        super().__init__(slots=slots, decode_s_per_step=decode_s_per_step)
        self._tries: Counter[str] = Counter()

    def submit(self, request: GenerationRequest, on_delta: OnDelta | None = None) -> Generation:
        prompt = request.messages[-1].content
        kind, _, _ = prompt.partition(":")
        self._tries[prompt] += 1
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if kind == "defect":
            raise RuntimeError("secret of the engine")
        if kind == "bad":
            raise EngineError
        if kind.startswith("fault ") and self._tries[prompt] <= int(kind.removeprefix("fault ")):
            raise EngineFault
        return super().submit(request, on_delta)


def main() -> int:
    settings = WorkerSettings()
    return boot(settings, lambda _: FaultyEngine(settings.slots or 8, settings.simulated_step_s))


if __name__ == "__main__":
    raise SystemExit(main())
