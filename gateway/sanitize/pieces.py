"""Work on many places of a text at the speed of `re`: a call a place would cost more than the search."""

from __future__ import annotations

import re
from collections.abc import Callable

#: From a text to a text, and how often it was applied.
Step = Callable[[str], tuple[str, int]]

#: More than nearly any page has; an attack that has as many is not worth the time to take them one by one.
PLACES_AT_MOST = 2**14

#: In no text that came as JSON, as the gateway refuses lone surrogates; `>` ends whatever a pattern takes.
_SEAM = ">\ud800"


class Flooded(Exception):
    """There are too many places."""


def replace(places: re.Pattern[str], replacement: str, text: str) -> tuple[str, int]:
    text, count = places.subn(replacement, text, PLACES_AT_MOST)
    return text, _bounded(count)


def mark_after(places: re.Pattern[str], mark: str, text: str) -> tuple[str, int]:
    """Puts a mark after each place; what a place has beyond its one group is replaced by it."""
    parts = places.split(text, PLACES_AT_MOST)
    parts[2::2] = [mark + part for part in parts[2::2]]
    return "".join(parts), _bounded(len(parts) // 2)


def inside(places: re.Pattern[str], step: Step, text: str) -> tuple[str, int]:
    """Takes the step within the places only, each of which is the pattern's one group."""
    parts = places.split(text, PLACES_AT_MOST)
    if not _bounded(len(parts) // 2):
        return text, 0
    changed, count = step(_SEAM.join(parts[1::2]))
    parts[1::2] = changed.split(_SEAM)
    return "".join(parts), count


def _bounded(places: int) -> int:
    if places >= PLACES_AT_MOST:
        raise Flooded
    return places
