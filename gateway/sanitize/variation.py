"""Variation selectors: one chooses how a character looks; a run of them carries any bytes, unseen."""

from __future__ import annotations

import numpy as np

from gateway.sanitize.characters import Characters, at
from gateway.sanitize.kinds import (
    IDEOGRAPH,
    IDEOGRAPH_SELECTOR,
    MONGOLIAN,
    MONGOLIAN_SELECTOR,
    STYLE_SELECTOR,
    STYLED,
)

#: A selector -> what it may follow.
_VARIED = {STYLE_SELECTOR: STYLED, IDEOGRAPH_SELECTOR: IDEOGRAPH, MONGOLIAN_SELECTOR: MONGOLIAN}


def drop_variation_selectors(characters: Characters) -> tuple[Characters, int]:
    """All but one after a character that has variants."""
    gone = np.zeros(len(characters.points), np.bool_)
    for selector, varied in _VARIED.items():
        if characters.present & selector:
            places = np.flatnonzero(characters.are(selector))
            gone |= at(places[~characters.before(places, varied)], len(gone))
    return characters.drop(gone)
