"""A request's text as the model may see it: by the tenant's policy, without the model's control tokens."""

from __future__ import annotations

import asyncio
from functools import lru_cache

from gateway.sanitize.control_tokens import QWEN, ControlTokens
from gateway.sanitize.request import sanitize_request
from quill.job import JobRequest
from quill.pricing import ModelFacts
from quill.sanitizing import SanitizePolicy, SanitizeReport

#: Longer texts are cleaned beside the event loop.
_INLINE_CHARS = 50_000


async def cleaned(
    request: JobRequest, policy: SanitizePolicy, facts: ModelFacts | None
) -> tuple[JobRequest, SanitizeReport | None]:
    """Raises ``InvalidRequest`` for what the policy rejects."""
    # Qwen's own for a model that has not told any.
    tokens = _compiled(facts.control_tokens) if facts and facts.control_tokens else QWEN
    if sum(map(len, request.texts)) <= _INLINE_CHARS:
        return sanitize_request(request, policy, tokens)
    return await asyncio.to_thread(sanitize_request, request, policy, tokens)


@lru_cache(maxsize=64)
def _compiled(tokens: tuple[str, ...]) -> ControlTokens:
    return ControlTokens.of(tokens)
