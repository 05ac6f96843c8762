"""What every engine promises. An engine knows nothing of Redis, Celery or HTTP.

A caller submits from any thread and waits on the handle; the engine batches whatever it holds. One request's
failure never touches its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from quill.job import Message
from quill.result import JobResult, TokenLogprob


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to pick tokens, and where to end. A field that is ``None`` comes from the model's own settings."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    #: Texts that end an answer and are not part of it.
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    #: The model's own end-of-text tokens end nothing.
    ignore_eos: bool = False
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: bool = False
    #: Likeliest tokens told beside each one of the answer.
    top_logprobs: int = 0


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    #: ``None`` leaves it to the model's template.
    thinking: bool | None = None
    #: Tokens of reasoning at most; ``None`` leaves room for the answer.
    thinking_budget: int | None = None
    #: What the chat template is told beside that; never a caller's free text.
    template_options: Mapping[str, bool | str] = field(default_factory=dict)
    #: Requests of different salts share nothing, so that none finds out by its speed what another asked.
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """Newly produced text. Either part may be empty, never both."""

    text: str = ""
    reasoning: str = ""
    #: Of the tokens that `text` completes.
    logprobs: tuple[TokenLogprob, ...] = ()
    #: Which of the request's answers grew.
    choice: int = 0


#: Called on the engine's thread for every piece of output: it must return at once and never raise.
OnDelta = Callable[[Delta], None]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine found out about itself when it started."""

    slots: int
    context_tokens: int
    device: str
    dtype: str
    #: A human's line: how slots and capacity came out of the memory budget.
    memory_plan: str
    #: How it runs here: attention, threads and what else was chosen at the start.
    tuning: Mapping[str, str] = field(default_factory=dict)
    #: The tokenizer as `tokenizer.json` bytes, so that a gateway can count; ``None`` if there is none.
    #: Megabytes of it: never part of a log line.
    tokenizer_json: bytes | None = field(default=None, repr=False)
    #: Tokens that the chat template adds at most: once a prompt, and for every message.
    base_tokens: int = 0
    message_tokens: int = 0


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot, cheap enough to take every second. Speeds are over the last ten seconds of work."""

    running: int = 0
    waiting: int = 0
    completed: int = 0
    tokens_per_s: float = 0.0
    gpu_bytes: int = 0
    #: Prompt tokens that were not read, since their keys and values were at hand.
    reused_tokens: int = 0
    #: Steps of the model since the start.
    steps: int = 0
    #: Of the step that is under way, 0 between two; of the steps of late; of all.
    step_age_s: float = 0.0
    mean_step_s: float = 0.0
    longest_step_s: float = 0.0
    #: The device does not compute any more: every request fails with ``EngineLost``.
    is_lost: bool = False


class Handle(Protocol):
    @property
    def produced_tokens(self) -> int:
        """Tokens generated so far; read from any thread."""

    def result(self, timeout_s: float | None = None) -> JobResult:
        """Waits for the end; an aborted request ends with finish_reason ``cancelled`` and what it had.

        Raises ``EngineError`` if this request failed, ``EngineLost`` if the engine did, and ``TimeoutError``
        if it has not ended in time.
        """

    def abort(self) -> None:
        """Frees the slot at the engine's next step. Safe from any thread, any number of times."""


class Engine(Protocol):
    def start(self) -> EngineInfo:
        """Loads and warms the model; returns when it can serve. Raises ``EngineError`` with the reason."""

    def submit(self, request: GenerationRequest, on_delta: OnDelta | None = None) -> Handle:
        """Takes a request; it waits inside the engine if every slot is busy.

        Raises ``ContextLengthExceeded`` if it can never fit, ``InvalidRequest`` if it names what the model
        does not have, ``EngineClosed`` after ``close``.
        """

    def stats(self) -> EngineStats: ...

    def close(self) -> None:
        """Ends what runs (as aborted), joins the engine's thread and frees the device. Idempotent."""
