"""How a request wants its tokens picked, and where its answer ends."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from quill.wire import Wire

StopString = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
#: Object keys of JSON are strings.
BiasedId = Annotated[int, Field(ge=0, le=2**31 - 1, strict=False)]
Bias = Annotated[float, Field(ge=-100.0, le=100.0)]


class SamplingRequest(Wire):
    """A field that is left out comes from the checkpoint's own settings, then from its family's."""

    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description="New tokens at most.")
    temperature: float | None = Field(default=None, ge=0.0, le=2.0, description="0 is greedy.")
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    top_k: int | None = Field(default=None, ge=0, le=1_000_000, description="0 keeps every token.")
    min_p: float | None = Field(default=None, ge=0.0, le=1.0)
    repetition_penalty: float | None = Field(
        default=None, gt=0.0, le=10.0, description="Divides the logits of tokens that were seen; 1 is off."
    )
    presence_penalty: float | None = Field(
        default=None, ge=-2.0, le=2.0, description="Taken off the logits of tokens that the answer has."
    )
    frequency_penalty: float | None = Field(
        default=None, ge=-2.0, le=2.0, description="The same, as often as the answer has them."
    )
    seed: int | None = Field(default=None, ge=0, le=2**63 - 1)
    n: int = Field(default=1, ge=1, le=16, description="How many answers.")
    stop: tuple[StopString, ...] = Field(
        default=(), max_length=16, strict=False, description="An answer ends before any of these."
    )
    stop_token_ids: tuple[TokenId, ...] = Field(default=(), max_length=64, strict=False)
    ignore_eos: bool = Field(default=False, description="Goes on after the model's own end, to max_tokens.")
    logit_bias: dict[BiasedId, Bias] = Field(
        default_factory=dict, max_length=1024, description="Added to the logits of these token ids."
    )
    logprobs: bool = Field(default=False, description="Tell how probable each token of the answer was.")
    top_logprobs: int = Field(
        default=0, ge=0, le=20, description="How many of the likeliest tokens to tell beside it."
    )
