"""What one row of a batch brings to the picking of its tokens. No torch here."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.engines.base import Sampling
from worker.engines.policy import Policy
from worker.engines.transformers.seen import SeenTokens


@dataclass(slots=True)
class Picker:
    """One row's policy and its own noise: a seed gives the same answer whatever the neighbours are."""

    policy: Policy
    noise: random.Random = field(repr=False)
    #: ``None`` if the policy does not mind.
    seen: SeenTokens | None = None
    #: Added to the logits of these tokens.
    bias_ids: Sequence[int] = ()
    biases: Sequence[float] = ()
    #: How many of the likeliest tokens to tell beside the one picked; ``None`` tells nothing.
    top_logprobs: int | None = None
    _drawn: float | None = None

    @property
    def reweighs(self) -> bool:
        """Whether it looks at logits other than the model's."""
        return self.seen is not None or bool(self.bias_ids)

    @property
    def uniform(self) -> float:
        """This token's random number: the same one however often a pass has to be tried."""
        if self._drawn is None:
            self._drawn = self.noise.random()
        return self._drawn

    def note(self, token_id: int) -> None:
        """The answer has one more token."""
        self._drawn = None
        if self.seen is not None:
            self.seen.note(token_id)

    @classmethod
    def of(cls, asked: Sampling, policy: Policy, prompt_ids: Sequence[int]) -> Picker:
        return cls(
            policy,
            random.Random(asked.seed),
            SeenTokens(prompt_ids) if policy.minds_what_was_said else None,
            tuple(asked.logit_bias),
            tuple(asked.logit_bias.values()),
            asked.top_logprobs if asked.logprobs else None,
        )
