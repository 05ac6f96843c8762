"""What every engine promises, asked of each of them in the same words."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from quill.errors import ContextLengthExceeded, EngineClosed
from quill.job import DEFAULT_MAX_TOKENS, Message
from tests.checkpoints import CONTEXT_TOKENS, QWEN2_TEMPLATE, QWEN3_TEMPLATE, save_checkpoint
from tests.serving import serving
from worker.engines import choices
from worker.engines.base import Delta, Engine, GenerationRequest, Handle, OnDelta, Sampling
from worker.engines.openai.engine import OpenAIEngine
from worker.engines.openai.settings import ServerSettings
from worker.engines.simulated import SimulatedEngine
from worker.engines.transformers.engine import TransformersEngine
from worker.engines.transformers.settings import EngineSettings
from worker.engines.vllm.engine import VllmEngine
from worker.engines.vllm.settings import VllmSettings

SLOTS = 3
WAIT_S = 20.0
STEP_S = 0.002

#: A length that no test waits for: such a request ends because something ends it.
LONG_TOKENS = 400


#: An engine that is not started yet, by the fixtures of a test.
Make = Callable[[pytest.FixtureRequest], AbstractContextManager[Engine]]

FAMILIES = {
    "qwen2": QWEN2_TEMPLATE,
    "qwen2_moe": QWEN2_TEMPLATE,
    "qwen3": QWEN3_TEMPLATE,
    "qwen3_moe": QWEN3_TEMPLATE,
    "qwen3_next": QWEN3_TEMPLATE,
    "qwen3_5": QWEN3_TEMPLATE,
}


@contextmanager
def simulated(_: pytest.FixtureRequest) -> Iterator[Engine]:
    yield SimulatedEngine(slots=SLOTS, decode_s_per_step=STEP_S, context_tokens=CONTEXT_TOKENS)


def slotted(family: str) -> Make:
    @contextmanager
    def make(request: pytest.FixtureRequest) -> Iterator[Engine]:
        yield TransformersEngine(engine_settings(request.getfixturevalue("checkpoints") / family))

    return make


@contextmanager
def vllm(request: pytest.FixtureRequest) -> Iterator[Engine]:
    folder = request.getfixturevalue("checkpoints") / "vllm"
    model = save_checkpoint(folder, "qwen3", QWEN3_TEMPLATE, sizes={"head_dim": 64})
    yield VllmEngine(
        VllmSettings(
            str(model), dtype="float32", slots=SLOTS, context_tokens=CONTEXT_TOKENS, host_cache_gib=1
        )
    )


@contextmanager
def openai(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Before `transformers serve`."""
    url, model = request.getfixturevalue("server")
    yield OpenAIEngine(
        ServerSettings(url, model, slots=SLOTS, context_tokens=CONTEXT_TOKENS, tokenizer=model)
    )


def engine_settings(model: Path) -> EngineSettings:
    return EngineSettings(
        str(model), max_slots=SLOTS, memory_budget_bytes=2**24, prefill_chunk_tokens=16, threads=1
    )


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    for family, template in FAMILIES.items():
        save_checkpoint(folder / family, family, template)
    return folder


@pytest.fixture(scope="module")
def server(checkpoints: Path) -> Iterator[tuple[str, str]]:
    """Its URL, and what it serves: it takes ten seconds to start."""
    model = str(checkpoints / "qwen3")
    with serving(model) as url:
        yield url, model


ENGINES = [
    pytest.param(simulated, id="simulated"),
    *(pytest.param(slotted(family), id=family) for family in FAMILIES),
    pytest.param(openai, id="openai"),
    # vLLM pins a torch of its own, so it has an environment of its own: `scripts/test-vllm`.
    *([pytest.param(vllm, id="vllm")] if find_spec("vllm") else []),
]


