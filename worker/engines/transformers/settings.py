"""What an operator can say about the transformers engine. Importing this imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class EngineSettings:
    #: A name on the hub or a local folder.
    model: str
    #: A commit, tag or branch on the hub; ``None`` is the newest.
    revision: str | None = None
    source: Literal["huggingface", "modelscope"] = "huggingface"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    #: `auto` is bfloat16 on a GPU and for large models, float32 for small models on a CPU.
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    #: For the slots alone, beside the weights; ``None`` is a share of what is free once the model is loaded.
    memory_budget_bytes: int | None = None
    max_slots: int = 32
    #: ``None`` is the model's own context, as far as the budget goes.
    context_tokens: int | None = None
    #: Prompt tokens a step at most: how long a long prompt may hold up the others.
    prefill_chunk_tokens: int = 256
    #: CPU threads of one operation; ``None`` is torch's own choice on a CPU and 1 beside a GPU.
    threads: int | None = None
    #: Makes the weights smaller while they load, with bitsandbytes.
    quantization: Literal["int8", "nf4"] | None = None
    #: Stretches the model's native context so many times.
    yarn_factor: float | None = None
