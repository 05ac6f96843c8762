"""Joiners and their like, which are invisible but part of how some scripts and most emoji are spelled."""

from __future__ import annotations

import numpy as np

from gateway.sanitize.characters import Characters, Indices, Mask, at
from gateway.sanitize.kinds import JOINER, PICTURE, SPELLING_LETTER, SPELLING_MARK

_ZERO_WIDTH_JOINER = 0x200D
_PICTURE_SELECTOR = 0xFE0F


def drop_joiners(characters: Characters) -> tuple[Characters, int]:
    """All but one after a letter that may need it, and those that make one picture of two."""
    if not characters.present & JOINER:
        return characters, 0
    places = np.flatnonzero(characters.are(JOINER))
    astray = np.ones(len(places), np.bool_)
    if characters.present & SPELLING_LETTER:
        astray &= ~_spell(characters, places)
    if characters.present & PICTURE:
        astray &= ~_join_pictures(characters, places)
    return characters.drop(at(places[astray], len(characters.points)))


def _spell(characters: Characters, places: Indices) -> Mask:
    """What counts is the letter, whatever marks it has: those may yet be reordered, and bounded."""
    letters = characters.last_without(SPELLING_MARK).take(places - 1, mode="clip")
    return characters.before(letters + 1, SPELLING_LETTER) & (places > 0)


def _join_pictures(characters: Characters, places: Indices) -> Mask:
    points = characters.points
    selected = points.take(places - 1, mode="clip") == _PICTURE_SELECTOR
    pictured = characters.before(places, PICTURE) | (selected & characters.before(places, PICTURE, 2))
    joining: Mask = pictured & (points[places] == _ZERO_WIDTH_JOINER)
    return joining & characters.after(places, PICTURE)
