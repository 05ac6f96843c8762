"""What weights in fewer bits take and give on a CPU: `python -m benchmarks.weights [--shape 0.6b]`.

Each in a process of its own: its memory before and after the engine has loaded, and tokens a second of eight
requests at once. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import ways
from benchmarks.shapes import SHAPES, save_checkpoint
from benchmarks.workload import GREEDY, Work, equal
from worker.engines.transformers.engine import OPENMP

REQUESTS = 8


def plain(work: Work) -> dict[str, Any]:
    return measured(work, None)


def int8(work: Work) -> dict[str, Any]:
    return measured(work, "int8")


def nf4(work: Work) -> dict[str, Any]:
    return measured(work, "nf4")


def measured(work: Work, quantization: Any) -> dict[str, Any]:
    import psutil

    process, mib = psutil.Process(), 2**20
    before = process.memory_info().rss / mib
    settings = {"device": "cpu", "quantization": quantization, "context_tokens": 256, "max_slots": REQUESTS}
    with ways.opened(work, **settings) as engine:
        after = process.memory_info().rss / mib
        speed = ways.speed(engine, work)
    return {
        "memory_before_mib": round(before),
        "memory_after_mib": round(after),
        "tokens_per_s": round(speed, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    options = parser.parse_args()
    shape = SHAPES[options.shape]
    os.environ |= OPENMP | os.environ
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), shape)
        work = equal(Path(folder), shape.dtype, REQUESTS, GREEDY)
        found = {way.__name__: ways.in_own_process(way, work) for way in (plain, int8, nf4)}
    print(json.dumps({"benchmark": "weights", "shape": options.shape, **found}))


if __name__ == "__main__":
    main()
