"""From what a caller writes to a ``JobRequest``; both clients and the direct queue take the same words."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from quill.errors import Fault, InvalidRequest
from quill.job import JobClass, JobRequest, Message, PresetChoice, TemplateOptions

#: Characters of an idempotency key.
KEY_AT_MOST = 255


class Options(TypedDict, total=False):
    """The fields of ``JobRequest`` but its prompt; ``None`` leaves one to the service."""

    messages: Sequence[Message | Mapping[str, str]] | None
    model: str | None
    #: New tokens at most.
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    seed: int | None
    #: How many answers; the others are in ``JobResult.alternatives``.
    n: int
    stop: Sequence[str]
    stop_token_ids: Sequence[int]
    ignore_eos: bool
    logit_bias: Mapping[int, float]
    logprobs: bool
    top_logprobs: int
    #: One of the service's prompt presets.
    preset: PresetChoice | Mapping[str, object] | None
    thinking: bool | None
    #: Tokens of reasoning at most.
    thinking_budget: int | None
    chat_template_kwargs: TemplateOptions | Mapping[str, bool | str]
    #: Keep the output as it grows, for ``stream``.
    stream: bool
    job_class: JobClass | str
    #: Expire the job if it has not started by then.
    start_by_s: float | None
    run_timeout_s: float | None
    result_ttl_s: float | None
    max_retries: int
    metadata: Mapping[str, str]


def job_request(prompt: str | JobRequest | None, options: Options) -> JobRequest:
    """A ready request is taken as it is and goes with no options.

    Raises ``InvalidRequest`` whose faults point at each wrong field, as the gateway would.
    """
    if isinstance(prompt, JobRequest):
        if options:
            raise InvalidRequest(f"A JobRequest goes alone; {', '.join(options)} belongs inside it.")
        return prompt
    fields: dict[str, Any] = {"prompt": prompt, **options}
    if "job_class" in fields:
        fields["class"] = fields.pop("job_class")
    if "metadata" in fields:
        fields["metadata"] = dict(fields["metadata"])
    for name in ("stop", "stop_token_ids"):
        if name in fields:
            fields[name] = (fields[name],) if isinstance(fields[name], str) else tuple(fields[name])
    if fields.get("messages") is not None:
        fields["messages"] = tuple(
            turn if isinstance(turn, Message) else dict(turn) for turn in fields["messages"]
        )
    return parsed_request(fields)


def parsed_request(fields: Mapping[str, Any]) -> JobRequest:
    """From wire names and JSON-like values. Raises ``InvalidRequest``."""
    try:
        return JobRequest.model_validate(dict(fields))
    except ValidationError as error:
        message = "The request has fields that are missing, unknown or out of range."
        raise InvalidRequest(message, faults=_faults(error)) from error


def _faults(error: ValidationError) -> tuple[Fault, ...]:
    entries = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(Fault(_pointer(entry["loc"]), entry["msg"]) for entry in entries)


def _pointer(path: Iterable[str | int]) -> str:
    """RFC 6901 as a URI fragment, as the gateway writes it."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def body_of(request: JobRequest) -> bytes:
    """The request on the wire. Raises ``InvalidRequest`` for text that UTF-8 cannot carry."""
    try:
        return request.model_dump_json(by_alias=True, exclude_defaults=True).encode()
    except PydanticSerializationError as error:
        raise InvalidRequest("The text has lone surrogates. Send valid Unicode.") from error


def header_safe(idempotency_key: str) -> str:
    """Raises ``InvalidRequest`` for a key that the gateway would refuse or that no header can carry."""
    if not 0 < len(idempotency_key) <= KEY_AT_MOST or not all("!" <= char <= "~" for char in idempotency_key):
        raise InvalidRequest(f"An idempotency key has 1 to {KEY_AT_MOST} visible ASCII characters.")
    return idempotency_key


def new_idempotency_key() -> str:
    return secrets.token_hex(16)


def keyed(requests: Iterable[JobRequest | str], prefix: str | None) -> list[tuple[JobRequest, str]]:
    """Every request with an idempotency key of its own, ``<prefix>-<index>``.

    A batch that is given again with its prefix adds only the jobs that are missing.
    """
    prefix = new_idempotency_key() if prefix is None else prefix
    return [(job_request(request, {}), f"{prefix}-{index}") for index, request in enumerate(requests)]
