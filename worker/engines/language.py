"""How one model is spoken to and understood: its template, its tokens, its ends, its habits.

Every engine that is given token ids and gives token ids speaks through it. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass

from quill.errors import EngineError, InvalidRequest
from worker.engines.answer import Answer
from worker.engines.base import GenerationRequest, Sampling
from worker.engines.limits import answer_limit_tokens
from worker.engines.policy import Policy
from worker.engines.presets import Presets
from worker.engines.text import TokenTable
from worker.engines.thinking import FAREWELL, NO_THOUGHT, Farewells, Thinking, default_budget_tokens
from worker.prompt.encoder import PromptEncoder


@dataclass(slots=True, eq=False)
class Brief:
    """All that an engine must know to run a request, in the model's terms."""

    prompt_ids: list[int]
    limit_tokens: int
    policy: Policy
    answer: Answer
    #: The model's own ends, unless they are ignored, and the request's.
    stop_ids: frozenset[int] = frozenset()
    #: Those of them that are the request's.
    own_stop_ids: frozenset[int] = frozenset()
    #: ``None`` if the model does not mark its reasoning.
    thinking: Thinking | None = None
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Language:
    encoder: PromptEncoder
    table: TokenTable
    presets: Presets
    #: The model's own ends.
    stop_ids: frozenset[int]
    vocabulary_tokens: int
    #: ``None`` if the model does not mark its reasoning.
    farewells: Farewells | None

    def brief(self, request: GenerationRequest, context_tokens: int) -> Brief:
        """Raises ``ContextLengthExceeded`` or ``InvalidRequest``."""
        asked = request.sampling
        self._refuse_unknown_tokens(asked)
        prompt = self.encoder.encode(request.messages, request.thinking, request.template_options)
        limit_tokens = answer_limit_tokens(len(prompt.ids), asked.max_tokens, context_tokens)
        own_stop_ids = frozenset(asked.stop_token_ids)
        return Brief(
            prompt_ids=prompt.ids,
            limit_tokens=limit_tokens,
            policy=Policy.of(asked, self.presets.policy(is_reasoning=prompt.reasons)),
            answer=Answer(
                self.table,
                is_reasoning=prompt.opens_reasoning,
                stops=asked.stop,
                tells_logprobs=asked.logprobs,
            ),
            stop_ids=own_stop_ids if asked.ignore_eos else own_stop_ids | self.stop_ids,
            own_stop_ids=own_stop_ids,
            thinking=self._thinking(request.thinking_budget, limit_tokens),
            salt=request.salt,
        )

    def _thinking(self, budget_tokens: int | None, limit_tokens: int) -> Thinking | None:
        if self.farewells is None:
            return None
        if budget_tokens is None:
            budget_tokens = default_budget_tokens(limit_tokens, self.farewells)
        return Thinking(budget_tokens, self.farewells)

    def _refuse_unknown_tokens(self, asked: Sampling) -> None:
        named = max((*asked.stop_token_ids, *asked.logit_bias), default=0)
        count = self.vocabulary_tokens
        if named >= count:
            raise InvalidRequest(f"There is no token {named}: the model has {count} of them.")


def learn(tokenizer: object, config: object, generation_config: object) -> Language:
    """From a transformers tokenizer and configurations.

    Raises ``EngineError`` if texts could not be kept apart, or no answer would end.
    """
    encoder = PromptEncoder(tokenizer)
    table = TokenTable.of(encoder.tokenizer)
    text_config = config.get_text_config()  # type: ignore[attr-defined]
    return Language(
        encoder=encoder,
        table=table,
        presets=Presets.of(generation_config, text_config.model_type),
        stop_ids=_stop_ids(tokenizer, generation_config),
        vocabulary_tokens=text_config.vocab_size,
        farewells=_farewells(encoder, table),
    )


def _stop_ids(tokenizer: object, generation_config: object) -> frozenset[int]:
    """Every id that either the generation settings or the tokenizer call an end."""
    asked = getattr(generation_config, "eos_token_id", None)
    named = getattr(tokenizer, "eos_token_id", None)
    ids = {*(asked if isinstance(asked, list) else [asked]), named} - {None}
    if not ids:
        raise EngineError("The checkpoint names no end-of-text token, so no answer would ever stop.")
    return frozenset(ids)


def _farewells(encoder: PromptEncoder, table: TokenTable) -> Farewells | None:
    if table.reasoning_closes_id is None:
        return None
    return Farewells(
        long=tuple(encoder.encode_structure(FAREWELL)), short=tuple(encoder.encode_structure(NO_THOUGHT))
    )
