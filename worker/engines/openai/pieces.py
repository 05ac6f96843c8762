"""What a server's stream of chat completion chunks says, whichever server it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from quill.errors import EngineFault
from quill.result import FinishReason, RankedToken, TokenLogprob, Usage
from worker.engines.logprobs import NEGLIGIBLE

#: What ends a stream.
DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Piece:
    text: str = ""
    reasoning: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    usage: Usage | None = None


def piece_of(data: str) -> Piece:
    """Raises ``EngineFault`` if it is an error, or nothing that one could read."""
    try:
        chunk = json.loads(data)
        if not isinstance(chunk, dict) or chunk.get("error"):
            raise EngineFault
        choices = chunk.get("choices") or [{}]
        choice: dict[str, Any] = choices[0]
        delta = choice.get("delta") or {}
        return Piece(
            text=delta.get("content") or "",
            reasoning=delta.get("reasoning_content") or delta.get("reasoning") or "",
            logprobs=_logprobs(choice.get("logprobs")),
            finish_reason=_reason(choice.get("finish_reason")),
            stop_reason=choice.get("stop_reason"),
            usage=_usage(chunk.get("usage")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise EngineFault from error


def _reason(told: str | None) -> FinishReason | None:
    """Tools and filters end an answer as its own end does."""
    if told is None:
        return None
    return "length" if told == "length" else "stop"


def _usage(told: dict[str, Any] | None) -> Usage | None:
    if not told:
        return None
    details = told.get("completion_tokens_details") or {}
    return Usage(
        prompt_tokens=told["prompt_tokens"],
        completion_tokens=told["completion_tokens"],
        reasoning_tokens=details.get("reasoning_tokens") or 0,
    )


def _logprobs(told: dict[str, Any] | None) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            **_ranked(entry).model_dump(),
            top_logprobs=tuple(_ranked(other) for other in entry.get("top_logprobs") or ()),
        )
        for entry in (told or {}).get("content") or ()
    )


def _ranked(entry: dict[str, Any]) -> RankedToken:
    token = entry["token"]
    data = entry.get("bytes")
    return RankedToken(
        token=token,
        bytes=tuple(token.encode() if data is None else data),
        logprob=max(float(entry["logprob"]), NEGLIGIBLE),
    )
