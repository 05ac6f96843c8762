"""Tokens a second: our engine, its model's own `generate`, and peers, on the same requests in one run.

    python -m benchmarks.engines [--shape 0.6b] [--requests 32] [--peers-python peers/bin/python]

Random weights. `equal`: 32 tokens in, 48 out; `mixed`: 16 to 256 in, 8 to 128 out; both greedy, and sampled
with Qwen's own settings and a repetition penalty, ours in turn. Each way runs in a process of its own. Peers
are the server of transformers, and vLLM on all cores, which needs an environment of its own:
`benchmarks/engine_peers.txt`. The last line is JSON, speeds in tokens a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import ways, workload
from benchmarks.shapes import SHAPES, save_checkpoint
from benchmarks.workload import GREEDY, SAMPLED, Work
from worker.engines.transformers.engine import OPENMP

PEERS = ("transformers_serve", "vllm")

WORKLOADS = {"equal": workload.equal, "mixed": workload.mixed}


def measured(name: str, works: list[Work], peers_python: str | None) -> list[dict[str, float]]:
    """The speeds of each work."""
    found = [{"quill": round(speed, 1)} for speed in ways.in_own_process(ways.quill_in_turn, works)]
    for speeds, work in zip(found, works, strict=True):
        for way in (ways.static, ways.sequential):
            speeds[way.__name__] = round(ways.in_own_process(way, work), 1)
        for peer, python in zip(PEERS, (sys.executable, peers_python), strict=True):
            if python is not None and (speed := of_peer(peer, work, python)) is not None:
                speeds[peer] = speed
        print(f"{name} {work.sampling}: {speeds}", file=sys.stderr, flush=True)
    return found


def of_peer(peer: str, work: Work, python: str) -> float | None:
    """``None`` if it is not installed there."""
    told = json.dumps(asdict(work) | {"checkpoint": str(work.checkpoint)})
    ended = subprocess.run(
        [python, "-m", f"benchmarks.peers.{peer}_speed"], input=told, capture_output=True, text=True
    )
    if ended.returncode != 0:
        print(f"{peer} did not run: {ended.stderr[-400:]}", file=sys.stderr, flush=True)
        return None
    return round(float(ended.stdout.splitlines()[-1]), 1)


def ratios(greedy: dict[str, float], sampled: dict[str, float]) -> dict[str, Any]:
    quill = greedy["quill"]
    found: dict[str, Any] = {
        "greedy": greedy,
        "sampled": sampled,
        "speedup": round(quill / greedy["sequential"], 2),
        "static_ratio": round(quill / greedy["static"], 2),
        "sampled_ratio": round(sampled["quill"] / quill, 2),
    }
    for peer in PEERS:
        if peer in greedy:
            found[f"{peer.removeprefix('transformers_')}_ratio"] = round(quill / greedy[peer], 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--peers-python")
    options = parser.parse_args()
    shape = SHAPES[options.shape]
    # What the engine sets for itself, for all of them.
    os.environ |= OPENMP | os.environ
    line: dict[str, Any] = {"benchmark": "engines", "shape": options.shape, "requests": options.requests}
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), shape)
        for name, make in WORKLOADS.items():
            works = [make(Path(folder), shape.dtype, options.requests, kind) for kind in (GREEDY, SAMPLED)]
            line[name] = ratios(*measured(name, works, options.peers_python))
    line["sampled_ratio"] = min(line[name]["sampled_ratio"] for name in WORKLOADS)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
