"""What does not load is refused at the start, in a sentence for whoever runs the worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from quill.errors import EngineError
from quill.job import Message
from tests.checkpoints import save_checkpoint
from worker.engines.base import GenerationRequest
from worker.engines.settings import EngineSettings
from worker.engines.transformers import TransformersEngine


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
    folder = save_checkpoint(tmp_path, "qwen3_next")
    assert "linear_attention" in reason_of_refusal(EngineSettings(str(folder)))


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
