"""How many greedy answers in a batch are those given alone: `python -m benchmarks.alone [--shape small]`.

In float32 all should be; in bfloat16 a sum of another order may tip a close choice. Random weights choose
closely: the share of a trained model is higher. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import get_args

from benchmarks import ways
from benchmarks.shapes import SHAPES, Dtype, save_checkpoint
from benchmarks.workload import GREEDY, Work, mixed
from worker.engines.transformers.engine import OPENMP

REQUESTS = 16


def share(work: Work) -> float:
    requests = ways.requests_of(work)
    with ways.opened(work, max_slots=REQUESTS) as engine:
        alone = [engine.submit(request).result(ways.WAIT_S).text for request in requests]
        handles = [engine.submit(request) for request in requests]
        together = [handle.result(ways.WAIT_S).text for handle in handles]
    equal: int = sum(one == other for one, other in zip(alone, together, strict=True))
    return equal / REQUESTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    options = parser.parse_args()
    os.environ |= OPENMP | os.environ
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), SHAPES[options.shape])
        shares = {
            dtype: ways.in_own_process(share, mixed(Path(folder), dtype, REQUESTS, GREEDY))
            for dtype in get_args(Dtype)
        }
    print(json.dumps({"benchmark": "alone", "shape": options.shape, "equal_share": shares}))


if __name__ == "__main__":
    main()
