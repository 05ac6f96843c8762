"""Combining marks: eight on one letter are more than any language writes; a thousand are an attack."""

from __future__ import annotations

import numpy as np

from gateway.sanitize.characters import Characters
from gateway.sanitize.kinds import COMBINING_MARK

MARKS_AT_MOST = 8
#: One mark, and so many more after it, twice as many each time, are one more than there may be.
_DOUBLINGS = (1, 2, 4, 1)


def bound_marks(characters: Characters) -> tuple[Characters, int]:
    """Counts letters that had too many."""
    if not characters.present & COMBINING_MARK:
        return characters, 0
    excess = characters.are(COMBINING_MARK)
    for more in _DOUBLINGS:
        excess = excess[more:] & excess[:-more]
    if not excess.any():
        return characters, 0
    letters = np.count_nonzero(excess) - np.count_nonzero(excess[1:] & excess[:-1])
    gone = np.zeros(len(characters.points), np.bool_)
    gone[MARKS_AT_MOST:] = excess
    return characters.drop(gone)[0], int(letters)
