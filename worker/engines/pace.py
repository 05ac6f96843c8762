"""How many prompt tokens one pass reads, so that whoever decodes meanwhile is not held up for long."""

from __future__ import annotations

#: Of one pass. Its measure is of the passes before it, so it may take longer: the bound is a second.
TARGET_S = 0.25
#: Below this a pass costs about the same, however few its tokens are.
LEAST_TOKENS = 16
#: Weight of a pass that was quicker than those before it; a slower one counts at once.
_RECOVERY = 0.25


class Pace:
    def __init__(self, most_tokens: int) -> None:
        self._most_tokens = most_tokens
        self._s_per_token = 0.0

    def note(self, tokens: int, elapsed_s: float) -> None:
        """``tokens`` are those that the pass computed, padding included."""
        s_per_token = elapsed_s / tokens
        if s_per_token < self._s_per_token:
            s_per_token = self._s_per_token + (s_per_token - self._s_per_token) * _RECOVERY
        self._s_per_token = s_per_token

    @property
    def chunk_tokens(self) -> int:
        """A power of two, or the most there may be: kernels and results do not change with every pass."""
        wanted = TARGET_S / self._s_per_token if self._s_per_token else self._most_tokens
        if wanted >= self._most_tokens:
            return self._most_tokens
        return min(max(1 << int(wanted).bit_length() >> 1, LEAST_TOKENS), self._most_tokens)
