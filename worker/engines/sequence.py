"""One request on the engine's thread: where it stands in its prompt, its slot and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quill.errors import EngineError
from quill.job import JobResult, Usage
from worker.engines.generation import Generation
from worker.engines.policy import Picker
from worker.engines.text import TextStream

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(slots=True, eq=False)
class Sequence:
    generation: Generation
    prompt_ids: list[int]
    limit_tokens: int
    picker: Picker
    stream: TextStream
    #: Tokens whose keys and values are in the slot.
    filled_tokens: int = 0
    last_id: int = 0
    slot: int = 0

    @property
    def unread_tokens(self) -> int:
        """Prompt tokens that the model has not seen yet."""
        return max(0, len(self.prompt_ids) - self.filled_tokens)

    def next_ids(self, width: int) -> list[int]:
        """What the model reads next: at most `width` tokens of the prompt, then the last one produced."""
        return self.prompt_ids[self.filled_tokens : self.filled_tokens + width] or [self.last_id]

    def accept(self, token_id: int, stop_ids: frozenset[int]) -> FinishReason | None:
        """Takes a produced token; gives the reason if it is the last one."""
        self.last_id = token_id
        self.generation.produced_tokens += 1
        if token_id in stop_ids:
            return "stop"
        self.generation.deliver(self.stream.push(token_id))
        return "length" if self.generation.produced_tokens >= self.limit_tokens else None

    def finish(self, reason: FinishReason) -> None:
        usage = Usage(
            prompt_tokens=len(self.prompt_ids),
            completion_tokens=self.generation.produced_tokens,
            reasoning_tokens=self.stream.reasoning_tokens,
        )
        text, reasoning = self.stream.text, self.stream.reasoning
        self.generation.finish(JobResult(text=text, reasoning=reasoning, finish_reason=reason, usage=usage))

    def fail(self, error: EngineError) -> None:
        self.generation.fail(error)
