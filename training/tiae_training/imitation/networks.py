"""What is seen of a hand -> joints, fingertips, side and length, each with how far off it may be; and how unlike a
hand it is.

descriptor   the auto-encoder's descriptor alone
detail       and, beside it, the hand in finer pixels, brought to the middle by the auto-encoder's shift
window       the window as it is, by convolutions of its own: the rival

What is learnt is in units of the training data's own mean and deviation. Deviations of estimates are a factor of each
joint and finger above what the network says, measured on people who were not trained on (`spread`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tiae_ros.errors import ModelError
from tiae_ros.model.hand_pose import JOINTS, TIPS
from tiae_training.imitation.keypoints import DEEP, IN_PALM, KeypointNetwork, convolution, in_palm_frame, off_heat
from tiae_training.networks.layers import ResidualBlock

INPUTS = {"descriptor": ("descriptor",), "detail": ("descriptor", "detail"), "window": ("window",)}
_LIMIT = 4.0  # of the logarithm of a deviation in units of the data's
_KEYPOINTS_WEIGHT = 6.0  # of half a detail's side
_HEAT_WEIGHT = 0.5  # of a nat
_PINCH_WEIGHT = 3.0  # of the four fingers' mean: few touch the thumb
_DOUBT = 2.0  # what a spread e times as wide adds to the novelty: hands of a known pose are sure ones
_SIZES = (JOINTS, JOINTS, 3 * TIPS, TIPS, 1, 1, 1, 3, TIPS - 1)


class HandPoseNetwork(nn.Module):
    """Inputs in the order of `INPUTS` -> (N, 25), (N, 25), (N, 5, 3), (N, 5), (N,), (N,), (N,), (N, 3), (N, 4),
    and where it sees details (N, 21, 3) and their heat maps, else None.

    joints and their log deviation; tips and theirs; length; left; no hand at all; whence the hand is seen, which is
    only for the training: what knows it knows more of the rest; pinches; keypoints (`keypoints`). Left, no hand and
    pinches are logits, all else but keypoints is in units of the data.
    """

    descriptor_mean: Tensor
    descriptor_scale: Tensor
    joint_mean: Tensor
    joint_scale: Tensor
    tip_mean: Tensor
    tip_scale: Tensor
    length_mean: Tensor
    length_scale: Tensor
    joint_factor: Tensor
    tip_factor: Tensor
    keypoint_units: Tensor

    def __init__(self, sees: str, channels: int, window_size: int, descriptor_size: int, hidden: int) -> None:
        super().__init__()
        if sees not in INPUTS:
            raise ModelError(f"network sees {sees!r:.60}; accepted are {', '.join(INPUTS)}")
        self.sees, self.inputs = sees, INPUTS[sees]
        seen = descriptor_size if "descriptor" in self.inputs else 0
        self.keypoints: KeypointNetwork | None = None
        self.features: nn.Sequential | None = None
        if sees == "detail":
            self.keypoints = KeypointNetwork()
            seen += DEEP + IN_PALM
        elif sees == "window":
            self.features = _of_window(channels)
            seen += 16 * (-(-window_size // 4)) ** 2
        self.body = nn.Sequential(
            nn.Linear(seen, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.said = nn.Linear(hidden, sum(_SIZES))
        shapes = {
            "descriptor": (descriptor_size,),
            "joint": (JOINTS,),
            "tip": (TIPS, 3),
            "length": (1,),
        }
        for name, shape in shapes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(shape))
            self.register_buffer(f"{name}_scale", torch.ones((TIPS, 1) if name == "tip" else shape))
        self.register_buffer("joint_factor", torch.ones(JOINTS))
        self.register_buffer("tip_factor", torch.ones(TIPS))
        self.register_buffer("keypoint_units", torch.tensor([0.1125, 0.1125, 0.15]))  # metres

    def forward(self, *inputs: Tensor) -> tuple[Any, ...]:
        given = dict(zip(self.inputs, inputs, strict=True))
        seen, keypoints = [], None
        if self.features is not None:
            seen.append(self.features(given["window"]))
        if self.keypoints is not None:
            places, deep, heat = self.keypoints(given["detail"])
            keypoints = places, heat
            seen += [in_palm_frame(places, self.keypoint_units), deep]
        if "descriptor" in given:
            seen.append((given["descriptor"] - self.descriptor_mean) / self.descriptor_scale)
        parts = self.said(self.body(torch.cat(seen, 1))).split(_SIZES, 1)
        joints, joint_log, tips, tip_log, length, left, other, view, pinch = parts
        return (
            joints,
            joint_log.clamp(-_LIMIT, _LIMIT),
            tips.reshape(-1, TIPS, 3),
            tip_log.clamp(-_LIMIT, _LIMIT),
            length[:, 0],
            left[:, 0],
            other[:, 0],
            view,
            pinch,
            keypoints,
        )

    def compute_maps_in(self, reduced: torch.dtype | None) -> None:
        """Multiply the maps of details in a reduced type while this is trained; None: in float32."""
        if self.keypoints is not None:
            self.keypoints.reduced = reduced

    def parts(self) -> dict[str, Any]:
        """For a manifest: what builds it again."""
        return {"name": "hand_pose", "sees": self.sees, "hidden": self.said.in_features}


class HandPoseGraph(nn.Module):
    """As it is exported: radians, millimetres and probabilities, in the order of `hand_pose.SHAPES`."""

    def __init__(self, network: HandPoseNetwork) -> None:
        super().__init__()
        self.network = network

    def say(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        net = self.network
        joints, joint_log, tips, tip_log, length, left, other, _, pinch, _ = net(*inputs)
        joint_spread = net.joint_factor * net.joint_scale * joint_log.exp()
        return (
            net.joint_mean + net.joint_scale * joints,
            joint_spread,
            net.tip_mean + net.tip_scale * tips,
            net.tip_factor * net.tip_scale[:, 0] * tip_log.exp() * 3**0.5,
            left.sigmoid(),
            net.length_mean + net.length_scale * length,
            other + _DOUBT * joint_spread.mean(1).log(),
            pinch.sigmoid(),
        )


class _OfDescriptor(HandPoseGraph):
    def forward(self, descriptor: Tensor) -> tuple[Tensor, ...]:
        return self.say(descriptor)


class _OfWindow(HandPoseGraph):
    def forward(self, window: Tensor) -> tuple[Tensor, ...]:
        return self.say(window)


class _OfDetail(HandPoseGraph):
    def forward(self, descriptor: Tensor, detail: Tensor) -> tuple[Tensor, ...]:
        return self.say(descriptor, detail)


def graph_of(network: HandPoseNetwork) -> HandPoseGraph:
    """What is exported of a network, with inputs by name."""
    return {"descriptor": _OfDescriptor, "window": _OfWindow, "detail": _OfDetail}[network.sees](network).eval()


def hand_pose_network(
    parts: Mapping[str, Any], channels: int, window_size: int, descriptor_size: int
) -> HandPoseNetwork:
    """A fresh network of a manifest's parts. Raises ModelError."""
    hidden = parts.get("hidden")
    if set(parts) != {"name", "sees", "hidden"} or type(hidden) is not int or not 1 <= hidden <= 4096:
        raise ModelError(f"network has the parts {dict(parts)!r:.120}; accepted are name, sees and hidden, 1 to 4096")
    return HandPoseNetwork(str(parts["sees"]), channels, window_size, descriptor_size, hidden)


