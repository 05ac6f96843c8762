"""What a caller asks for and what a caller gets: the wire models that every side shares."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from quill.states import State

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


class Wire(BaseModel):
    """Strict both ways: an unknown field or a near-miss of a type is an error, never a guess."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        # What was given may be a prompt.
        hide_input_in_errors=True,
    )


class Message(Wire):
    role: Literal["system", "user", "assistant"]
    content: str


class JobRequest(Wire):
    """One generation. Give `prompt` (one user turn) or `messages`, not both."""

    model: ModelName | None = Field(default=None, description="Served model; absent: the default one.")
    prompt: str | None = None
    messages: tuple[Message, ...] | None = Field(default=None, min_length=1, max_length=1024, strict=False)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description="New tokens at most.")
    temperature: float | None = Field(default=None, ge=0.0, le=2.0, description="0 is greedy.")
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    top_k: int | None = Field(default=None, ge=0, le=1_000_000, description="0 keeps every token.")
    min_p: float | None = Field(default=None, ge=0.0, le=1.0)
    seed: int | None = Field(default=None, ge=0, le=2**63 - 1)
    thinking: bool | None = Field(default=None, description="Whether the model reasons first.")
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

    @property
    def turns(self) -> tuple[Message, ...]:
        """The conversation, whichever way it was given."""
        return self.messages or (Message(role="user", content=self.prompt or ""),)


class Usage(Wire):
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0


class JobResult(Wire):
    """What an attempt produced."""

    text: str
    reasoning: str | None = None
    finish_reason: Literal["stop", "length", "cancelled", "timeout"]
    usage: Usage


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
    metadata: dict[str, str] = Field(default_factory=dict)
