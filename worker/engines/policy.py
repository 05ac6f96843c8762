"""How a request picks its tokens: as it asked, else as the checkpoint's own settings say. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, fields

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
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    @property
    def is_greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW

    @property
    def minds_what_was_said(self) -> bool:
        return self.repetition_penalty != 1.0 or bool(self.presence_penalty or self.frequency_penalty)

    @classmethod
    def of(cls, asked: Sampling, model: Policy) -> Policy:
        """Fields that were left out come from the model's own settings."""
        wishes = {f.name: getattr(asked, f.name) for f in fields(cls)}
        return cls(**{name: getattr(model, name) if wish is None else wish for name, wish in wishes.items()})
