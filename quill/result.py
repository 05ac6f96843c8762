"""What an attempt produced."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quill.wire import Wire

#: `stop`: the model's own end, or one that the request named. `length`: its tokens are used up.
FinishReason = Literal["stop", "length", "cancelled", "timeout"]


class Usage(Wire):
    prompt_tokens: int
    completion_tokens: int = Field(description="Of all choices, reasoning included.")
    reasoning_tokens: int = 0


class RankedToken(Wire):
    """A token and how probable the model held it to be, before temperature, penalties and bias."""

    token: str
    #: As UTF-8, since a token may be a part of a character.
    bytes: tuple[int, ...] = Field(strict=False)
    logprob: float = Field(description="Natural logarithm.")


class TokenLogprob(RankedToken):
    """A token of an answer; its reasoning's are not told."""

    top_logprobs: tuple[RankedToken, ...] = Field(default=(), strict=False)


class Choice(Wire):
    """One answer."""

    text: str
    reasoning: str | None = None
    finish_reason: FinishReason
    stop_reason: str | int | None = Field(
        default=None, description="The request's own stop string or token id that ended the answer."
    )
    logprobs: tuple[TokenLogprob, ...] | None = Field(default=None, strict=False)


class JobResult(Choice):
    """The answer, and what it took. A request with `n` above 1 has its other answers in `alternatives`."""

    alternatives: tuple[Choice, ...] = Field(default=(), strict=False)
    usage: Usage
