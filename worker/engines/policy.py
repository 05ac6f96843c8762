"""How a request picks its tokens: as it asked, else as the checkpoint's own settings say. No torch here."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from worker.engines.base import Sampling

#: Dividing logits by less than this leaves nothing but the best token, and risks infinities.
GREEDY_BELOW = 1e-4


@dataclass(frozen=True, slots=True)
class Policy:
    """How one row picks its tokens; a temperature of (almost) 0 is greedy."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def is_greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW

    @classmethod
    def of(cls, asked: Sampling, model: Policy) -> Policy:
        """Fields that were left out come from the model's own generation settings."""
        if asked.temperature is None and model.is_greedy:
            return cls()
        return cls(
            temperature=model.temperature if asked.temperature is None else asked.temperature,
            top_k=model.top_k if asked.top_k is None else asked.top_k,
            top_p=model.top_p if asked.top_p is None else asked.top_p,
            min_p=model.min_p if asked.min_p is None else asked.min_p,
        )


@dataclass(frozen=True, slots=True)
class Picker:
    """One row's policy and its own noise: a seed gives the same answer whatever the neighbours are."""

    policy: Policy
    noise: random.Random = field(repr=False)

    @classmethod
    def seeded(cls, policy: Policy, seed: int | None) -> Picker:
        return cls(policy, random.Random(seed))


def model_policy(generation_config: Any) -> Policy:
    """The checkpoint's own settings; a checkpoint that does not ask for sampling is greedy."""
    if not getattr(generation_config, "do_sample", None):
        return Policy()
    asked = {
        name: getattr(generation_config, name, None) for name in ("temperature", "top_k", "top_p", "min_p")
    }
    return Policy(
        **({"temperature": 1.0} | {name: value for name, value in asked.items() if value is not None})
    )
