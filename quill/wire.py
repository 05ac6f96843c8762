"""How the models behave that cross the wire."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


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
