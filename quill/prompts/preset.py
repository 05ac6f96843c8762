"""A system prompt that a deployment has ready, with places for what a request fills in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quill.errors import Fault, InvalidRequest, QuillError
from quill.job import JobRequest, Message, PresetChoice

_PLACE = re.compile(r"\{([a-z_]+)\}")

#: What a preset may set for a request that leaves it open.
_DEFAULTS = frozenset({"thinking", "thinking_budget", "temperature", "top_p", "top_k", "min_p", "max_tokens"})


class PresetUnreadable(QuillError):
    """A prompt preset cannot be read: it is TOML with `text`, and may have `description`, `parameters` and
    `defaults`."""

    code = "preset_unreadable"


@dataclass(frozen=True, slots=True)
class PromptPreset:
    name: str
    #: Paragraphs; one whose places are not filled in is left out.
    text: str
    #: What stands in a place that a request leaves open.
    parameters: Mapping[str, str]
    #: Fields of a request.
    defaults: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> PromptPreset:
        """Raises ``PresetUnreadable``."""
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
            preset = cls(
                name=path.stem,
                text=str(found["text"]).strip(),
                parameters={str(name): str(value) for name, value in found.get("parameters", {}).items()},
                defaults=dict(found.get("defaults", {})),
            )
            JobRequest.model_validate({"prompt": "", **preset.defaults})
        except (OSError, KeyError, ValueError, AttributeError, ValidationError) as error:
            raise PresetUnreadable(f"The prompt preset {path.name} cannot be read.") from error
        if unknown := sorted(set(preset.defaults) - _DEFAULTS):
            raise PresetUnreadable(f"The prompt preset {path.name} may not set {', '.join(unknown)}.")
        return preset

    @property
    def places(self) -> set[str]:
        return set(_PLACE.findall(self.text))

    def applied(self, request: JobRequest, choice: PresetChoice) -> JobRequest:
        """The request with the text as, or before, its system message. Raises ``InvalidRequest``."""
        if unknown := sorted(set(choice.parameters) - self.places):
            known = ", ".join(sorted(self.places)) or "none"
            fault = Fault(f"#/preset/parameters/{unknown[0]}", f"The preset {self.name} has {known}.")
            raise InvalidRequest(faults=(fault,))
        applied = request.model_copy(
            update={
                **{name: value for name, value in self.defaults.items() if _is_open(request, name)},
                "preset": None,
                "prompt": None,
                "messages": _with_system(self._text(choice.parameters), request.turns),
            }
        )
        try:
            return JobRequest.model_validate_json(applied.model_dump_json(by_alias=True))
        except ValidationError as error:
            fault = Fault("#/preset", "With this preset the request is too long, or contradicts itself.")
            raise InvalidRequest(faults=(fault,)) from error

    def _text(self, given: Mapping[str, str | tuple[str, ...]]) -> str:
        """In one pass, so that what is filled in is never searched for places."""
        values = dict(self.parameters) | {name: _joined(value) for name, value in given.items()}
        paragraphs = [
            paragraph
            for paragraph in self.text.split("\n\n")
            if all(values.get(place) for place in _PLACE.findall(paragraph))
        ]
        return _PLACE.sub(lambda place: values[place[1]], "\n\n".join(paragraphs))


def _is_open(request: JobRequest, name: str) -> bool:
    return (request.wants_thinking if name == "thinking" else getattr(request, name)) is None


def _joined(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _with_system(text: str, turns: tuple[Message, ...]) -> tuple[Message, ...]:
    if turns[0].role != "system":
        return (Message(role="system", content=text), *turns)
    own, *others = turns
    return (Message(role="system", content=f"{text}\n\n{own.content}"), *others)
