"""A convolution and the activation after it as one call, its kernel in the order that the CPU's library wants.

A kernel of one pixel is a matrix product of channels that lie side by side, with nothing to prepare.

PyTorch reorders a kernel for oneDNN in every call, and an activation goes through memory once more: a fifth of the time
of a small network at batch 1. `torch.compile` calls the same two operators for the same reason, but needs a compiler
where the network runs; TorchScript, which knows them too, keeps megabytes of each trace for ever.
Where this build of PyTorch has no such operators, or they give other numbers, layers stay as they are.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

_ACTIVATIONS: dict[type[nn.Module], str] = {nn.ReLU: "relu", nn.SiLU: "swish"}
_WORTH_A_CALL = 4_000_000
"""Products below which PyTorch's own loop over a kernel up to 3×3 is done before oneDNN has begun (20 µs)."""


class FusedConvolution(nn.Module):
    """A trained convolution and its activation for float32 on the CPU; the first input decides how it is done."""

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module | None = None) -> None:
        super().__init__()
        self._plain = nn.Sequential(convolution) if activation is None else nn.Sequential(convolution, activation)
        self._kernel = convolution.weight.detach()
        self._bias = None if convolution.bias is None else convolution.bias.detach()
        self._steps = [list(pair) for pair in (convolution.padding, convolution.stride, convolution.dilation)]
        self._groups = convolution.groups
        self._activation = "none" if activation is None else _ACTIVATIONS[type(activation)]
        self._laid_out: Tensor | None = None
        self._decided = False
        self._pointwise: Tensor | None = None  # (C', C): where the kernel is one pixel, it is a matrix product
        if activation is None and self._kernel.shape[2:] == (1, 1) and self._steps == [[0, 0], [1, 1], [1, 1]]:
            self._pointwise = self._kernel[:, :, 0, 0].contiguous() if self._groups == 1 else None

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        if self._pointwise is not None:
            together = images.permute(0, 2, 3, 1)  # of `torch.channels_last` a view
            return nn.functional.linear(together, self._pointwise, self._bias).permute(0, 3, 1, 2)
        if self._laid_out is not None:
            convolved: Tensor = torch.ops.mkldnn._convolution_pointwise.default(
                images, self._laid_out, self._bias, *self._steps, self._groups, self._activation, [], ""
            )
            return convolved
        plain: Tensor = self._plain(images)
        if not self._decided:
            self._decided = True
            products = plain[0, 0].numel() * self._kernel.numel()
            if min(self._kernel.shape[2:]) > 3 or products >= _WORTH_A_CALL:
                self._laid_out = torch.ops.mkldnn._reorder_convolution_weight(
                    self._kernel, *self._steps, self._groups, list(images.shape)
                )
        return plain


def fuse_convolutions(network: nn.Module) -> None:
    """Put a `FusedConvolution` in the place of each convolution of a network, and of the activation after it."""
    if not _available():
        return
    for parent in list(network.modules()):
        children: list[tuple[str, nn.Module | None]] = [*parent.named_children(), ("", None)]
        for index, (name, layer) in enumerate(children):
            if type(layer) is not nn.Conv2d or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
                continue
            next_name, following = children[index + 1] if isinstance(parent, nn.Sequential) else ("", None)
            if type(following) in _ACTIVATIONS:
                setattr(parent, name, FusedConvolution(layer, following))
                setattr(parent, next_name, nn.Identity())
            else:
                setattr(parent, name, FusedConvolution(layer))


@functools.lru_cache(maxsize=1)
def _available() -> bool:
    """Whether both operators are there and give what the plain layers give."""
    with torch.random.fork_rng(devices=[]):  # somebody's seed is not to be used up
        first, second = nn.Conv2d(2, 8, 5, padding=4, dilation=2), nn.Conv2d(8, 8, 5, stride=2)
    fused = nn.Sequential(FusedConvolution(first, nn.SiLU()), FusedConvolution(second, nn.ReLU()))
    images = torch.linspace(-1, 1, 2 * 16 * 16).view(1, 2, 16, 16)
    with torch.inference_mode():
        try:
            return torch.allclose(fused(images), fused(images), atol=1e-5)  # by the plain layers, and fused
        except (AttributeError, RuntimeError):
            return False
