"""How long a model may reason before it must answer.

Qwen's own method (Qwen3 technical report, arXiv:2505.09388, section 4.3): when the budget is spent, a
sentence that ends the reasoning is put into the model's mouth, and it goes on with the answer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

#: By default an answer has a quarter of its tokens left, and never less than this.
ANSWER_TOKENS = 128

FAREWELL = (
    "\n\nConsidering the limited time by the user, I have to give the solution based on the thinking "
    "directly now.\n</think>\n\n"
)

#: Where there was no reasoning at all, as Qwen's templates write it.
NO_THOUGHT = "\n</think>\n\n"


@dataclass(frozen=True, slots=True)
class Farewells:
    """The token ids of what ends a model's reasoning."""

    long: tuple[int, ...]
    short: tuple[int, ...]


def default_budget_tokens(limit_tokens: int, farewells: Farewells) -> int:
    """So that a small `max_tokens` never ends in an empty answer; 0 if it leaves no room for reasoning."""
    return max(0, limit_tokens - max(ANSWER_TOKENS, limit_tokens // 4) - len(farewells.long))


class Thinking:
    """The budget of one answer."""

    def __init__(self, budget_tokens: int, farewells: Farewells) -> None:
        self._budget_tokens = budget_tokens
        self._farewells = farewells
        self._forced: deque[int] = deque()
        self._is_over = False

    @property
    def is_speaking(self) -> bool:
        """The next token is not the model's to pick."""
        return bool(self._forced)

    def correct(self, token_id: int, *, is_reasoning: bool, reasoning_tokens: int) -> int:
        """The token that the answer gets, where the model picked `token_id`."""
        if is_reasoning and not self._forced and reasoning_tokens >= self._budget_tokens:
            # A model that begins to reason anew has said its farewell.
            is_first = not self._is_over and self._budget_tokens > 0
            self._forced.extend(self._farewells.long if is_first else self._farewells.short)
            self._is_over = True
        return self._forced.popleft() if self._forced else token_id
