"""Combining marks: eight on one letter are more than any language writes; a thousand are an attack."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import groupby

from gateway.sanitize.pieces import mark_after

MARKS_AT_MOST = 8
#: Where Unicode has marks; beyond are only variation selectors, which have a step of their own.
_FIRST, _ASTRAL, _END = 0x300, 0x10000, 0x1F000
_SELECTORS = range(0xFE00, 0xFE10)
#: Astral, and no letter or digit: what may be a mark.
_SYMBOL = re.compile(r"[\U00010000-\U0001efff](?<!\w)")


def bound_marks(text: str) -> tuple[str, int]:
    """Counts letters that had too many."""
    return mark_after(_excess(astral=bool(_SYMBOL.search(text))), "", text)


@cache
def _excess(*, astral: bool) -> re.Pattern[str]:
    """Runs that are too long, their one group being what stays. It takes some 20 ms to find all marks."""
    mark = f"[{_marks(_FIRST, _ASTRAL)}]"
    if astral:
        # `re` looks at astral ranges one after another, so that few characters should get there.
        mark = rf"(?:{mark}|(?=[\U{_ASTRAL:08x}-\U{_END - 1:08x}])(?!\w)[{_marks(_ASTRAL, _END)}])"
    return re.compile(rf"({mark}(?<!{mark}.){mark}{{{MARKS_AT_MOST - 1}}}){mark}++")


def _marks(start: int, end: int) -> str:
    points = (point for point in range(start, end) if point not in _SELECTORS)
    return _ranges(point for point in points if unicodedata.category(chr(point)).startswith("M"))


def _ranges(points: Iterable[int]) -> str:
    """As they stand between a pattern's brackets."""
    runs = groupby(enumerate(points), lambda pair: pair[1] - pair[0])
    bounds = [(run[0][1], run[-1][1]) for run in (list(pairs) for _, pairs in runs)]
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in bounds)
