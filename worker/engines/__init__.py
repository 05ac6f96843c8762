"""Engines, each imported only when it is wanted: torch stays out of processes that do not need it."""

from __future__ import annotations

from quill.errors import EngineError
from quill.settings import WorkerSettings
from worker.engines.base import Engine


def create_engine(settings: WorkerSettings) -> Engine:
    match settings.engine:
        case "transformers":
            return _transformers(settings)
        case "vllm":
            return _vllm(settings)
        case "openai":
            return _openai(settings)
        case "simulated":
            return _simulated(settings)


def _checkpoint_of(settings: WorkerSettings) -> str:
    from quill.tiny import NAME, checkpoint_path

    return str(checkpoint_path()) if settings.model == NAME else settings.model


def _simulated(settings: WorkerSettings) -> Engine:
    from worker.engines.simulated import SimulatedEngine

    return SimulatedEngine(
        slots=settings.slots or 32,
        prefill_s_per_token=settings.simulated_prefill_s,
        decode_s_per_step=settings.simulated_step_s,
        context_tokens=settings.context_tokens or 32_768,
    )


def _openai(settings: WorkerSettings) -> Engine:
    from worker.engines.openai.engine import OpenAIEngine
    from worker.engines.openai.settings import ServerSettings

    key = settings.server_api_key
    return OpenAIEngine(
        ServerSettings(
            url=settings.server_url,
            model=settings.server_model,
            api_key=None if key is None else key.get_secret_value(),
            slots=settings.slots or 32,
            context_tokens=settings.context_tokens,
            tokenizer=settings.server_tokenizer,
            silence_s=settings.server_silence_s,
        )
    )


def _vllm(settings: WorkerSettings) -> Engine:
    from worker.engines.vllm.engine import VllmEngine
    from worker.engines.vllm.settings import VllmSettings

    if settings.yarn_factor is not None or settings.source != "huggingface":
        raise EngineError("The vllm engine takes models from the hub or a folder, in their own context.")
    if settings.quantization == "int8":
        raise EngineError("The vllm engine quantizes to nf4 alone; take that, or a quantized checkpoint.")

    return VllmEngine(
        VllmSettings(
            model=_checkpoint_of(settings),
            revision=settings.revision,
            dtype=settings.dtype,
            slots=settings.slots or 256,
            context_tokens=settings.context_tokens,
            tensor_parallel=settings.tensor_parallel,
            gpu_memory_share=settings.gpu_memory_share,
            is_quantized=settings.quantization is not None,
        )
    )


def _transformers(settings: WorkerSettings) -> Engine:
    from worker.engines.transformers.engine import TransformersEngine
    from worker.engines.transformers.settings import EngineSettings

    budget_mb = settings.memory_budget_mb
    return TransformersEngine(
        EngineSettings(
            model=_checkpoint_of(settings),
            revision=settings.revision,
            source=settings.source,
            device=settings.device,
            dtype=settings.dtype,
            memory_budget_bytes=None if budget_mb is None else budget_mb * 1_000_000,
            max_slots=settings.slots or 32,
            context_tokens=settings.context_tokens,
            prefill_chunk_tokens=settings.prefill_chunk_tokens,
            threads=settings.threads,
            quantization=settings.quantization,
            yarn_factor=settings.yarn_factor,
        )
    )
