"""One request on the engine's thread: where it stands in its prompt and its slot."""

from __future__ import annotations

from dataclasses import dataclass

from quill.result import FinishReason
from worker.engines.draft import Draft
from worker.engines.transformers.picker import Picker
from worker.engines.transformers.picks import Pick


@dataclass(slots=True, eq=False)
class Sequence(Draft):
    picker: Picker
    #: Tokens whose keys and values are in the slot.
    filled_tokens: int = 0
    slot: int = 0

    @property
    def prompt_ids(self) -> list[int]:
        return self.brief.prompt_ids

    @property
    def salt(self) -> str:
        return self.brief.salt

    @property
    def unread_tokens(self) -> int:
        """Prompt tokens that the model has not seen yet."""
        return max(0, len(self.brief.prompt_ids) - self.filled_tokens)

    def next_ids(self, width: int) -> list[int]:
        """What the model reads next: at most `width` tokens of the prompt, or the last one produced."""
        return self.ids[self.filled_tokens : self.filled_tokens + width]

    def take(self, pick: Pick) -> FinishReason | None:
        """Gives the reason if this is the last token."""
        reason = self.accept(pick.token_id, pick.logprob, pick.top[: self.picker.top_logprobs])
        self.picker.note(self.ids[-1])
        return reason
