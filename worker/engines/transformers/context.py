"""Contexts longer than a model was trained on, by YaRN (arXiv:2309.00071) as Qwen's cards configure it."""

from __future__ import annotations

from typing import Any

from quill.errors import EngineError

#: Qwen3 was trained on 32,768 tokens; its configuration adds room for an answer.
_NATIVE_TOKENS = {40_960: 32_768}


def stretch(config: Any, factor: float) -> None:
    """Changes a text configuration in place, before its model is made. Raises ``EngineError``.

    The factor is fixed: text of ordinary length suffers from one that is larger than need be.
    """
    rope = dict(config.rope_parameters)
    if rope.get("rope_type", "default") != "default":
        raise EngineError("The checkpoint stretches its context itself; leave `yarn_factor` out.")
    native_tokens = _NATIVE_TOKENS.get(config.max_position_embeddings, config.max_position_embeddings)
    config.rope_parameters = rope | {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": native_tokens,
    }
    config.max_position_embeddings = int(native_tokens * factor)
