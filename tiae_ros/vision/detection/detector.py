"""Hands, what they hold and their windows, by two looks; a hand that was found is followed by its crop.

    whole picture:  grid -> proposals -> a crop each -> hand or not, masks, middle -> windows, labels
    followed:       the crop around where the hand was -> the same; a hand that does not move keeps its crop

The networks are graphs of a model folder, which `tiae_ros.model.hand_detector` opens; here, any functions of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ModelError
from tiae_ros.vision.detection import close_up
from tiae_ros.vision.detection.close_up import CELLS, FAR_FACTOR, SIDE_M, Crop, crop_at, crop_pictures
from tiae_ros.vision.detection.proposals import grid_of, proposals_of
from tiae_ros.vision.labels import HAND, OBJECT, Floats, Labels, Picture, check_images
from tiae_ros.vision.masks import distance_inside
from tiae_ros.vision.segmentation.settings import SegmentationSettings, usable_focal_px
from tiae_ros.vision.sight import FOLLOWED, WHOLE_PICTURE, FoundHand, Segmentation, Sight
from tiae_ros.vision.window import Window, has_reading

_LEAST_SCORE = 0.08  # of a proposal: generous, since the second look decides
_MOST_LOOKS = 4
_LIKELY_SCORE = 0.2  # the best place is looked at anyway, others from this score on
_AGAIN_M = 0.05  # a hand whose middle lies farther from its crop's is looked at once more ...
_AGAIN_LOGIT = -1.4  # ... if the second look alone gives it a chance of a fifth
# A dead band: a known hand that has hardly moved or turned is looked at in the same place. Then its outlines do not
# flicker with where the cells happen to lie.
_STAYS_M, _STAYS_COSINE = 0.008, math.cos(math.radians(8))
_SAME_PLACE_M = 0.05  # from a known hand to a proposal that is its own: nine in ten lie nearer
_SURE = 0.8  # what is less sure to be a hand is looked at where it is proposed: a second opinion, by which it may go
_SAME_HAND_M = 0.06  # between middles in the picture, of what is about as far away:
_SAME_DEPTH_FACTOR = 1.3
_GRASP_RADIUS_M = 0.11  # from the middle of a hand to the far side of what it holds
# A window's centre lies so far inside the hand's outline, if that is near enough: in the palm, as fingers are thinner.
_INSIDE_M, _INSIDE_WEIGHT = 0.016, 2.0  # a millimetre farther inside is worth two of way
_FINER = 4  # outlines are drawn so much finer than cells, which is quicker than to interpolate scores for each pixel
_CENTER_STEPS_PER_PX = 64.0  # centres are kept in steps that floating point adds to whole pixels without rounding


class Calibration(NamedTuple):
    """Confidence: the logistic function of ``slope * logit + offset + proposal_slope * proposal's logit`` (Platt 1999).

    The first look sees a hand's surroundings, the second one its details; both together tell more than either.
    """

    slope: float = 1.0
    offset: float = 0.0
    proposal_slope: float = 0.0


class _Place(NamedTuple):
    """Where a hand is supposed."""

    x: float  # pixels
    y: float
    arm: tuple[float, float]
    depth_m: float
    score: float  # of the proposal
    still: bool = False  # the crop of a known hand, surely one, that does not move


@dataclass(frozen=True)
class _Seen:
    """One crop as the second network sees it."""

    crop: Crop
    proposal_score: float
    scores: Floats  # (4, CELLS, CELLS)
    logit: float  # of its being a hand, as the second look alone sees it
    confidence: float
    left: float
    middle: tuple[float, float]  # pixels
    arm: tuple[float, float]
    depth: Floats  # (CELLS, CELLS)


class HandDetector(Segmentation):
    """The two networks, ready to be called.

    Attributes:
        name: for people and diagnostics.
        calibration: of the confidence.
    """

    def __init__(
        self,
        proposals: Callable[[Floats], list[Floats]],
        look: Callable[[Floats], list[Floats]],
        name: str,
        calibration: tuple[float, ...] = Calibration(),
    ) -> None:
        """Args:
        proposals: planes (1, 6, H, W) -> answers (1, 7, H/8, W/8).
        look: planes (N, 5, 96, 96) -> class scores (N, 4, 96, 96) and facts (N, 6).
        calibration: the numbers of `Calibration`.
        """
        self.name = name
        self._proposals, self._look = proposals, look
        self.calibration = Calibration(*calibration)

    def segment(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
    ) -> Labels:
        """Labels alone, as `see`."""
        return self.see(color, depth_m, settings, focal_px=focal_px).labels

    def see(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
        metric_size_m: float = 0.30,
        before: Sequence[FoundHand] = (),
        redetect: bool = False,
    ) -> Sight:
        """Hands of a picture.

        Args:
            color: rgb (H, W, 3) uint8, or None to go by depth alone.
            depth_m: registered depth (H, W) float32 metres, NaN (or anything not above 0) where there is none.
            settings: least confidence, farthest depth, views.
            focal_px: of the picture; without one, that of a usual camera is assumed.
            metric_size_m: of windows.
            before: hands of the picture before. Where all of them are found again the whole picture is not looked at.
            redetect: look at the whole picture all the same; a hand of before that is proposed again where it was, is
                surely one and does not move keeps its crop.

        Raises:
            ImageError: colour and depth are not of one size, or not images at all.
            ModelError: a network gave a number that is not finite.
        """
        settings = settings or SegmentationSettings()
        check_images(color, depth_m)
        focal = usable_focal_px(focal_px, max(depth_m.shape))
        nothing = Sight(np.zeros(depth_m.shape, np.uint8), [], WHOLE_PICTURE)
        if not has_reading(depth_m[::4, ::4]).any() and not has_reading(depth_m).any():
            return nothing
        road = FOLLOWED
        known = [place for hand in before if (place := _place_of(hand)) is not None]
        places = [] if redetect else known
        found = self._found(color, depth_m, focal, places, settings, metric_size_m)
        if not places or len(found) < len(before):
            road = WHOLE_PICTURE
            grid = grid_of(color, depth_m, focal)
            answers = self._proposals(grid.padded)[0][0]
            _check(answers)
            proposed = [
                _Place(place.x, place.y, place.arm, place.depth_m, place.score)
                for place in proposals_of(answers, grid, _LEAST_SCORE, _MOST_LOOKS)
                if place.depth_m <= 1.3 * settings.depth_max_m
            ]
            still = (
                [place for place in known if place.still]
                if redetect
                else [
                    _Place(one.crop.x, one.crop.y, one.crop.arm, one.crop.depth_m, 0.0, still=True)
                    for one, _ in found
                    if one.confidence >= _SURE
                ]
            )
            places = [
                place
                for number, place in enumerate(_matched(proposed, still, focal))
                if not number or place.still or place.score >= _LIKELY_SCORE
            ]
            found = self._found(color, depth_m, focal, places, settings, metric_size_m)
        labels = nothing.labels
        for one, _ in found:
            _paste(labels, one)
        hands = [
            FoundHand(window, one.confidence, one.left, one.crop, one.middle, one.arm, one.proposal_score)
            for one, window in found
        ]
        return Sight(labels, sorted(hands, key=lambda hand: hand.window.depth_m), road)

    def _found(
        self,
        color: Picture | None,
        depth_m: Floats,
        focal: float,
        places: Sequence[_Place],
        settings: SegmentationSettings,
        metric_size_m: float,
    ) -> list[tuple[_Seen, Window]]:
        """The hands at some places, each once, the surest first."""
        counted = [
            one
            for one in self._seen(color, depth_m, focal, places, settings.hand_views)
            if one.confidence >= settings.hand_confidence_min and one.crop.depth_m <= settings.depth_max_m
        ]
        windows = [(one, _window_of(one, focal, metric_size_m)) for one in counted]
        return _without_doubles([(one, window) for one, window in windows if window is not None], focal)

    def _seen(
        self,
        color: Picture | None,
        depth_m: Floats,
        focal: float,
        places: Sequence[_Place],
        views: int,
    ) -> list[_Seen]:
        """Each place looked at; those whose hand lies beside the crop's middle are looked at again there."""
        crops = [crop_at(place.x, place.y, place.arm, place.depth_m, depth_m, focal) for place in places]
        first = self._looked(color, depth_m, crops, [place.score for place in places], views)
        again = [
            number
            for number, one in enumerate(first)
            if one.logit > _AGAIN_LOGIT
            and math.dist(one.middle, (one.crop.x, one.crop.y)) > _AGAIN_M / SIDE_M * one.crop.side_px
        ]
        crops = [
            crop_at(*first[number].middle, first[number].arm, first[number].crop.depth_m, depth_m, focal)
            for number in again
        ]
        scores = [first[number].proposal_score for number in again]
        for number, one in zip(again, self._looked(color, depth_m, crops, scores, views), strict=True):
            if one.logit >= first[number].logit:
                first[number] = one
        return first

    def _looked(
        self,
        color: Picture | None,
        depth_m: Floats,
        crops: Sequence[Crop],
        proposal_scores: Sequence[float],
        views: int,
    ) -> list[_Seen]:
        if not crops:
            return []
        pictures = [crop_pictures(color, depth_m, crop) for crop in crops]
        planes = [close_up.planes_of(c, d, crop.depth_m) for (c, d), crop in zip(pictures, crops, strict=True)]
        shown = np.stack(planes)
        scores, facts = self._look(shown if views == 1 else np.concatenate((shown, _mirrored(shown))))
        _check(scores)
        _check(facts)
        if views > 1:
            scores, facts = _mean_of_views(scores, facts)
        result = []
        slope, offset, proposal_slope = self.calibration
        for crop, proposal_score, (_, depth), score, fact in zip(
            crops, proposal_scores, pictures, scores, facts, strict=True
        ):
            logit, side, dx, dy, ax, ay = (float(value) for value in fact)
            middle = (CELLS - 1) / 2
            at = crop.pixel(middle + 0.5 * CELLS * dx, middle + 0.5 * CELLS * dy)
            norm = math.hypot(ax, ay)
            arm = crop.direction(ax / norm, ay / norm) if norm > 1e-6 else crop.arm
            confidence = sigmoid(slope * logit + offset + proposal_slope * logit_of(proposal_score))
            result.append(_Seen(crop, proposal_score, score, logit, confidence, sigmoid(side), at, arm, depth))
        return result


