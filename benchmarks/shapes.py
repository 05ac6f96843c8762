"""Shapes of Qwen3 models with random weights: as fast as the real ones, and nothing is downloaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Dtype = Literal["float32", "bfloat16"]

SEED = 11

#: Text of so many tokens: the built-in tokenizer has one for each of these.
ONE_TOKEN = "x"

#: A prompt is what the workload says and nothing else, however it is asked: as a chat, or as token ids.
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


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
    tie_word_embeddings: bool = True


SHAPES = {
    "small": Shape(512, 1536, 8, 8, 4, 64, 32_768, "float32"),
    "0.6b": Shape(1024, 3072, 28, 16, 8, 128, 151_936, "bfloat16"),
    "8b": Shape(4096, 12_288, 36, 32, 8, 128, 151_936, "bfloat16", tie_word_embeddings=False),
}


def save_checkpoint(folder: Path, shape: Shape, device: str = "cpu") -> None:
    """Its answers never end by themselves, since the lengths are the workload's, and are made of tokens that
    show something.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from quill.tiny.tokenizer import build

    torch.manual_seed(SEED)
    tokenizer = build()
    tokenizer.chat_template = TEMPLATE
    fields = asdict(shape)
    dtype = getattr(torch, fields.pop("dtype"))
    config = AutoConfig.for_model(
        "qwen3", **fields, max_position_embeddings=4096, eos_token_id=tokenizer.eos_token_id
    )
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    with torch.no_grad():
        weight = model.get_output_embeddings().weight
        weight[len(tokenizer) :] = 0.0
        weight[list(tokenizer.get_added_vocab().values())] = 0.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
