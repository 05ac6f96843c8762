"""How many prompt tokens one pass reads, so that whoever decodes meanwhile is not held up for long."""

from __future__ import annotations

from worker.engines.limits import PASS_TARGET_S

#: Of the first pass, whatever the device.
FIRST_TOKENS = 128

#: Below this a pass costs about the same, however few its tokens are.
LEAST_TOKENS = 32


class Pace:
    """A pass costs a fixed part, which reads the weights, and a part for each token: only passes that are
    about as large as they may be tell whether there is room for more, by what they took for each of their
    tokens; but any pass that took too long tells enough.
    """

    def __init__(self, most_tokens: int) -> None:
        self._most_tokens = most_tokens
        #: A power of two, or the most there may be: kernels and results do not change with every pass.
        self.chunk_tokens = min(FIRST_TOKENS, most_tokens)

    def note(self, tokens: int, elapsed_s: float) -> None:
        """``tokens`` are those that the pass computed, padding included."""
        if elapsed_s > PASS_TARGET_S:
            smaller = 1 << (min(tokens, self.chunk_tokens) - 1).bit_length() >> 1
            self.chunk_tokens = min(max(smaller, LEAST_TOKENS), self.chunk_tokens)
        elif 2 * tokens > self.chunk_tokens:
            larger = min(2 * self.chunk_tokens, self._most_tokens)
            if elapsed_s * larger / tokens < PASS_TARGET_S:
                self.chunk_tokens = larger