@pytest.fixture(scope="module", params=ENGINES)
def served(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """One engine for all tests: some take half a minute to start."""
    make: Make = request.param
    with make(request) as engine:
        assert engine.start().slots == SLOTS
        yield engine
        engine.close()


@pytest.fixture
def engine(served: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Nothing that a test submits outlives it."""
    handles: list[Handle] = []
    submit = served.submit

    def recorded(request: GenerationRequest, on_delta: OnDelta | None = None) -> Handle:
        handles.append(submit(request, on_delta))
        return handles[-1]

    monkeypatch.setattr(served, "submit", recorded)
    yield served
    for handle in handles:
        handle.abort()
    for handle in handles:
        handle.result(WAIT_S)


@pytest.fixture(params=ENGINES)
def closable(request: pytest.FixtureRequest) -> Iterator[Engine]:
    make: Make = request.param
    with make(request) as engine:
        engine.start()
        yield engine
        engine.close()


def ask(text: str = "Hello", **sampling: Any) -> GenerationRequest:
    return GenerationRequest((Message(role="user", content=text),), Sampling(**sampling))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.001)


def endless(engine: Engine, count: int) -> list[Handle]:
    """Running requests that last a second or more on any machine: their callback holds up the engine."""
    handles = [engine.submit(ask("Go on.", max_tokens=LONG_TOKENS), hold_up) for _ in range(count)]
    wait_until(lambda: all(handle.produced_tokens for handle in handles))
    return handles


def hold_up(_: Delta) -> None:
    time.sleep(STEP_S)


def test_the_deltas_joined_are_the_result(engine: Engine) -> None:
    deltas: list[Delta] = []
    result = engine.submit(ask(max_tokens=60), deltas.append).result(WAIT_S)
    assert "".join(delta.text for delta in deltas) == result.text
    assert "".join(delta.reasoning for delta in deltas) == (result.reasoning or "")
    assert all(delta.text or delta.reasoning for delta in deltas)
    assert len(deltas) > 10


def test_an_answer_ends_at_max_tokens(engine: Engine) -> None:
    handle = engine.submit(ask(max_tokens=7))
    result = handle.result(WAIT_S)
    assert result.finish_reason == "length"
    assert result.usage.completion_tokens == handle.produced_tokens == 7


def test_without_max_tokens_an_answer_gets_what_is_left_of_the_context(engine: Engine) -> None:
    usage = engine.submit(ask("w" * 400)).result(WAIT_S).usage
    assert usage.prompt_tokens + usage.completion_tokens == CONTEXT_TOKENS
    assert usage.completion_tokens < DEFAULT_MAX_TOKENS


def test_a_request_that_cannot_fit_is_refused_with_the_numbers(engine: Engine) -> None:
    fits = engine.submit(ask(max_tokens=1)).result(WAIT_S).usage.prompt_tokens
    with pytest.raises(ContextLengthExceeded) as refusal:
        engine.submit(ask(max_tokens=CONTEXT_TOKENS - fits + 1))
    for number in (fits, CONTEXT_TOKENS - fits + 1, CONTEXT_TOKENS + 1, CONTEXT_TOKENS):
        assert str(number) in refusal.value.message
    with pytest.raises(ContextLengthExceeded):
        engine.submit(ask("x" * 10_000))
    usage = engine.submit(ask(max_tokens=CONTEXT_TOKENS - fits)).result(WAIT_S).usage
    assert usage.prompt_tokens + usage.completion_tokens == CONTEXT_TOKENS


def test_an_answer_ends_before_a_stop_string_and_says_which(engine: Engine) -> None:
    whole = engine.submit(ask(max_tokens=40)).result(WAIT_S).text
    stop = whole[len(whole) // 2 :][:3]
    deltas: list[Delta] = []
    result = engine.submit(ask(max_tokens=40, stop=("nowhere", stop)), deltas.append).result(WAIT_S)
    assert result.text == whole[: whole.index(stop)]
    assert (result.finish_reason, result.stop_reason) == ("stop", stop)
    assert "".join(delta.text for delta in deltas) == result.text
    assert result.usage.completion_tokens < 40


def test_several_answers_are_one_result(engine: Engine) -> None:
    deltas: list[Delta] = []
    request = ask(max_tokens=12, temperature=1.0, seed=3)
    result = choices.submit(engine, request, 3, deltas.append).result(WAIT_S)
    assert result.usage.completion_tokens == 36
    assert result.usage.prompt_tokens == engine.submit(request).result(WAIT_S).usage.prompt_tokens
    answers = [result, *result.alternatives]
    for number, answer in enumerate(answers):
        assert "".join(delta.text for delta in deltas if delta.choice == number) == answer.text
    assert choices.submit(engine, request, 3).result(WAIT_S) == result
    assert result.text == engine.submit(request).result(WAIT_S).text


def test_aborting_one_of_several_answers_aborts_all(engine: Engine) -> None:
    handle = choices.submit(engine, ask("Go on.", max_tokens=LONG_TOKENS), 2, hold_up)
    wait_until(lambda: handle.produced_tokens > 1)
    handle.abort()
    result = handle.result(WAIT_S)
    assert result.finish_reason == result.alternatives[0].finish_reason == "cancelled"


def test_a_run_over_its_time_can_be_stopped_with_what_it_has(engine: Engine) -> None:
    (handle,) = endless(engine, 1)
    with pytest.raises(TimeoutError):
        handle.result(0.05)
    handle.abort()
    result = handle.result(WAIT_S)
    assert 0 < result.usage.completion_tokens < LONG_TOKENS


def test_an_abort_frees_the_slot_for_whoever_waits(engine: Engine) -> None:
    # If this process stood still for a second, the others may have ended by themselves: that shows nothing.
    assert any(is_freed_by_an_abort(engine) for _ in range(3))


def is_freed_by_an_abort(engine: Engine) -> bool:
    """Whether a slot is, and not by the others in theirs, which go on."""
    deltas: list[Delta] = []
    first = engine.submit(ask("Go on.", max_tokens=LONG_TOKENS), deltas.append)
    others = endless(engine, SLOTS - 1)
    waiting = engine.submit(ask(max_tokens=3))
    time.sleep(20 * STEP_S)
    assert waiting.produced_tokens == 0
    assert engine.stats().running == SLOTS
    assert engine.stats().waiting == 1

    first.abort()
    first.abort()
    assert waiting.result(WAIT_S).usage.completion_tokens == 3
    cut = first.result(WAIT_S)
    assert cut.finish_reason == "cancelled"
    assert cut.usage.completion_tokens < LONG_TOKENS
    assert "".join(delta.text for delta in deltas) == cut.text
    went_on = not any(has_ended(handle) for handle in others)
    for handle in others:
        handle.abort()
    for handle in others:
        handle.result(WAIT_S)
    return went_on


def has_ended(handle: Handle) -> bool:
    try:
        handle.result(0)
    except TimeoutError:
        return False
    return True


def test_a_waiting_request_can_be_aborted(engine: Engine) -> None:
    endless(engine, SLOTS)
    waiting = engine.submit(ask(max_tokens=3))
    waiting.abort()
    result = waiting.result(WAIT_S)
    assert (result.finish_reason, result.text, result.usage.completion_tokens) == ("cancelled", "", 0)


def test_a_callback_that_raises_hurts_nobody(engine: Engine) -> None:
    def explode(_: Delta) -> None:
        raise RuntimeError("a caller's defect")

    neighbour = engine.submit(ask(max_tokens=20))
    victim = engine.submit(ask(max_tokens=20), explode)
    assert victim.result(WAIT_S) == neighbour.result(WAIT_S)


def test_many_requests_pass_through_few_slots_and_each_gets_its_own_answer(engine: Engine) -> None:
    dice = random.Random(1)
    requests = [
        ask("word " * dice.randint(1, 30) + str(i), max_tokens=dice.randint(1, 30)) for i in range(24)
    ]
    alone = [engine.submit(request).result(WAIT_S) for request in requests]
    together: list[Handle] = []
    for request in requests:
        together.append(engine.submit(request))
        time.sleep(dice.random() * 0.005)
    assert [handle.result(WAIT_S) for handle in together] == alone
    assert len({result.text for result in alone}) > 12


def test_its_numbers_add_up(engine: Engine) -> None:
    before = engine.stats()
    for handle in [engine.submit(ask(max_tokens=10)) for _ in range(5)]:
        handle.result(WAIT_S)
    after = engine.stats()
    assert after.completed == before.completed + 5
    assert after.steps > before.steps
    assert (after.running, after.waiting) == (0, 0)
    assert after.tokens_per_s > 0


def test_waiting_for_a_result_has_an_end(engine: Engine) -> None:
    handle = endless(engine, 1)[0]
    with pytest.raises(TimeoutError):
        handle.result(0.01)


def engine_threads() -> int:
    return sum(thread.name == "quill-engine" for thread in threading.enumerate())


def test_closing_ends_what_runs_and_refuses_what_comes(closable: Engine) -> None:
    engine = closable
    running = endless(engine, SLOTS)
    waiting = engine.submit(ask())
    threads = engine_threads()
    engine.close()
    engine.close()
    assert engine_threads() == threads - 1
    assert {handle.result(0).finish_reason for handle in (*running, waiting)} == {"cancelled"}
    assert all(handle.result(0).usage.completion_tokens > 0 for handle in running)
    with pytest.raises(EngineClosed):
        engine.submit(ask())


def test_a_callback_may_close_the_engine(closable: Engine) -> None:
    engine = closable
    handle = engine.submit(ask(max_tokens=LONG_TOKENS), lambda _: engine.close())
    assert handle.result(WAIT_S).finish_reason == "cancelled"


def test_an_engine_without_token_time_answers_at_once() -> None:
    engine = SimulatedEngine(slots=1)
    engine.start()
    deltas: list[Delta] = []
    results = [engine.submit(ask(max_tokens=9), deltas.append).result(WAIT_S) for _ in range(3)]
    engine.close()
    assert len(set(results)) == 1
    assert [delta.text for delta in deltas] == [results[0].text] * 3
    assert len(results[0].text.split()) == 9
    assert results[0].usage.prompt_tokens == 2
