"""The checkpoint folder: small, complete, and a plain Qwen3 model to anyone who loads it."""

from __future__ import annotations

import json

from quill.tiny import checkpoint_path
from quill.tiny.cases import FAMILIES
from quill.tiny.tokenizer import CONTROL_IDS, MAX_CONTEXT_TOKENS

#: What the whole folder may weigh, so that it can ride in the wheel.
MAX_FOLDER_BYTES = 4 * 1024 * 1024


def test_the_whole_folder_stays_under_four_megabytes() -> None:
    assert sum(file.stat().st_size for file in checkpoint_path().iterdir()) <= MAX_FOLDER_BYTES


def test_it_loads_as_an_unmodified_qwen3_model() -> None:
    from transformers import AutoModelForCausalLM, Qwen3ForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint_path())
    assert isinstance(model, Qwen3ForCausalLM)
    assert model.config.max_position_embeddings == MAX_CONTEXT_TOKENS
    assert model.generation_config.eos_token_id == [CONTROL_IDS["<|im_end|>"], CONTROL_IDS["<|endoftext|>"]]
    assert model.generation_config.pad_token_id == CONTROL_IDS["<|endoftext|>"]
    assert not model.generation_config.do_sample


def test_the_card_records_how_it_was_made_and_how_right_it_is() -> None:
    card = json.loads((checkpoint_path() / "card.json").read_text(encoding="utf-8"))
    assert {"seed", "steps", "parameters", "training_s", "accuracy"} <= card.keys()
    assert card["accuracy"].keys() == FAMILIES.keys()
    # The families are alike in number, so this is the share of all held-out answers.
    assert sum(card["accuracy"].values()) / len(card["accuracy"]) >= 0.99
