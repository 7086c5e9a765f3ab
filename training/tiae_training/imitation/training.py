"""The loop that learns a hand's pose: windows under random shifts, half of them mirrored, some of them no hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.errors import DataError, TrainingError
from tiae_training.imitation.networks import HandPoseNetwork, begin_with, negative_log_likelihood
from tiae_training.imitation.others import draw_others
from tiae_training.imitation.rows import Floats, HandRows
from tiae_training.imitation.settings import HandPoseTraining
from tiae_training.model import TransformInvariantAutoencoder
from tiae_training.transforms.poses import place_by_pose
from tiae_training.transforms.shifts import draw_shifts, shift_images

_LEAST_ROWS = 8
_OTHERS_WEIGHT = 0.5
_LEAST_SCALE = 0.05  # of a joint, rad: some hardly move in the data
_ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Seen:
    """What a hand pose network may be shown of N windows, by the names of `hand_pose.INPUTS`."""

    window: Tensor
    descriptor: Tensor
    shift: Tensor

    def of(self, network: HandPoseNetwork) -> tuple[Tensor, ...]:
        """What this network asks for, in its order."""
        return tuple(getattr(self, name) for name in network.inputs)


@torch.no_grad()
def see(autoencoder: TransformInvariantAutoencoder, windows: Tensor) -> Seen:
    """Windows (N, C, S, S) as the node's pipeline shows them."""
    parts = [autoencoder.network.forward_encoder(some) for some in windows.split(_ROWS_AT_ONCE)]
    descriptors, parameters = (torch.cat(column) for column in zip(*parts, strict=True))
    return Seen(windows, descriptors, parameters[:, :2])


def train_hand_pose(
    autoencoder: TransformInvariantAutoencoder,
    rows: HandRows,
    others: Floats,
    settings: HandPoseTraining,
    say: Callable[[str], None] = print,
) -> HandPoseNetwork:
    """A network trained on some windows, on the CPU, in units of their own mean and deviation.

    others: (M, C, S, S) windows of what is no hand, beside those that are drawn. Raises DataError for too few windows.
    """
    if len(rows) < _LEAST_ROWS:
        raise DataError(f"{rows.data_id} has {len(rows)} windows to train on; needed are at least {_LEAST_ROWS}")
    manifest = autoencoder.manifest
    torch.manual_seed(settings.seed)
    network = HandPoseNetwork(
        settings.sees, len(manifest.channels), manifest.window_size, manifest.descriptor_size, settings.hidden
    )
    begin_with(network, autoencoder.network)
    take_units(network, autoencoder, rows, settings.seed)
    batch = min(settings.batch_size, len(rows))
    steps = settings.epochs * (len(rows) // batch)
    optimizer = torch.optim.AdamW(_groups(network, settings), lr=settings.learning_rate)
    rates = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps + 1, pct_start=0.2)
    batches = _Batches(autoencoder, network, rows, others, settings)
    network.train()
    for epoch in range(settings.epochs):
        total = 0.0
        for chosen in batches.order(batch):
            loss = batches.loss(chosen)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        say(f"epoch {epoch + 1}/{settings.epochs}: loss {total / max(1, len(rows) // batch):.3f}")
        if not np.isfinite(total):
            raise TrainingError(f"the loss is not finite in epoch {epoch + 1}; try a lower --learning-rate")
    return network.eval()


def take_units(network: HandPoseNetwork, autoencoder: TransformInvariantAutoencoder, rows: HandRows, seed: int) -> None:
    """Mean and deviation of what is learnt and of what is seen."""
    some = np.random.default_rng(seed).permutation(len(rows))[:2000]
    descriptors = see(autoencoder, torch.from_numpy(rows.images[some])).descriptor
    network.descriptor_mean.copy_(descriptors.mean(0))
    network.descriptor_scale.copy_(descriptors.std(0).clamp_min(1e-6))
    for values, mean, scale, least in (
        (rows.joints, network.joint_mean, network.joint_scale, _LEAST_SCALE),
        (rows.tips_mm, network.tip_mean, network.tip_scale, 1.0),
        (rows.length_mm[:, None], network.length_mean, network.length_scale, 1.0),
    ):
        known = np.isfinite(values).any(0)
        whole = np.where(known, values, 0.0)
        mean.copy_(torch.from_numpy(np.nanmean(whole, 0)))
        deviation = np.nanstd(whole, 0)
        if deviation.ndim == 2:  # of a fingertip, the same for its three axes
            deviation = np.sqrt(np.square(deviation).mean(1, keepdims=True))
        scale.copy_(torch.from_numpy(np.maximum(deviation, least)))


