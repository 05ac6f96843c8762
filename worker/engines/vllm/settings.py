"""What an operator can say about the vLLM engine. Importing this imports no vLLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class VllmSettings:
    model: str
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    #: Requests that it batches at once.
    slots: int = 256
    context_tokens: int | None = None
    #: GPUs that share one model.
    tensor_parallel: int = 1
    gpu_memory_share: float = 0.9
    #: For keys and values where there is no GPU.
    host_cache_gib: int = 4
    #: To 4 bits, while the weights load.
    is_quantized: bool = False
