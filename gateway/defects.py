"""Our own defects in the log: where they happened, never their text, which may quote a prompt."""

from __future__ import annotations

import traceback

import structlog

_log = structlog.get_logger(__name__)

_FRAMES = 8


def log_defect(action: str, error: Exception) -> None:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    _log.error(
        "a defect",
        action=action,
        error_type=type(error).__name__,
        where=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