def _mirrored(pictures: Floats) -> Floats:
    return np.ascontiguousarray(pictures[..., ::-1])


def _mean_of_views(scores: Floats, facts: Floats) -> tuple[Floats, Floats]:
    """Scores (2 N, 4, CELLS, CELLS) and facts (2 N, 6), of which the second half saw mirrored crops -> (N, ...)."""
    count = len(scores) // 2
    # Left is right there: the side, and the first part of the middle and of the arm.
    turned = facts[count:] * np.array([1, -1, -1, 1, -1, 1], np.float32)
    half = np.float32(0.5)
    return half * (scores[:count] + _mirrored(scores[count:])), half * (facts[:count] + turned)


def _place_of(hand: FoundHand) -> _Place | None:
    """Where a hand of the picture before is looked at; None where it does not tell."""
    if not (hand.middle and hand.arm and hand.crop):
        return None
    (x, y), arm, crop = hand.middle, hand.arm, hand.crop
    if not (np.isfinite([x, y, *arm, crop.x, crop.y, *crop.arm]).all() and crop.depth_m > 0 and crop.side_px > 0):
        return None
    still = math.dist((x, y), (crop.x, crop.y)) <= _STAYS_M / SIDE_M * crop.side_px
    if still:
        x, y = crop.x, crop.y
    if arm[0] * crop.arm[0] + arm[1] * crop.arm[1] >= _STAYS_COSINE:
        arm = crop.arm
    return _Place(x, y, arm, crop.depth_m, hand.proposal_score, still and (hand.confidence or 0.0) >= _SURE)


