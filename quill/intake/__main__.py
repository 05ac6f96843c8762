"""`python -m quill.intake`: one intake process, set by `QUILL_*`."""

from __future__ import annotations

import structlog
from celery import signals

from quill.broker import hush_root_warning
from quill.intake.app import create_intake
from quill.log import configure
from quill.settings import IntakeSettings

_log = structlog.get_logger(__name__)


def serve(settings: IntakeSettings) -> int:
    configure(settings)
    hush_root_warning()
    signals.setup_logging.connect(lambda **_: None, weak=False)
    signals.worker_ready.connect(lambda **_: _log.info("ready", action="intake_ready"), weak=False)
    worker = create_intake(settings).Worker(
        pool_cls="solo",
        hostname="quill-intake@%h",
        loglevel=settings.log_level.upper(),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    raise SystemExit(serve(IntakeSettings()))
