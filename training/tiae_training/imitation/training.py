"""The loop that learns a hand's pose: windows under random shifts, half of them mirrored, some of them no hand."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.errors import DataError, TrainingError
from tiae_ros.model.manifest import Manifest
from tiae_ros.vision.detail import DETAIL_PX, arm_angles, bring, pixel_of, turns_of
from tiae_training.imitation.false_windows import NoHands
from tiae_training.imitation.flicker import flickered
from tiae_training.imitation.networks import HandPoseNetwork, negative_log_likelihood
from tiae_training.imitation.others import no_hands_like
from tiae_training.imitation.rows import HandRows, check_details
from tiae_training.imitation.seeing import no_details, pinches_of
from tiae_training.imitation.settings import HandPoseTraining
from tiae_training.model import TransformInvariantAutoencoder
from tiae_training.train.one_cycle import one_cycle
from tiae_training.train.precision import autocast_type
from tiae_training.transforms.poses import place_by_pose
from tiae_training.transforms.shifts import draw_shifts, shift_images
from tiae_training.workers import made_ahead

_LEAST_ROWS = 8
_ARM_OFF_RAD = 0.15  # deviation of what the arm is off, beside what it is anyway
say_now = functools.partial(print, flush=True)
_OTHERS_WEIGHT = 0.5
_TWIN_SHARE = 0.5  # of a batch's hands that are seen twice, where estimates are to agree
_LEAST_SCALE = 0.05  # of a joint, rad: some hardly move in the data
_ROWS_AT_ONCE = 512
_READ_ROWS = 10_000  # windows by which the descriptors of one auto-encoder are told from another's
_RIDGE = 1e-3  # of the new ones' variance


@dataclass(frozen=True)
class Seen:
    """What a hand pose network may be shown of N windows, by the names of `hand_pose.INPUTS`."""

    window: Tensor
    descriptor: Tensor
    detail: Tensor | None = None
    middle: Tensor | None = None  # (N, 2) of the detail, from that of the window before it was shifted, window pixels
    turn: Tensor | None = None  # (N, 2, 2) from the detail to the window

    def of(self, network: HandPoseNetwork) -> tuple[Tensor, ...]:
        """What this network asks for, in its order."""
        return tuple(getattr(self, name) for name in network.inputs)


@torch.no_grad()
def see(
    autoencoder: TransformInvariantAutoencoder,
    windows: Tensor,
    details: Tensor,
    shifts: Tensor | None = None,
    more_turned: Tensor | None = None,
) -> Seen:
    """Windows (N, C, S, S) under shifts, as the node's pipeline shows them.

    details: (N, 3, 80, 80) as they are stored, or (N, 0, 0, 0). shifts: (N, 2) window pixels; None: none. more_turned:
    (N,) radians that the arm is not below in detail; None: none.
    """
    moved = windows if shifts is None else shift_images(windows, shifts)
    parts = [autoencoder.network.forward_encoder(some) for some in moved.split(_ROWS_AT_ONCE)]
    descriptors, parameters = (torch.cat(column) for column in zip(*parts, strict=True))
    if not details.shape[1]:
        return Seen(moved, descriptors)
    found = parameters[:, :2].numpy()
    angles = arm_angles(moved.numpy(), found)
    if more_turned is not None:
        angles = angles + more_turned.numpy()
    middles = found if shifts is None else found - shifts.numpy().astype(np.float32)
    fine = torch.from_numpy(bring(details.numpy(), middles, angles, windows.shape[-1]))
    return Seen(moved, descriptors, fine, torch.from_numpy(middles), torch.from_numpy(turns_of(angles)).float())


def train_hand_pose(
    autoencoder: TransformInvariantAutoencoder,
    rows: HandRows,
    others: NoHands | None,
    settings: HandPoseTraining,
    say: Callable[[str], None] = say_now,
    start: HandPoseNetwork | None = None,
) -> HandPoseNetwork:
    """A network trained on some windows, on the CPU, in units of their own mean and deviation.

    others: windows of what is no hand, beside those that are drawn. start: goes on from there, in its units.
    Raises DataError for too few windows, or where the network sees details and there are none.
    """
    if settings.sees == "detail":
        check_details(rows, autoencoder.manifest)
    if len(rows) < _LEAST_ROWS:
        raise DataError(f"{rows.data_id} has {len(rows)} windows to train on; needed are at least {_LEAST_ROWS}")
    manifest = autoencoder.manifest
    torch.manual_seed(settings.seed)
    network = start or HandPoseNetwork(
        settings.sees, len(manifest.channels), manifest.window_size, manifest.descriptor_size, settings.hidden
    )
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster
    if start is None:
        take_units(network, autoencoder, rows, settings.seed)
    if not settings.epochs:
        return network.eval()
    batch = min(settings.batch_size, len(rows))
    steps = settings.epochs * (len(rows) // batch)
    optimizer = torch.optim.AdamW(_groups(network, settings), lr=settings.learning_rate)
    schedule = one_cycle(optimizer, settings.learning_rate, steps)
    batches = Batches(autoencoder, network, rows, others, settings)
    network.train()
    network.compute_maps_in(autocast_type(settings.precision, torch.device("cpu")))
    for epoch in range(settings.epochs):
        total = 0.0
        for shown in batches.in_order(batch):
            loss = batches.loss(shown)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        say(f"epoch {epoch + 1}/{settings.epochs}: loss {total / max(1, len(rows) // batch):.3f}")
        if not np.isfinite(total):
            raise TrainingError(f"the loss is not finite in epoch {epoch + 1}; try a lower --learning-rate")
    network.compute_maps_in(None)
    return network.eval()


def take_descriptor_units(
    network: HandPoseNetwork, autoencoder: TransformInvariantAutoencoder, rows: HandRows, seed: int
) -> None:
    """Mean and deviation of an auto-encoder's descriptors."""
    some = np.random.default_rng(seed).permutation(len(rows))[:2000]
    windows = torch.from_numpy(rows.images[some])
    _set_descriptor_units(network, see(autoencoder, windows, torch.from_numpy(no_details(len(some)))).descriptor)


