"""Brings the transformers engine up: loads, sizes the slots, warms the model. Runs on the engine's thread."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from quill.errors import EngineError
from worker.engines.answer import Answer
from worker.engines.base import EngineInfo, Sampling
from worker.engines.generation import Generation
from worker.engines.language import Brief, Language, learn
from worker.engines.policy import Policy
from worker.engines.transformers import host_memory
from worker.engines.transformers.batcher import Batcher
from worker.engines.transformers.checkpoint import Checkpoint, load
from worker.engines.transformers.picker import Picker
from worker.engines.transformers.plan import plan_memory
from worker.engines.transformers.sequence import Sequence
from worker.engines.transformers.settings import EngineSettings
from worker.engines.transformers.shape import CacheShape
from worker.engines.transformers.slots import SlotCache

#: Share of the free memory that slots take unasked: a host keeps room for others, a GPU for activations.
HOST_SHARE = 0.5
GPU_SHARE = 0.85

#: Prompt tokens of a warm-up row: enough to touch every kernel, few enough to be quick.
WARM_UP_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Booted:
    info: EngineInfo
    language: Language
    batcher: Batcher


def boot(settings: EngineSettings) -> Booted:
    """Raises ``EngineError`` with the reason."""
    checkpoint = load(settings)
    threads = settings.threads or (1 if checkpoint.device.type == "cuda" else None)
    if threads is not None:
        torch.set_num_threads(threads)
    model = checkpoint.model
    language = learn(checkpoint.tokenizer, model.config, model.generation_config)
    cache, info = _plan(settings, checkpoint, language)
    batcher = Batcher(model, cache, settings.prefill_chunk_tokens)
    _warm_up(batcher, cache, language)
    return Booted(info, language, batcher)


def _plan(
    settings: EngineSettings, checkpoint: Checkpoint, language: Language
) -> tuple[SlotCache, EngineInfo]:
    shape = CacheShape.of(checkpoint.model.config.get_text_config(), checkpoint.dtype)
    budget_bytes, origin = settings.memory_budget_bytes, "as told"
    if budget_bytes is None:
        budget_bytes, origin = _free_share(checkpoint.device)
    plan = plan_memory(
        budget_bytes=budget_bytes,
        bytes_per_token=shape.bytes_per_token,
        slot_bytes=shape.bytes_per_slot,
        model_context_tokens=checkpoint.model.config.get_text_config().max_position_embeddings,
        context_tokens=settings.context_tokens,
        max_slots=settings.max_slots,
    )
    info = EngineInfo(
        slots=plan.slots,
        context_tokens=plan.context_tokens,
        device=str(checkpoint.device),
        dtype=str(checkpoint.dtype).removeprefix("torch."),
        memory_plan=f"{plan.line} ({origin})",
        tuning=_tuning(checkpoint),
        tokenizer_json=language.encoder.tokenizer_json,
        base_tokens=language.encoder.base_tokens,
        message_tokens=language.encoder.message_tokens,
    )
    return SlotCache(shape, plan.slots, plan.context_tokens, checkpoint.device), info


def _tuning(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "attention": checkpoint.model.config.get_text_config()._attn_implementation,
        "weights": checkpoint.weights,
        "threads": str(torch.get_num_threads()),
    }


def _free_share(device: torch.device) -> tuple[int, str]:
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
        return int(free_bytes * GPU_SHARE), f"{GPU_SHARE:.0%} of the GPU's free memory"
    return int(host_memory.free_bytes() * HOST_SHARE), f"{HOST_SHARE:.0%} of the free memory"


def _warm_up(batcher: Batcher, cache: SlotCache, language: Language) -> None:
    """Prompts and decode steps at 1, 2, 4 ... slots: kernels are chosen by the number of rows.

    Raises ``EngineError`` if the model does not run.
    """
    widths = {1 << power for power in range(cache.slots.bit_length())} | {cache.slots}
    prompt_ids = [0] * min(WARM_UP_TOKENS, cache.capacity_tokens - 2)
    policy = Policy()
    with torch.inference_mode():
        for width in sorted(widths):
            generations = [Generation() for _ in range(width)]
            for generation in generations:
                brief = Brief(prompt_ids, 2, policy, Answer(language.table))
                batcher.add(Sequence(generation, brief, Picker.of(Sampling(), policy, prompt_ids)))
            while batcher.is_busy:
                batcher.step()
            _require_answers(generations)
    batcher.forget()


def _require_answers(generations: list[Generation]) -> None:
    try:
        for generation in generations:
            generation.result(timeout_s=0)
    except EngineError as error:
        raise EngineError("The model was loaded, but it does not run; the log has the details.") from error
