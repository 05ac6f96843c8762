"""Which tokens a prompt and its answer hold, and how often the answer: what penalties look at.

No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class SeenTokens:
    """Every distinct token once, in arrays that grow by doubling: a step appends at most one."""

    def __init__(self, prompt_ids: Sequence[int]) -> None:
        ids = np.unique(np.asarray(prompt_ids, dtype=np.int64))
        self._ids = np.resize(ids, 2 * len(ids))
        self._counts = np.zeros(2 * len(ids), dtype=np.float32)
        self._place_of = {token_id: place for place, token_id in enumerate(ids.tolist())}

    def __len__(self) -> int:
        return len(self._place_of)

    def note(self, token_id: int) -> None:
        """The answer has one more of these."""
        place = self._place_of.setdefault(token_id, len(self._place_of))
        if place == len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._ids[place] = token_id
        self._counts[place] += 1

    def write(self, ids: npt.NDArray[np.int64], counts: npt.NDArray[np.float32]) -> None:
        """Fills a row of a table; what is left of it repeats the first token."""
        count = len(self)
        ids[:count], ids[count:] = self._ids[:count], self._ids[0]
        counts[:count], counts[count:] = self._counts[:count], self._counts[0]
