"""Work that goes on beside the requests, whatever happens to the store."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable

import structlog
from quill.errors import Unavailable
from quill.store import calls
from quill.store.run import AsyncStore

log = structlog.get_logger()

#: Pause after a step that failed; with it everything is back well within 2 s of the store's return.
_RETRY_S = 0.5
#: The longest pause between two sweeps.
_SWEEP_S = 1.0

#: Does one piece of work and answers how many seconds to pause.
Step = Callable[[], Awaitable[float]]


async def keep_doing(name: str, step: Step) -> None:
    """Runs ``step`` for ever. An outage is logged when it begins and when it ends, not every time."""
    is_out = False
    while True:
        try:
            pause_s = await step()
        except Exception as error:  # nothing else would start this task again, so no surprise may end it
            if not is_out:
                log_failure(name, error)
            is_out, pause_s = True, _RETRY_S
        else:
            if is_out:
                log.info("Background work goes on", action=f"{name}_resumed")
            is_out = False
        await asyncio.sleep(pause_s)


def log_failure(name: str, error: Exception) -> None:
    """A store that is away is a warning; all else is a defect of ours and comes with its place."""
    if isinstance(error, Unavailable):
        log.warning("Background work waits for the store", action=f"{name}_interrupted", code=error.code)
        return
    log.error(
        "Background work failed",
        action=f"{name}_failed",
        error_type=type(error).__name__,
        where=where(error),
    )


def where(error: BaseException) -> list[str]:
    """The lines that an error came through; its message may quote a prompt, so it is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]


async def sweep(store: AsyncStore) -> float:
    """One sweep; answers when the next one is due."""
    swept = await store.run(calls.sweep())
    return min(swept.next_due_ms / 1000, _SWEEP_S)
