"""The kinds of characters that rules tell apart, and a table that knows those of every code point."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: Of a code point, a bit for each kind that it is of.
Kinds = NDArray[np.uint32]

(CONTROL, NONCHARACTER, INVISIBLE, TAG, TAG_LETTER, TAG_DIGIT) = (1 << bit for bit in range(6))
(JOINER, SPELLING_LETTER, SPELLING_MARK, PICTURE) = (1 << bit for bit in range(6, 10))
(STYLE_SELECTOR, IDEOGRAPH_SELECTOR, MONGOLIAN_SELECTOR) = (1 << bit for bit in range(10, 13))
(STYLED, IDEOGRAPH, MONGOLIAN) = (1 << bit for bit in range(13, 16))
(EMBEDDING, DIRECTION_MARK, RIGHT_TO_LEFT, COMBINING_MARK) = (1 << bit for bit in range(16, 20))
#: What NFC does to a character: it never keeps it, moves it among others, makes one of it and what follows,
#: or of it and what it follows.
(TAKEN_APART, REORDERED, COMPOSED_AFTER, COMPOSED_WITH) = (1 << bit for bit in range(20, 24))

_PICTURES = (
    "\u2190-\u21ff\u2300-\u2328\u232b-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\U0001f000-\U0001faff"
)
#: No marks, and nothing that composition turns into a character which is not here.
_IDEOGRAPHS = "\u3005-\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af"

#: As characters stand between a pattern's brackets.
_MEMBERS: Mapping[int, str] = {
    # C0 without tab and the two ends of a line, DEL, and C1: they move cursors, ring bells and end strings.
    CONTROL: "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f",
    # Never to be assigned, so that programs use them for marks of their own. More are at the end of planes.
    NONCHARACTER: "\ufdd0-\ufdef",
    # They show nothing and join nothing: hidden text is written with them, and filters are passed.
    INVISIBLE: "\u00ad\u034f"  # soft hyphen, grapheme joiner
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers
    "\u17b4\u17b5"  # Khmer vowels that are not written
    "\u2060-\u2065\u206a-\u206f"  # word joiner, invisible operators, deprecated formats
    "\ufeff\ufff0-\ufffb"  # byte order mark, annotations
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a",  # formats of shorthand and of music
    # With the unassigned neighbours that are as invisible; the variation selectors between are not of them.
    TAG: "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff",
    # Hangul is composed by arithmetic: what begins a syllable, or is one that may go on; and what goes on.
    COMPOSED_AFTER: "\u1100-\u1112\uac00-\ud7a3",
    COMPOSED_WITH: "\u1161-\u1175\u11a8-\u11c2",
    TAG_LETTER: "\U000e0061-\U000e007a",
    TAG_DIGIT: "\U000e0030-\U000e0039",
    # Zero-width space, non-joiner and joiner, and the Mongolian vowel separator.
    JOINER: "\u200b-\u200d\u180e",
    PICTURE: _PICTURES,
    STYLE_SELECTOR: "\ufe00-\ufe0f",
    IDEOGRAPH_SELECTOR: "\U000e0100-\U000e01ef",
    MONGOLIAN_SELECTOR: "\u180b-\u180d\u180f",
    STYLED: f"#*0-9\u00a9\u00ae{_PICTURES}{_IDEOGRAPHS}"
    "\u1000-\u102a\u103f\u1075-\u1081\uaa60-\uaa7a"  # Khamti and Aiton
    "\u2010-\u2027\u2030-\u205e\u2100-\u2125\u2127-\u2129\u212c-\u218f\u2200-\u22ff\u2460-\u259f"
    "\u2a00-\u2adb\u2add-\u2aff\u3001-\u3029\u3030-\u3098\u309b-\u33ff\ua840-\ua877\uff01-\uff9f"
    "\U00010ac0-\U00010ae4",
    IDEOGRAPH: _IDEOGRAPHS,
    MONGOLIAN: "\u1807\u1820-\u1884\u1887-\u18a8\u18aa",
    EMBEDDING: "\u202a-\u202e\u2066-\u2069",
    # They turn nothing round but punctuation, and Hebrew and Arabic need them beside Latin words.
    DIRECTION_MARK: "\u061c\u200e\u200f",
    # Marks of no script, beside those that scripts have of their own.
    SPELLING_MARK: "\u0300-\u036f\u1ab0-\u1aff\u1cd0-\u1cff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f",
}

#: Scripts that joiners spell with: Arabic and its kin, the Indic ones, those that write no spaces, Mongolian.
_SPELLING_SCRIPTS = (
    "\u0600-\u061b\u061d-\u109f\u1700-\u180a\u1810-\u18af\u1900-\u1aaf\u1b00-\u1c4f\ua800-\uaaff\uabc0-\uabff"
    "\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00010a5f\U00010d00-\U00010d3f\U00010ec0-\U00010eff\U00011000-\U00011fff\U0001e900-\U0001e95f"
)
_RIGHT_TO_LEFT_SCRIPTS = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
#: Where Unicode has marks; beyond are only variation selectors, which have a rule of their own.
_MARKED = "\u0300-\ufdff\ufe10-\U0001efff"
#: Where Unicode has characters that are the same as others are in a row.
_COMPOSED = "\u00c0-\u30ff\uf900-\ufb4f\U00010000-\U0001efff\U0002f800-\U0002fa1f"
#: In a text of these alone no rule but composition has work: Latin, Greek, Cyrillic, Chinese, Japanese and
#: Korean letters, punctuation, symbols, pictures.
ORDINARY = (
    "\t\n\r -~\u00a0-\u00ac\u00ae-\u02ff\u0370-\u0482\u048a-\u058f\u1e00-\u1fff"
    "\u2000-\u200a\u2010-\u2027\u202f-\u205f\u2070-\u20cf\u2100-\u2bff\u2e00-\u3029\u3030-\u3098\u309b-\u3163"
    "\u3165-\ua66e\uac00-\ud7a3\uff01-\uff9f\U0001f000-\U0001faff\U00020000-\U0002f7ff"
)


@cache
def table() -> Kinds:
    """By code point. To make it takes some 50 ms, so it waits until it is needed."""
    kinds = np.zeros(0x110000, np.uint32)
    for kind, members in _MEMBERS.items():
        for first, last in _ranges(members):
            kinds[first : last + 1] |= kind
    for plane in range(17):
        kinds[0x10000 * plane + 0xFFFE : 0x10000 * (plane + 1)] |= NONCHARACTER
    for point in _points(_SPELLING_SCRIPTS):
        kinds[point] |= SPELLING_LETTER if chr(point).isalnum() else SPELLING_MARK
    kinds[[point for point in _points(_RIGHT_TO_LEFT_SCRIPTS) if chr(point).isalnum()]] |= RIGHT_TO_LEFT
    marks = [point for point in _points(_MARKED) if unicodedata.category(chr(point)).startswith("M")]
    kinds[marks] |= COMBINING_MARK
    kinds[[point for point in marks if unicodedata.combining(chr(point))]] |= REORDERED
    kinds[list(parts())] |= TAKEN_APART
    for point, pair in _decompositions():
        if point not in parts():
            kinds[[point, pair[0]]] |= COMPOSED_AFTER
            kinds[pair[1]] |= COMPOSED_WITH
    return kinds


@cache
def parts() -> Mapping[int, str]:
    """What a character is in NFC, for those that it never keeps."""
    composed = ((point, unicodedata.normalize("NFC", chr(point))) for point, _ in _decompositions())
    return {point: made for point, made in composed if made != chr(point)}


def _decompositions() -> Iterator[tuple[int, list[int]]]:
    """The canonical ones, in one step: of each at most a pair."""
    for point in _points(_COMPOSED):
        mapping = unicodedata.decomposition(chr(point))
        if mapping and not mapping.startswith("<"):
            yield point, [int(code, 16) for code in mapping.split()]


def members_of(kind: int) -> Iterator[int]:
    return _points(_MEMBERS[kind])


def _ranges(members: str) -> Iterator[tuple[int, int]]:
    for first, last in re.findall(r"(.)(?:-(.))?", members, re.DOTALL):
        yield ord(first), ord(last or first)


def _points(members: str) -> Iterator[int]:
    for first, last in _ranges(members):
        yield from range(first, last + 1)
