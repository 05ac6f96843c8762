"""One answer as it grows: text and reasoning up to a stop string, and how probable its tokens were."""

from __future__ import annotations

from collections.abc import Sequence

from quill.result import Choice, FinishReason, RankedToken, TokenLogprob
from worker.engines.base import Delta
from worker.engines.logprobs import NEGLIGIBLE, ShownLogprobs
from worker.engines.stops import StopStrings
from worker.engines.text import TextStream, TokenTable

#: A token and the natural logarithm of its probability.
Ranked = tuple[int, float]


class Answer:
    """The deltas, joined, are exactly what `choice` has."""

    def __init__(
        self,
        table: TokenTable,
        *,
        is_reasoning: bool = False,
        stops: Sequence[str] = (),
        tells_logprobs: bool = False,
    ) -> None:
        self._table = table
        self._stream = TextStream(table, is_reasoning)
        self._stops = StopStrings(stops)
        self._texts: list[str] = []
        self._reasonings: list[str] = []
        self._logprobs = ShownLogprobs() if tells_logprobs else None

    @property
    def is_reasoning(self) -> bool:
        return self._stream.is_reasoning

    @property
    def reasoning_tokens(self) -> int:
        return self._stream.reasoning_tokens

    @property
    def found_stop(self) -> str | None:
        return self._stops.found

    def push(self, token_id: int, logprob: float | None = None, top: Sequence[Ranked] = ()) -> Delta:
        """What this token adds; empty if it shows nothing yet."""
        delta = self._stream.push(token_id)
        if delta.reasoning:
            self._reasonings.append(delta.reasoning)
            return delta
        if self._logprobs is not None and (delta.text or self._stream.is_mid_character):
            # Marks, and newlines around them, show nothing: they are not part of the answer.
            entry = None if logprob is None else self._told(token_id, logprob, top)
            self._logprobs.arrive(len(delta.text), entry)
        return self._show(self._stops.push(delta.text))

    def end(self) -> Delta:
        """What was held back, now that nothing follows."""
        return self._show(self._stops.end())

    def choice(self, reason: FinishReason, stop_token_id: int | None = None) -> Choice:
        return Choice(
            text="".join(self._texts),
            reasoning="".join(self._reasonings) or None,
            finish_reason=reason,
            stop_reason=self._stops.found if stop_token_id is None else stop_token_id,
            logprobs=None if self._logprobs is None else tuple(self._logprobs.shown),
        )

    def _show(self, text: str) -> Delta:
        if not text:
            return Delta()
        self._texts.append(text)
        return Delta(text=text, logprobs=self._logprobs.show(len(text)) if self._logprobs else ())

    def _told(self, token_id: int, logprob: float, top: Sequence[Ranked]) -> TokenLogprob:
        own = self._ranked(token_id, logprob)
        return TokenLogprob(**dict(own), top_logprobs=tuple(self._ranked(*ranked) for ranked in top))

    def _ranked(self, token_id: int, logprob: float) -> RankedToken:
        data = self._table.bytes_of(token_id)
        return RankedToken(
            token=data.decode(errors="replace"), bytes=tuple(data), logprob=max(logprob, NEGLIGIBLE)
        )
