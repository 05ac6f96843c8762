"""Loads a checkpoint: safetensors only, never a repository's own code; a failure is one clear sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from quill.errors import EngineError
from worker.engines.transformers import attention, context, packing, quantization
from worker.engines.transformers.refusal import attempt
from worker.engines.transformers.settings import EngineSettings
from worker.engines.transformers.source import locate

#: Below this a CPU computes in float32: it is exact, and small models are fast enough.
SMALL_PARAMETERS = 200_000_000

#: Layers whose state lives in slots. The others are refused.
SERVED_LAYERS = frozenset({"full_attention", "linear_attention"})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    model: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype
    #: A word on how its weights are held.
    weights: str


def load(settings: EngineSettings) -> Checkpoint:
    """Raises ``EngineError`` with a sentence that says what to do."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    device = _device(settings.device)
    name, reading = attempt(settings.model, lambda: locate(settings))
    config = attempt(name, lambda: transformers.AutoConfig.from_pretrained(name, **reading))
    _refuse_unserved(name, config)
    if settings.yarn_factor is not None:
        context.stretch(config.get_text_config(), settings.yarn_factor)
    tokenizer = attempt(name, lambda: transformers.AutoTokenizer.from_pretrained(name, **reading))
    if not getattr(tokenizer, "is_fast", False):
        raise EngineError(f"{name} has no tokenizer.json, which Quill needs.")
    dtype = _dtype(settings.dtype, device, lambda: _count_parameters(name, config))
    if (quantized := quantization.wanted(settings, config)) is not None:
        reading["quantization_config"] = quantized
    weights = settings.quantization or quantization.found(config) or "plain"
    if weights != "plain":
        # Left to themselves, some quantizers load for the first GPU and some for the CPU.
        reading["device_map"] = {"": str(device)}
    reading["attn_implementation"] = attention.kind(device)
    model = attempt(name, lambda: _model(name, reading, config, dtype)).eval()
    if weights == "plain":
        model = model.to(device)
        if packing.pays(device, dtype):
            packing.pack_linears(model)
            weights = "packed"
    # A quantizer may have had its own way.
    return Checkpoint(model, tokenizer, device, model.dtype if weights != "packed" else dtype, weights)


def _model(name: str, reading: dict[str, Any], config: Any, dtype: torch.dtype) -> Any:
    import transformers

    # Read when weights load: without it they are read by a pool of threads, and one thread runs torch here.
    os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")
    return transformers.AutoModelForCausalLM.from_pretrained(
        name,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        **reading,
    )


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EngineError("The engine was told to use a GPU, and torch sees none.")
    return torch.device(wanted)


def _dtype(wanted: str, device: torch.device, count_parameters: Callable[[], int]) -> torch.dtype:
    if wanted != "auto":
        return getattr(torch, wanted)  # type: ignore[no-any-return]
    if device.type == "cuda":
        return torch.bfloat16
    is_wide = packing.is_bf16_fast() and count_parameters() >= SMALL_PARAMETERS
    return torch.bfloat16 if is_wide else torch.float32


def _count_parameters(name: str, config: Any) -> int:
    import transformers

    with torch.device("meta"):
        model = attempt(name, lambda: transformers.AutoModelForCausalLM.from_config(config))
    return int(model.num_parameters())


def _refuse_unserved(name: str, config: Any) -> None:
    layers = set(getattr(config.get_text_config(), "layer_types", None) or SERVED_LAYERS)
    if unserved := sorted(layers - SERVED_LAYERS):
        raise EngineError(f"{name} has layers that this engine does not serve: {', '.join(unserved)}.")
