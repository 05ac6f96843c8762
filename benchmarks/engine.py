"""Tokens a second: the slot batcher beside its model's own `generate`, one by one and as one padded batch.

    python -m benchmarks.engine [--shape 0.6b] [--requests 32]

Random weights, greedy, mixed lengths (16 to 256 tokens in, 8 to 128 out). Each way runs in a process of its
own, since a second thread that has run torch slows down the first.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Dtype = Literal["float32", "bfloat16"]

SEED = 11
WAIT_S = 3600.0

#: One by one is slow and steady: this many requests tell its speed.
ONE_BY_ONE_REQUESTS = 6


@dataclass(frozen=True, slots=True)
class Shape:
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    dtype: Dtype


SHAPES = {
    "small": Shape(512, 1536, 8, 8, 4, 64, 32_768, "float32"),
    "0.6b": Shape(1024, 3072, 28, 16, 8, 128, 151_936, "bfloat16"),
}


@dataclass(frozen=True, slots=True)
class Work:
    checkpoint: Path
    dtype: Dtype
    #: Texts of one byte a token, and how many tokens each answer has.
    prompts: tuple[str, ...]
    answers_tokens: tuple[int, ...]


def save_checkpoint(folder: Path, shape: Shape) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from quill.tiny.tokenizer import build

    torch.manual_seed(SEED)
    tokenizer = build()
    fields = asdict(shape)
    dtype = getattr(torch, fields.pop("dtype"))
    config = AutoConfig.for_model(
        "qwen3", **fields, max_position_embeddings=4096, eos_token_id=tokenizer.eos_token_id
    )
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        # Random weights must not end an answer by chance: the lengths are the workload's.
        model.get_output_embeddings().weight[tokenizer.eos_token_id] = 0.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def mixed_work(checkpoint: Path, dtype: Dtype, requests: int) -> Work:
    dice = random.Random(SEED)
    prompts = tuple("x" * dice.randint(16, 256) for _ in range(requests))
    return Work(checkpoint, dtype, prompts, tuple(dice.randint(8, 128) for _ in range(requests)))


def slot_batcher(work: Work) -> float:
    from quill.job import Message
    from worker.engines.base import GenerationRequest, Sampling
    from worker.engines.settings import EngineSettings
    from worker.engines.transformers import TransformersEngine

    engine = TransformersEngine(EngineSettings(str(work.checkpoint), dtype=work.dtype, context_tokens=1024))
    engine.start()
    requests = [
        GenerationRequest(
            (Message(role="user", content=prompt),), Sampling(max_tokens=tokens, temperature=0.0)
        )
        for prompt, tokens in zip(work.prompts, work.answers_tokens, strict=True)
    ]
    began_s = time.perf_counter()
    handles = [engine.submit(request) for request in requests]
    produced = sum(handle.result(WAIT_S).usage.completion_tokens for handle in handles)
    took_s = time.perf_counter() - began_s
    engine.close()
    return produced / took_s


def one_by_one(work: Work) -> float:
    model = load_model(work)
    generate(model, work.prompts[:1], 4)
    began_s = time.perf_counter()
    todo = list(zip(work.prompts, work.answers_tokens, strict=True))[:ONE_BY_ONE_REQUESTS]
    for prompt, tokens in todo:
        generate(model, (prompt,), tokens)
    return sum(tokens for _, tokens in todo) / (time.perf_counter() - began_s)


def padded_batch(work: Work) -> float:
    """Every row waits for the longest one; only the tokens that were asked for count."""
    model = load_model(work)
    generate(model, work.prompts, 4)
    began_s = time.perf_counter()
    generate(model, work.prompts, max(work.answers_tokens))
    return sum(work.answers_tokens) / (time.perf_counter() - began_s)


def load_model(work: Work) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(work.checkpoint, dtype=getattr(torch, work.dtype))


def generate(model: Any, prompts: tuple[str, ...], tokens: int) -> None:
    import torch

    width = max(map(len, prompts))
    ids = torch.tensor([[120] * width for _ in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
    )


def in_own_process(way: Callable[[Work], float], work: Work) -> float:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return round(pool.submit(way, work).result(), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="small")
    parser.add_argument("--requests", type=int, default=32)
    options = parser.parse_args()
    shape = SHAPES[options.shape]
    # What the engine sets for itself, for all three.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), shape)
        work = mixed_work(Path(folder), shape.dtype, options.requests)
        found = {way.__name__: in_own_process(way, work) for way in (slot_batcher, padded_batch, one_by_one)}
    print(
        json.dumps(
            {"benchmark": "engine", "shape": options.shape, "requests": options.requests}
            | {f"{way}_tokens_per_s": speed for way, speed in found.items()}
            | {"times_padded_batch": round(found["slot_batcher"] / found["padded_batch"], 2)}
            | {"times_one_by_one": round(found["slot_batcher"] / found["one_by_one"], 2)}
        )
    )


if __name__ == "__main__":
    main()
