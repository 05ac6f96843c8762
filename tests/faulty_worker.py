"""A worker whose engine fails on demand: `python -m tests.faulty_worker`. The prompt says how.

`fault 2: ...` fails twice in a way that another try may not meet, then answers; `defect: ...` raises what no
engine should; `bad: ...` fails for good; `crash: ...` ends the process as a defect in C code does;
`hang: ...` stops the engine's thread, and `freeze: ...` does so with the interpreter's lock, which stops the
others too; `lost: ...` loses the device; `die: ...` ends the engine's thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections import Counter
from dataclasses import replace

from quill.errors import EngineError, EngineFault, EngineLost
from quill.settings import WorkerSettings
from worker.boot import boot
from worker.engines.base import EngineStats, GenerationRequest, OnDelta
from worker.engines.generation import Generation
from worker.engines.simulated import SimulatedEngine


class FaultyEngine(SimulatedEngine):
    def __init__(self, slots: int, decode_s_per_step: float) -> None:
        super().__init__(slots=slots, decode_s_per_step=decode_s_per_step)
        self._tries: Counter[str] = Counter()
        self.hangs = False
        self.freezes = False
        self.is_lost = False
        self.dies = False

    def _elapse(self, seconds: float) -> None:
        if self.dies:
            raise RuntimeError("a defect")
        while self.hangs:
            time.sleep(1)
        if self.freezes:
            ctypes.PyDLL(None).sleep(3600)
        super()._elapse(seconds)

    def stats(self) -> EngineStats:
        return replace(super().stats(), is_lost=self.is_lost)

    def submit(self, request: GenerationRequest, on_delta: OnDelta | None = None) -> Generation:
        prompt = request.messages[-1].content
        kind, _, _ = prompt.partition(":")
        self._tries[prompt] += 1
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if kind == "hang":
            self.hangs = True
        if kind == "freeze":
            self.freezes = True
        if kind == "die":
            self.dies = True
        if kind == "lost":
            self.is_lost = True
        if self.is_lost:
            raise EngineLost
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
