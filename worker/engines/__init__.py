"""Engines, each imported only when it is wanted: torch stays out of processes that do not need it."""

from __future__ import annotations

from quill.settings import WorkerSettings
from worker.engines.base import Engine


def create_engine(settings: WorkerSettings) -> Engine:
    if settings.engine == "simulated":
        return _simulated(settings)
    return _transformers(settings)


def _simulated(settings: WorkerSettings) -> Engine:
    from worker.engines.simulated import SimulatedEngine

    return SimulatedEngine(
        slots=settings.slots or 32,
        prefill_s_per_token=settings.simulated_prefill_s,
        decode_s_per_step=settings.simulated_step_s,
        context_tokens=settings.context_tokens or 32_768,
    )


def _transformers(settings: WorkerSettings) -> Engine:
    from quill.tiny import NAME, checkpoint_path
    from worker.engines.settings import EngineSettings
    from worker.engines.transformers import TransformersEngine

    model = str(checkpoint_path()) if settings.model == NAME else settings.model
    budget_mb = settings.memory_budget_mb
    return TransformersEngine(
        EngineSettings(
            model=model,
            device=settings.device,
            dtype=settings.dtype,
            memory_budget_bytes=None if budget_mb is None else budget_mb * 1_000_000,
            max_slots=settings.slots or 32,
            context_tokens=settings.context_tokens,
            prefill_chunk_tokens=settings.prefill_chunk_tokens,
            threads=settings.threads,
        )
    )
