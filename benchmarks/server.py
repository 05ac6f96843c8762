"""A Valkey of a benchmark's own, set as the embedded one is."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quill.embedded import free_port, server_command


@contextmanager
def valkey() -> Iterator[str]:
    """Gives its URL."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = subprocess.Popen(server_command(port, Path(folder)), stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()
            server.wait()
