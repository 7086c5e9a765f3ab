"""What a hand detector is worth on frames with their truth: found, beside, false, overlaps, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import HAND, OBJECT
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import FoundHand, Segmentation, Sight
from tiae_training.world.clothes import ARM
from tiae_training.world.shards import StoredFrame

from .examples import Hands, hands_of

_NEAR_M = 0.09  # a window so near to a hand's middle is that hand's
_BOUNDS = ((0.0, 0.7), (0.7, 0.8), (0.8, 1.2), (1.2, 1.5))
_FARTHEST_M = 1.2  # farther hands have a figure of their own
_MOSTLY_SHOWN = 0.5  # see `Hands.shown`


@dataclass
class Tally:
    """Sums over frames; `figures` makes them readable."""

    found: list[tuple[float, float, bool]] = field(default_factory=list)  # distance, share shown, found
    arm_iou: list[float] = field(default_factory=list)  # of hand with arm
    held_iou: list[float] = field(default_factory=list)
    main_on_hand: list[bool] = field(default_factory=list)
    false_frames: list[bool] = field(default_factory=list)
    sure: list[tuple[float, bool]] = field(default_factory=list)  # confidence, is it a hand
    sides: list[bool] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        near = [(shown, found) for distance, shown, found in self.found if distance < _FARTHEST_M]
        result = {
            "hands": float(len(near)),
            "found": _mean([found for _, found in near]),
            "found_mostly_shown": _mean([found for shown, found in near if shown >= _MOSTLY_SHOWN]),
        }
        for low, high in _BOUNDS:
            result[f"found_{low:g}_{high:g}"] = _mean([found for z, _, found in self.found if low <= z < high])
        result |= {
            "hand_and_arm_iou": _mean(self.arm_iou),
            "held_iou": _mean(self.held_iou),
            "main_on_hand": _mean(self.main_on_hand),
            "false_frames": _mean(self.false_frames),
            "calibration_error": calibration_error(self.sure),
            "auc": auc(self.sure),
            "side": _mean(self.sides),
        }
        return result


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return float(np.mean(values)) if values else math.nan


def calibration_error(sure: list[tuple[float, bool]], bins: int = 10) -> float:
    """Expected calibration error (Guo et al. 2017) of confidences and what was true."""
    if not sure:
        return math.nan
    confidence, true = (np.array(part, float) for part in zip(*sure, strict=True))
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for one in range(bins):
        own = number == one
        if own.any():
            error += own.mean() * abs(confidence[own].mean() - true[own].mean())
    return float(error)


def auc(sure: list[tuple[float, bool]]) -> float:
    """Area under the ROC curve of true against false."""
    if not sure:
        return math.nan
    confidence, true = np.array([c for c, _ in sure]), np.array([t for _, t in sure])
    if true.all() or not true.any():
        return math.nan
    order = confidence.argsort(kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    for value in np.unique(confidence):  # ties share their rank
        ranks[confidence == value] = ranks[confidence == value].mean()
    return float((ranks[true].sum() - true.sum() * (true.sum() + 1) / 2) / (true.sum() * (~true).sum()))


def judge(
    detector: Segmentation, frames: Iterable[StoredFrame], *, use_color: bool = True, least: float = 0.5
) -> Tally:
    """Look at frames as the node does by default, each by itself. What tells no confidence is taken to be sure.

    `found` and `hands` are of hands up to 1.2 m, `found_mostly_shown` of those of which half of 70 square centimetres
    (of a grown hand) are seen; all else is of every window up to `depth_max_m`.
    """
    tally = Tally()
    everything = SegmentationSettings(hand_confidence_min=0.02)
    for frame in frames:
        color = frame.color if use_color else None
        generous = detector.see(color, frame.depth_m, everything, focal_px=frame.focal_px)
        sure = [hand for hand in generous.hands if hand.confidence is None or hand.confidence >= least]
        sight = Sight(generous.labels, sure, generous.road)
        hands = hands_of(frame)
        _count(tally, frame, hands, sight, generous)
    return tally


def _count(tally: Tally, frame: StoredFrame, hands: Hands, sight: Sight, generous: Sight) -> None:
    whose = whose_hands(sight.hands, frame, hands)
    for found, number in zip(generous.hands, whose_hands(generous.hands, frame, hands), strict=True):
        if found.confidence is not None and (number is None or hands.plain[number]):
            tally.sure.append((found.confidence, number is not None))
    tally.false_frames.append(any(number is None for number in whose))
    for n in np.flatnonzero(hands.plain).tolist():
        tally.found.append((float(hands.distance_m[n]), float(hands.shown[n]), n in whose))
        if n in whose:
            found = sight.hands[whose.index(n)]
            if found.left is not None:
                tally.sides.append((found.left > 0.5) == bool(hands.left[n]))
    if sight.hands and whose[0] is not None:
        window = sight.hands[0].window
        own = frame.owner == hands.number[whose[0]] + 1
        on = own & ((frame.labels == HAND) | (frame.labels == OBJECT))
        tally.main_on_hand.append(_at(on, window.center_x, window.center_y))
    elif sight.hands:
        tally.main_on_hand.append(False)
    told_hand, told_held = sight.labels == HAND, sight.labels == OBJECT
    for n in sorted({n for n in whose if n is not None}):
        own = frame.owner == hands.number[n] + 1
        around = _around(frame, hands, n)
        tally.arm_iou.append(_overlap(told_hand & around, own & np.isin(frame.labels, (HAND, ARM)) & around))
        true_held = own & (frame.labels == OBJECT) & around
        if true_held.sum() > 30:
            tally.held_iou.append(_overlap(told_held & around, true_held))


def _around(frame: StoredFrame, hands: Hands, n: int) -> NDArray[np.bool_]:
    """The pixels within a window's reach of a hand that are no other hand's."""
    height, width = frame.labels.shape
    ys, xs = np.ogrid[0:height, 0:width]
    x, y = hands.middle_px[n]
    radius = 0.14 * frame.focal_px / hands.distance_m[n]
    near = (xs - x) ** 2 + (ys - y) ** 2 <= radius**2
    return near & ((frame.owner == 0) | (frame.owner == hands.number[n] + 1))


def whose_hands(found: Sequence[FoundHand], frame: StoredFrame, hands: Hands) -> list[int | None]:
    """The hand of each window; a hand's second window, of which the detector is less sure, is nobody's."""
    whose: list[int | None] = [None] * len(found)
    for place in sorted(range(len(found)), key=lambda place: -(found[place].confidence or 0.0)):
        number = whose_hand(found[place], frame, hands)
        whose[place] = None if number in whose else number
    return whose


def whose_hand(found: FoundHand, frame: StoredFrame, hands: Hands) -> int | None:
    """The hand of a window: of those whose middle is near in the picture the nearest, or that of the centre's pixel."""
    if not len(hands.distance_m):
        return None
    x, y = found.middle or (found.window.center_x, found.window.center_y)
    off = np.hypot(hands.middle_px[:, 0] - x, hands.middle_px[:, 1] - y) * hands.distance_m / frame.focal_px
    near = np.flatnonzero(off <= _NEAR_M)
    if len(near):  # of hands behind each other the one as far away as the window
        return int(near[np.hypot(off, hands.distance_m - found.window.depth_m)[near].argmin()])
    row, column = round(found.window.center_y), round(found.window.center_x)
    height, width = frame.labels.shape
    if 0 <= row < height and 0 <= column < width and frame.labels[row, column] in (HAND, OBJECT):
        owners = np.flatnonzero(hands.number == int(frame.owner[row, column]) - 1)
        return int(owners[0]) if len(owners) else None
    return None


