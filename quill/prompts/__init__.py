"""Prompt presets: those that come with Quill, and a deployment's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quill.errors import Fault, InvalidRequest
from quill.job import JobRequest
from quill.prompts.preset import PresetUnreadable, PromptPreset

__all__ = ["PresetUnreadable", "PromptPreset", "PromptPresets"]

_BUILTIN = Path(__file__).with_name("builtin")


class PromptPresets:
    def __init__(self, presets: Mapping[str, PromptPreset]) -> None:
        self._presets = presets

    @classmethod
    def load(cls, folder: Path | None = None) -> PromptPresets:
        """One `.toml` file a preset; a deployment's own replaces one of ours of the same name.

        Raises ``PresetUnreadable``.
        """
        paths = [*_BUILTIN.glob("*.toml"), *(folder.glob("*.toml") if folder else ())]
        return cls({path.stem: PromptPreset.read(path) for path in paths})

    def apply(self, request: JobRequest) -> JobRequest:
        """The request as its preset makes it. Raises ``InvalidRequest``."""
        if request.preset is None:
            return request
        preset = self._presets.get(request.preset.name)
        if preset is None:
            known = ", ".join(sorted(self._presets))
            raise InvalidRequest(
                faults=(Fault("#/preset/name", f"There is no such preset; there are {known}."),)
            )
        return preset.applied(request, request.preset)