@torch.no_grad()
def fold_norms(network: HandPoseNetwork) -> None:
    """Put the statistics of the features' normalisation into their kernels, for good: as it is stored and exported."""
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for n, (layer, norm) in enumerate(itertools.pairwise(list(layers))):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                layers[n], layers[n + 1] = fuse_conv_bn_eval(layer.eval(), norm.eval()), nn.Identity()


def _of_window(channels: int) -> nn.Sequential:
    """(N, C, S, S) -> (N, 16 · ⌈S/4⌉ · ⌈S/4⌉)."""
    return nn.Sequential(
        *convolution(channels, 32, 5, stride=2),
        *convolution(32, 64, 3, stride=2),
        ResidualBlock(64),
        *convolution(64, 16, 1),
        nn.Flatten(),
    )


def negative_log_likelihood(
    said: tuple[Any, ...],
    joints: Tensor,
    tips: Tensor,
    length: Tensor,
    left: Tensor,
    view: Tensor,
    pinch: Tensor,
    keypoints: Tensor,
) -> Tensor:
    """The loss of windows of hands, in units of the data; what is NaN is not known and counts for nothing.

    Normal distributions with the deviations that are said, each with the plain square of the error beside it: without
    that, what is hard to see is given up early by a large deviation.
    """
    joint, joint_log, tip, tip_log, length_said, left_said, _, view_said, pinch_said, keypoints_said = said
    known = torch.isfinite(joints)
    off = torch.where(known, joint - joints.nan_to_num(), 0.0)
    terms = [_mean(0.5 * off.square() * (-2 * joint_log).exp() + joint_log + off.square(), known)]
    known = torch.isfinite(tips).all(-1)  # (N, 5)
    off = torch.where(known[..., None], tip - tips.nan_to_num(), 0.0).square().sum(-1)
    terms.append(_mean((0.5 * off * (-2 * tip_log).exp() + 3 * tip_log + off) / 3, known))
    known = torch.isfinite(length)
    terms.append(0.2 * _mean((length_said - length.nan_to_num()).square(), known))
    known = torch.isfinite(left)
    crossed = F.binary_cross_entropy_with_logits(left_said, left.nan_to_num(), reduction="none")
    terms.append(0.2 * _mean(crossed, known))
    known = torch.isfinite(view)
    terms.append(0.5 * _mean((view_said - view.nan_to_num()).square(), known))
    known = torch.isfinite(pinch)
    crossed = F.binary_cross_entropy_with_logits(pinch_said, pinch.nan_to_num(), reduction="none")
    terms.append(_PINCH_WEIGHT * _mean(crossed, known))
    if keypoints_said is not None:
        known = torch.isfinite(keypoints).all(-1)  # (N, 21)
        places, heat = keypoints_said
        off = torch.where(known[..., None], places - keypoints.nan_to_num(), 0.0).abs().sum(-1)
        terms.append(_KEYPOINTS_WEIGHT * _mean(off, known))
        terms.append(_HEAT_WEIGHT * _mean(*off_heat(heat, keypoints)))
    return torch.stack(terms).sum()


def _mean(values: Tensor, known: Tensor) -> Tensor:
    return (values * known).sum() / known.sum().clamp_min(1)
