"""`transformers serve` with continuous batching on a workload from stdin; prints tokens a second.

It takes no top-k and no repetition penalty for a request, so a sampled workload is told in its checkpoint.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

READY_S = 180.0

#: Keys and values of all requests at once; unasked it takes nearly all of a host's memory.
CACHE = ["--cb-num-blocks", "96", "--cb-max-batch-tokens", "512"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def serve(checkpoint: str, dtype: str, port: int) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("transformers")), "serve", checkpoint]
    options = ["--continuous-batching", *CACHE, "--dtype", dtype, "--port", str(port), "--host", "127.0.0.1"]
    return subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)


async def ask(client: httpx2.AsyncClient, work: dict[str, Any], prompt: str, tokens: int) -> int:
    body = {
        "model": work["checkpoint"],
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": work["sampling"]["temperature"],
        "top_p": work["sampling"].get("top_p", 1.0),
    }
    reply = await client.post("/v1/chat/completions", json=body)
    reply.raise_for_status()
    return int(reply.json()["usage"]["completion_tokens"])


async def measure(work: dict[str, Any], port: int) -> float:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=3600) as client:
        deadline_s = time.monotonic() + READY_S
        while True:
            try:
                await ask(client, work, work["prompts"][0], 4)
                break
            except httpx2.HTTPError:
                if time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(0.5)
        began_s = time.perf_counter()
        pairs = zip(work["prompts"], work["answers_tokens"], strict=True)
        produced = await asyncio.gather(*(ask(client, work, prompt, tokens) for prompt, tokens in pairs))
        return sum(produced) / (time.perf_counter() - began_s)


def main() -> None:
    work: dict[str, Any] = json.load(sys.stdin)
    port = free_port()
    server = serve(work["checkpoint"], work["dtype"], port)
    try:
        print(asyncio.run(measure(work, port)))
    finally:
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    main()
