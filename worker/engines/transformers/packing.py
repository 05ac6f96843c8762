"""Linear layers on a CPU: their weights laid out once as oneDNN wants them instead of at every call, and
those that read the same input computed in one go.
"""

from __future__ import annotations

import torch
from torch import nn

#: Layers of one module that all read its input, as Qwen's modules name them.
TOGETHER = (
    ("q_proj", "k_proj", "v_proj"),
    ("gate_proj", "up_proj"),
    ("in_proj_qkvz", "in_proj_ba"),
    ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a"),
)


class PackedLinear(nn.Module):
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
        self._bias = bias

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(  # type: ignore[no-any-return]
            rows, self._packed, self._bias, "none", [], ""
        )


class _Together:
    """Several layers as one; the first that is asked computes for all."""

    def __init__(self, linears: list[nn.Linear]) -> None:
        weight = torch.cat([linear.weight.detach() for linear in linears])
        biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
        self._linear = PackedLinear(weight, torch.cat(biases) if biases else None)
        self._sizes = [linear.out_features for linear in linears]
        self._rows: torch.Tensor | None = None
        self._parts: dict[int, torch.Tensor] = {}

    def part(self, number: int, rows: torch.Tensor) -> torch.Tensor:
        if self._rows is not rows or number not in self._parts:
            self._parts = dict(enumerate(self._linear(rows).split(self._sizes, dim=-1)))
            self._rows = rows
        found = self._parts.pop(number)
        if not self._parts:
            self._rows = None
        return found


class _Part(nn.Module):
    def __init__(self, together: _Together, number: int) -> None:
        super().__init__()
        self._together = together
        self._number = number

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self._together.part(self._number, rows)


def pays(device: torch.device, dtype: torch.dtype) -> bool:
    """In float32 the plain layer is as fast, and it is exact whatever the number of rows."""
    return device.type == "cpu" and dtype == torch.bfloat16 and is_bf16_fast()


def is_bf16_fast() -> bool:
    """Whether this CPU computes in bfloat16 by itself, and torch knows how to let it."""
    has_mkldnn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def pack_linears(model: nn.Module) -> None:
    """Layer by layer, so that at no time there are two copies of more than a few weights."""
    for parent in list(model.modules()):
        for names in TOGETHER:
            found = [getattr(parent, name, None) for name in names]
            linears = [layer for layer in found if isinstance(layer, nn.Linear)]
            if len(linears) == len(names) and _have_alike_biases(linears):
                together = _Together(linears)
                for number, name in enumerate(names):
                    setattr(parent, name, _Part(together, number))
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, PackedLinear(child.weight, child.bias))


def _have_alike_biases(linears: list[nn.Linear]) -> bool:
    return len({linear.bias is None for linear in linears}) == 1
