"""One pass of a network for live use: the same numbers to rounding, sooner, and the encoder's before the decoder runs.

Trained networks carry normalisation layers and memory in the order that training wants. For a batch of one on a CPU a
copy is kept with each normalisation folded into the layer before it, each convolution made one call with the activation
after it (`tiae_ros.core.fused_convolutions`), and with a pixel's channels side by side (`torch.channels_last`), which
the CPU's convolutions take as it is. Any network works: what is not a convolution or linear layer followed by its
normalisation or activation within an `nn.Sequential` stays as it is, unless the network knows what can be joined
(`Network.joined`).
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from tiae_ros.core.fused_convolutions import fuse_convolutions
from tiae_ros.core.half_weights import ROW_FACTORS, half_weights_where_exact
from tiae_ros.core.networks import Network
from tiae_ros.core.poses import place_by_pose
from tiae_ros.core.shifts import shift_images_subpixel

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def one_pass(network: Network, windows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Descriptors (N, K), restored (N, C, S, S), shifts (N, 2), placed (N, C, S, S) of windows (N, C, S, S)."""
    descriptors, parameters = network.forward_encoder(windows)
    restored, placed = restoration(network, descriptors, parameters)
    return descriptors, restored, parameters[:, :2], placed


def restoration(network: Network, descriptors: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Restored and placed (N, C, S, S) of descriptors (N, K) and shifts (N, 2) or poses (N, 4)."""
    restored = network.decode(descriptors).clamp(0.0, 1.0)
    place = place_by_pose if parameters.shape[1] == 4 else shift_images_subpixel
    return restored, place(restored, parameters)


class FastPass:
    """`one_pass`, whole or in halves, by a folded copy of the network, which is renewed when the weights change.

    Networks in training, on a GPU or of another precision than float32 go through as they are.
    """

    def __init__(self) -> None:
        self._source: Network | None = None
        self._weights: list[Tensor] = []
        self._state: list[tuple[int, int]] = []
        self._folded: Network | None = None

    def __call__(self, network: Network, windows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        descriptors, restored, shifts, placed = one_pass(self._quick(network, windows), windows)
        return descriptors.contiguous(), restored.contiguous(), shifts.contiguous(), placed.contiguous()

    def encode(self, network: Network, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Descriptors (N, K) and shifts (N, 2) or poses (N, 4) of windows (N, C, S, S)."""
        descriptors, parameters = self._quick(network, windows).forward_encoder(windows)
        return descriptors.contiguous(), parameters.contiguous()

    def restore(self, network: Network, descriptors: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Restored and placed (N, C, S, S), from what `encode` returned."""
        restored, placed = restoration(self._quick(network, descriptors), descriptors, parameters)
        return restored.contiguous(), placed.contiguous()

    def _quick(self, network: Network, inputs: Tensor) -> Network:
        """The folded copy where it serves, else the network itself."""
        if network.training or inputs.device.type != "cpu" or inputs.dtype != torch.float32:
            return network
        if network is not self._source:
            self._source, self._folded = network, None
            self._weights = [*network.parameters(), *network.buffers()]
        state = _state_of(self._weights)
        if self._folded is None or state != self._state:
            quick = folded(network).joined()
            half_weights_where_exact(quick)
            self._folded, self._state = quick, state
        return self._folded

    def __reduce__(self) -> tuple[type[FastPass], tuple[()]]:
        return FastPass, ()  # copies make their own when they need it


def folded(network: AnyModule) -> AnyModule:
    """A copy for inference on the CPU: no normalisation follows a convolution or linear layer of an `nn.Sequential`."""
    copied = without_normalisation(network)
    copied.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fuse_convolutions(copied)
    for sequence in copied.modules():
        if isinstance(sequence, nn.Sequential):
            _without_identities(sequence)
    return copied


def without_normalisation(network: AnyModule) -> AnyModule:
    """A copy with each normalisation folded into the convolution or linear layer before it in an `nn.Sequential`."""
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    for sequence in copied.modules():
        if not isinstance(sequence, nn.Sequential):
            continue
        for index in range(len(sequence) - 1):
            layer, following = sequence[index], sequence[index + 1]
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                sequence[index] = fuse_conv_bn_eval(layer, following)
            elif isinstance(layer, nn.Linear) and isinstance(following, nn.BatchNorm1d):
                sequence[index] = fuse_linear_bn_eval(layer, following)
                setattr(sequence[index], ROW_FACTORS, _factors(following))
            else:
                continue
            sequence[index + 1] = nn.Identity()
        _without_identities(sequence)
    return copied


def _factors(normalisation: nn.BatchNorm1d) -> Tensor:
    """What a normalisation of trained statistics multiplies each feature by: (features,)."""
    variance, scale = normalisation.running_var, normalisation.weight
    assert variance is not None
    factors = torch.rsqrt(variance + normalisation.eps)
    return factors if scale is None else factors * scale.detach()


def _without_identities(sequence: nn.Sequential) -> None:
    for index in reversed(range(len(sequence))):
        if isinstance(sequence[index], nn.Identity):
            del sequence[index]


def _state_of(weights: list[Tensor]) -> list[tuple[int, int]]:
    """Where each tensor is and how often it was written to in place, as far as torch counts it."""
    try:
        return [(weight.data_ptr(), weight._version) for weight in weights]
    except RuntimeError:  # of tensors made in inference mode it does not
        return [(weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in weights]