def _matched(places: Sequence[_Place], still: Sequence[_Place], focal: float) -> list[_Place]:
    """Proposed places; where one is a still hand's, the crop of that, the nearest pairs first.

    Scores and depths are the proposals': what was wrong about a known hand does not stay.
    """
    pairs = sorted(
        (math.dist((one.x, one.y), (place.x, place.y)) * place.depth_m, number, which)
        for number, place in enumerate(places)
        for which, one in enumerate(still)
        if math.dist((one.x, one.y), (place.x, place.y)) <= _SAME_PLACE_M * focal / place.depth_m
        and 1 / FAR_FACTOR < one.depth_m / place.depth_m < FAR_FACTOR
    )
    result, taken = list(places), set()
    for _, number, which in pairs:
        if not result[number].still and which not in taken:
            taken.add(which)
            place = places[number]
            result[number] = still[which]._replace(score=place.score, depth_m=place.depth_m)
    return result


def _check(numbers: Floats) -> None:
    if not math.isfinite(float(numbers.sum())):
        raise ModelError("the hand detector gave a number that is not finite")


def sigmoid(logit: float) -> float:
    """The chance, 0..1, of a logit."""
    return 1 / (1 + math.exp(-min(max(logit, -40.0), 40.0)))


def logit_of(chance: float) -> float:
    """What `sigmoid` makes this chance of; 0 and 1 are taken as 1e-6 and 1 - 1e-6."""
    chance = min(max(chance, 1e-6), 1 - 1e-6)
    return math.log(chance / (1 - chance))


def _without_doubles(seen: Sequence[tuple[_Seen, Window]], focal: float) -> list[tuple[_Seen, Window]]:
    """The surest of those that show one and the same hand: one place in the picture, and one depth of what is hand."""
    kept: list[tuple[_Seen, Window]] = []
    for one, window in sorted(seen, key=lambda pair: -pair[0].confidence):
        near = _SAME_HAND_M * focal / window.depth_m
        if all(
            math.dist(one.middle, other.middle) > near
            or not 1 / _SAME_DEPTH_FACTOR < theirs.depth_m / window.depth_m < _SAME_DEPTH_FACTOR
            for other, theirs in kept
        ):
            kept.append((one, window))
    return kept


