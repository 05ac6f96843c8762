"""What a failing model may take with it: its own job, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from quill.errors import EngineError, EngineLost
from quill.job import Message
from tests.checkpoints import save_checkpoint
from worker.engines.base import GenerationRequest, Sampling
from worker.engines.transformers.engine import TransformersEngine
from worker.engines.transformers.pace import LEAST_TOKENS, Pace
from worker.engines.transformers.settings import EngineSettings

SLOTS = 5
WAIT_S = 20.0

#: A character that only the prompt of a poisoned request holds.
POISON = "☠"


@pytest.fixture(scope="module", params=["qwen3", "qwen3_next"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One has keys and values alone, the other states that each pass moves on."""
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"), request.param)


@pytest.fixture
def open_engine(model: Path) -> Iterator[Callable[[int], TransformersEngine]]:
    opened: list[TransformersEngine] = []

    def open_engine(slots: int) -> TransformersEngine:
        settings = EngineSettings(
            str(model), max_slots=slots, memory_budget_bytes=2**24, prefill_chunk_tokens=128, threads=1
        )
        opened.append(TransformersEngine(settings))
        opened[-1].start()
        return opened[-1]

    yield open_engine
    for engine in opened:
        engine.close()


def ask(text: str, max_tokens: int | None = None) -> GenerationRequest:
    return GenerationRequest((Message(role="user", content=text),), Sampling(max_tokens=max_tokens))


def poison(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[torch.Tensor, Any], Any]
) -> None:
    """Lets `spoil` at every pass that reads the poison; it gets the rows that do, and the model's output."""
    booted = engine._booted
    assert booted is not None
    body = booted.batcher._body
    bad_ids = torch.tensor(booted.language.encoder.encode_content(POISON))
    forward = body.forward

    def poisoned_forward(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        ids = kwargs["input_ids"]
        if ids.shape[1] < len(bad_ids):
            return output
        # Several tokens in a row, which only a prompt has: an answer is read one by one.
        rows = (ids.unfold(1, len(bad_ids), 1) == bad_ids).all(dim=2).any(dim=1)
        return spoil(rows, output) if rows.any() else output

    monkeypatch.setattr(body, "forward", poisoned_forward)


def explode(rows: torch.Tensor, output: Any) -> Any:
    raise RuntimeError("index 4711 is out of bounds")


def dead(*_: object, **__: object) -> None:
    raise RuntimeError("device-side assert triggered")


def make_not_a_number(rows: torch.Tensor, output: Any) -> Any:
    output.last_hidden_state[rows] = float("nan")
    return output


@pytest.mark.parametrize("spoil", [explode, make_not_a_number])
def test_a_job_at_which_the_model_fails_takes_no_neighbour_with_it(
    open_engine: Callable[[int], TransformersEngine],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[torch.Tensor, Any], Any],
) -> None:
    engine = open_engine(SLOTS)
    clean = [ask(f"{i}", max_tokens=30) for i in range(12)]
    expected = [engine.submit(request).result(WAIT_S) for request in clean]
    poison(engine, monkeypatch, spoil)
    handles = []
    victims = []
    for i, request in enumerate(clean):
        handles.append(engine.submit(request))
        if i % 3 == 0:
            victims.append(engine.submit(ask(POISON, max_tokens=30)))
    assert [handle.result(WAIT_S) for handle in handles] == expected
    for victim in victims:
        with pytest.raises(EngineError) as failure:
            victim.result(WAIT_S)
        assert "4711" not in failure.value.message
    assert engine.stats().completed == 2 * len(clean) + len(victims)


def test_not_a_number_does_not_outlive_its_job_in_the_slot(
    open_engine: Callable[[int], TransformersEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(2)
    booted = engine._booted
    assert booted is not None
    layers = booted.batcher._cache.layers
    # The narrow row takes the victim's slot and, beside the wide one, reads past its own end.
    narrow, wide = ask("Hello", max_tokens=30), ask("word " * 60, max_tokens=30)
    expected = [engine.submit(request).result(WAIT_S) for request in (narrow, wide)]

    def spoil_slot(rows: torch.Tensor, output: Any) -> Any:
        for layer in layers:
            if hasattr(layer, "values"):
                layer.values[0].fill_(float("nan"))
        return make_not_a_number(rows, output)

    poison(engine, monkeypatch, spoil_slot)
    with pytest.raises(EngineError, match="not a number"):
        engine.submit(ask(POISON)).result(WAIT_S)
    handles = [engine.submit(request) for request in (narrow, wide)]
    assert [handle.result(WAIT_S) for handle in handles] == expected


def test_a_pass_that_fails_says_nothing_of_the_models_speed(
    open_engine: Callable[[int], TransformersEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(SLOTS)
    booted = engine._booted
    assert booted is not None
    pace = Pace(128)
    pace.note(tokens=64, elapsed_s=1.0)
    assert pace.chunk_tokens == LEAST_TOKENS
    monkeypatch.setattr(booted.batcher, "_pace", pace)
    monkeypatch.setattr(booted.batcher._body, "forward", dead)
    for _ in range(10):
        with pytest.raises(EngineError):
            engine.submit(ask("Hello" * 8)).result(WAIT_S)
    assert pace.chunk_tokens == LEAST_TOKENS


def test_a_lost_device_gives_everyone_an_answer_and_the_engine_still_closes(
    open_engine: Callable[[int], TransformersEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(SLOTS)
    booted = engine._booted
    assert booted is not None
    handles = [engine.submit(ask(f"{i}", max_tokens=400)) for i in range(2 * SLOTS)]

    monkeypatch.setattr("worker.engines.transformers.batcher.torch.ones", dead)
    monkeypatch.setattr(booted.batcher._body, "forward", dead)
    for handle in handles:
        with pytest.raises(EngineLost):
            handle.result(WAIT_S)
    with pytest.raises(EngineLost):
        engine.submit(ask("Hello"))
    assert engine.stats().is_lost
    engine.close()


def test_a_defect_in_the_batcher_itself_does_not_end_the_thread(
    open_engine: Callable[[int], TransformersEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(SLOTS)
    booted = engine._booted
    assert booted is not None
    with monkeypatch.context() as patch:
        patch.setattr(booted.batcher, "_settle", partial(explode, torch.empty(0)))
        with pytest.raises(EngineError, match="The engine failed"):
            engine.submit(ask("Hello", max_tokens=3)).result(WAIT_S)
    assert engine.submit(ask("Hello", max_tokens=3)).result(WAIT_S).usage.completion_tokens == 3
