"""Train the segmentation network on rendered frames.

    tiae simulate --out any.npz --count 15000 --seed 101 --subjects 0:1000 --channels frames
    tiae simulate --out desk.npz --count 9000 --seed 102 --subjects 0:1000 --channels frames --view desk
    tiae simulate --out held_out.npz --count 1000 --seed 901 --subjects 1000:1200 --channels frames
    python -m tiae_training.segmentation --data desk.npz any.npz --test held_out.npz --out runs/segmentation
    python -m tiae_training.segmentation --average runs/one runs/two --data desk.npz any.npz --out runs/segmentation
    python -m tiae_training.segmentation --calibrate runs/old --data desk.npz any.npz --out runs/with_8_bits
    python -m tiae_training.segmentation --data desk.npz any.npz --steps 20000 --keep 15000 --out runs/long
    python -m tiae_training.segmentation --start runs/old --widths 32 64 64 128 --data desk.npz any.npz --out runs/wider

Pictures without a hand in which a network sees one teach it most. They are picked out of many and learnt from beside
the others:

    tiae simulate --out empty.npz --count 8000 --seed 103 --subjects 0:1000 --channels frames --empty-share 1
    python -m tiae_training.segmentation --deceive runs/segmentation --data empty.npz --out deceiving.npz
    python -m tiae_training.segmentation --data desk.npz any.npz deceiving.npz --start runs/segmentation --out runs/two

One step: draw frames, look at each through another virtual camera (zoom, roll, mirror, crop), another light and a
worse depth sensor, sometimes without colour, and lower cross-entropy and 1 - Dice of hand and held thing. What makes a
network ready for cameras it has not met (worse depth, colour beside it) also tells it that outlines are vague; those of
``--plain-share`` are as sharp as the sensor makes them, of which ``--poor-depth-share`` have a poor sensor's depth.
``--beside`` on two cores and ``--precision bfloat16`` on CPUs that multiply so take less time; each line printed says.

A network runs in whole numbers of 8 bits where that is quicker (`tiae_ros.vision.eight_bit_network`). The ranges that
takes are found from some of the frames of ``--data``, or of ``--test`` where an average is given no others, and saved
with the model; ``--calibrate`` finds them for a model that has none.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.core.inference import without_normalisation
from tiae_ros.core.model_files import round_weights, write_durably
from tiae_ros.errors import DataError, ModelError, OutputError, ParameterError, TiaeError, TrainingError
from tiae_ros.vision.eight_bit_network import range_names
from tiae_ros.vision.segmentation_network import (
    INPUTS,
    STRIDE,
    SegmentationManifest,
    SegmentationNetwork,
    Segmenter,
    input_planes,
    load_network,
    save_segmentation,
)
from tiae_training.arrays import save_arrays
from tiae_training.train import autocast_type

SURPRISING_CELLS = 100  # about as many as a hand has at arm's length
SAVE_EVERY = 1000  # steps; what a kill may cost
CALIBRATION_LOOKS = 150
CALIBRATION_PERCENT = 99.999


@dataclass(frozen=True)
class SegmentationTraining:
    """How to train; saved with the model."""

    steps: int = 11000
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    height: int = 96
    width: int = 128
    colourless_share: float = 0.15
    second_hand_share: float = 0.0  # of pictures into which the hand of another frame is put
    matcher_share: float = 0.0  # of pictures whose depth comes from a matcher of large windows
    hidden_hand_share: float = 0.0  # of pictures in which much of the hand has no depth
    bare_hand_share: float = 0.0  # of pictures drawn from those with a hand that holds nothing, beside their own share
    plain_share: float = 0.0  # of pictures seen as they were rendered but for a shift, a mirror and the light
    poor_depth_share: float = 0.0  # of those: the depth alone is a poor sensor's
    surprise_weight: float = 0.0  # of the cells of a picture without a hand that look most like one
    seed: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "height", "width"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.height % STRIDE or self.width % STRIDE:
            raise ParameterError(f"{self.width}x{self.height} must be multiples of {STRIDE}")
        for name in (item.name for item in dataclasses.fields(self) if item.name.endswith("_share")):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be within 0 to 1")


@dataclass(frozen=True)
class FrameArrays:
    """Frames as `tiae simulate --channels frames` writes them."""

    color: NDArray[np.uint8]  # (N, H, W, 3)
    depth_mm: NDArray[np.uint16]  # (N, H, W), 0 nothing
    labels: NDArray[np.uint8]  # (N, H, W)
    focal_px: NDArray[np.float64]  # (N,)

    def __len__(self) -> int:
        return len(self.color)


def load_frames(paths: Sequence[Path]) -> FrameArrays:
    """Read and join frame files. Raises DataError."""
    parts = []
    for path in paths:
        try:
            with np.load(path, allow_pickle=False) as file:
                parts.append((file["color"], file["depth_mm"], file["segmentation"], file["k"][:, 0, 0]))
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{path} cannot be used ({error}); give what `tiae simulate --channels frames` writes"
            ) from None
    color, depth, labels, focal = (np.concatenate(column) for column in zip(*parts, strict=True))
    if color.shape != (*depth.shape, 3) or labels.shape != depth.shape or color.dtype != np.uint8:
        raise DataError(f"shapes do not fit: color {color.shape}, depth {depth.shape}, labels {labels.shape}")
    return FrameArrays(color, depth, labels, focal)


@dataclass(frozen=True)
class SeenFrame:
    """One frame as a camera saw it."""

    color: NDArray[np.uint8] | None  # (h, w, 3)
    depth_m: NDArray[np.float32]  # (h, w), 0 nothing
    labels: NDArray[np.uint8]  # (h, w)
    focal_px: float


def augmented(
    frames: FrameArrays, index: int, chance: np.random.Generator, settings: SegmentationTraining
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """One frame as another camera would have seen it: planes (h, w, 9) and labels (h, w)."""
    seen = seen_by_another(frames, index, chance, settings)
    return input_planes(seen.color, seen.depth_m, seen.focal_px), seen.labels


def seen_by_another(
    frames: FrameArrays, index: int, chance: np.random.Generator, settings: SegmentationTraining
) -> SeenFrame:
    """One frame as another camera would have seen it."""
    size_px = settings.width, settings.height
    if settings.plain_share and chance.random() < settings.plain_share:
        return _as_rendered(frames, index, chance, settings)
    color, depth_mm, labels, zoom = _another_view(frames, index, chance, size_px)
    if settings.second_hand_share and chance.random() < settings.second_hand_share:
        other = int(chance.integers(len(frames)))
        second = _another_view(frames, other, chance, size_px)
        closer = (
            frames.focal_px[index] * zoom / (frames.focal_px[other] * second[3])
        )  # so that it is as large in metres
        _put_in_front((color, depth_mm, labels), second[0], second[1] * closer, second[2])
    depth = worse_depth(depth_mm.astype(np.float32) / 1000, chance)
    if settings.matcher_share and chance.random() < settings.matcher_share:
        depth = matched_by_large_windows(depth, chance)
    if settings.hidden_hand_share and chance.random() < settings.hidden_hand_share:
        depth = without_parts_of_the_hand(depth, labels == 1, chance)
    size = chance.uniform(0.9, 1.1)  # of the whole scene
    seen = None if chance.random() < settings.colourless_share else other_light(color, chance)
    return SeenFrame(seen, (depth * size).astype(np.float32), labels, float(frames.focal_px[index]) * zoom)


def _as_rendered(
    frames: FrameArrays, index: int, chance: np.random.Generator, settings: SegmentationTraining
) -> SeenFrame:
    """The sensor's own pixels, moved by whole ones: outlines are as sharp as they will be when it is used."""
    height, width = frames.labels.shape[1:]
    free = (settings.height - height, settings.width - width)
    top, left = (int(chance.integers(min(0, slack), max(0, slack) + 1)) for slack in free)
    step = -1 if chance.random() < 0.5 else 1
    moved = np.array([[1, 0, left], [0, 1, top]], np.float64)
    color, depth_mm, labels = (
        np.ascontiguousarray(
            cv2.warpAffine(picture[index], moved, (settings.width, settings.height), flags=cv2.INTER_NEAREST)[:, ::step]
        )
        for picture in (frames.color, frames.depth_mm, frames.labels)
    )
    depth = depth_mm.astype(np.float32) / 1000
    if settings.poor_depth_share and chance.random() < settings.poor_depth_share:
        depth = poor_depth(depth, labels == 1, chance)
    elif chance.random() < settings.colourless_share:
        color = None
    if color is not None and chance.random() < 0.5:
        color = other_light(color, chance)
    return SeenFrame(color, depth, labels, float(frames.focal_px[index]))


