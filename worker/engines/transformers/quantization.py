"""Weights in fewer bits: made so while they load (bitsandbytes), or found so in the checkpoint."""

from __future__ import annotations

from typing import Any

import torch

from quill.errors import EngineError
from worker.engines.transformers.settings import EngineSettings


def found(config: Any) -> str | None:
    """How the checkpoint's weights were quantized (`awq`, `gptq`, `fp8` ...); ``None`` if they were not."""
    told = getattr(config, "quantization_config", None)
    if told is None:
        return None
    method = told.get("quant_method") if isinstance(told, dict) else told.quant_method
    return str(getattr(method, "value", method))


def wanted(settings: EngineSettings, config: Any) -> Any:
    """A transformers quantization config, or ``None``.

    Raises ``EngineError`` for weights that are quantized already.
    """
    if settings.quantization is None:
        return None
    if (method := found(config)) is not None:
        raise EngineError(f"The weights are quantized already ({method}); leave `quantization` out.")
    from transformers import BitsAndBytesConfig

    if settings.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
