"""The engine on one CUDA GPU: `python -m benchmarks.gpu [--shape 8b]`; nothing is downloaded.

Random weights. Tokens a second at 1, 32, 128 and 256 requests of 256 tokens in and 128 out, beside
`generate()` one by one, and as a share of what the memory's bandwidth allows: a decode step reads all weights
once, and the keys and values of every row. Without a GPU it says so. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import ways
from benchmarks.shapes import SHAPES, Shape, save_checkpoint
from benchmarks.workload import GREEDY, Work, prompt_of

CONCURRENT = (1, 32, 128, 256)
PROMPT_TOKENS = 256
ANSWER_TOKENS = 128

#: What the bandwidth is measured with; far beyond any cache.
COPIED_BYTES = 4 * 2**30


def work_of(folder: Path, shape: Shape, requests: int, first: int) -> Work:
    prompts = tuple(prompt_of(first + number, PROMPT_TOKENS) for number in range(requests))
    return Work(folder, shape.dtype, prompts, (ANSWER_TOKENS,) * requests, dict(GREEDY))


def bandwidth_bytes_per_s() -> float:
    """Of a copy on the device: each byte is read and written."""
    import torch

    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize()
    began_s = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    torch.cuda.synchronize()
    return 2 * 10 * COPIED_BYTES / (time.perf_counter() - began_s)


def weights_bytes(shape: Shape) -> int:
    """Of what a decode step reads: all but the table of embeddings, of which it reads a row."""
    heads = 2 * shape.num_attention_heads + 2 * shape.num_key_value_heads
    layer = shape.hidden_size * shape.head_dim * heads + 3 * shape.hidden_size * shape.intermediate_size
    return 2 * (shape.num_hidden_layers * layer + shape.hidden_size * shape.vocab_size)


def bound_tokens_per_s(shape: Shape, rows: int, bandwidth: float) -> float:
    """Of decoding alone, at the mean context."""
    context_tokens = PROMPT_TOKENS + ANSWER_TOKENS / 2
    token_bytes = 2 * 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim
    step_s = (weights_bytes(shape) + rows * context_tokens * token_bytes) / bandwidth
    return rows / step_s


def measured(folder: Path, shape: Shape) -> dict[str, Any]:
    bandwidth = bandwidth_bytes_per_s()
    found: dict[str, Any] = {"bandwidth_gb_per_s": round(bandwidth / 1e9)}
    sequential = ways.in_own_process(ways.sequential, work_of(folder, shape, 4, 0))
    found["sequential_tokens_per_s"] = round(sequential, 1)
    for requests in CONCURRENT:
        speed = round(ways.in_own_process(ways.quill, work_of(folder, shape, requests, 0)), 1)
        found[f"tokens_per_s_{requests}"] = speed
        found[f"bound_share_{requests}"] = round(speed / bound_tokens_per_s(shape, requests, bandwidth), 3)
        print(f"{requests} at once: {speed} tokens/s", flush=True)
    found["speedup"] = round(found[f"tokens_per_s_{CONCURRENT[-1]}"] / found["sequential_tokens_per_s"], 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="8b")
    options = parser.parse_args()
    line: dict[str, Any] = {"benchmark": "gpu", "shape": options.shape}
    import torch

    if not torch.cuda.is_available():
        print("There is no CUDA GPU here, so there is nothing to measure.")
        print(json.dumps(line | {"skipped": "no CUDA GPU"}))
        return
    line["gpu"] = torch.cuda.get_device_name()
    shape = SHAPES[options.shape]
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), shape, "cuda")
        torch.cuda.empty_cache()
        line |= measured(Path(folder), shape)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