def _set_descriptor_units(network: HandPoseNetwork, descriptors: Tensor) -> None:
    network.descriptor_mean.copy_(descriptors.mean(0))
    network.descriptor_scale.copy_(descriptors.std(0).clamp_min(1e-6))


@torch.no_grad()
def read_like_before(
    network: HandPoseNetwork,
    before: TransformInvariantAutoencoder,
    autoencoder: TransformInvariantAutoencoder,
    rows: HandRows,
    settings: HandPoseTraining,
) -> float:
    """Make a network that reads one auto-encoder's descriptors read another's, from which those of before are told.

    By least squares over windows under random shifts, put into the weights that read descriptors. So nothing of what
    was learnt is lost but what the new ones do not tell. Returns the share of the old ones' variance that is told.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    some = np.random.default_rng(settings.seed).permutation(len(rows))[:_READ_ROWS]
    windows, none = torch.from_numpy(rows.images[some]), torch.from_numpy(no_details(len(some)))
    shifts = draw_shifts(len(some), settings.shift_radius_px, generator)
    old, new = (see(one, windows, none, shifts).descriptor for one in (before, autoencoder))
    old = (old - network.descriptor_mean) / network.descriptor_scale
    _set_descriptor_units(network, new)
    new = (new - network.descriptor_mean) / network.descriptor_scale
    middle = old.mean(0)
    size = new.shape[1]
    told = torch.linalg.solve(new.T @ new + _RIDGE * len(new) * torch.eye(size), new.T @ (old - middle))  # (K, K)
    first = network.body[0]
    assert isinstance(first, nn.Linear)
    reads = first.weight[:, -size:].clone()
    first.weight[:, -size:] = reads @ told.T
    first.bias.add_(reads @ middle)
    return float(1 - (old - middle - new @ told).square().sum() / (old - middle).square().sum())


def take_units(network: HandPoseNetwork, autoencoder: TransformInvariantAutoencoder, rows: HandRows, seed: int) -> None:
    """Mean and deviation of what is learnt and of what is seen."""
    take_descriptor_units(network, autoencoder, rows, seed)
    of = autoencoder.manifest
    half_px, half_m = _halves(of)
    across_m = half_px * float(of.preprocessing.get("metric_size_m", 0.3)) / of.window_size
    network.keypoint_units.copy_(torch.tensor([across_m, across_m, half_m]))
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


def _halves(of: Manifest) -> tuple[float, float]:
    """Half of a detail's side in window pixels, and half of the depth's range in metres: units of keypoints."""
    return DETAIL_PX / 2 * pixel_of(of.window_size), float(of.preprocessing.get("range_m", 0.3)) / 2


@dataclass(frozen=True)
class Shown:
    """A batch: what is seen of N hands and then of others, and what is true of the hands."""

    rows: Tensor  # (N,)
    twins: int  # how many of the last are the first ones again
    seen: Seen
    keypoints: Tensor  # (N, 21, 3)
    left: Tensor  # (N,)


class Batches:
    """Rows of hands as a network is shown them, and its loss."""

    def __init__(
        self,
        autoencoder: TransformInvariantAutoencoder,
        network: HandPoseNetwork,
        rows: HandRows,
        others: NoHands | None,
        settings: HandPoseTraining,
    ) -> None:
        self._autoencoder, self._network, self._settings = autoencoder, network, settings
        self._rows, self._others = rows, others
        self._images = torch.from_numpy(rows.images)
        self._details = torch.from_numpy(rows.details if settings.sees == "detail" else no_details(len(rows)))
        self._joints = (torch.from_numpy(rows.joints) - network.joint_mean) / network.joint_scale
        self._tips = (torch.from_numpy(rows.tips_mm) - network.tip_mean) / network.tip_scale
        self._length = (torch.from_numpy(rows.length_mm) - network.length_mean) / network.length_scale
        self._keypoints = torch.from_numpy(rows.keypoints)
        self._halves = _halves(autoencoder.manifest)
        self._pinches = torch.from_numpy(pinches_of(rows.tips_mm))
        self._left = torch.from_numpy(rows.left)
        self._view = torch.from_numpy(rows.view)
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._rng = np.random.default_rng(settings.seed)

    def in_order(self, batch: int) -> Iterator[Shown]:
        """What is shown of rows in whole batches, in a new order; the next is made in a thread meanwhile."""
        parts = torch.randperm(len(self._rows), generator=self._generator).split(batch)
        yield from made_ahead(self.show, [part for part in parts if len(part) == batch])

    def loss(self, shown: Shown) -> Tensor:
        chosen, seen = shown.rows, shown.seen
        count = len(chosen)
        said = self._network(*seen.of(self._network))
        of_hands = tuple(part if part is None else _first(part, count) for part in said)
        loss = negative_log_likelihood(
            of_hands,
            self._joints[chosen],
            self._tips[chosen],
            self._length[chosen],
            shown.left,
            self._view[chosen],
            self._pinches[chosen],
            shown.keypoints,
        )
        if shown.twins:
            loss = loss + self._settings.agreement_weight * _apart(of_hands, shown.twins)
        is_other = torch.arange(len(seen.window)) >= count
        return loss + _OTHERS_WEIGHT * F.binary_cross_entropy_with_logits(said[6], is_other.float())

    def show(self, rows: Tensor) -> Shown:
        """Hands, mirrored, turned and shifted, and then others.

        Where estimates are to agree the first hands come again, labelled a little differently and shifted elsewhere.
        """
        twins = round(len(rows) * _TWIN_SHARE) if self._settings.agreement_weight else 0
        first, chosen = len(rows), torch.cat((rows, rows[:twins]))
        count = len(chosen)
        mirrored = torch.rand(first, generator=self._generator) < 0.5
        mirrored = torch.cat((mirrored, mirrored[:twins]))
        left = torch.where(mirrored, 1 - self._left[chosen], self._left[chosen])
        hands, details = (
            torch.where(mirrored[:, None, None, None], some.flip(3), some)  # a left hand is a mirrored right one
            for some in (self._images[chosen], self._details[chosen])
        )
        if twins:
            again = flickered(hands[first:], details[first:], self._generator)
            hands, details = (
                torch.cat((some[:first], more)) for some, more in zip((hands, details), again, strict=True)
            )
        of_others = self._draw_others(hands, details)
        quarters, angles = self._draw_turns(count + len(of_others[0]))
        quarters[first:count], angles[first:count] = quarters[:twins], angles[:twins]
        windows, details = (
            _turned(torch.cat((own, others)), quarters, angles)
            for own, others in zip((hands, details), of_others, strict=True)
        )
        shifts = draw_shifts(len(windows), self._settings.shift_radius_px, self._generator)
        more = _ARM_OFF_RAD * torch.randn(len(windows), generator=self._generator)
        seen = see(self._autoencoder, windows, details, shifts, more)
        keypoints = self._keypoints_of(chosen, mirrored, quarters[:count], angles[:count], seen)
        return Shown(chosen, twins, seen, keypoints, left)

    def _keypoints_of(self, chosen: Tensor, mirrored: Tensor, quarters: Tensor, angles: Tensor, seen: Seen) -> Tensor:
        """(N, 21, 3) from the middle of what is seen in detail, as `keypoints` has them."""
        x, y, away = self._keypoints[chosen].unbind(2)
        x = torch.where(mirrored[:, None], -x, x)
        for number in (1, 2, 3):  # each quarter brings what lies right to the top
            x, y = (torch.where(quarters[:, None] >= number, one, other) for one, other in ((y, x), (-x, y)))
        cosine, sine = angles.cos()[:, None], angles.sin()[:, None]
        places = torch.stack((x * cosine - y * sine, x * sine + y * cosine), 2)
        if seen.middle is not None and seen.turn is not None:
            count = len(chosen)
            places = (places - seen.middle[:count, None]) @ seen.turn[:count]
        half_px, half_m = self._halves
        return torch.cat((places / half_px, away[..., None] / half_m), 2)

    def _draw_turns(self, count: int) -> tuple[Tensor, Tensor]:
        """Quarter turns (N,) and angles (N,): a camera may hang as it likes, and arms come from everywhere.

        Two of three turns are right angles, which blur nothing.
        """
        drawn = torch.rand(count, generator=self._generator) / max(self._settings.turned_share, 1e-9)
        kind = (drawn * 9).floor().long()
        quarters = torch.where((kind >= 1) & (kind <= 6), (kind - 1) % 3 + 1, 0)
        by_angle = (drawn < 1) & ((kind == 0) | (kind >= 7))
        return quarters, by_angle * 2 * math.pi * torch.rand(count, generator=self._generator)

    def _draw_others(self, hands: Tensor, details: Tensor) -> tuple[Tensor, Tensor]:
        """Windows of no hand, and the same in detail: drawn, or of real rooms in a third of the places."""
        count = max(1, round(self._settings.others_share * len(hands)))
        drawn = no_hands_like(
            hands[:count].numpy(), details[:count].numpy(), self._autoencoder.manifest.channels, self._rng
        )
        coarse, fine = drawn.windows, drawn.details
        real = self._others
        if real is not None and len(real.windows):
            rows = self._rng.integers(len(real.windows), size=count)
            steps = self._rng.choice([1, -1], count)
            for row in np.flatnonzero(self._rng.random(count) < 1 / 3):
                coarse[row] = real.windows[rows[row]][..., :: steps[row]]
                if details.shape[1]:
                    fine[row] = real.details[rows[row]][..., :: steps[row]]
        return torch.from_numpy(coarse), torch.from_numpy(fine)


def _apart(said: tuple[Any, ...], twins: int) -> Tensor:
    """How far apart joints, tips and pinches of hands and of their twins are said to be.

    Mean squares of joints and tips in units of how far off they may be, so that what is hard to see is not drawn to the
    mean; of pinches in probability; added up.
    """
    joints, joint_log, tips, tip_log, _, _, _, _, pinch, _ = said
    parts = ((joints, joint_log), (tips, tip_log[..., None]), (pinch.sigmoid(), None))
    terms = []
    for part, log in parts:
        off = (part[:twins] - part[-twins:]).square()
        if log is not None:
            off = off * torch.exp(-(log[:twins] + log[-twins:]).detach())
        terms.append(off.mean())
    return torch.stack(terms).sum()


def _first(part: Any, count: int) -> Any:
    """The first rows, of a tensor or of each of some."""
    return tuple(one[:count] for one in part) if isinstance(part, tuple) else part[:count]


def _turned(images: Tensor, quarters: Tensor, angles: Tensor) -> Tensor:
    """Images (N, C, S, S), bytes or 0..1, turned by quarters of a circle and by angles; `images` stays as it is."""
    if not images.shape[1]:
        return images
    result = images.clone()
    for number in (1, 2, 3):
        rows = quarters == number
        result[rows] = images[rows].rot90(number, (2, 3))
    rows = angles != 0
    if not rows.any():
        return result
    zero = torch.zeros_like(angles[rows])
    moved = place_by_pose(images[rows].float(), torch.stack((zero, zero, angles[rows], zero), 1))
    result[rows] = moved.round().to(images.dtype) if images.dtype == torch.uint8 else moved
    return result


def _groups(network: HandPoseNetwork, settings: HandPoseTraining) -> list[dict[str, object]]:
    """Matrices and kernels decay, vectors do not."""
    groups = []
    for matrices in (True, False):
        parameters = [weight for weight in network.parameters() if (weight.ndim > 1) == matrices]
        groups.append({"params": parameters, "weight_decay": settings.weight_decay if matrices else 0.0})
    return groups
