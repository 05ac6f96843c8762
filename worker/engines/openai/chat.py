"""A request as the body of `POST /chat/completions`."""

from __future__ import annotations

import re
from typing import Any

from quill.job import Message
from worker.engines.base import GenerationRequest

#: What OpenAI's API takes; the others are looked for on our side alone.
STOPS_AT_MOST = 4

#: Fields that are sent only if the request has them: strict servers refuse those that they do not know.
_OPTIONAL = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
)

#: Text that a server may take for a control token, since it renders and encodes the conversation itself.
_CONTROL = re.compile(r"<(?=\|[A-Za-z0-9_]+\|>|/?(?:think|tool_call|tool_response)>)")

#: Shows nothing, joins nothing, and ends the likeness.
_WORD_JOINER = "\u2060"


def body_of(request: GenerationRequest, model: str, max_tokens: int) -> dict[str, Any]:
    """A streamed request, usage included."""
    asked = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [_turn(message) for message in request.messages],
        "max_tokens": max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body |= {name: value for name in _OPTIONAL if (value := getattr(asked, name)) is not None}
    told = dict(request.template_options)
    if request.thinking is not None:
        told["enable_thinking"] = request.thinking
    optional = {
        "stop": list(asked.stop[:STOPS_AT_MOST]),
        "stop_token_ids": list(asked.stop_token_ids),
        "ignore_eos": asked.ignore_eos,
        "logit_bias": {str(token_id): bias for token_id, bias in asked.logit_bias.items()},
        "logprobs": asked.logprobs,
        "top_logprobs": asked.top_logprobs,
        "chat_template_kwargs": told,
    }
    body |= {name: value for name, value in optional.items() if value}
    if request.thinking_budget is not None:
        body["thinking_token_budget"] = request.thinking_budget
    return body


def _turn(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": plain(message.content)}


def plain(text: str) -> str:
    """The text with whatever spells a control token made into ordinary characters."""
    return _CONTROL.sub("<" + _WORD_JOINER, text)
