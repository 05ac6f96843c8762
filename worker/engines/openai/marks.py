"""Servers without a reasoning parser leave `<think>` and `</think>` in the text."""

from __future__ import annotations

from worker.engines.stops import StopStrings
from worker.engines.text import REASONING_CLOSES, REASONING_OPENS


class Marks:
    """Only at the very beginning of an answer: later on, a text may speak of the marks."""

    def __init__(self, opens_reasoning: bool = False) -> None:
        """``opens_reasoning``: the prompt itself has opened it, so that only its end will come."""
        self._is_reasoning = opens_reasoning
        self._is_over = False
        self._seeker = StopStrings([REASONING_CLOSES])
        #: The beginning, as long as it may become the opening mark.
        self._beginning = ""
        #: Newlines that follow a mark belong to the template.
        self._skips_newlines = opens_reasoning

    def stand_back(self) -> None:
        """The server tells reasoning apart by itself."""
        self._is_over, self._is_reasoning = True, False

    def split(self, text: str) -> tuple[str, str]:
        """Its reasoning and its answer."""
        if not self._is_over and not self._is_reasoning:
            text = self._opened(text)
        if not self._is_reasoning:
            return "", self._shown(text)
        reasoning = self._shown(self._seeker.push(text))
        if self._seeker.found is None:
            return reasoning, ""
        self._is_over, self._is_reasoning, self._skips_newlines = True, False, True
        return reasoning, self._shown(self._seeker.rest)

    def end(self) -> tuple[str, str]:
        """What was held back, now that nothing follows."""
        if self._is_reasoning:
            return self._shown(self._seeker.end()), ""
        held, self._beginning = self._beginning, ""
        return "", held

    def _opened(self, text: str) -> str:
        """What of the beginning may be looked at now; nothing while it may still become the mark."""
        text = self._beginning + text
        bare = text.lstrip()
        if bare.startswith(REASONING_OPENS):
            self._is_reasoning, self._skips_newlines, self._beginning = True, True, ""
            return bare.removeprefix(REASONING_OPENS)
        if REASONING_OPENS.startswith(bare):
            self._beginning = text
            return ""
        self._is_over, self._beginning = True, ""
        return text

    def _shown(self, text: str) -> str:
        if self._skips_newlines:
            text = text.lstrip("\n")
            self._skips_newlines = not text
        return text
