"""The token that a row of a batch gets. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from worker.engines.answer import Ranked


@dataclass(frozen=True, slots=True)
class Pick:
    token_id: int
    #: Whether the row's logits were numbers at all.
    is_number: bool = True
    #: Natural logarithms by the model alone: of the token, and of the likeliest ones in falling order.
    logprob: float | None = None
    top: tuple[Ranked, ...] = ()
