"""How texts are cleaned before a model sees them, and what a caller is told of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from quill.wire import Wire

#: Told with every report: the same rules do the same to the same text.
RULESET = "2026.2"


class SanitizePolicy(Wire):
    #: Scripts, frames, event handlers and their like.
    markup: Literal["escape", "strip", "reject", "keep"] = "escape"
    #: Controls, bidirectional overrides, zero-width and other characters that nobody sees.
    invisible: Literal["strip", "reject", "keep"] = "strip"
    #: Those of the served model.
    control_tokens: Literal["escape", "reject", "keep"] = "escape"


class Action(Wire):
    rule: str
    field: str = Field(description="A JSON pointer (RFC 6901).")
    count: int


class SanitizeReport(Wire):
    """What was done to a request's text; never the text."""

    ruleset: str = RULESET
    policy: SanitizePolicy
    actions: Annotated[tuple[Action, ...], Field(strict=False)]