def _window_of(one: _Seen, focal: float, metric_size_m: float) -> Window | None:
    """The window on hand and held thing; None where there is no hand.

    Its centre is their thick middle around the hand's, or a place well inside the hand near that: between fingers lies
    something else's depth.
    """
    best = one.scores.argmax(axis=0)
    hand = best == HAND
    if not hand.any():
        return None
    to_cell = cv2.invertAffineTransform(one.crop.to_picture)
    u, v = to_cell @ (*one.middle, 1.0)
    cells = np.arange(CELLS)
    away = (cells - u) ** 2 + ((cells - v) ** 2)[:, None]
    near = away <= (_GRASP_RADIUS_M / SIDE_M * CELLS) ** 2
    hand_near = hand & near
    readings = one.depth[hand_near & has_reading(one.depth)]
    depth = float(np.median(readings)) if len(readings) else one.crop.depth_m
    weights = distance_inside(hand | (best == OBJECT)) * near
    total = float(weights.sum())
    if total > 0:
        u, v = float(weights.sum(axis=0) @ cells) / total, float(weights.sum(axis=1) @ cells) / total
    u, v = _onto(hand_near, u, v)
    x, y = (round(value * _CENTER_STEPS_PER_PX) / _CENTER_STEPS_PER_PX for value in one.crop.pixel(u, v))
    return Window(center_x=x, center_y=y, side_px=metric_size_m * focal / depth, depth_m=depth)


def _onto(hand: NDArray[np.bool_], u: float, v: float) -> tuple[float, float]:
    """(u, v), or where that is not well inside the hand, a place that is and not far from there."""
    inside, deep = distance_inside(hand), _INSIDE_M / SIDE_M * CELLS
    row, column = round(v), round(u)
    if not hand.any() or (0 <= row < CELLS and 0 <= column < CELLS and inside[row, column] >= deep):
        return u, v
    cells = np.arange(CELLS)
    worth = _INSIDE_WEIGHT * np.minimum(inside, deep) - np.hypot(cells - u, (cells - v)[:, None])
    worth[~hand] = -np.inf
    row, column = divmod(int(worth.argmax()), CELLS)
    # Between cells, so that it moves little where the outline does.
    rows, columns = (slice(max(0, at - 2), at + 3) for at in (row, column))
    weights = np.exp(worth[rows, columns] - worth[row, column])
    total = float(weights.sum())
    return float(weights.sum(axis=0) @ cells[columns]) / total, float(weights.sum(axis=1) @ cells[rows]) / total


def _paste(labels: Labels, one: _Seen) -> None:
    """Put a crop's classes into the picture's labels, where nothing is yet."""
    way = one.crop.to_picture
    corners = (
        way
        @ np.array([[-0.5, -0.5, 1], [CELLS - 0.5, -0.5, 1], [-0.5, CELLS - 0.5, 1], [CELLS - 0.5, CELLS - 0.5, 1]]).T
    )
    height, width = labels.shape
    left, top = (max(0, math.floor(value)) for value in corners.min(axis=1))
    right, bottom = min(width, math.ceil(corners[0].max()) + 1), min(height, math.ceil(corners[1].max()) + 1)
    if right <= left or bottom <= top:
        return
    none, hand, held, arm = one.scores
    size = (CELLS * _FINER, CELLS * _FINER)
    of_hand, of_held = (
        cv2.resize(score - none, size, interpolation=cv2.INTER_LINEAR) for score in (np.maximum(hand, arm), held)
    )
    told = np.where(of_held > of_hand, np.uint8(OBJECT), np.uint8(HAND))
    told[np.maximum(of_hand, of_held) <= 0] = 0
    edge = _FINER // 2
    told[:edge] = told[-edge:] = told[:, :edge] = told[:, -edge:] = 0  # nothing is told of what lies outside
    to_cells = np.array([[1 / _FINER, 0, 0.5 / _FINER - 0.5], [0, 1 / _FINER, 0.5 / _FINER - 0.5], [0, 0, 1]])
    to_part = way @ to_cells
    to_part[:, 2] -= (left, top)
    shown = cv2.warpAffine(told, to_part, (right - left, bottom - top), flags=cv2.INTER_NEAREST)
    part: NDArray[np.uint8] = labels[top:bottom, left:right]
    np.copyto(part, shown, where=part == 0)
