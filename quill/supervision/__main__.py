"""`python -m quill.supervision`: one worker a GPU, kept alive until a signal comes."""

from __future__ import annotations

import os
import sys

import structlog

from quill.log import configure
from quill.settings import SupervisorSettings
from quill.supervision.child import stop_together, watch
from quill.supervision.devices import NoDevice, pinned
from quill.supervision.ending import Ending
from quill.supervision.worker import WorkerChild

_log = structlog.get_logger(__name__)

#: For what a worker does after its grace: hand back, close, end.
_END_S = 10.0


def main() -> int:
    settings = SupervisorSettings()
    configure(settings)
    try:
        environments = pinned(settings.gpus, settings.tensor_parallel)
    except NoDevice as error:
        print(f"quill worker: {error.message}", file=sys.stderr)  # noqa: T201 - the operator's line
        return 2
    ending = Ending()
    ending.listen()
    children = [WorkerChild(settings, os.environ | environment) for environment in environments]
    for child in children:
        child.start()
    _log.info("watches its workers", action="supervise", workers=len(children))
    watch(children, ending)
    stop_together(children, settings.drain_s + _END_S, ending)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
