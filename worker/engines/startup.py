"""Why an engine did not start, in words for whoever waits for it."""

from __future__ import annotations

import logging

from quill.errors import EngineError

log = logging.getLogger(__name__)


def refusal(error: BaseException) -> EngineError:
    """The engine's own sentence; anything else is for the log alone."""
    log.error("The engine could not start.", exc_info=error, extra={"action": "start_engine"})
    if isinstance(error, EngineError):
        return error
    return EngineError("The engine could not start; the log has the details.")
