"""Workers whose engine fails on demand (`tests/faulty_worker.py`), kept alive by a supervisor."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from quill.settings import Settings
from quill.supervision.child import stop_together, watch
from quill.supervision.ending import Ending
from quill.supervision.worker import WorkerChild
from tests.valkey import ValkeyServer


@contextmanager
def supervised_workers(valkey: ValkeyServer, count: int, **settings: object) -> Iterator[None]:
    plain = {"redis_url": valkey.url, "slots": 8, "simulated_step_s": 0.02, "drain_s": 0}
    options = {f"QUILL_{name.upper()}": str(value) for name, value in (plain | settings).items()}
    environment = os.environ | options
    children = [
        WorkerChild(Settings(redis_url=valkey.url), environment, "tests.faulty_worker") for _ in range(count)
    ]
    for child in children:
        child.start()
    ending = Ending()
    watcher = threading.Thread(target=watch, args=(children, ending))
    watcher.start()
    try:
        yield
    finally:
        ending.request()
        watcher.join()
        stop_together(children, 10, ending)
