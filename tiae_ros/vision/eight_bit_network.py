"""The segmentation network in whole numbers of 8 bits, for CPUs with instructions for sums of their products (VNNI).

Such a convolution takes less than half the time of one in float32, and its weights a quarter of the memory, which is
what counts when the caches went cold between two frames. A number is held as

    value = size * (whole - zero),  whole from 0 to 255

with one size and zero per tensor, from the range that training pictures reach there (`SegmentationManifest`, found by
`tiae_training.segmentation.activation_ranges`), and weights from -127 to 127 with a size per output channel, as in
Jacob et al. 2018 (arXiv 1712.05877). The first layer stays in float32, since its planes are of very different ranges;
what the last one gives is float32 again. The operators are those that `torch.compile` calls for quantised networks on
such CPUs, here without the compiler.
Where this build of PyTorch has none, they give other numbers, or the CPU would be slower with them, `eight_bits_help`
says so, and the network stays as it is.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.core.inference import folded, without_normalisation

if TYPE_CHECKING:
    from tiae_ros.vision.segmentation_network import SegmentationNetwork

_LARGEST = 255
_LARGEST_WEIGHT = 127
_NEEDED = "avx512_vnni"


@dataclass(frozen=True)
class Steps:
    """How a tensor's numbers are held: value = size * (whole - zero)."""

    size: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> Steps:
        """The steps that reach from low (<= 0) to high (>= 0); 0 itself is one of them."""
        size = (high - low) / _LARGEST
        return cls(size, round(-low / size))


