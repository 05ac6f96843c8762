"""Every text of a request, sanitized; all else in it is a number or one of our own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from gateway.body import FAULTS_AT_MOST
from gateway.problems import fault_of, pointer
from gateway.sanitize.control_tokens import ControlTokens
from gateway.sanitize.pipeline import sanitize
from gateway.sanitize.refusal import faults_of
from quill.errors import Fault, InvalidRequest
from quill.job import JobRequest
from quill.sanitizing import Action, SanitizePolicy, SanitizeReport

_Path = tuple[str | int, ...]


def sanitize_request(
    request: JobRequest, policy: SanitizePolicy, control_tokens: ControlTokens
) -> tuple[JobRequest, SanitizeReport | None]:
    """The same request and ``None`` if there was nothing to do.

    Raises ``InvalidRequest`` for what the policy rejects, and for what is too long or empty afterwards.
    """
    reading = _Reading(policy, control_tokens)
    texts = {path: reading.text(path, text) for path, text in _texts(request)}
    metadata = reading.metadata(request.metadata)
    if reading.faults:
        raise InvalidRequest(faults=tuple(reading.faults[:FAULTS_AT_MOST]))
    if not reading.actions:
        return request, None
    report = SanitizeReport(policy=policy, actions=tuple(reading.actions))
    return _with(request, texts, metadata), report


def _texts(request: JobRequest) -> Iterator[tuple[_Path, str]]:
    if request.prompt is not None:
        yield ("prompt",), request.prompt
    for index, message in enumerate(request.messages or ()):
        yield ("messages", index, "content"), message.content
    for name, value in (request.preset.parameters if request.preset else {}).items():
        path: _Path = ("preset", "parameters", name)
        if isinstance(value, str):
            yield path, value
        else:
            yield from (((*path, index), item) for index, item in enumerate(value))


class _Reading:
    """What was found so far."""

    def __init__(self, policy: SanitizePolicy, tokens: ControlTokens) -> None:
        self._policy = policy
        self._tokens = tokens
        self.actions: list[Action] = []
        self.faults: list[Fault] = []

    def text(self, path: _Path, text: str) -> str:
        return self._read(path, text, self._policy)

    def metadata(self, given: Mapping[str, str]) -> dict[str, str]:
        cleaned: dict[str, str] = {}
        if not given:
            return cleaned
        # It is neither shown as a page nor read by a model.
        plain = self._policy.model_copy(update={"markup": "keep", "control_tokens": "keep"})
        for name, value in given.items():
            seen = sanitize(name, plain, self._tokens)
            if seen.text in cleaned:
                self.faults.append(Fault("#/metadata", "has names that look the same"))
            self._note(("metadata", seen.text), seen.counts, plain)
            cleaned[seen.text] = self._read(("metadata", seen.text), value, plain)
        return cleaned

    def _read(self, path: _Path, text: str, policy: SanitizePolicy) -> str:
        sanitized = sanitize(text, policy, self._tokens)
        self._note(path, sanitized.counts, policy)
        return sanitized.text

    def _note(self, path: _Path, counts: Mapping[str, int], policy: SanitizePolicy) -> None:
        if not counts:
            return
        field = pointer(path)
        self.faults += faults_of(field, counts, policy)
        self.actions += [Action(rule=rule, field=field, count=count) for rule, count in counts.items()]


def _with(request: JobRequest, texts: Mapping[_Path, str], metadata: dict[str, str]) -> JobRequest:
    """Validated once more: to escape makes a text longer, and a name may have been nothing but invisible."""
    fields: dict[str, Any] = request.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for (*parents, last), text in texts.items():
        place: Any = fields
        for parent in parents:
            place = place[parent]
        place[last] = text
    if metadata:
        fields["metadata"] = metadata
    try:
        return JobRequest.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise InvalidRequest(faults=tuple(fault_of(one) for one in found[:FAULTS_AT_MOST])) from None
