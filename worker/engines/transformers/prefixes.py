"""What the slots hold of prompts that others begin with too, so that it is copied instead of computed.

No torch here. Slots of linear layers hold one state, that of their end, so they have no prefixes to share.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Shorter beginnings are not worth a copy: two small ones a layer.
LEAST_TOKENS = 32

#: Compared at a time.
_BLOCK_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first tokens of a slot."""

    slot: int
    tokens: int


class Remains:
    """What sequences left behind in slots that are free now."""

    def __init__(self, slots: int) -> None:
        self._of: list[tuple[str, list[int]]] = [("", [])] * slots

    def leave(self, slot: int, salt: str, ids: list[int]) -> None:
        self._of[slot] = (salt, ids)

    def forget(self, slot: int) -> None:
        self._of[slot] = ("", [])

    def longest(self, slots: Iterable[int], salt: str, ids: list[int]) -> Prefix | None:
        """The free slot that begins most like `ids`; at least one token is left to read."""
        found = [
            Prefix(slot, common_tokens(self._of[slot][1], ids)) for slot in slots if self._of[slot][0] == salt
        ]
        best = max(found, key=lambda prefix: prefix.tokens, default=None)
        return best if best is not None and best.tokens >= LEAST_TOKENS else None


def common_tokens(held: list[int], ids: list[int]) -> int:
    """How many tokens two sequences have in common at their beginning, but never the last one of `ids`:
    what follows a prompt is computed from its last token.
    """
    most = min(len(held), len(ids) - 1)
    done = 0
    while done < most and held[done : done + _BLOCK_TOKENS] == ids[done : done + _BLOCK_TOKENS]:
        done += _BLOCK_TOKENS
    if done >= most:
        return max(most, 0)
    end = min(done + _BLOCK_TOKENS, most)
    return next((place for place in range(done, end) if held[place] != ids[place]), end)