def _at(mask: NDArray[np.bool_], x: float, y: float) -> bool:
    row, column = round(y), round(x)
    return bool(0 <= row < mask.shape[0] and 0 <= column < mask.shape[1] and mask[row, column])


def _overlap(told: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    return float((told & true).sum() / max(1, (told | true).sum()))


def platt(logits: NDArray[np.float64], true: NDArray[np.bool_]) -> tuple[tuple[float, ...], float]:
    """Slopes and offset that make logits (N, K) calibrated (Platt 1999, with his softened targets).

    By Newton's method, whose steps are halved until they lead down (Lin, Lin and Weng 2007). More certain never counts
    less: a logit whose slope would be negative is left out and has a slope of 0, the first one of at least .001.
    """
    used = np.ones(logits.shape[1], bool)
    while True:
        slopes, offset = _line(logits[:, used], true)
        if (slopes[1:] >= 0).all():
            break
        used[np.flatnonzero(used)[1:][slopes[1:] < 0]] = False
    every = np.zeros(len(used))
    every[used] = slopes
    if every[0] < 1e-3:
        every[:], offset = 0.0, _line(logits[:, :0], true)[1]
        every[0] = 1e-3
    return tuple(every.tolist()), offset


def _line(logits: NDArray[np.float64], true: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Slopes (K,) and offset of the most likely logistic function."""
    positive, negative = int(true.sum()), int((~true).sum())
    target = np.where(true, (positive + 1) / (positive + 2), 1 / (negative + 2))
    given = np.column_stack([logits, np.ones(len(logits))])

    def loss(line: NDArray[np.float64]) -> float:
        told = given @ line
        return float((np.logaddexp(0, told) - target * told).sum())

    line = np.zeros(given.shape[1])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(given @ line, -40, 40)))
        gradient = given.T @ (chance - target)
        hessian = given.T @ ((chance * (1 - chance))[:, None] * given) + 1e-6 * np.eye(len(line))
        step, now = np.linalg.solve(hessian, gradient), loss(line)
        while np.abs(step).max() > 1e-9 and loss(line - step) > now:
            step = step / 2
        line = line - step
        if np.abs(step).max() < 1e-8:
            break
    return line[:-1], float(line[-1])
