"""The slot batcher against the model's own `generate`, on every family that it serves."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from quill.errors import InvalidRequest
from quill.job import JobResult, Message
from tests.checkpoints import QWEN3_5_TEMPLATE, build_tokenizer, save_checkpoint
from worker.engines.base import GenerationRequest, Sampling
from worker.engines.settings import EngineSettings
from worker.engines.text import TextStream, TokenTable
from worker.engines.transformers import TransformersEngine
from worker.prompt.encoder import PromptEncoder

FAMILIES = ("qwen2", "qwen3", "qwen2_moe", "qwen3_moe")
SLOTS = 5
WAIT_S = 20.0


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    for family in FAMILIES:
        save_checkpoint(folder / family, family)
    return folder


@pytest.fixture
def open_engine() -> Iterator[Callable[..., TransformersEngine]]:
    opened: list[TransformersEngine] = []

    def open_engine(model: Path, **settings: object) -> TransformersEngine:
        plain: dict[str, Any] = {
            "max_slots": SLOTS,
            "memory_budget_bytes": 2**24,
            "prefill_chunk_tokens": 16,
            "threads": 1,
        }
        opened.append(TransformersEngine(EngineSettings(str(model), **(plain | settings))))
        opened[-1].start()
        return opened[-1]

    yield open_engine
    for engine in opened:
        engine.close()


def ask(text: str, **sampling: int | float | None) -> GenerationRequest:
    return GenerationRequest((Message(role="user", content=text),), Sampling(**sampling))  # type: ignore[arg-type]


def mixed_requests(count: int, **sampling: int | float) -> list[GenerationRequest]:
    dice = random.Random(3)
    return [
        ask(f"{i} " + "word " * dice.randint(1, 60), max_tokens=dice.randint(1, 40), seed=i, **sampling)
        for i in range(count)
    ]


def arriving_at_random(engine: TransformersEngine, requests: list[GenerationRequest]) -> list[JobResult]:
    dice = random.Random(4)
    handles = []
    for request in requests:
        handles.append(engine.submit(request))
        time.sleep(dice.random() * 0.01)
    return [handle.result(WAIT_S) for handle in handles]


def generated(folder: Path, requests: list[GenerationRequest]) -> list[str]:
    """What the unmodified model's own `generate` answers to each request alone."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder)
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(folder))
    texts = []
    for request in requests:
        ids = torch.tensor([encoder.encode(request.messages).ids])
        limit_tokens = request.sampling.max_tokens
        mask = torch.ones_like(ids)
        output = model.generate(ids, attention_mask=mask, max_new_tokens=limit_tokens, do_sample=False)
        stream = TextStream(TokenTable.of(encoder.tokenizer))
        for token_id in output[0, ids.shape[1] :].tolist():
            stream.push(token_id)
        texts.append(stream.text)
    return texts


@pytest.mark.parametrize("family", FAMILIES)
def test_a_full_batch_answers_what_generate_answers_alone(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine], family: str
) -> None:
    requests = mixed_requests(24)
    engine = open_engine(checkpoints / family)
    texts = [result.text for result in arriving_at_random(engine, requests)]
    assert texts == generated(checkpoints / family, requests)
    assert len(set(texts)) > 12


@pytest.mark.parametrize("chunk_tokens", [1, 7, 512])
def test_the_size_of_a_chunk_changes_no_answer(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine], chunk_tokens: int
) -> None:
    requests = mixed_requests(8)
    usual = arriving_at_random(open_engine(checkpoints / "qwen3"), requests)
    engine = open_engine(checkpoints / "qwen3", prefill_chunk_tokens=chunk_tokens)
    assert arriving_at_random(engine, requests) == usual