class _Batches:
    def __init__(
        self,
        autoencoder: TransformInvariantAutoencoder,
        network: HandPoseNetwork,
        rows: HandRows,
        others: Floats,
        settings: HandPoseTraining,
    ) -> None:
        self._autoencoder, self._network, self._settings = autoencoder, network, settings
        self._rows, self._others = rows, others
        self._images = torch.from_numpy(rows.images)
        self._joints = (torch.from_numpy(rows.joints) - network.joint_mean) / network.joint_scale
        self._tips = (torch.from_numpy(rows.tips_mm) - network.tip_mean) / network.tip_scale
        self._length = (torch.from_numpy(rows.length_mm) - network.length_mean) / network.length_scale
        self._left = torch.from_numpy(rows.left)
        self._view = torch.from_numpy(rows.view)
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._rng = np.random.default_rng(settings.seed)

    def order(self, batch: int) -> list[Tensor]:
        """Whole batches of all rows, in a new order."""
        parts = torch.randperm(len(self._rows), generator=self._generator).split(batch)
        return [part for part in parts if len(part) == batch]

    def loss(self, chosen: Tensor) -> Tensor:
        count = len(chosen)
        mirrored = torch.rand(count, generator=self._generator) < 0.5
        hands = self._images[chosen]
        hands = torch.where(mirrored[:, None, None, None], hands.flip(3), hands)  # a left hand is a mirrored right one
        left = torch.where(mirrored, 1 - self._left[chosen], self._left[chosen])
        windows = self._turn(torch.cat((hands, self._draw_others(hands))))
        shifts = draw_shifts(len(windows), self._settings.shift_radius_px, self._generator)
        said = self._network(*see(self._autoencoder, shift_images(windows, shifts)).of(self._network))
        of_hands = tuple(part[:count] for part in said)
        loss = negative_log_likelihood(
            of_hands, self._joints[chosen], self._tips[chosen], self._length[chosen], left, self._view[chosen]
        )
        is_other = torch.arange(len(windows)) >= count
        return loss + _OTHERS_WEIGHT * F.binary_cross_entropy_with_logits(said[6], is_other.float())

    def _turn(self, windows: Tensor) -> Tensor:
        """Some of the windows, turned: a camera may hang as it likes, and arms come from everywhere.

        Two of three by right angles, which blur nothing.
        """
        drawn = torch.rand(len(windows), generator=self._generator) / max(self._settings.turned_share, 1e-9)
        result = windows.clone()
        for quarters in (1, 2, 3):
            rows = ((drawn * 9).floor() == quarters) | ((drawn * 9).floor() == quarters + 3)
            result[rows] = windows[rows].rot90(quarters, (2, 3))
        turned = ((drawn < 1) & ((drawn * 9 < 1) | (drawn * 9 >= 7))).nonzero()[:, 0]
        if not len(turned):
            return result
        angle = 2 * math.pi * torch.rand(len(turned), generator=self._generator)
        poses = torch.stack((torch.zeros_like(angle), torch.zeros_like(angle), angle, torch.zeros_like(angle)), 1)
        result[turned] = place_by_pose(windows[turned], poses)
        return result

    def _draw_others(self, hands: Tensor) -> Tensor:
        count = max(1, round(self._settings.others_share * len(hands)))
        made = draw_others(hands[:count].numpy(), self._autoencoder.manifest.channels, self._rng)
        if len(self._others):  # of real ones a third of the places
            real = self._others[self._rng.integers(len(self._others), size=count)]
            real = np.where(self._rng.random((count, 1, 1, 1)) < 0.5, real, real[..., ::-1])
            made = np.where(self._rng.random((count, 1, 1, 1)) < 1 / 3, real, made)
        return torch.from_numpy(np.ascontiguousarray(made, np.float32))


def _groups(network: HandPoseNetwork, settings: HandPoseTraining) -> list[dict[str, object]]:
    """Features that begin as an encoder's learn at a third of the rate; vectors do not decay."""
    groups = []
    for features in (True, False):
        for matrices in (True, False):
            parameters = [
                weight
                for name, weight in network.named_parameters()
                if name.startswith("features.") == features and (weight.ndim > 1) == matrices
            ]
            rate = settings.learning_rate / 3 if features and settings.sees == "features" else settings.learning_rate
            decay = settings.weight_decay if matrices else 0.0
            if parameters:
                groups.append({"params": parameters, "lr": rate, "weight_decay": decay})
    return groups
