"""Texts that end an answer, found wherever its pieces are cut, and never shown, not even in part."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        #: The one that was found.
        self.found: str | None = None
        #: What the last piece had after it.
        self.rest = ""

    def push(self, piece: str) -> str:
        """What may be shown now: all but what could still become a stop string."""
        text = self._held + piece
        # Of several, the one that is whole first: the answer must not depend on how it was cut into pieces.
        hits = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if hits:
            end, at, self.found = min(hits)
            self._held, self.rest = "", text[end:]
            return text[:at]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def end(self) -> str:
        """What was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of a text with which a stop string begins."""
    return next((k for k in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:k])), 0)
