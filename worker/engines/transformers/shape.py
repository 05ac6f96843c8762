"""What a model keeps for a sequence: keys and values that grow, and states of linear layers that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

#: A linear layer's recurrent state is computed in float32 whatever the weights are.
STATE_DTYPE = torch.float32


@dataclass(frozen=True, slots=True)
class AttentionShape:
    kv_heads: int
    head_dim: int
    dtype: torch.dtype

    @property
    def bytes_per_token(self) -> int:
        return 2 * self.kv_heads * self.head_dim * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class LinearShape:
    """Of a Gated DeltaNet layer (arXiv:2412.06464), as Qwen3-Next and 3.5 have it."""

    #: Of the short convolution before the recurrence: its channels and the inputs that it looks back on.
    conv_channels: int
    conv_width: int
    #: Of the recurrent state.
    heads: int
    key_dim: int
    value_dim: int
    dtype: torch.dtype

    @property
    def bytes_per_slot(self) -> int:
        conv = self.conv_channels * self.conv_width * self.dtype.itemsize
        return conv + self.heads * self.key_dim * self.value_dim * STATE_DTYPE.itemsize


@dataclass(frozen=True, slots=True)
class CacheShape:
    """One entry a layer."""

    layers: tuple[AttentionShape | LinearShape, ...]

    @property
    def is_hybrid(self) -> bool:
        return any(isinstance(layer, LinearShape) for layer in self.layers)

    @property
    def bytes_per_token(self) -> int:
        return sum(layer.bytes_per_token for layer in self.layers if isinstance(layer, AttentionShape))

    @property
    def bytes_per_slot(self) -> int:
        """What a slot costs whatever its context."""
        return sum(layer.bytes_per_slot for layer in self.layers if isinstance(layer, LinearShape))

    @classmethod
    def of(cls, config: Any, dtype: torch.dtype) -> CacheShape:
        """From the text part of a transformers configuration."""
        kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
        attention = AttentionShape(
            kv_heads=config.num_key_value_heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
            dtype=dtype,
        )
        return cls(
            tuple(_linear(config, dtype) if kind == "linear_attention" else attention for kind in kinds)
        )


def _linear(config: Any, dtype: torch.dtype) -> LinearShape:
    keys = config.linear_num_key_heads * config.linear_key_head_dim
    values = config.linear_num_value_heads * config.linear_value_head_dim
    return LinearShape(
        conv_channels=2 * keys + values,
        conv_width=config.linear_conv_kernel_dim,
        heads=config.linear_num_value_heads,
        key_dim=config.linear_key_head_dim,
        value_dim=config.linear_value_head_dim,
        dtype=dtype,
    )