class EightBitConvolution:
    """A convolution of whole numbers; a ReLU after it is part of it, as is the sum with what was there before."""

    def __init__(self, convolution: nn.Conv2d, given: Steps, made: Steps | None, *, activation: str = "none") -> None:
        """Args:
        convolution: in float32, its normalisation folded in.
        given: how its input is held.
        made: how its output is to be held; None: in float32.
        activation: "relu" or "none".
        """
        kernel = convolution.weight.detach()
        sizes = kernel.abs().amax(dim=(1, 2, 3)) / _LARGEST_WEIGHT  # (C',)
        sizes[sizes == 0] = 1.0  # of a kernel of zeros anything is right
        whole = (kernel / sizes[:, None, None, None]).round()
        bias = torch.zeros(len(sizes)) if convolution.bias is None else convolution.bias.detach()
        # The operator would work out in each call what an input's zero adds, for up to half its time. It is always the
        # same, so it is in the bias here, and what is around the picture is made that zero instead of the number 0.
        bias = bias - given.size * given.zero * sizes * whole.sum(dim=(1, 2, 3))
        vertical, horizontal = (int(side) for side in convolution.padding)
        self._around = [horizontal, horizontal, vertical, vertical] if given.zero and vertical + horizontal else None
        self._zero = given.zero
        padding = [0, 0] if self._around else [vertical, horizontal]
        steps = [list(convolution.stride), padding, list(convolution.dilation)]
        laid_out = torch.ops.onednn.qconv_prepack(
            whole.to(torch.int8), sizes, given.size, 0, *steps, convolution.groups, None
        )
        self._input = given.size, 0
        self._weights = laid_out, sizes, torch.zeros(len(sizes), dtype=torch.int64)
        self._shared = bias, *steps, convolution.groups
        self._output = (1.0, 0, torch.float32) if made is None else (made.size, made.zero, torch.uint8)
        self._activation = activation

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8, channels last -> (N, C', H', W') uint8 or float32."""
        convolved: Tensor = torch.ops.onednn.qconv2d_pointwise.default(
            self._framed(images), *self._input, *self._weights, *self._shared, *self._output, self._activation, [], ""
        )
        return convolved

    def onto(self, images: Tensor, there: Tensor, held: Steps) -> Tensor:
        """The sum of what `self` gives and of what is there (N, C', H', W') uint8, which may be overwritten.

        Args:
            images: (N, C, H, W) uint8, channels last.
            there: as the output is, but held in steps of its own, whose zero is 0.
            held: these steps.
        """
        summed: Tensor = torch.ops.onednn.qconv2d_pointwise.binary(
            self._framed(images), *self._input, *self._weights, there, *self._shared, *self._output,
            held.size, held.zero, "sum", 1.0, self._activation, [], "",
        )  # fmt: skip
        return summed

    def _framed(self, images: Tensor) -> Tensor:
        return F.pad(images, self._around, value=self._zero) if self._around else images


class EightBitNetwork:
    """A `SegmentationNetwork` in whole numbers."""

    def __init__(self, network: SegmentationNetwork, ranges: Mapping[str, Sequence[float]]) -> None:
        """Args:
        network: as it was trained.
        ranges: name of each of `range_names` -> least and greatest number there.
        """
        steps = {name: Steps.over(*ranges[name]) for name in range_names(network.manifest.blocks)}
        plain = without_normalisation(network)

        def convolution(name: str, given: str, made: str, activation: str = "relu") -> EightBitConvolution:
            layer = cast(nn.Conv2d, plain.get_submodule(name))
            return EightBitConvolution(layer, steps[given], steps.get(made), activation=activation)

        self._first = folded(plain.get_submodule("down.0.0"))
        self._first_size = steps["down.0.0"].size
        self._down: list[list[EightBitConvolution]] = []
        before = ""
        for level, blocks in enumerate(network.manifest.blocks):
            names = [f"down.{level}.{number}" for number in range(blocks + 1)]
            pairs = itertools.pairwise([before, *names] if before else names)
            self._down.append([convolution(f"{name}.0", given, name) for given, name in pairs])
            before = names[-1]
        self._up: list[tuple[EightBitConvolution, Steps, EightBitConvolution]] = []
        for level in (2, 1, 0):
            across = convolution(f"across.{level}", before, f"sum.{level}", "none")
            fine = steps[f"down.{level}.{network.manifest.blocks[level]}"]
            self._up.append((across, fine, convolution(f"up.{level}.0", f"sum.{level}", f"up.{level}")))
            before = f"up.{level}"
        self._head = convolution("head", before, "", "none")

    def quarters(self, planes: Tensor) -> Tensor:
        """As `SegmentationNetwork.quarters`."""
        x = self._held(self._first(planes))
        levels = []
        for down in self._down:
            for layer in down:
                x = layer(x)
            levels.append(x)
        levels.pop()
        for across, fine, up in self._up:
            # The other way round there would be less to multiply, but the sum would be a step of its own.
            x = up(across.onto(F.interpolate(x, scale_factor=2.0, mode="nearest"), levels.pop(), fine))
        return self._head(x)

    def _held(self, activations: Tensor) -> Tensor:
        """(B, C, H, W) not below 0, float32 -> uint8, channels last."""
        together = activations.permute(0, 2, 3, 1)
        rows = together.reshape(-1, together.shape[2] * together.shape[3]).numpy()
        whole = cv2.convertScaleAbs(rows, alpha=1 / self._first_size)  # rounds, and stops at 255
        return torch.from_numpy(whole).view(together.shape).permute(0, 3, 1, 2)


def in_eight_bits(network: SegmentationNetwork) -> EightBitNetwork | None:
    """The network in whole numbers; None where it is better left as it is.

    That is where its manifest has no ranges, `eight_bits_help` says no, or a weight is not finite: whole numbers always
    are, and would hide it.
    """
    ranges = network.manifest.activation_ranges
    if not ranges or not eight_bits_help():
        return None
    weights = without_normalisation(network).parameters()
    return EightBitNetwork(network, ranges) if all(bool(weight.isfinite().all()) for weight in weights) else None


def range_names(blocks: Sequence[int]) -> list[str]:
    """Names of the tensors whose range has to be known, in the order in which they are made.

    ``down.0.0`` and so on are what that part of a `SegmentationNetwork` gives, ``sum.0`` is what ``up.0`` is given.
    """
    down = [f"down.{level}.{number}" for level, count in enumerate(blocks) for number in range(count + 1)]
    return down + [f"{part}.{level}" for level in (2, 1, 0) for part in ("sum", "up")]


@functools.lru_cache(maxsize=1)
def eight_bits_help() -> bool:
    """Whether the CPU has the instructions, PyTorch the operators, and these give what is worked out in float32."""
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if not capabilities.get(_NEEDED):
        return False
    try:
        return _operators_agree()
    except (AttributeError, RuntimeError, TypeError):
        return False


def _operators_agree() -> bool:
    # Products as large as they can be: where pairs of them are summed in 16 bits, sums are cut off.
    given, there, made = Steps(0.5, 100), Steps(0.25, 0), Steps(100.0, 40)
    images = (torch.arange(16 * 8 * 8) % 3 * 127).clamp(max=255).to(torch.uint8).view(1, 8, 8, 16).permute(0, 3, 1, 2)
    before = images.flip(1).contiguous(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]):  # somebody's seed is not to be used up
        layer = nn.Conv2d(16, 16, 3, padding=1).requires_grad_(False)
    layer.weight.copy_(torch.tensor([1.0, 1.0, 1.0, -1.0]).repeat(16 * 16 * 9 // 4).view(16, 16, 3, 3))
    with torch.inference_mode():
        exact = layer(given.size * (images.float() - given.zero))
        added = exact + there.size * before.float()
        wanted = (added / made.size + made.zero).clamp(0, _LARGEST)
        relu = EightBitConvolution(layer, given, None, activation="relu")(images)
        summed = EightBitConvolution(layer, given, made).onto(images, before, there)
    close = bool(((summed.float() - wanted).abs() < 0.51).all())
    return close and torch.allclose(relu, exact.relu(), rtol=1e-4, atol=1e-2)
