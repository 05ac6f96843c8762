"""What the way through gateway, queue and worker costs beside the bare engine: `python -m benchmarks.tax`.

    python -m benchmarks.tax [--shape 0.6b] [--requests 32]

The same requests, of mixed lengths, first to the engine in a process of its own, then by HTTP to a gateway
with a worker of the same engine behind it, on a Valkey of its own. `queue_tax` is the share of the tokens a
second that is lost on the way. `ttft_overhead_ms`: how much later the first streamed token comes, at the
median of one request after another. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks import ways, worker
from benchmarks.server import valkey
from benchmarks.shapes import SHAPES, save_checkpoint
from benchmarks.worker import MODEL
from benchmarks.workload import GREEDY, Work, mixed, prompt_of
from quill.client import AsyncClient, Client, DeltaEvent
from quill.embedded import free_port
from worker.engines.transformers.engine import OPENMP

CONTEXT_TOKENS = 1024
#: One after another, for the time to the first token.
STREAMS = 20
STREAM_PROMPT_TOKENS = 32
#: Prompts of the streams and of the warm-up begin with other numbers than the workload's.
FIRST_STREAM = 500


def bare(work: Work) -> tuple[float, float]:
    """Tokens a second, and the median time to the first token in ms."""
    from worker.engines.base import Delta

    def first_ms(number: int) -> float:
        has_come = threading.Event()

        def ring(_: Delta) -> None:
            has_come.set()

        prompt = prompt_of(number, STREAM_PROMPT_TOKENS)
        (request,) = ways.requests_of(replace(work, prompts=(prompt,), answers_tokens=(4,)))
        began_s = time.perf_counter()
        handle = engine.submit(request, ring)
        has_come.wait()
        took_ms = (time.perf_counter() - began_s) * 1000
        handle.result()
        return took_ms

    with ways.opened(work, context_tokens=CONTEXT_TOKENS) as engine:
        firsts_ms = [first_ms(FIRST_STREAM + number) for number in range(STREAMS)]
        return ways.speed(engine, work), statistics.median(firsts_ms)


@contextmanager
def service(work: Work) -> Iterator[str]:
    """Gives the gateway's URL, once a worker has joined."""
    with valkey() as url:
        port = free_port()
        options = {"QUILL_REDIS_URL": url, "QUILL_PORT": str(port), "QUILL_DEFAULT_MODEL": MODEL}
        gateway = subprocess.Popen(
            [sys.executable, "-m", "gateway"],
            env=os.environ | options | {"QUILL_LOG_LEVEL": "error", "QUILL_AUTH": "off"},
        )
        try:
            with worker.running(
                url,
                engine="transformers",
                model=work.checkpoint,
                dtype=work.dtype,
                slots=32,
                context_tokens=CONTEXT_TOKENS,
            ):
                base = f"http://127.0.0.1:{port}"
                wait_for_worker(base)
                yield base
        finally:
            gateway.kill()
            gateway.wait()


def wait_for_worker(base: str) -> None:
    with Client(base) as client:
        client.generate(prompt_of(FIRST_STREAM - 1, 8), max_tokens=2, temperature=0.0)


async def through_the_service(base: str, work: Work) -> tuple[float, float]:
    async with AsyncClient(base) as client:
        firsts_ms = [await first_ms(client, FIRST_STREAM + number) for number in range(STREAMS)]
        began_s = time.perf_counter()
        pairs = zip(work.prompts, work.answers_tokens, strict=True)
        results = await asyncio.gather(
            *(client.generate(prompt, max_tokens=tokens, temperature=0.0) for prompt, tokens in pairs)
        )
        took_s = time.perf_counter() - began_s
    return sum(result.usage.completion_tokens for result in results) / took_s, statistics.median(firsts_ms)


async def first_ms(client: AsyncClient, number: int) -> float:
    began_s = time.perf_counter()
    job = await client.submit(
        prompt_of(number, STREAM_PROMPT_TOKENS), max_tokens=4, temperature=0.0, stream=True
    )
    took_ms = 0.0
    async for event in client.stream(job):
        if isinstance(event, DeltaEvent) and not took_ms:
            took_ms = (time.perf_counter() - began_s) * 1000
    return took_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    parser.add_argument("--requests", type=int, default=32)
    options = parser.parse_args()
    shape = SHAPES[options.shape]
    os.environ |= OPENMP | os.environ
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), shape)
        work = mixed(Path(folder), shape.dtype, options.requests, GREEDY)
        engine_speed, engine_first_ms = ways.in_own_process(bare, work)
        with service(work) as base:
            service_speed, service_first_ms = asyncio.run(through_the_service(base, work))
    print(
        json.dumps(
            {
                "benchmark": "tax",
                "shape": options.shape,
                "requests": options.requests,
                "engine_tokens_per_s": round(engine_speed, 1),
                "service_tokens_per_s": round(service_speed, 1),
                "queue_tax": round(1 - service_speed / engine_speed, 3),
                "engine_ttft_p50_ms": round(engine_first_ms, 1),
                "service_ttft_p50_ms": round(service_first_ms, 1),
                "ttft_overhead_ms": round(service_first_ms - engine_first_ms, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
