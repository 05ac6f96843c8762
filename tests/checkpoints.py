"""Tiny checkpoints with random weights, and templates in the shape of Qwen's, for the engine's tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: All that Qwen3's tokenizer adds; those of the second kind are shown when text is decoded.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
VISIBLE_TOKENS = (
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
CONTEXT_TOKENS = 512

#: Qwen2.5 without tools: a default system prompt, contents as they are.
QWEN2_TEMPLATE = """\
{%- if messages[0].role != 'system' -%}
<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif -%}
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}"""

#: Qwen3 without tools: older reasoning is dropped, and thinking can be switched off.
QWEN3_TEMPLATE = """\
{%- set ns = namespace(last_user=-1) -%}
{%- for message in messages -%}
{%- if message.role == 'user' and not message.content.startswith('<tool_response>') -%}
{%- set ns.last_user = loop.index0 -%}
{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
{%- set answer = message.content -%}
{%- set thought = '' -%}
{%- if message.role == 'assistant' -%}
{%- if message.reasoning_content is string -%}
{%- set thought = message.reasoning_content -%}
{%- elif '</think>' in answer -%}
{%- set thought = answer.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}
{%- set answer = answer.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{%- if loop.index0 > ns.last_user and (loop.last or thought) -%}
{%- set answer = '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + answer.lstrip('\\n') -%}
{%- endif -%}
{%- endif -%}
{{- '<|im_start|>' + message.role + '\\n' + answer + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if enable_thinking is defined and enable_thinking is false -%}
{{- '<think>\\n\\n</think>\\n\\n' -}}
{%- endif -%}
{%- endif -%}"""

#: Qwen3.5 without tools: contents are trimmed, a user is needed, and the prompt itself opens the reasoning.
QWEN3_5_TEMPLATE = """\
{%- if messages | selectattr('role', 'equalto', 'user') | list | length == 0 -%}
{{- raise_exception('No user query found in messages.') -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'system' and not loop.first -%}
{{- raise_exception('System message must be at the beginning.') -}}
{%- endif -%}
{{- '<|im_start|>' + message.role + '\\n' + (message.content | trim) + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{{- '<think>\\n' -}}
{{- '\\n</think>\\n\\n' if enable_thinking is defined and enable_thinking is false -}}
{%- endif -%}"""

TEMPLATES: Mapping[str, str] = {"qwen2": QWEN2_TEMPLATE, "qwen3": QWEN3_TEMPLATE, "qwen3_5": QWEN3_5_TEMPLATE}

#: Enough for a few merges, so that one token holds several characters and a character several tokens.
CORPUS = (
    "the answer to the question is in the text of the answer",
    "你好 你好 你们好",
    "naïve café naïve café",
)


def build_tokenizer(template: str) -> Any:
    """A byte-level BPE with Qwen's pre-tokenizer in spirit, its NFC normalizer and its control tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(CORPUS * 10, trainer)
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    )
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in VISIBLE_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT_TOKENS,
}


def save_checkpoint(
    folder: Path,
    family: str = "qwen3",
    template: str = QWEN3_TEMPLATE,
    *,
    sizes: Mapping[str, object] | None = None,
    **generation: object,
) -> Path:
    """A model of a family with random weights, wide enough in spread that greedy answers differ.

    ``sizes`` are of its configuration. Its end-of-text token is never the best one: a greedy answer ends at
    its limit, a hot one somewhere.
    """
    import torch
    import transformers
    from transformers import AutoConfig, AutoModelForCausalLM

    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    tokenizer = build_tokenizer(template)
    config = AutoConfig.for_model(
        MODEL_TYPES.get(family, family),
        vocab_size=len(tokenizer),
        **(_SIZES | dict(EXTRA.get(family, {})) | dict(sizes or {})),
        initializer_range=0.5,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        model.get_output_embeddings().weight[tokenizer.eos_token_id] = 0.0
    for name, value in ({"do_sample": False} | generation).items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


#: Where a family's name is that of its model with eyes, the part of it that reads and writes.
MODEL_TYPES: Mapping[str, str] = {"qwen3_5": "qwen3_5_text"}

#: What only one family's configuration knows.
EXTRA: Mapping[str, Mapping[str, object]] = {
    "qwen3": {"head_dim": 16},
    "qwen2_moe": {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
    },
    "qwen3_moe": {"head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "qwen3_5": {
        "head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "qwen3_next": {
        "head_dim": 16,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
    },
}
