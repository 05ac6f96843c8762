"""How probable the tokens of an answer were, each let out with the first of its characters that is shown."""

from __future__ import annotations

from collections import deque

from quill.result import TokenLogprob

#: What OpenAI's API gives for a token that is as good as impossible; JSON has no infinity.
NEGLIGIBLE = -9999.0


class ShownLogprobs:
    def __init__(self) -> None:
        self.shown: list[TokenLogprob] = []
        #: Where each one's text begins and ends in the answer.
        self._pending: deque[tuple[int, int, TokenLogprob]] = deque()
        self._arrived_chars = 0
        self._shown_chars = 0

    def arrive(self, chars: int, entry: TokenLogprob | None) -> None:
        """Text of so many characters has come, none if the token is a part of one; it may be held back."""
        begins = self._arrived_chars
        self._arrived_chars += chars
        if entry is not None:
            self._pending.append((begins, self._arrived_chars, entry))

    def show(self, chars: int) -> tuple[TokenLogprob, ...]:
        """Those of the text that is shown now."""
        self._shown_chars += chars
        count = len(self.shown)
        while self._pending and (
            self._pending[0][0] < self._shown_chars or self._pending[0][1] <= self._shown_chars
        ):
            self.shown.append(self._pending.popleft()[2])
        return tuple(self.shown[count:])