def test_a_seed_gives_the_same_answer_whatever_the_neighbours_are(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    engine = open_engine(checkpoints / "qwen3")
    warm = mixed_requests(9, temperature=0.8)
    cut = mixed_requests(9, temperature=1.1, top_p=0.9, top_k=40, min_p=0.01)
    requests = [*warm, *mixed_requests(6), *cut]
    alone = [engine.submit(request).result(WAIT_S) for request in requests]
    assert arriving_at_random(engine, requests) == alone
    assert [r.text for r in alone[:6]] != [r.text for r in alone[9:15]]


def test_without_a_seed_answers_differ(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    engine = open_engine(checkpoints / "qwen3")
    request = ask("Hello", max_tokens=20, temperature=1.0)
    assert len({engine.submit(request).result(WAIT_S).text for _ in range(4)}) > 1


def test_an_answer_stops_at_any_of_the_end_tokens_and_does_not_show_it(
    tmp_path: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    letters = "abcdefghij"
    vocabulary = build_tokenizer(QWEN3_5_TEMPLATE).get_vocab()
    ends = [vocabulary[letter] for letter in letters]
    engine = open_engine(save_checkpoint(tmp_path, eos_token_id=ends))
    results = [
        engine.submit(ask("Hi", max_tokens=60, temperature=1.5, seed=seed)).result(WAIT_S)
        for seed in range(20)
    ]
    stopped = [result for result in results if result.finish_reason == "stop"]
    assert stopped
    assert all(result.usage.completion_tokens < 60 for result in stopped)
    assert not any(letter == result.text[-1:] for result in stopped for letter in letters)


def test_omitted_fields_come_from_the_checkpoint(
    tmp_path: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    preset: dict[str, Any] = {"do_sample": True, "temperature": 0.9, "top_k": 7, "top_p": 0.8}
    engine = open_engine(save_checkpoint(tmp_path, **preset))
    omitted = engine.submit(ask("Hi", max_tokens=30, seed=5)).result(WAIT_S)
    spelled = ask("Hi", max_tokens=30, seed=5, temperature=0.9, top_k=7, top_p=0.8)
    assert omitted == engine.submit(spelled).result(WAIT_S)
    greedy = ask("Hi", max_tokens=30, temperature=0.0)
    assert engine.submit(greedy).result(WAIT_S).text != omitted.text


def test_a_prompt_that_opens_the_reasoning_makes_the_answer_begin_in_it(
    tmp_path: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    engine = open_engine(save_checkpoint(tmp_path, template=QWEN3_5_TEMPLATE))
    messages = (Message(role="user", content="Hi"),)
    request = GenerationRequest(messages, Sampling(max_tokens=12))
    result = engine.submit(request).result(WAIT_S)
    assert (result.text, result.usage.reasoning_tokens) == ("", 12)
    assert result.reasoning
    quiet = engine.submit(GenerationRequest(messages, Sampling(max_tokens=12), thinking=False))
    assert quiet.result(WAIT_S).usage.reasoning_tokens == 0


def test_what_is_wrong_with_a_request_is_its_callers_alone(
    tmp_path: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    engine = open_engine(save_checkpoint(tmp_path, template=QWEN3_5_TEMPLATE))
    with pytest.raises(InvalidRequest, match="roles"):
        engine.submit(GenerationRequest((Message(role="assistant", content="Hi"),)))
    with pytest.raises(InvalidRequest, match="surrogate"):
        engine.submit(GenerationRequest((Message.model_construct(role="user", content="\ud800"),)))
    assert engine.submit(ask("Hi", max_tokens=3)).result(WAIT_S).usage.completion_tokens == 3


def test_one_thread_runs_torch(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            seen.add(threading.current_thread().name)
            return function(*args, **kwargs)

        return call

    for name in ("tensor", "zeros", "ones", "arange", "empty", "empty_like", "cat", "where"):
        monkeypatch.setattr(torch, name, watched(getattr(torch, name)))
    for name in ("to", "copy_", "normal_", "__getitem__", "__setitem__"):
        monkeypatch.setattr(torch.Tensor, name, watched(getattr(torch.Tensor, name)))
    monkeypatch.setattr(torch.nn.Module, "__call__", watched(torch.nn.Module.__call__))
    engine = open_engine(checkpoints / "qwen3")
    arriving_at_random(engine, mixed_requests(4, temperature=1.0))
    engine.stats()
    engine.close()
    assert seen == {"quill-engine"}


def test_the_engine_says_what_it_found_out_about_itself(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    info = open_engine(checkpoints / "qwen3", memory_budget_bytes=600_000).start()
    assert (info.device, info.dtype) == ("cpu", "float32")
    assert info.slots == 2
    assert "512 bytes a token; 2 slots x 512 tokens" in info.memory_plan
    assert info.tokenizer_json
    assert "tokenizer_json" not in repr(info)
    assert info.base_tokens > 0
    assert info.message_tokens > 0
