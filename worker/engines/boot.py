"""Brings the transformers engine up: loads, sizes the slots, warms the model. Runs on the engine's thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from quill.errors import EngineError
from worker.engines import host_memory
from worker.engines.base import EngineInfo
from worker.engines.batcher import Batcher
from worker.engines.checkpoint import Checkpoint, load
from worker.engines.generation import Generation
from worker.engines.plan import plan_memory
from worker.engines.policy import Picker, Policy, model_policy
from worker.engines.sequence import Sequence
from worker.engines.settings import EngineSettings
from worker.engines.slots import CacheShape, SlotCache
from worker.engines.text import TextStream, TokenTable
from worker.prompt.encoder import PromptEncoder

#: Share of the free memory that slots take unasked: a host keeps room for others, a GPU for activations.
HOST_SHARE = 0.5
GPU_SHARE = 0.85

#: Prompt tokens of a warm-up row: enough to touch every kernel, few enough to be quick.
WARM_UP_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Booted:
    info: EngineInfo
    encoder: PromptEncoder
    table: TokenTable
    policy: Policy
    batcher: Batcher


def boot(settings: EngineSettings) -> Booted:
    """Raises ``EngineError`` with the reason."""
    checkpoint = load(settings)
    threads = settings.threads or (1 if checkpoint.device.type == "cuda" else None)
    if threads is not None:
        torch.set_num_threads(threads)
    encoder = PromptEncoder(checkpoint.tokenizer)
    cache, info = _plan(settings, checkpoint, encoder)
    batcher = Batcher(checkpoint.model, cache, settings.prefill_chunk_tokens, _stop_ids(checkpoint))
    table = TokenTable.of(encoder.tokenizer)
    _warm_up(batcher, cache, table)
    return Booted(info, encoder, table, model_policy(checkpoint.model.generation_config), batcher)


def _plan(
    settings: EngineSettings, checkpoint: Checkpoint, encoder: PromptEncoder
) -> tuple[SlotCache, EngineInfo]:
    shape = _cache_shape(checkpoint)
    budget_bytes, origin = settings.memory_budget_bytes, "as told"
    if budget_bytes is None:
        budget_bytes, origin = _free_share(checkpoint.device)
    plan = plan_memory(
        budget_bytes=budget_bytes,
        bytes_per_token=shape.bytes_per_token,
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
        tokenizer_json=encoder.tokenizer_json,
        base_tokens=encoder.base_tokens,
        message_tokens=encoder.message_tokens,
    )
    return SlotCache(shape, plan.slots, plan.context_tokens, checkpoint.device), info


def _cache_shape(checkpoint: Checkpoint) -> CacheShape:
    config = checkpoint.model.config.get_text_config()
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return CacheShape(config.num_hidden_layers, config.num_key_value_heads, head_dim, checkpoint.dtype)


def _free_share(device: torch.device) -> tuple[int, str]:
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
        return int(free_bytes * GPU_SHARE), f"{GPU_SHARE:.0%} of the GPU's free memory"
    return int(host_memory.free_bytes() * HOST_SHARE), f"{HOST_SHARE:.0%} of the free memory"


def _stop_ids(checkpoint: Checkpoint) -> frozenset[int]:
    """Every id that either the generation settings or the tokenizer call an end."""
    asked: Any = checkpoint.model.generation_config.eos_token_id
    ids = {*(asked if isinstance(asked, list) else [asked]), checkpoint.tokenizer.eos_token_id} - {None}
    if not ids:
        raise EngineError("The checkpoint names no end-of-text token, so no answer would ever stop.")
    return frozenset(ids)


def _warm_up(batcher: Batcher, cache: SlotCache, table: TokenTable) -> None:
    """Prompts and decode steps at 1, 2, 4 ... slots: kernels are chosen by the number of rows.

    Raises ``EngineError`` if the model does not run.
    """
    widths = {1 << power for power in range(cache.slots.bit_length())} | {cache.slots}
    prompt_ids = [0] * min(WARM_UP_TOKENS, cache.capacity_tokens - 2)
    with torch.inference_mode():
        for width in sorted(widths):
            generations = [Generation() for _ in range(width)]
            for generation in generations:
                picker = Picker.seeded(Policy(), seed=0)
                batcher.add(Sequence(generation, prompt_ids, 2, picker, TextStream(table)))
            while batcher.is_busy:
                batcher.step()
            _require_answers(generations)
    batcher.steps = batcher.completed = batcher.produced_tokens = 0


def _require_answers(generations: list[Generation]) -> None:
    try:
        for generation in generations:
            generation.result(timeout_s=0)
    except EngineError as error:
        raise EngineError("The model was loaded, but it does not run; the log has the details.") from error
