"""What a worker says of itself every two seconds."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import psutil

from quill.result import JobResult
from worker.engines.base import Engine, EngineInfo

#: Jobs that the worker's own averages look back on.
_LOOK_BACK = 50


@dataclass(frozen=True, slots=True)
class Measures:
    """One run's times and tokens, kept with the model's recent ends."""

    total_ms: int
    wait_ms: int
    run_ms: int
    first_ms: int | None
    prompt_tokens: int
    completion_tokens: int

    @classmethod
    def of(cls, result: JobResult, *, wait_ms: int, run_s: float, first_s: float | None) -> Measures:
        run_ms = round(run_s * 1000)
        return cls(
            total_ms=wait_ms + run_ms,
            wait_ms=wait_ms,
            run_ms=run_ms,
            first_ms=None if first_s is None else round(first_s * 1000),
            prompt_tokens=result.usage.prompt_tokens,
            completion_tokens=result.usage.completion_tokens,
        )

    @property
    def tokens_per_s(self) -> float:
        return round(self.completion_tokens / max(self.run_ms, 1) * 1000, 2)

    def as_json(self) -> str:
        fields: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(fields | {"tokens_per_s": self.tokens_per_s})


class Health:
    def __init__(self, engine: Engine, info: EngineInfo, *, model: str, engine_name: str) -> None:
        self._engine = engine
        self._fixed = {
            "model": model,
            "engine": engine_name,
            "device": info.device,
            "dtype": info.dtype,
            "slots": info.slots,
            "context_tokens": info.context_tokens,
            "tuning": dict(info.tuning),
        }
        self._started_s = time.monotonic()
        self._process = psutil.Process()
        self._recent: deque[Measures] = deque(maxlen=_LOOK_BACK)
        self._lock = threading.Lock()

    def note(self, measures: Measures) -> None:
        with self._lock:
            self._recent.append(measures)

    def report(self, state: str, dropped_tickets: int) -> str:
        """A JSON object; times in seconds, sizes in bytes."""
        stats = self._engine.stats()
        with self._lock:
            total_ms = [measures.total_ms for measures in self._recent]
        return json.dumps(
            {
                "state": state,
                **self._fixed,
                "running": stats.running,
                "waiting": stats.waiting,
                "completed": stats.completed,
                "tokens_per_s": round(stats.tokens_per_s, 2),
                "response_s": round(sum(total_ms) / len(total_ms) / 1000, 3) if total_ms else None,
                "rss_bytes": self._process.memory_info().rss,
                "gpu_bytes": stats.gpu_bytes,
                "reused_tokens": stats.reused_tokens,
                "longest_step_s": round(stats.longest_step_s, 3),
                "uptime_s": round(time.monotonic() - self._started_s, 1),
                "dropped_tickets": dropped_tickets,
            }
        )
