"""How many tokens a request may produce, and how long a pass should last. Every engine counts alike."""

from __future__ import annotations

from quill.errors import ContextLengthExceeded
from quill.job import DEFAULT_MAX_TOKENS

#: What a pass over prompts aims at, so that whoever decodes meanwhile is not held up for long. Its measure is
#: of the passes before it, so it may take longer: the bound is a second.
PASS_TARGET_S = 0.5


def answer_limit_tokens(prompt_tokens: int, max_tokens: int | None, context_tokens: int) -> int:
    """New tokens at most; without `max_tokens`, what is left of the context but not more than the default.

    Raises ``ContextLengthExceeded`` with the numbers.
    """
    wanted_tokens = 1 if max_tokens is None else max_tokens
    if prompt_tokens + wanted_tokens > context_tokens:
        asked = f"{max_tokens} for the answer" if max_tokens is not None else "at least 1 for the answer"
        raise ContextLengthExceeded(
            f"The prompt has {prompt_tokens} tokens; with {asked} that is "
            f"{prompt_tokens + wanted_tokens}, and the context holds {context_tokens}."
        )
    return max_tokens or min(DEFAULT_MAX_TOKENS, context_tokens - prompt_tokens)
