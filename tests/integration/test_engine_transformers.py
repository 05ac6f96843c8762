"""The slot batcher against the model's own `generate`, on every family that it serves."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from quill.errors import InvalidRequest
from quill.job import Message
from quill.result import JobResult
from tests.checkpoints import CONTEXT_TOKENS, QWEN3_5_TEMPLATE, build_tokenizer, save_checkpoint
from worker.engines.base import GenerationRequest, Sampling
from worker.engines.text import TextStream, TokenTable
from worker.engines.thinking import FAREWELL
from worker.engines.transformers.engine import TransformersEngine
from worker.engines.transformers.settings import EngineSettings
from worker.prompt.encoder import PromptEncoder

FAMILIES = ("qwen2", "qwen3", "qwen2_moe", "qwen3_moe", "qwen3_next", "qwen3_5")
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


def ask(text: str, **sampling: Any) -> GenerationRequest:
    """Random weights reason now and then; here nobody stops them."""
    turns = (Message(role="user", content=text),)
    return GenerationRequest(turns, Sampling(**sampling), thinking_budget=CONTEXT_TOKENS)


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


def generated(folder: Path, requests: list[GenerationRequest], **options: float) -> list[str]:
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
        output = model.generate(
            ids, attention_mask=mask, max_new_tokens=limit_tokens, do_sample=False, **options
        )
        stream = TextStream(TokenTable.of(encoder.tokenizer))
        texts.append("".join(stream.push(token_id).text for token_id in output[0, ids.shape[1] :].tolist()))
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


def test_a_repetition_penalty_is_that_of_generate(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    requests = mixed_requests(12, repetition_penalty=1.3)
    engine = open_engine(checkpoints / "qwen3")
    texts = [result.text for result in arriving_at_random(engine, requests)]
    assert texts == generated(checkpoints / "qwen3", requests, repetition_penalty=1.3)
    assert texts != [result.text for result in arriving_at_random(engine, mixed_requests(12))]


def test_an_answer_stops_at_the_requests_own_tokens_and_says_so(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    engine = open_engine(checkpoints / "qwen3")
    whole = engine.submit(ask("Hi", max_tokens=30, logprobs=True)).result(WAIT_S)
    assert whole.logprobs is not None
    vocabulary = build_tokenizer(QWEN3_5_TEMPLATE).get_vocab()
    end = next(vocabulary[told.token] for told in whole.logprobs[5:] if told.token in vocabulary)
    result = engine.submit(ask("Hi", max_tokens=30, stop_token_ids=(end,))).result(WAIT_S)
    assert (result.finish_reason, result.stop_reason) == ("stop", end)
    assert whole.text.startswith(result.text)
    with pytest.raises(InvalidRequest, match="no token 5000"):
        engine.submit(ask("Hi", stop_token_ids=(5000,)))


def test_the_models_own_end_can_be_ignored(
    tmp_path: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    vocabulary = build_tokenizer(QWEN3_5_TEMPLATE).get_vocab()
    engine = open_engine(save_checkpoint(tmp_path, eos_token_id=[vocabulary[c] for c in "abcdefghij"]))
    hot = {"max_tokens": 60, "temperature": 1.5, "ignore_eos": True}
    results = [engine.submit(ask("Hi", seed=seed, **hot)).result(WAIT_S) for seed in range(8)]
    assert {result.usage.completion_tokens for result in results} == {60}


def test_a_bias_bends_an_answer(checkpoints: Path, open_engine: Callable[..., TransformersEngine]) -> None:
    engine = open_engine(checkpoints / "qwen3")
    (token,) = build_tokenizer(QWEN3_5_TEMPLATE).encode("x", add_special_tokens=False)
    result = engine.submit(ask("Hi", max_tokens=9, logit_bias={token: 100.0})).result(WAIT_S)
    assert result.text == "x" * 9


def test_logprobs_are_those_of_the_model(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    engine = open_engine(checkpoints / "qwen3")
    request = ask("Hi", max_tokens=6, logprobs=True, top_logprobs=3)
    handles = [engine.submit(request), *(engine.submit(other) for other in mixed_requests(4))]
    result = handles[0].result(WAIT_S)
    engine.close()

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(checkpoints / "qwen3")
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(checkpoints / "qwen3"))
    ids = encoder.encode(request.messages).ids
    told = list(result.logprobs or ())
    assert told
    with torch.no_grad():
        for _ in range(6):
            expected = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            ids.append(int(expected.argmax()))
            if not TokenTable.of(encoder.tokenizer).bytes_of(ids[-1]):
                continue
            entry = told.pop(0)
            assert entry.logprob == pytest.approx(float(expected.max()), abs=1e-4)
            values = [top.logprob for top in entry.top_logprobs]
            assert values == pytest.approx(expected.topk(3).values.tolist(), abs=1e-4)
    assert not told


def test_what_one_prompt_has_in_common_with_another_is_not_read_again(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    system = Message(role="system", content="You are " + "very " * 30 + "kind.")
    requests = [
        GenerationRequest((system, Message(role="user", content=f"{i}?")), Sampling(max_tokens=12), salt="a")
        for i in range(10)
    ]
    fresh = open_engine(checkpoints / "qwen3")
    alone = [fresh.submit(replace(request, salt=str(i))).result(WAIT_S) for i, request in enumerate(requests)]
    assert fresh.stats().reused_tokens == 0
    engine = open_engine(checkpoints / "qwen3")
    assert arriving_at_random(engine, requests) == alone
    assert engine.stats().reused_tokens > 5 * 30
    talk = (system, Message(role="user", content="0?"), Message(role="assistant", content=alone[0].text))
    before = engine.stats().reused_tokens
    engine.submit(GenerationRequest(talk, Sampling(max_tokens=2), salt="a")).result(WAIT_S)
    assert engine.stats().reused_tokens > before + 30


def test_a_model_with_linear_layers_reads_every_prompt_anew(
    checkpoints: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    engine = open_engine(checkpoints / "qwen3_next")
    request = ask("word " * 30, max_tokens=5)
    first = engine.submit(request).result(WAIT_S)
    assert engine.submit(request).result(WAIT_S) == first
    assert engine.stats().reused_tokens == 0


def thoughtful(budget: int | None, **sampling: Any) -> GenerationRequest:
    return GenerationRequest(
        (Message(role="user", content="Hi"),), Sampling(**sampling), thinking_budget=budget
    )


def test_reasoning_over_its_budget_ends_in_words_and_the_answer_follows(
    tmp_path: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    engine = open_engine(save_checkpoint(tmp_path, template=QWEN3_5_TEMPLATE))
    farewell_tokens = len(PromptEncoder(build_tokenizer(QWEN3_5_TEMPLATE)).encode_structure(FAREWELL))
    result = engine.submit(thoughtful(20, max_tokens=20 + farewell_tokens + 15)).result(WAIT_S)
    assert result.reasoning is not None
    assert result.reasoning.endswith("based on the thinking directly now.")
    assert len(result.text) > 5
    assert result.usage.completion_tokens == 20 + farewell_tokens + 15
    assert 20 < result.usage.reasoning_tokens <= 20 + farewell_tokens


def test_a_small_max_tokens_never_ends_in_an_empty_answer(
    tmp_path: Path, open_engine: Callable[..., TransformersEngine]
) -> None:
    engine = open_engine(save_checkpoint(tmp_path, template=QWEN3_5_TEMPLATE))
    for max_tokens in (12, 60, 400):
        result = engine.submit(thoughtful(None, max_tokens=max_tokens)).result(WAIT_S)
        assert result.text
        assert result.usage.completion_tokens == max_tokens


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
    request = GenerationRequest(messages, Sampling(max_tokens=12), thinking_budget=100)
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
