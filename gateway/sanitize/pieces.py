"""Work on many places of a text at the speed of `re`: a call a place would cost more than the search."""

from __future__ import annotations

import re
from collections.abc import Callable

#: From a text to a text, and how often it was applied.
Step = Callable[[str], tuple[str, int]]

#: In no text that came as JSON, as the gateway refuses lone surrogates; `>` ends whatever a pattern takes.
_SEAM = ">\ud800"


def runs_of(characters: str) -> re.Pattern[str]:
    """Of what stands between a pattern's brackets. `re` finds a class three times as fast as a run."""
    return re.compile(f"[{characters}][{characters}]*+")


def drop(characters: re.Pattern[str], text: str) -> tuple[str, int]:
    """Counts characters, so that the pattern may take a run of them at once."""
    kept = characters.sub("", text)
    return kept, len(text) - len(kept)


def mark_after(places: re.Pattern[str], mark: str, text: str) -> tuple[str, int]:
    """Puts a mark after each place; what a place has beyond its one group is replaced by it."""
    parts = places.split(text)
    parts[2::2] = [mark + part for part in parts[2::2]]
    return "".join(parts), len(parts) // 2


def inside(places: re.Pattern[str], step: Step, text: str) -> tuple[str, int]:
    """Takes the step within the places only, each of which is the pattern's one group."""
    parts = places.split(text)
    return _at(1, parts, step) if len(parts) > 1 else (text, 0)


def outside(places: re.Pattern[str], step: Step, text: str) -> tuple[str, int]:
    """Takes the step everywhere but within the places, each of which is the pattern's one group."""
    return _at(0, places.split(text), step)


def _at(first: int, parts: list[str], step: Step) -> tuple[str, int]:
    changed, count = step(_SEAM.join(parts[first::2]))
    parts[first::2] = changed.split(_SEAM)
    return "".join(parts), count
