"""What does not load is refused at the start, in a sentence for whoever runs the worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

from quill.errors import EngineError
from quill.job import Message
from tests.checkpoints import CONTEXT_TOKENS, save_checkpoint
from worker.engines.base import GenerationRequest, Sampling
from worker.engines.transformers.engine import TransformersEngine
from worker.engines.transformers.settings import EngineSettings


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


def reason_of_refusal(settings: EngineSettings) -> str:
    engine = TransformersEngine(settings)
    with pytest.raises(EngineError) as refusal:
        engine.start()
    with pytest.raises(EngineError):
        engine.submit(GenerationRequest((Message(role="user", content="Hello"),)))
    engine.close()
    return refusal.value.message


def test_a_model_that_is_nowhere_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "out of reach" in reason_of_refusal(EngineSettings("somebody/no-such-model"))
    empty = reason_of_refusal(EngineSettings(str(tmp_path)))
    assert "does not hold a text-generation model" in empty


def test_weights_that_are_not_safetensors_are_refused(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "safetensors" in reason_of_refusal(EngineSettings(str(folder)))


def test_a_repositorys_own_code_is_never_run(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path)
    config = (folder / "config.json").read_text(encoding="utf-8")
    own = config.replace(
        '"model_type": "qwen3"',
        '"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}',
    )
    (folder / "config.json").write_text(own, encoding="utf-8")
    (folder / "own.py").write_text("raise SystemExit('it ran')", encoding="utf-8")
    assert "code from its own repository" in reason_of_refusal(EngineSettings(str(folder)))


def test_layers_without_slots_are_refused(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"layer_types": ["full_attention", "sliding_attention"], "use_sliding_window": True}
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": 64}), encoding="utf-8")
    assert "sliding_attention" in reason_of_refusal(EngineSettings(str(folder)))


def test_the_first_generation_is_refused_with_a_way_out(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    own = {"model_type": "qwen", "auto_map": {"AutoConfig": "configuration_qwen.QWenConfig"}}
    (folder / "config.json").write_text(json.dumps(config | own), encoding="utf-8")
    assert "take Qwen1.5 or later" in reason_of_refusal(EngineSettings(str(folder)))


def test_a_context_can_be_stretched(model: Path) -> None:
    engine = TransformersEngine(
        EngineSettings(str(model), memory_budget_bytes=2**24, max_slots=2, yarn_factor=2.0, threads=1)
    )
    assert engine.start().context_tokens == 2 * CONTEXT_TOKENS
    request = GenerationRequest((Message(role="user", content="w" * 600),), Sampling(max_tokens=3))
    assert engine.submit(request).result(20).usage.completion_tokens == 3
    engine.close()


def test_weights_quantized_already_are_not_quantized_again(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    told = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    (folder / "config.json").write_text(json.dumps(config | told), encoding="utf-8")
    assert "already (gptq)" in reason_of_refusal(EngineSettings(str(folder), quantization="int8"))
    assert "a package that is not installed" in reason_of_refusal(EngineSettings(str(folder)))


def test_a_budget_that_holds_no_slot_is_refused(model: Path) -> None:
    settings = EngineSettings(str(model), memory_budget_bytes=1000)
    assert "does not hold one slot" in reason_of_refusal(settings)


def test_a_model_that_cannot_run_fails_at_the_start(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.qwen3.modeling_qwen3 import Qwen3Model

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(Qwen3Model, "forward", broken)
    reason = reason_of_refusal(EngineSettings(str(model), memory_budget_bytes=2**24))
    assert "does not run" in reason


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_weights_in_fewer_bits_load_and_answer(tmp_path: Path, quantization: Literal["int8", "nf4"]) -> None:
    in_whole_blocks = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 32}
    model = save_checkpoint(tmp_path, sizes=in_whole_blocks)
    engine = TransformersEngine(EngineSettings(str(model), quantization=quantization, device="cpu"))
    info = engine.start()
    assert info.tuning["weights"] == quantization
    turns = (Message(role="user", content="Hello"),)
    handle = engine.submit(GenerationRequest(turns, Sampling(max_tokens=4, ignore_eos=True)))
    assert handle.result(30).usage.completion_tokens == 4
    engine.close()
