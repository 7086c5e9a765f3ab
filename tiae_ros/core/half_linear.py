"""A large linear layer whose weights float16 holds exactly, kept in memory so: half as much to read for a batch of one.

Such a layer waits for its weights (4 MB each in the default network), not for its arithmetic, which stays float32.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

_WORTH_A_CALL = 1 << 18
"""Weights below which they lie in the processor's own cache anyway."""


class HalfLinear(nn.Module):
    """``scale * (W x) + bias`` for float32 on the CPU, with the scale and bias of each output (a normalisation's)."""

    def __init__(self, weight: Tensor, scale: Tensor | None, bias: Tensor | None) -> None:
        super().__init__()
        within = None if scale is not None else bias  # the library adds it sooner, but cannot scale
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight.detach().contiguous(), within)
        self._scale, self._bias = scale, bias

    def forward(self, values: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        products: Tensor = torch.ops.quantized.linear_dynamic_fp16.default(values, self._packed)
        if self._scale is None:
            return products
        return products.mul_(self._scale) if self._bias is None else torch.addcmul(self._bias, products, self._scale)


def in_half(linear: nn.Linear, normalisation: nn.BatchNorm1d | None = None) -> HalfLinear | None:
    """The layer (and the trained normalisation after it) with its weights in half, or None where that is not for it."""
    weight = linear.weight.detach()
    scale: Tensor | None = None
    bias = None if linear.bias is None else linear.bias.detach()
    if weight.numel() < _WORTH_A_CALL or not torch.equal(weight.half().float(), weight) or not _available():
        return None
    if normalisation is not None:
        mean, variance = normalisation.running_mean, normalisation.running_var
        assert isinstance(mean, Tensor)
        assert isinstance(variance, Tensor)
        scale = normalisation.weight.detach() * torch.rsqrt(variance + normalisation.eps)
        bias = normalisation.bias.detach() + scale * ((0 if bias is None else bias) - mean)
    return HalfLinear(weight, scale, bias)


@functools.lru_cache(maxsize=1)
def _available() -> bool:
    """Whether this build of PyTorch has the operators, and they give what they should."""
    weight = torch.linspace(-2, 2, 8 * 64).view(8, 64).half().float()
    values = torch.linspace(-1, 1, 64).view(1, 64)
    try:
        found = HalfLinear(weight, None, torch.ones(8))(values)
    except (AttributeError, RuntimeError):
        return False
    return torch.allclose(found, values @ weight.T + 1, atol=1e-4)
