"""A linear layer that keeps its weights in half precision and multiplies in float32.

At batch 1 a matrix product takes as long as its weights take to arrive. Where float16 holds them exactly, as those of a
model that was trained with ``--half-weights``, half the memory gives the same numbers to the rounding of float32.
The operators are PyTorch's own (FBGEMM, x86 CPUs with AVX2). It means to remove them one day; the quantised ones
beside them take 30 µs more a call, which is a third of the gain. Where a build has none, or they give other numbers,
layers stay as they are.

Where a normalisation was folded into a layer, float16 held its weights before each row was multiplied by a factor. A
layer that knows these (`ROW_FACTORS`) is multiplied by them afterwards.
"""

from __future__ import annotations

import functools
import warnings

import torch
from torch import Tensor, nn

ROW_FACTORS = "row_factors"
"""Attribute of a layer: what each of its rows was multiplied by (outputs,)."""
_WORTH_PACKING = 250_000
"""Weights below which the call costs what memory saves."""


class HalfWeightsLinear(nn.Module):
    """A trained layer for float32 on the CPU, its weights in float16."""

    def __init__(self, layer: nn.Linear, weights: Tensor) -> None:
        """Args:
        layer: as it was trained, or with a normalisation folded in.
        weights: its weights, before they were multiplied by row factors, float16 (outputs, inputs).
        """
        super().__init__()
        nothing = layer.weight.new_zeros(layer.out_features)
        self._bias = nothing if layer.bias is None else layer.bias.detach()
        self._factors: Tensor | None = getattr(layer, ROW_FACTORS, None)
        self._added = self._bias if self._factors is None else nothing  # by the product itself
        self._packed = torch.fbgemm_pack_gemm_matrix_fp16(weights.float().contiguous())

    def forward(self, values: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        product = torch.fbgemm_linear_fp16_weight_fp32_activation(values.contiguous(), self._packed, self._added)
        return product if self._factors is None else torch.addcmul(self._bias, product, self._factors)


def half_weights_where_exact(network: nn.Module) -> None:
    """Put a `HalfWeightsLinear` in the place of each large linear layer whose weights float16 holds exactly."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is not nn.Linear or layer.weight.numel() < _WORTH_PACKING or not _available():
                continue
            weights = _in_half(layer)
            if weights is not None:
                setattr(parent, name, HalfWeightsLinear(layer, weights))


def _in_half(layer: nn.Linear) -> Tensor | None:
    """The weights before they were multiplied by row factors, in float16; None where it does not hold them."""
    weights, factors = layer.weight.detach(), getattr(layer, ROW_FACTORS, None)
    rows = torch.ones(len(weights), 1) if factors is None else factors[:, None]
    half = (weights / rows).half()
    exact = torch.allclose(half.float() * rows, weights, rtol=0 if factors is None else 1e-6, atol=0)
    return half if exact and bool(half.isfinite().all()) else None


@functools.lru_cache(maxsize=1)
def _available() -> bool:
    """Whether both operators are there and give what the plain layer gives."""
    with torch.random.fork_rng(devices=[]):  # somebody's seed is not to be used up
        layer = nn.Linear(40, 30).requires_grad_(False)
    layer.weight.copy_(layer.weight.half())
    values = torch.linspace(-1, 1, 3 * 40).view(3, 40)
    with torch.inference_mode(), warnings.catch_warnings():  # they warn once, when first called
        warnings.filterwarnings("ignore", message=".*fbgemm.* is deprecated")
        try:
            return torch.allclose(HalfWeightsLinear(layer, layer.weight.half())(values), layer(values), atol=1e-5)
        except (AttributeError, RuntimeError):
            return False