def _another_view(
    frames: FrameArrays, index: int, chance: np.random.Generator, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint8], float]:
    """Zoom, roll, mirror, shift: depth along the optical axis stays what it was."""
    height, width = frames.labels.shape[1:]
    zoom = math.exp(chance.uniform(math.log(0.6), math.log(1.35)))
    roll = math.radians(float(chance.normal(0, 15)))
    if chance.random() < 0.15:
        roll = chance.uniform(-math.pi, math.pi)
    mirror = -1.0 if chance.random() < 0.5 else 1.0
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    target = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
    slack = np.maximum(np.abs(zoom * middle - target), 8) + 8
    target = target + chance.uniform(-1, 1, 2) * slack
    turn = zoom * np.array([[mirror * math.cos(roll), -mirror * math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    matrix = np.hstack([turn, (target - turn @ middle)[:, None]])
    border = cv2.BORDER_REFLECT_101 if chance.random() < 0.6 else cv2.BORDER_CONSTANT
    empty = tuple(chance.integers(0, 256, 3).tolist())
    color = cv2.warpAffine(frames.color[index], matrix, size, borderMode=border, borderValue=empty)
    depth = cv2.warpAffine(frames.depth_mm[index], matrix, size, flags=cv2.INTER_NEAREST, borderMode=border)
    labels = cv2.warpAffine(frames.labels[index], matrix, size, flags=cv2.INTER_NEAREST, borderMode=border)
    return color, depth, labels, zoom


def _put_in_front(
    onto: tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint8]],
    color: NDArray[np.uint8],
    depth_mm: NDArray[np.float64],
    labels: NDArray[np.uint8],
) -> None:
    """Put hand and held thing of another picture into one, where they are not behind what is there."""
    shown = (labels > 0) & ((depth_mm == 0) | (onto[1] == 0) | (depth_mm < onto[1]))
    for target, source in zip(onto, (color, depth_mm, labels), strict=True):
        target[shown] = source[shown]


def other_light(color: NDArray[np.uint8], chance: np.random.Generator) -> NDArray[np.uint8]:
    """Another white balance, saturation, exposure, tone curve, blur and noise.

    Mostly as cameras differ, so that skin stays a hint; every third picture far beyond, so that it is only a hint.
    """
    far = 1.0 if chance.random() < 0.35 else 0.35
    gains = np.diag(np.exp(chance.normal(0, 0.13 * far, 3)))
    grey = np.full((3, 3), 1 / 3)
    saturation = 1.0 + far * chance.uniform(-0.7, 0.2)
    mixing = gains @ (saturation * np.eye(3) + (1 - saturation) * grey) + chance.normal(0, 0.03 * far, (3, 3))
    mixing *= math.exp(chance.normal(0, 0.25 * far))
    changed = cv2.transform(color, mixing)
    tone = np.linspace(0, 1, 256) ** math.exp(chance.normal(0, 0.35 * far))
    changed = cv2.LUT(changed, np.clip(tone * 255, 0, 255).astype(np.uint8))
    if chance.random() < 0.3:
        changed = cv2.blur(changed, (3, 3))
    if chance.random() < 0.5:
        noise = chance.integers(-12, 13, changed.shape, np.int16)
        changed = np.clip(changed + noise, 0, 255).astype(np.uint8)
    return changed


def worse_depth(depth: NDArray[np.float32], chance: np.random.Generator) -> NDArray[np.float32]:
    """Smoothed as matchers do, fattened, beside the colour, cut off, with ragged holes (more at steps)."""
    shape = depth.shape
    if chance.random() < 0.5:
        side = int(chance.choice([3, 5, 7]))
        near = np.where(depth > 0, depth, np.float32(99))
        if chance.random() < 0.5:  # the nearer surface spreads
            near = cv2.erode(near, np.ones((3, 3), np.uint8))
            near = np.where(near < 99, near, np.float32(99))
        known = (near < 99).astype(np.float32)
        # A mean over what is on about the same surface as the nearest around.
        front = cv2.erode(near, np.ones((side, side), np.uint8))
        same = ((near < front + 0.04) & (near < 99)).astype(np.float32)
        total, count = cv2.blur(near * same, (side, side)), cv2.blur(same, (side, side))
        smooth = total / np.maximum(count, 1e-6)
        depth = np.where((known > 0) & (np.abs(smooth - near) < 0.04), smooth, near * known).astype(np.float32)
    if chance.random() < 0.3:
        depth = cv2.warpAffine(
            depth, np.float32([[1, 0, chance.uniform(-2, 2)], [0, 1, chance.uniform(-1, 1)]]), shape[::-1],
            flags=cv2.INTER_NEAREST,
        )  # fmt: skip
    if chance.random() < 0.6:
        steps = cv2.morphologyEx(depth, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0.03
        reach = int(chance.choice([3, 5, 7, 9]))
        ragged = cv2.resize(
            chance.random((shape[0] // 4, shape[1] // 4), np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC
        )
        ragged += chance.random(shape, np.float32) * 0.3
        anchor = (int(chance.integers(0, reach)), reach // 2)  # shadows lie to one side
        beside = cv2.dilate(steps.astype(np.uint8), np.ones((reach, reach), np.uint8), anchor=anchor) > 0
        anywhere = chance.uniform(-0.3, 0.25)
        depth[(ragged < anywhere) | (beside & (ragged < chance.uniform(0.2, 1.1)))] = 0
    for _ in range(int(chance.integers(0, 3))):
        middle = (int(chance.integers(0, shape[1])), int(chance.integers(0, shape[0])))
        axes = (int(chance.integers(1, shape[1] // 8)), int(chance.integers(1, shape[0] // 8)))
        depth = cv2.ellipse(np.ascontiguousarray(depth), middle, axes, float(chance.uniform(0, 180)), 0, 360, 0, -1)
    if chance.random() < 0.15:
        depth = np.where(depth < chance.uniform(0.6, 1.5), depth, np.float32(0))
    return depth


def matched_by_large_windows(depth: NDArray[np.float32], chance: np.random.Generator) -> NDArray[np.float32]:
    """As block matchers see: fingers grow together or vanish, outlines are coarse, a broad shadow lies to one side."""
    side = int(chance.choice([3, 5, 7, 11, 15]))
    kernel = np.ones((side, side), np.uint8)
    farthest = np.float32(99)
    near = np.where(depth > 0, depth, farthest)
    if chance.random() < 0.7:  # the nearer surface spreads, and gaps close
        seen = cv2.erode(near, kernel)
        if chance.random() < 0.5:
            seen = cv2.dilate(seen, kernel)
    else:  # what is thinner than the window is lost to what lies behind
        seen = cv2.dilate(np.where(near < farthest, near, np.float32(0)), kernel)
        seen = cv2.erode(np.where(seen > 0, seen, farthest), kernel)
    seen = cv2.medianBlur(seen, 5)
    reach = int(chance.integers(5, 26))
    anchor = (0 if chance.random() < 0.5 else reach - 1, 0)
    # A shadow is as broad as the step is high: what is nearest around tells how far it reaches.
    beside = cv2.erode(seen, np.ones((1, reach), np.uint8), anchor=anchor)
    seen[seen > beside + np.float32(chance.uniform(0.05, 0.3))] = 0
    return np.where((seen < farthest) & (depth > 0), seen, np.float32(0)).astype(np.float32)


def without_parts_of_the_hand(
    depth: NDArray[np.float32], hand: NDArray[np.bool_], chance: np.random.Generator
) -> NDArray[np.float32]:
    """Holes on the hand, or it all at the depth of what lies around: colour has to tell."""
    rows, columns = np.nonzero(hand)
    if not len(rows):
        return depth
    depth = depth.copy()
    if chance.random() < 0.2:
        around = depth[~hand & (depth > 0)]
        depth[hand] = np.median(around) if len(around) and chance.random() < 0.5 else 0
        return depth
    reach = max(2, round(0.4 * math.sqrt(len(rows))))
    for _ in range(int(chance.integers(1, 5))):
        place = int(chance.integers(len(rows)))
        axes = (int(chance.integers(1, reach + 1)), int(chance.integers(1, reach + 1)))
        depth = cv2.ellipse(
            depth, (int(columns[place]), int(rows[place])), axes, float(chance.uniform(0, 180)), 0, 360, 0, -1
        )
    return depth


def poor_depth(depth: NDArray[np.float32], hand: NDArray[np.bool_], chance: np.random.Generator) -> NDArray[np.float32]:
    """Depth of a matcher of large windows, or with parts of the hand gone, or both; it stays where the colour is."""
    kind = int(chance.integers(3))
    if kind != 1:
        depth = matched_by_large_windows(depth, chance)
    return depth if kind == 0 else without_parts_of_the_hand(depth, hand, chance)


def objective(scores: Tensor, labels: Tensor, surprise_weight: float = 0.0) -> Tensor:
    """Cross-entropy plus 1 - Dice of hand and held thing, over the batch.

    surprise_weight: of the cross-entropy of the cells that look most like a hand in pictures without one. Among the
    thousands of cells that are rightly nothing, the hundred that make a false window hardly count.
    """
    weight = torch.tensor([1.0, 1.2, 2.0], dtype=scores.dtype)
    entropy = F.cross_entropy(scores, labels, weight=weight)
    shares = torch.softmax(scores, dim=1)
    dice = []
    for value in (1, 2):
        true = (labels == value).to(scores.dtype)
        share = shares[:, value]
        dice.append((2 * (share * true).sum() + 1) / (share.sum() + true.sum() + 1))
    total = entropy + 0.5 * (1 - dice[0]) + 0.5 * (1 - dice[1])
    empty = (labels == 0).flatten(1).all(1)
    if surprise_weight and bool(empty.any()):
        likeliest = shares[empty, 1].flatten(1).topk(SURPRISING_CELLS, dim=1).values
        total = total - surprise_weight * torch.log1p(-likeliest.clamp_max(1 - 1e-6)).mean()
    return total


class _Batches(torch.utils.data.IterableDataset[tuple[Tensor, Tensor]]):
    """Batches without end, the same for the same seed: planes (B, h, w, 9) and labels (B, h, w)."""

    def __init__(self, frames: FrameArrays, settings: SegmentationTraining) -> None:
        self._frames, self._settings = frames, settings
        self._bare = bare_hands(frames) if settings.bare_hand_share else np.empty(0, np.int64)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        frames, settings = self._frames, self._settings
        chance = np.random.default_rng(settings.seed)
        order: list[int] = []
        while True:
            planes = np.zeros((settings.batch_size, settings.height, settings.width, INPUTS), np.float32)
            labels = np.zeros((settings.batch_size, settings.height, settings.width), np.uint8)
            for row in range(settings.batch_size):
                if not order:
                    order = chance.permutation(len(frames)).tolist()
                index = order.pop()
                if settings.bare_hand_share and chance.random() < settings.bare_hand_share:
                    index = int(chance.choice(self._bare))
                planes[row], labels[row] = augmented(frames, index, chance, settings)
            yield torch.from_numpy(planes), torch.from_numpy(labels)


def train(
    frames: FrameArrays,
    settings: SegmentationTraining,
    *,
    start: SegmentationNetwork | None = None,
    manifest: SegmentationManifest | None = None,
    report: Callable[[int, float], None] | None = None,
    beside: bool = False,
) -> SegmentationNetwork:
    """Train a network (from `start`, if given). Raises TrainingError for a loss that is not finite.

    beside: draw frames in a process of its own, which takes less time on two cores and gives the same network.
    """
    torch.manual_seed(settings.seed)
    network = (start or SegmentationNetwork(manifest)).to(memory_format=torch.channels_last).train()
    reduced = autocast_type(settings.precision, torch.device("cpu"))
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    ahead = {"num_workers": 1, "prefetch_factor": 4} if beside else {}
    batches = iter(torch.utils.data.DataLoader(_Batches(frames, settings), batch_size=None, **ahead))
    mean = math.nan
    for step in range(settings.steps):
        planes, labels = next(batches)
        inputs = planes.permute(0, 3, 1, 2)  # (B, 9, h, w), channels last in memory
        with torch.autocast("cpu", reduced, enabled=reduced is not None):
            scores = network(inputs)
        loss = objective(scores.float(), labels.long(), settings.surprise_weight)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"the loss is {value} at step {step}; lower the learning rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        mean = value if math.isnan(mean) else 0.98 * mean + 0.02 * value
        if report and (step % 50 == 49 or step == settings.steps - 1):
            report(step + 1, mean)
    return network.eval()


def widened(network: SegmentationNetwork, widths: Sequence[int]) -> SegmentationNetwork:
    """A network of more channels that gives what this one does, and can learn more (Net2Net, arXiv 1511.05641).

    Nothing that was there is given what the new channels make, until training finds a use for it.

    Raises:
        ParameterError: fewer channels than there are.
    """
    narrow = network.manifest
    if any(wide < old for wide, old in zip(widths, narrow.widths, strict=True)):
        raise ParameterError(f"widths are {list(widths)}; at least {list(narrow.widths)} is what the network has")
    wide = SegmentationNetwork(dataclasses.replace(narrow, widths=tuple(widths), activation_ranges={}))
    old = network.state_dict()
    with torch.no_grad():
        for name, values in wide.state_dict().items():
            if values.dim() < 2:
                values[tuple(map(slice, old[name].shape))] = old[name]
            else:
                outputs, inputs = old[name].shape[:2]
                values[:outputs, inputs:] = 0
                values[:outputs, :inputs] = old[name]
    return wide.train(network.training)


def without_second_look(network: SegmentationNetwork) -> SegmentationNetwork:
    """The network alone: what looks again knows the mistakes of the weights as they were."""
    network.manifest = dataclasses.replace(network.manifest, second_look=False)
    network.second_look = None
    return network


def bare_hands(frames: FrameArrays) -> NDArray[np.int64]:
    """Frames whose hand holds nothing. Raises DataError where there are none."""
    cells = frames.labels.reshape(len(frames), -1)
    bare = np.flatnonzero([bool((one == 1).any()) and not bool((one == 2).any()) for one in cells])
    if not len(bare):
        raise DataError(f"bare_hand_share: none of {len(frames)} frames shows a hand that holds nothing; leave it at 0")
    return bare


def evaluate(network: SegmentationNetwork, frames: FrameArrays, *, colour: bool = True) -> dict[str, float]:
    """Intersection over union of all cells of the frames at the network's own grid, without any cleaning.

    As it was trained (``hand_iou``, ``object_iou``), and in 8 bits (the same with ``_int8``) where it runs so here.
    """
    segmenters = {"": Segmenter(network, eight_bits=False), "_int8": Segmenter(network)}
    return {
        f"{name}{suffix}": value
        for suffix, segmenter in segmenters.items()
        if not suffix or segmenter.precision == "int8"
        for name, value in _overlaps(segmenter, frames, colour).items()
    }


def _overlaps(segmenter: Segmenter, frames: FrameArrays, colour: bool) -> dict[str, float]:
    both, either = np.zeros(3), np.zeros(3)
    for index in range(len(frames)):
        seen = frames.color[index] if colour else None
        depth = frames.depth_mm[index].astype(np.float32) / 1000
        scores = scores_of(segmenter, seen, depth, float(frames.focal_px[index]))
        found, true = scores.argmax(0), frames.labels[index]
        for value in (1, 2):
            both[value] += ((found == value) & (true == value)).sum()
            either[value] += ((found == value) | (true == value)).sum()
    return {"hand_iou": float(both[1] / max(either[1], 1)), "object_iou": float(both[2] / max(either[2], 1))}


@torch.inference_mode()
def deceiving(network: SegmentationNetwork, frames: FrameArrays, least_m2: float = 4e-4) -> NDArray[np.int64]:
    """Indices of the frames without a hand in which the network sees at least so many square metres of one."""
    segmenter, chosen = Segmenter(network, eight_bits=False), []
    for index in range(len(frames)):
        if (frames.labels[index] > 0).any():
            continue
        depth = frames.depth_mm[index].astype(np.float32) / 1000
        hand = scores_of(segmenter, frames.color[index], depth, float(frames.focal_px[index])).argmax(0) == 1
        if np.square(depth[hand] / frames.focal_px[index]).sum() >= least_m2:
            chosen.append(index)
    return np.array(chosen, np.int64)


def scores_of(
    segmenter: Segmenter, color: NDArray[np.uint8] | None, depth: NDArray[np.float32], focal_px: float
) -> NDArray[np.float32]:
    """Class scores (3, H, W) of one frame at the network's own grid; depth in metres, 0 nothing."""
    return segmenter.scores(input_planes(color, depth, focal_px).transpose(2, 0, 1))


@torch.inference_mode()
def activation_ranges(
    network: SegmentationNetwork, frames: FrameArrays, settings: SegmentationTraining, *, looks: int = CALIBRATION_LOOKS
) -> dict[str, tuple[float, float]]:
    """Least and greatest number of each of `range_names`, leaving out one of 100,000 at either end.

    The frames are looked at as in training (`augmented`), by the seed of the settings.
    """
    plain = without_normalisation(network)
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in range_names(network.manifest.blocks)}
    for name, parts in found.items():
        if name.startswith("sum"):  # what the layer of that level is given
            layer = plain.get_submodule(name.replace("sum", "up"))
            layer.register_forward_pre_hook(functools.partial(_note_given, parts))
        else:
            plain.get_submodule(name).register_forward_hook(functools.partial(_note_made, parts))
    chance = np.random.default_rng(settings.seed)
    for index in chance.integers(0, len(frames), looks):
        planes, _ = augmented(frames, int(index), chance, settings)
        plain(torch.from_numpy(planes).permute(2, 0, 1)[None])
    ranges = {}
    for name, parts in found.items():
        least, greatest = np.percentile(np.concatenate(parts), (100 - CALIBRATION_PERCENT, CALIBRATION_PERCENT))
        low = min(0.0, float(least)) if name.startswith("sum") else 0.0
        ranges[name] = float(f"{low:.5g}"), float(f"{max(float(greatest), 1e-6):.5g}")
    return ranges


def _note_given(parts: list[NDArray[np.float32]], _layer: nn.Module, given: tuple[Tensor, ...]) -> None:
    parts.append(given[0].numpy().ravel())


def _note_made(parts: list[NDArray[np.float32]], _layer: nn.Module, _given: tuple[Tensor, ...], made: Tensor) -> None:
    parts.append(made.numpy().ravel())


def average(networks: Sequence[SegmentationNetwork]) -> SegmentationNetwork:
    """The mean of the weights of networks that began from one another (Wortsman et al. 2022, arXiv 2203.05482).

    It does what each of them has learnt, and is surer than each of what is no hand. Raises ModelError where they differ
    in shape.
    """
    first = networks[0].manifest
    if any((network.manifest.widths, network.manifest.blocks) != (first.widths, first.blocks) for network in networks):
        raise ModelError("networks of different shapes have no mean; give some that began from one another")
    states = [network.state_dict() for network in networks]
    mean = SegmentationNetwork(SegmentationManifest(widths=first.widths, blocks=first.blocks))
    mean.load_state_dict(
        {name: torch.stack([state[name].double() for state in states]).mean(0) for name in mean.state_dict()}
    )
    return mean.eval()


def card_text(manifest: SegmentationManifest) -> str:
    """What the network is, for people."""
    lines = [
        f"# {manifest.model_id}",
        "",
        "Hand (with arm and sleeve) / held thing / nothing, from colour and registered depth, or from depth alone.",
        f"U-Net, channels {', '.join(map(str, manifest.widths))}, on a grid of about 160 x 120 cells.",
        *(["Regions that it is half sure of are looked at a second time, close up."] if manifest.second_look else []),
        "",
        "## Trained",
        "",
        "Only on rendered frames of `tiae simulate --channels frames`; no camera picture was used.",
        "",
    ]
    lines += [f"* {name}: `{value}`" for name, value in manifest.training.items()]
    lines += ["", "## Measured on held-out renders (IoU of all cells)", "", "| measure | value |", "|---|---|"]
    lines += [f"| {name} | {value:.3f} |" for name, value in manifest.measures.items()]
    if manifest.activation_ranges:
        lines += [
            "",
            "On CPUs with AVX-512 VNNI it runs in whole numbers of 8 bits, in about 0.6 of the time. What that costs",
            "is the difference to the rows with `_int8`. Without `activation_ranges` in the manifest it is float32.",
        ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", metavar="FRAMES.npz", help="frames to learn from")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--average",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="train nothing: the mean of these models; one given twice counts twice",
    )
    what.add_argument(
        "--deceive", type=Path, metavar="DIR", help="train nothing: write those of --data that deceive this model"
    )
    what.add_argument(
        "--calibrate", type=Path, metavar="DIR", help="train nothing: this model, with ranges for 8 bits from --data"
    )
    parser.add_argument("--test", type=Path, nargs="+", metavar="FRAMES.npz", help="held-out frames")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder (or FRAMES.npz) to write")
    parser.add_argument("--start", type=Path, metavar="DIR", help="go on from this model")
    parser.add_argument(
        "--widths", type=int, nargs=4, metavar="CHANNELS", help="at 1/2, 1/4, 1/8, 1/16; wider than --start is widened"
    )
    for item in dataclasses.fields(SegmentationTraining):
        parser.add_argument(
            f"--{item.name.replace('_', '-')}", type=type(item.default), default=item.default, help="%(default)s"
        )
    parser.add_argument(
        "--beside", action="store_true", help="draw frames in a process of its own: quicker on two cores"
    )
    parser.add_argument(
        "--keep",
        type=int,
        metavar="STEP",
        help=f"also write DIR_STEP, the network after so many steps (a multiple of {SAVE_EVERY}), for --average",
    )
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args(arguments)
    if not options.data and not options.average:
        parser.error("--data is needed: frames to learn from, or for --calibrate")
    trains_nothing = next((name for name in ("average", "deceive", "calibrate") if getattr(options, name)), "")
    beside = next((name for name in ("start", "widths", "keep") if getattr(options, name)), "")
    if trains_nothing and beside:
        parser.error(f"--{beside} is for training; --{trains_nothing} trains nothing")
    options.words = list(arguments if arguments is not None else sys.argv[1:])
    try:
        return _run(options)
    except TiaeError as error:
        print(f"segmentation: error: {error}", file=sys.stderr)
        return 2


def _kept_folder(options: argparse.Namespace) -> Path:
    """Where the network of step ``--keep`` goes."""
    out: Path = options.out
    return out.with_name(f"{out.name}_{options.keep}")


def _run(options: argparse.Namespace) -> int:
    for folder in (options.out, *([_kept_folder(options)] if options.keep else [])):
        if folder.exists() and not options.overwrite:
            raise OutputError(f"{folder} exists; give another --out or --overwrite")
    if options.keep is not None and (options.keep % SAVE_EVERY or not 0 < options.keep <= options.steps):
        raise ParameterError(f"keep is {options.keep}; it must be a multiple of {SAVE_EVERY} up to {options.steps}")
    if options.deceive:
        return _deceiving(options)
    test = load_frames(options.test) if options.test else None
    data = load_frames(options.data) if options.data else None
    names = [item.name for item in dataclasses.fields(SegmentationTraining)]
    settings = SegmentationTraining(**{name: getattr(options, name) for name in names})
    command = "python -m tiae_training.segmentation " + " ".join(options.words)
    measures: dict[str, float] = {}
    if options.calibrate:
        network = load_network(options.calibrate)
        training = {**network.manifest.training, "calibration": command}
        # Those in 8 bits were by other ranges.
        measures = {name: value for name, value in network.manifest.measures.items() if "_int8" not in name}
    else:
        network, training = _averaged(options) if data is None or options.average else _trained(options, data, settings)
        training = {"command": command, **training}
    round_weights(network)  # what is measured is what is stored
    calibration = test if data is None else data
    if calibration is not None:
        ranges = activation_ranges(network, calibration, settings)
        network.manifest = dataclasses.replace(network.manifest, activation_ranges=ranges)
    if test is not None:
        measures = {}
        for suffix, colour in (("", True), ("_depth_only", False)):
            for name, value in evaluate(network, test, colour=colour).items():
                measures[name + suffix] = round(value, 4)
    save_segmentation(network, options.out, training=training, measures=measures)
    write_durably(options.out / "card.md", card_text(network.manifest).encode())
    print(f"{options.out}: {measures}")
    return 0


def _deceiving(options: argparse.Namespace) -> int:
    network, frames = load_network(options.deceive), load_frames(options.data)
    chosen = deceiving(network, frames)
    if not len(chosen):
        raise DataError(f"none of {len(frames)} frames deceives {options.deceive}; give more frames without a hand")
    k = np.zeros((len(chosen), 3, 3))
    k[:, 0, 0] = k[:, 1, 1] = frames.focal_px[chosen]
    content = {"color": frames.color, "depth_mm": frames.depth_mm, "segmentation": frames.labels}
    save_arrays(options.out, {**{name: a[chosen] for name, a in content.items()}, "k": k}, overwrite=options.overwrite)
    print(f"{options.out}: {len(chosen)} of {len(frames)} frames")
    return 0


def _trained(
    options: argparse.Namespace, frames: FrameArrays, settings: SegmentationTraining
) -> tuple[SegmentationNetwork, dict[str, Any]]:
    start = without_second_look(load_network(options.start)) if options.start else None
    begun_with = {} if start is None else dict(start.manifest.training)  # what is saved on the way replaces it
    torch.manual_seed(settings.seed)
    network = start or SegmentationNetwork()
    if options.widths:
        widths = tuple(options.widths)
        network = widened(start, widths) if start else SegmentationNetwork(SegmentationManifest(widths=widths))
    network.manifest = dataclasses.replace(network.manifest, activation_ranges={})  # those it began with go
    training = {
        "data": " ".join(path.name for path in options.data),
        "frames": len(frames),
        "settings": dataclasses.asdict(settings),
        "torch": torch.__version__,
    }
    if start is not None:
        training["started from"] = begun_with
    began = time.monotonic()

    def report(step: int, loss: float) -> None:
        print(f"step {step}/{settings.steps}  loss {loss:.3f}  {time.monotonic() - began:.0f} s", flush=True)
        if step % SAVE_EVERY == 0:
            on_the_way = {"unfinished": f"step {step} of {settings.steps}", **training}
            for folder in (options.out, *([_kept_folder(options)] if step == options.keep else [])):
                save_segmentation(network, folder, training=on_the_way)

    train(frames, settings, start=network, report=report, beside=options.beside)
    return network, training


def _averaged(options: argparse.Namespace) -> tuple[SegmentationNetwork, dict[str, Any]]:
    networks = [load_network(folder) for folder in options.average]
    parts = {
        f"of {folder.name}": dict(n.manifest.training) for folder, n in zip(options.average, networks, strict=True)
    }
    return average(networks), parts


if __name__ == "__main__":
    sys.exit(main())
