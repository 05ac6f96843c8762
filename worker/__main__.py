"""`python -m worker`: one worker process, set by `QUILL_*`."""

from quill.settings import WorkerSettings
from worker.boot import boot

if __name__ == "__main__":
    raise SystemExit(boot(WorkerSettings()))
