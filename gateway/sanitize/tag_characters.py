"""Tag characters: an invisible ASCII. Only flags of parts of a country, as England, are spelled so."""

from __future__ import annotations

import numpy as np

from gateway.sanitize.characters import Characters, Mask
from gateway.sanitize.kinds import TAG, TAG_DIGIT, TAG_LETTER

_BLACK_FLAG = 0x1F3F4
_CANCEL_TAG = 0xE007F


def drop_tag_characters(characters: Characters) -> tuple[Characters, int]:
    if not characters.present & TAG:
        return characters, 0
    return characters.drop(characters.are(TAG) & ~_in_flags(characters))


def _in_flags(characters: Characters) -> Mask:
    """A black flag, a country of two letters, a subdivision of one to four, an end (UTS #51, ED-14a)."""
    within = np.zeros(len(characters.points), np.bool_)
    flags = np.flatnonzero(characters.points == _BLACK_FLAG)
    flags = flags[characters.after(flags, TAG_LETTER, 1) & characters.after(flags, TAG_LETTER, 2)]
    for last in range(3, 7):
        flags = flags[characters.after(flags, TAG_LETTER | TAG_DIGIT, last)]
        ended = flags[characters.points.take(flags + last + 1, mode="clip") == _CANCEL_TAG]
        for distance in range(1, last + 2):
            within[ended + distance] = True
    return within
