"""What a request costs in tokens, and whether it can fit its model, before anything is accepted."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quill.errors import ContextLengthExceeded, QuillError
from quill.job import DEFAULT_MAX_TOKENS, JobRequest

#: Bytes of a typical token; only ever used for an estimate.
_BYTES_PER_TOKEN = 4


class TokenizersMissing(QuillError):
    """To count a long prompt takes the tokenizers package. Run `pip install 'quill-queue[producer]'`."""

    code = "tokenizers_missing"


#: Counts the tokens of one text, as the model's tokenizer sees it.
CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model's workers published about it."""

    context_tokens: int
    #: What the chat template adds at most: once a prompt, and for every message.
    base_tokens: int = 0
    message_tokens: int = 0
    #: Names the published tokenizer; empty if there is none.
    tokenizer: str = ""
    engine: str = ""
    #: What the template may write and no caller: `<|im_start|>` and its like.
    control_tokens: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes]) -> ModelFacts | None:
        """From the model's hash in the store; ``None`` while no worker has ever joined."""
        if b"context_tokens" not in fields:
            return None
        return cls(
            context_tokens=int(fields[b"context_tokens"]),
            base_tokens=int(fields.get(b"base_tokens", 0)),
            message_tokens=int(fields.get(b"message_tokens", 0)),
            tokenizer=fields.get(b"tokenizer", b"").decode(),
            engine=fields.get(b"engine", b"").decode(),
            control_tokens=tuple(json.loads(fields.get(b"control_tokens", b"[]"))),
        )

    def as_fields(self) -> dict[str, str | int]:
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return fields | {"control_tokens": json.dumps(self.control_tokens)}


@dataclass(frozen=True, slots=True)
class Price:
    prompt_tokens: int
    #: Of all its answers, at most.
    answer_tokens: int

    @property
    def cost_tokens(self) -> int:
        return self.prompt_tokens + self.answer_tokens


def _bytes_of(request: JobRequest) -> int:
    """As the tokenizer will see it: it composes, and a few characters become longer by that."""
    return sum(len(_composed(text).encode()) for text in request.texts)


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _overhead_tokens(request: JobRequest, facts: ModelFacts | None) -> int:
    return 0 if facts is None else facts.base_tokens + facts.message_tokens * len(request.texts)


def surely_fits(request: JobRequest, facts: ModelFacts | None) -> bool:
    """Whether no tokenizer needs to be asked: a byte-level token is at least one byte long."""
    if facts is None:
        return True
    at_most = _bytes_of(request) + _overhead_tokens(request, facts) + (request.max_tokens or 1)
    return at_most <= facts.context_tokens


def estimate(request: JobRequest, facts: ModelFacts | None) -> Price:
    """The price of a request that surely fits."""
    answer_tokens = request.n * (request.max_tokens or DEFAULT_MAX_TOKENS)
    return Price(_likely_tokens(request) + _overhead_tokens(request, facts), answer_tokens)


def _likely_tokens(request: JobRequest) -> int:
    return -(-_bytes_of(request) // _BYTES_PER_TOKEN)


def measure(request: JobRequest, facts: ModelFacts, count: CountTokens | None) -> Price:
    """The price by count. Takes milliseconds for long prompts. Raises ``ContextLengthExceeded``."""
    counted = _likely_tokens(request) if count is None else sum(map(count, request.texts))
    prompt_tokens = counted + _overhead_tokens(request, facts)
    room_tokens = facts.context_tokens - prompt_tokens
    if room_tokens < (request.max_tokens or 1):
        wanted = f" and max_tokens {request.max_tokens}" if request.max_tokens else ""
        raise ContextLengthExceeded(
            f"The prompt has {prompt_tokens} tokens{wanted}, but the model's context is "
            f"{facts.context_tokens} tokens. Shorten the prompt or lower max_tokens."
        )
    return Price(prompt_tokens, request.n * min(request.max_tokens or DEFAULT_MAX_TOKENS, room_tokens))


def tokenizer_count(tokenizer_json: bytes) -> CountTokens:
    """A counter from a published tokenizer; text that spells a control token counts as plain text.

    Raises ``TokenizersMissing``.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise TokenizersMissing from error
    tokenizer = Tokenizer.from_str(without_added_tokens(tokenizer_json))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def control_tokens_of(tokenizer_json: bytes) -> tuple[str, ...]:
    """Every added token, also those that a tokenizer does not call special."""
    return tuple(token["content"] for token in json.loads(tokenizer_json).get("added_tokens", ()))


def without_added_tokens(tokenizer_json: bytes) -> str:
    """The tokenizer that knows no control token, not even those that it does not call special."""
    return json.dumps(json.loads(tokenizer_json) | {"added_tokens": [], "post_processor": None})
