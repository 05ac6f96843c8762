"""An answer under way, token by token: what has been produced, whether it is over, what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from quill.errors import QuillError
from quill.result import FinishReason, JobResult, Usage
from worker.engines.answer import Ranked
from worker.engines.generation import Generation
from worker.engines.language import Brief


@dataclass(slots=True, eq=False)
class Draft:
    generation: Generation
    brief: Brief
    #: What the model is given: the prompt, then its own tokens.
    ids: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = list(self.brief.prompt_ids)

    @property
    def left_tokens(self) -> int:
        return self.brief.limit_tokens - self.generation.produced_tokens

    def accept(
        self, token_id: int, logprob: float | None = None, top: Sequence[Ranked] = ()
    ) -> FinishReason | None:
        """Takes the token that the model picked, or the one that its budget wants instead.

        Gives the reason if it is the last one.
        """
        picked, token_id = token_id, self._corrected(token_id)
        if token_id != picked:
            logprob, top = None, ()
        self.ids.append(token_id)
        self.generation.produced_tokens += 1
        if token_id in self.brief.stop_ids:
            return "stop"
        self.generation.deliver(self.brief.answer.push(token_id, logprob, top))
        if self.brief.answer.found_stop is not None:
            return "stop"
        return "length" if self.left_tokens <= 0 else None

    def finish(self, reason: FinishReason) -> None:
        answer = self.brief.answer
        self.generation.deliver(answer.end())
        usage = Usage(
            prompt_tokens=len(self.brief.prompt_ids),
            completion_tokens=self.generation.produced_tokens,
            reasoning_tokens=answer.reasoning_tokens,
        )
        is_own = reason == "stop" and self.ids[-1] in self.brief.own_stop_ids
        choice = answer.choice(reason, self.ids[-1] if is_own else None)
        self.generation.finish(JobResult(**dict(choice), usage=usage))

    def fail(self, error: QuillError) -> None:
        self.generation.fail(error)

    def _corrected(self, token_id: int) -> int:
        if self.brief.thinking is None:
            return token_id
        answer = self.brief.answer
        return self.brief.thinking.correct(
            token_id, is_reasoning=answer.is_reasoning, reasoning_tokens=answer.reasoning_tokens
        )
