"""What the gateway does beside answering."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.defects import log_defect
from quill.errors import Unavailable

_log = structlog.get_logger(__name__)

#: Pause after a step that failed: everything is back well within 2 s of the store's return.
_RETRY_S = 0.25

#: One piece of work; gives the seconds to pause after it.
Step = Callable[[], Awaitable[float]]


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def keep_doing(name: str, step: Step) -> None:
    """Runs ``step`` until it is cancelled; a failure is logged when it begins, not at every try."""
    is_failing = False
    # Asked for, because a CancelledError can get lost on its way: `asyncio.wait_for`, through which redis-py
    # writes, drops one that comes as its own work ends (bpo-42130, until Python 3.12).
    while not _is_cancelled():
        try:
            pause_s = await step()
        except Exception as error:  # nobody would start this task again, so no surprise may end it
            if not is_failing:
                _report(name, error)
            is_failing, pause_s = True, _RETRY_S
        else:
            is_failing = False
        await asyncio.sleep(pause_s)


def _report(name: str, error: Exception) -> None:
    if isinstance(error, Unavailable):
        _log.warning("the store is away", action=f"{name}_away")
    else:
        log_defect(f"{name}_failed", error)
