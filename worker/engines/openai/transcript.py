"""An answer that comes as text: its reasoning told from it, and cut at a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from quill.result import FinishReason, JobResult, Usage
from worker.engines.base import Delta
from worker.engines.logprobs import ShownLogprobs
from worker.engines.openai.marks import Marks
from worker.engines.openai.pieces import Piece
from worker.engines.stops import StopStrings


class Transcript:
    """The deltas, joined, are exactly what `result` has."""

    def __init__(
        self,
        stops: Sequence[str] = (),
        *,
        tells_logprobs: bool = False,
        opens_reasoning: bool = False,
        prompt_tokens: int = 0,
    ) -> None:
        """``prompt_tokens`` stand until the server tells its own count, which it does at the very end."""
        self._stops = StopStrings(stops)
        self._marks = Marks(opens_reasoning)
        self._texts: list[str] = []
        self._reasonings: list[str] = []
        self._logprobs = ShownLogprobs() if tells_logprobs else None
        self._prompt_tokens = prompt_tokens
        self._usage: Usage | None = None
        #: Pieces so far: tokens, until the server tells how many it was.
        self.pieces = 0
        self.finish_reason: FinishReason | None = None
        self.stop_reason: str | int | None = None

    @property
    def is_cut(self) -> bool:
        """A stop string was found: whatever else comes is not part of the answer."""
        return self._stops.found is not None

    def push(self, piece: Piece) -> Delta:
        self.pieces += bool(piece.text or piece.reasoning)
        self._usage = piece.usage or self._usage
        self.finish_reason = piece.finish_reason or self.finish_reason
        self.stop_reason = piece.stop_reason if piece.stop_reason is not None else self.stop_reason
        if self.is_cut:
            return Delta()
        if piece.reasoning:
            self._marks.stand_back()
        reasoning, text = self._marks.split(piece.text)
        if text:
            self._arrive(text, piece)
        return self._show(piece.reasoning + reasoning, self._stops.push(text))

    def end(self) -> Delta:
        """What was held back, now that nothing follows."""
        if self.is_cut:
            return Delta()
        reasoning, text = self._marks.end()
        return self._show(reasoning, self._stops.push(text) + self._stops.end())

    def result(self, reason: FinishReason) -> JobResult:
        counted = Usage(prompt_tokens=self._prompt_tokens, completion_tokens=self.pieces)
        return JobResult(
            text="".join(self._texts),
            reasoning="".join(self._reasonings) or None,
            finish_reason=reason,
            stop_reason=self._stops.found or self.stop_reason,
            logprobs=None if self._logprobs is None else tuple(self._logprobs.shown),
            usage=self._usage or counted,
        )

    def _arrive(self, text: str, piece: Piece) -> None:
        """A piece is one token almost always; the text of one that is more counts as its first one's."""
        if self._logprobs is None:
            return
        first, *others = piece.logprobs or (None,)
        self._logprobs.arrive(len(text), first)
        for entry in others:
            self._logprobs.arrive(0, entry)

    def _show(self, reasoning: str, text: str) -> Delta:
        self._reasonings.append(reasoning)
        self._texts.append(text)
        told = self._logprobs.show(len(text)) if self._logprobs is not None and text else ()
        return Delta(text, reasoning, told)
