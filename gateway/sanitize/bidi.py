"""Bidirectional controls: they show a text in another order than the one it is read in."""

from __future__ import annotations

import numpy as np

from gateway.sanitize.characters import Characters
from gateway.sanitize.kinds import DIRECTION_MARK, EMBEDDING, RIGHT_TO_LEFT


def drop_bidi_controls(characters: Characters) -> tuple[Characters, int]:
    """Direction marks stay, singly, in a text that has letters written from the right."""
    characters, embeddings = characters.drop_all(EMBEDDING)
    if not characters.present & DIRECTION_MARK:
        return characters, embeddings
    gone = characters.are(DIRECTION_MARK)
    # Letters only, as marks may yet be dropped.
    if characters.present & RIGHT_TO_LEFT:
        places = np.flatnonzero(gone)
        gone[places] = characters.before(places, DIRECTION_MARK)
    characters, marks = characters.drop(gone)
    return characters, embeddings + marks
