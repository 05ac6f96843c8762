"""What engines are measured with: prompts and answers of given lengths, greedy or sampled."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.shapes import ONE_TOKEN, SEED, Dtype

#: Qwen3's own settings without reasoning, and a repetition penalty.
SAMPLED: dict[str, Any] = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}
GREEDY: dict[str, Any] = {"temperature": 0.0}


@dataclass(frozen=True, slots=True)
class Work:
    checkpoint: Path
    dtype: Dtype
    prompts: tuple[str, ...]
    answers_tokens: tuple[int, ...]
    sampling: dict[str, Any] = field(default_factory=lambda: dict(GREEDY))

    @property
    def tokens(self) -> int:
        """Of all answers."""
        return sum(self.answers_tokens)

    @property
    def prompts_tokens(self) -> list[int]:
        return [len(prompt) for prompt in self.prompts]

    def again(self, number: int) -> Work:
        """The same lengths; no prompt begins like one of another number."""
        first = number * len(self.prompts)
        prompts = enumerate(self.prompts, first)
        return replace(self, prompts=tuple(prompt_of(place, len(prompt)) for place, prompt in prompts))


def prompt_of(number: int, tokens: int) -> str:
    """No two begin alike: an engine that shares what prompts have in common has nothing to share."""
    return f"{number:03d}".ljust(tokens, ONE_TOKEN)


def equal(checkpoint: Path, dtype: Dtype, requests: int, sampling: dict[str, Any]) -> Work:
    """32 tokens in, 48 out."""
    prompts = tuple(prompt_of(number, 32) for number in range(requests))
    return Work(checkpoint, dtype, prompts, (48,) * requests, sampling)


def mixed(checkpoint: Path, dtype: Dtype, requests: int, sampling: dict[str, Any]) -> Work:
    """16 to 256 tokens in, 8 to 128 out."""
    dice = random.Random(SEED)
    prompts = tuple(prompt_of(number, dice.randint(16, 256)) for number in range(requests))
    return Work(checkpoint, dtype, prompts, tuple(dice.randint(8, 128) for _ in range(requests)), sampling)
