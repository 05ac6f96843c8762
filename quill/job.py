"""What a caller asks for and what a caller gets: the wire models that every side shares."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from quill.result import JobResult
from quill.sampling import SamplingRequest
from quill.sanitizing import SanitizeReport
from quill.states import State
from quill.wire import Wire

#: Model names as hubs spell them (`Qwen/Qwen3-0.6B`); they become part of a Redis key and of a queue's name.
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")]

MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]

DEFAULT_MAX_TOKENS = 512
DEFAULT_MAX_RETRIES = 3


class JobClass(StrEnum):
    """How urgent a job is; the classes share a model by weight."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"


class Message(Wire):
    role: Literal["system", "user", "assistant"]
    content: str


class TemplateOptions(Wire):
    """What a chat template may be told; one that does not know an option ignores it."""

    enable_thinking: bool | None = Field(default=None, description="The same as `thinking`.")
    preserve_thinking: bool | None = Field(default=None, description="Keep the reasoning of older turns.")
    reasoning_effort: Literal["low", "medium", "high", "xhigh"] | None = None


#: Into a place of a preset.
PresetValue = Annotated[str, StringConstraints(max_length=20_000)]


class PresetChoice(Wire):
    """One of the service's prompt presets, and what its places are filled with."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]
    parameters: dict[MetadataKey, PresetValue | Annotated[tuple[PresetValue, ...], Field(strict=False)]] = (
        Field(default_factory=dict, max_length=16)
    )


class JobRequest(SamplingRequest):
    """One generation. Give `prompt` (one user turn) or `messages`, not both."""

    model: ModelName | None = Field(default=None, description="Served model; absent: the default one.")
    prompt: str | None = None
    messages: tuple[Message, ...] | None = Field(default=None, min_length=1, max_length=1024, strict=False)
    preset: PresetChoice | None = Field(
        default=None, description="A prompt preset, put before the conversation as its system message."
    )
    thinking: bool | None = Field(default=None, description="Whether the model reasons first.")
    thinking_budget: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="Tokens of reasoning at most; absent: as many as leave room for the answer.",
    )
    chat_template_kwargs: TemplateOptions = Field(default_factory=TemplateOptions)
    stream: bool = Field(default=False, description="Keep the output as it grows, for /events.")
    job_class: JobClass = Field(default=JobClass.STANDARD, alias="class", strict=False)
    start_by_s: float | None = Field(
        default=None, gt=0, le=30 * 86_400, description="Expire the job if it has not started by then."
    )
    run_timeout_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Stop a run that takes longer; the job keeps what it has."
    )
    max_retries: int = Field(
        default=DEFAULT_MAX_RETRIES,
        ge=0,
        le=20,
        description="New tries after failures that another try may not meet.",
    )
    result_ttl_s: float | None = Field(
        default=None, ge=1, le=30 * 86_400, description="Keep the ended job for so long, if the service does."
    )
    metadata: dict[MetadataKey, MetadataValue] = Field(default_factory=dict, max_length=16)

    @model_validator(mode="after")
    def has_one_prompt(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self

    @model_validator(mode="after")
    def agrees_about_thinking(self) -> Self:
        told = {self.thinking, self.chat_template_kwargs.enable_thinking} - {None}
        if len(told) > 1:
            raise ValueError("thinking and chat_template_kwargs.enable_thinking differ")
        return self

    @model_validator(mode="after")
    def asks_for_logprobs(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs")
        return self

    @property
    def wants_thinking(self) -> bool | None:
        told = self.chat_template_kwargs.enable_thinking
        return self.thinking if told is None else told

    @property
    def texts(self) -> tuple[str, ...]:
        """What the turns say."""
        if self.messages is None:
            return (self.prompt or "",)
        return tuple(message.content for message in self.messages)

    @property
    def turns(self) -> tuple[Message, ...]:
        """The conversation, whichever way it was given."""
        return self.messages or (Message(role="user", content=self.prompt or ""),)


class JobFault(Wire):
    """Why a job ended without a result: a stable code and a sentence, never a library's exception text."""

    code: str
    message: str


class Shortfall(JobFault):
    """How a job that did not succeed is stored: its fault, and what it had produced when it was stopped."""

    partial: JobResult | None = None


class Job(Wire):
    """A job as its owner sees it. Times are seconds since the epoch by the store's clock."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    id: str
    object: Literal["job"] = "job"
    state: State = Field(strict=False)
    model: str
    job_class: JobClass = Field(alias="class", strict=False)
    stream: bool = False
    attempt: int = Field(default=0, description="How often a worker has claimed it.")
    retries: int = Field(default=0, description="How many tries failed and were begun anew after a pause.")
    position: int | None = Field(
        default=None, description="Rank in the tenant's line of its class, from 1; none once it left it."
    )
    estimated_start_at: float | None = Field(
        default=None,
        description="When a waiting job will probably start, by the line before it and the pace of late.",
    )
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    produced_tokens: int = 0
    result: JobResult | None = Field(
        default=None, description="The answer; of an expired job what it had produced when its time was over."
    )
    error: JobFault | None = None
    replay_of: str | None = Field(default=None, description="The failed job whose replay this is.")
    replayed_as: str | None = Field(default=None, description="The job that replays this failed one.")
    sanitization: SanitizeReport | None = Field(
        default=None, description="What was changed in its text; only told when it is accepted."
    )
    metadata: dict[str, str] = Field(default_factory=dict)
