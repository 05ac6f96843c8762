"""The default engine: our slot batcher over an unmodified transformers model, on one thread of its own.

Only that thread runs torch. A second one, even if it did no more than build a tensor, leaves an idle OpenMP
team spinning beside the model: -21 % on everything.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from quill.errors import EngineClosed, EngineFault, EngineLost
from worker.engines.base import EngineInfo, EngineStats, GenerationRequest, OnDelta
from worker.engines.generation import Generation
from worker.engines.inbox import Inbox
from worker.engines.meter import Meter
from worker.engines.startup import refusal
from worker.engines.transformers.picker import Picker
from worker.engines.transformers.sequence import Sequence
from worker.engines.transformers.settings import EngineSettings

if TYPE_CHECKING:
    from worker.engines.transformers.batcher import Batcher
    from worker.engines.transformers.boot import Booted

log = logging.getLogger(__name__)

#: How the threads of a team wait for each other; read once, when torch is first imported. A thread that spins
#: for long takes the core from whom it waits for: with nothing set, a step of a small model beside a busy
#: process on two cores took 240 ms, and 19 ms without. One that never spins is woken a thousand times a step:
#: at Qwen3-0.6B's shape a step of 32 rows took 245 ms, and 195 ms with these some 20 us.
OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1500"}


class TransformersEngine:
    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._inbox: Inbox[Sequence] = Inbox()
        self._started: Future[EngineInfo] = Future()
        self._thread: threading.Thread | None = None
        self._booted: Booted | None = None
        self._meter = Meter()
        self._gpu_bytes = 0
        self._is_lost = False

    def start(self) -> EngineInfo:
        with self._lock:
            if self._inbox.is_closed:
                raise EngineClosed
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="quill-engine", daemon=True)
                self._thread.start()
        return self._started.result()

    def submit(self, request: GenerationRequest, on_delta: OnDelta | None = None) -> Generation:
        booted = self._booted
        if booted is None or self._inbox.is_closed:
            raise EngineClosed("The engine is not running.")
        if self._is_lost:
            raise EngineLost()
        # On the submitting thread, so what is wrong with a request is only its caller's.
        brief = booted.language.brief(request, booted.info.context_tokens)
        generation = Generation(on_delta)
        picker = Picker.of(request.sampling, brief.policy, brief.prompt_ids)
        self._inbox.put(Sequence(generation, brief, picker))
        return generation

    def stats(self) -> EngineStats:
        booted = self._booted
        if booted is None:
            return EngineStats()
        return EngineStats(
            running=booted.batcher.running,
            waiting=booted.batcher.waiting + len(self._inbox),
            completed=booted.batcher.completed,
            tokens_per_s=self._meter.tokens_per_s(),
            gpu_bytes=self._gpu_bytes,
            reused_tokens=booted.batcher.reused_tokens,
            steps=booted.batcher.steps,
            step_age_s=self._meter.step_age_s,
            mean_step_s=self._meter.mean_step_s,
            longest_step_s=self._meter.longest_step_s,
            is_lost=self._is_lost,
        )

    def close(self) -> None:
        self._inbox.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        for name, value in OPENMP.items():
            os.environ.setdefault(name, value)
        try:
            from worker.engines.transformers.boot import boot

            self._booted = boot(self._settings)
        except BaseException as error:  # whoever waits for the start must hear of it, whatever it was
            self._started.set_exception(refusal(error))
            return
        self._started.set_result(self._booted.info)
        self._serve(self._booted.batcher)
        self._release()

    def _serve(self, batcher: Batcher) -> None:
        import torch

        with torch.inference_mode():
            while not self._inbox.has_ended:
                self._take_arrivals(batcher)
                if batcher.is_busy and not self._inbox.has_ended:
                    self._step(batcher)
        for sequence in batcher.evict():
            sequence.finish("cancelled")

    def _take_arrivals(self, batcher: Batcher) -> None:
        for sequence in self._inbox.drain(wait=not batcher.is_busy):
            if self._is_lost:
                sequence.fail(EngineLost())
            else:
                batcher.add(sequence)

    def _step(self, batcher: Batcher) -> None:
        """Nothing that happens in here ends the thread: whoever waits on a handle gets an answer."""
        tokens_before = batcher.produced_tokens
        self._meter.begin()
        try:
            batcher.step()
        except Exception as error:
            self._recover(batcher, error)
        self._meter.end(batcher.produced_tokens - tokens_before)
        self._gpu_bytes = batcher.device_bytes()

    def _recover(self, batcher: Batcher, error: Exception) -> None:
        from worker.engines.transformers.batcher import DeviceLost

        log.exception("The engine gives up what it holds.", extra={"action": "evict"})
        self._is_lost = isinstance(error, DeviceLost)
        reason = EngineLost() if self._is_lost else EngineFault()
        for sequence in batcher.evict():
            sequence.fail(reason)

    def _release(self) -> None:
        """The weights and the slots go back before `close` returns."""
        import torch

        self._booted = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
