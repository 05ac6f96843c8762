"""A real OpenAI-compatible server over a tiny checkpoint: `transformers serve`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from quill.embedded import free_port

READY_S = 90.0


@contextmanager
def serving(model: str) -> Iterator[str]:
    """Gives the URL up to and with `/v1`, once the model is loaded."""
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model]
    # By itself it takes most of the machine's memory for its cache.
    cache = ["--continuous-batching", "--cb-num-blocks", "64", "--cb-max-batch-tokens", "512"]
    options = [*cache, "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [*command, *options], stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        try:
            url = f"http://127.0.0.1:{port}/v1"
            _wait_until_it_answers(server, url, model)
            yield url
        finally:
            server.kill()
            server.wait()


def _wait_until_it_answers(server: subprocess.Popen[bytes], url: str, model: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    deadline_s = time.monotonic() + READY_S
    while True:
        assert server.poll() is None, "transformers serve ended"
        try:
            httpx2.post(f"{url}/chat/completions", json=body, timeout=READY_S).raise_for_status()
            return
        except httpx2.HTTPError:
            assert time.monotonic() < deadline_s, "transformers serve does not answer"
            time.sleep(0.2)
