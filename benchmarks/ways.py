"""The ways to get a workload done: each gives tokens a second, and runs in a process of its own."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from benchmarks.workload import Work

WAIT_S = 3600.0

#: One by one is slow and steady: this many requests tell its speed.
ONE_BY_ONE_REQUESTS = 6

#: The machine's own speed drifts by a tenth within minutes: what is compared is measured in turn.
TURNS = 3

Given = TypeVar("Given")
Found = TypeVar("Found")


def in_own_process(way: Callable[[Given], Found], given: Given) -> Found:
    """A second thread that has run torch slows down the first."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return pool.submit(way, given).result()


def quill(work: Work) -> float:
    with opened(work, max_slots=max(32, len(work.prompts))) as engine:
        return speed(engine, work)


def quill_in_turn(works: Sequence[Work]) -> list[float]:
    """The median of each, of one engine; the works differ in nothing but their sampling."""
    with opened(works[0], max_slots=max(32, len(works[0].prompts))) as engine:
        turns = [
            [speed(engine, work.again(turn * len(works) + place)) for place, work in enumerate(works)]
            for turn in range(TURNS)
        ]
    return [statistics.median(speeds) for speeds in zip(*turns, strict=True)]


@contextmanager
def opened(work: Work, **settings: Any) -> Iterator[Any]:
    """Our engine, started."""
    from worker.engines.transformers.engine import TransformersEngine
    from worker.engines.transformers.settings import EngineSettings

    plain: dict[str, Any] = {"dtype": work.dtype, "context_tokens": 1024}
    engine = TransformersEngine(EngineSettings(str(work.checkpoint), **(plain | settings)))
    engine.start()
    try:
        yield engine
    finally:
        engine.close()


def speed(engine: Any, work: Work) -> float:
    requests = requests_of(work)
    began_s = time.perf_counter()
    handles = [engine.submit(request) for request in requests]
    produced = sum(handle.result(WAIT_S).usage.completion_tokens for handle in handles)
    took_s = time.perf_counter() - began_s
    if produced != work.tokens:
        raise RuntimeError(f"{produced} tokens instead of {work.tokens}")
    return float(produced / took_s)


def requests_of(work: Work) -> list[Any]:
    from quill.job import Message
    from worker.engines.base import GenerationRequest, Sampling

    return [
        GenerationRequest(
            (Message(role="user", content=prompt),), Sampling(max_tokens=tokens, seed=number, **work.sampling)
        )
        for number, (prompt, tokens) in enumerate(zip(work.prompts, work.answers_tokens, strict=True))
    ]


def sequential(work: Work) -> float:
    model = load_model(work)
    generate(model, work, work.prompts[:1], 4)
    todo = list(zip(work.prompts, work.answers_tokens, strict=True))[:ONE_BY_ONE_REQUESTS]
    began_s = time.perf_counter()
    for prompt, tokens in todo:
        generate(model, work, (prompt,), tokens)
    return sum(tokens for _, tokens in todo) / (time.perf_counter() - began_s)


def static(work: Work) -> float:
    """Every row waits for the longest one; only the tokens that were asked for count."""
    model = load_model(work)
    generate(model, work, work.prompts, 4)
    began_s = time.perf_counter()
    generate(model, work, work.prompts, max(work.answers_tokens))
    return work.tokens / (time.perf_counter() - began_s)


def load_model(work: Work) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, work.dtype)
    return AutoModelForCausalLM.from_pretrained(work.checkpoint, dtype=dtype).to(device)


def generate(model: Any, work: Work, prompts: tuple[str, ...], tokens: int) -> None:
    import torch

    width = max(map(len, prompts))
    ids = torch.tensor([[120] * width for _ in prompts], device=model.device)
    mask = torch.tensor(
        [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device
    )
    is_sampled = bool(work.sampling["temperature"])
    model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=is_sampled,
        pad_token_id=0,
        **(work.sampling if is_sampled else {}),
    )
