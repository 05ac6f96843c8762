"""One spelling for what looks alike (NFC), which is what Qwen's own tokenizer makes of a text anyway."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gateway.sanitize.characters import Characters, Points
from gateway.sanitize.kinds import COMPOSED_AFTER, COMPOSED_WITH, REORDERED, TAKEN_APART, parts, table


def compose(text: str) -> tuple[str, int]:
    composed = unicodedata.normalize("NFC", text)
    return composed, int(composed != text)


def compose_marked(characters: Characters) -> tuple[Characters, int]:
    """Only after runs of marks were bounded: to sort them takes the square of their length."""
    if not characters.present & TAKEN_APART:
        composed, changed = compose(characters.text())
        return (Characters.of(composed), 1) if changed else (characters, 0)
    # It takes `unicodedata` ten times as long as any other character.
    apart = _take_apart(characters)
    return (apart if _is_composed(apart) else Characters.of(compose(apart.text())[0])), 1


def _take_apart(characters: Characters) -> Characters:
    """With the parts of characters that NFC never keeps."""
    tables, count = _parts()
    places = np.flatnonzero(characters.are(TAKEN_APART))
    taken = characters.points[places]
    lengths = np.ones(len(characters.points), np.intp)
    lengths[places] = count[taken]
    points = np.repeat(characters.points, lengths)
    first = (np.cumsum(lengths) - lengths)[places]
    for offset, column in enumerate(tables):
        has_one = count[taken] > offset
        points[first[has_one] + offset] = column[taken[has_one]]
    return Characters.of_points(points)


def _is_composed(characters: Characters) -> bool:
    """Whether it is in NFC for sure, if it has nothing that is taken apart (UAX #15, section 9)."""
    places = np.flatnonzero(characters.are(COMPOSED_WITH))
    letters = characters.last_without(REORDERED).take(places - 1, mode="clip")
    if characters.before(letters + 1, COMPOSED_AFTER).any():
        return False
    order = _combining_classes().take(characters.points)
    return not ((order[1:] != 0) & (order[:-1] > order[1:])).any()


@cache
def _parts() -> tuple[list[Points], NDArray[np.uint8]]:
    """By code point the first part, the second and so on; and how many there are."""
    count = np.zeros(max(parts()) + 1, np.uint8)
    tables: list[Points] = [np.zeros(len(count), np.uint32) for _ in range(max(map(len, parts().values())))]
    for point, made in parts().items():
        count[point] = len(made)
        for column, char in zip(tables, made, strict=False):
            column[point] = ord(char)
    return tables, count


@cache
def _combining_classes() -> NDArray[np.uint8]:
    """By code point."""
    classes = np.zeros(0x110000, np.uint8)
    for point in np.flatnonzero(table() & REORDERED):
        classes[point] = unicodedata.combining(chr(point))
    return classes
