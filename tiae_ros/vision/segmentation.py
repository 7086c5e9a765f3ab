"""Which pixels are a hand, and which the thing it holds: from colour and registered depth, nothing learned.

    reduce to a grid of cells -> take away large planes (table, wall) -> skin among what is left, in front
    -> regions that hang together in depth -> the thing that touches them -> labels at full resolution

Without colour the nearest thing of a hand's size is taken whole. Nothing depends on where in the picture
something lies, so moving the picture moves the labels by exactly as much. Metric limits need the
focal length; without one, that of a usual camera is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ImageError, ParameterError
from tiae_ros.vision.hand_end import bounding_box, far_end, picture_edges, tip_and_entry

NONE, HAND, OBJECT = 0, 1, 2

Labels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Regions = NDArray[np.int32]

_USUAL_FOCAL = 0.8  # focal length over the longer side; 0.54 (wide stereo) ... 0.96 (RealSense colour)
_MAX_HANDS = 4
_CANDIDATES = 2  # looked at per threshold
_SKIN_STEPS = 4  # thresholds tried between the settings' bounds
_CONTRAST_MAX = 20.0  # more of it does not make a better hand either
_HAND_AREA_M2 = 0.015  # more skin than a hand has does not make a region a better hand
_HALF_PALM_M = 0.012  # a fist seen from its thin side is more than twice as thick; a pencil is not
_FINGER_AREA_M2 = 0.0002
_FINGER_DEPTH_M = 0.08
_SHADED_CELLS = 4
_HOLE_SCORE_SHARE = 0.5  # a hole in a hand has its colour, a shadow beside it has not
_STEP_M = 0.015  # at half a metre: a step in depth that parts a hand from the table it rests on
_BACKGROUND_M = 0.20  # parts of a hand and its arm are at most this much behind its middle
_AROUND_M = 0.05  # the surroundings that a hand is told from
_OBJECT_BEHIND_M = 0.15  # parts of a held thing are at most this much behind the hand
_HAND_LENGTH_M = 0.20  # finger tips to wrist, and a bit
_CONTACT_CELLS = 3
_WRIST_M = 0.03
_SLEEVE_AREA_M2 = 0.001
_RIM_M = 0.008  # along the hand, the hand's own depth is fattened; a thing also extends away from it
_WEB_M = 0.03
_HOLE_M = 0.025
_THING_SLACK_M = 0.012  # shiny and transparent things have rougher depth than skin
_BLEED_CELLS = 3
_BLEED_RATIO = 0.6
_GROUND_RADIUS_M = 0.15
_ALIKE = 25  # largest difference of a colour value within one plain surface
_PLANE_TRIALS = 48
_PLANE_SAMPLE = 700
_CELL_DEPTH_RATIO = 1.06  # readings of a cell up to 6 % behind its nearest are on one surface
_PLANE_CELLS_MIN = 100
_MAX_PLANES = 3
_MOSTLY = 0.6
_DEPTH_MAX_M = 10.0  # beyond, depth cameras for the near range do not measure


@dataclass(frozen=True)
class SegmentationSettings:
    """What counts as a hand and as held; lengths in metres."""

    grid_long_side: int = 160
    """Cells along the longer side of the picture; the work is done on them."""
    depth_max_m: float = 1.5
    """What is farther away is neither hand nor object."""
    band_m: float = 0.30
    """A second hand may be this much farther away than the nearest."""
    skin_min: float = 6.0
    """Lower bound of the chosen skin threshold (see ``skin_score``); grey is 0, skin 10-50."""
    skin_max: float = 30.0
    """Upper bound of the chosen skin threshold."""
    skin_contrast_min: float = 4.0
    """A hand's score is this much above that of what surrounds it."""
    quality_min: float = 0.05
    """Least product (0 to 1) of a hand's size, contrast, share of readings and share of free outline."""
    hand_area_min_m2: float = 0.0025
    """Smaller regions (5 x 5 cm) are not hands: a fist seen from the front has some 50 square centimetres."""
    hand_area_max_m2: float = 0.12
    """Larger regions are not hands: a hand with a bare forearm has some 500 square centimetres."""
    object_area_min_m2: float = 0.0003
    """Smaller regions are left-overs at edges; the side of an eraser is 2 x 4 cm."""
    object_area_max_m2: float = 0.09
    """Larger things (30 x 30 cm) are furniture."""
    contact_m: float = 0.03
    """Depth difference up to which a thing beside the hand is touched by it."""
    gap_m: float = 0.015
    """Distance across the picture up to which two regions are neighbours (depth shadows lie between)."""
    plane_share: float = 0.12
    """A plane needs this share of the readings to be taken as table or wall."""
    plane_tolerance_m: float = 0.007
    """Distance from a plane up to which a reading belongs to it, at half a metre; grows with the depth."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ParameterError(f"{field.name} is {value!r}; it must be a finite number")
            if value <= 0:
                raise ParameterError(f"{field.name} is {value}; it must be above 0")
        if self.grid_long_side < 16:
            raise ParameterError(f"grid_long_side is {self.grid_long_side}; it must be at least 16")
        for low, high in (
            ("skin_min", "skin_max"),
            ("hand_area_min_m2", "hand_area_max_m2"),
            ("object_area_min_m2", "object_area_max_m2"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ParameterError(
                    f"{low} {getattr(self, low)} is above {high} {getattr(self, high)}; it must not be"
                )


def segment(
    color: NDArray[np.uint8] | None,
    depth_m: Floats,
    settings: SegmentationSettings | None = None,
    *,
    focal_px: float | None = None,
) -> Labels:
    """Labels (H, W) of the depth's size: 0 none, 1 hand, 2 what the hand touches. All 0: no hand.

    Args:
        color: rgb (H, W, 3) uint8, or None to go by depth alone (hand and object then both count as hand).
        depth_m: registered depth (H, W) float32 metres, NaN (or anything not above 0) where there is none.
        settings: limits; the defaults suit a hand at 0.25 to 1.2 m.
        focal_px: focal length of the picture, for the metric limits.

    Raises:
        ImageError: colour and depth are not of one size, or not images at all.
    """
    settings = settings or SegmentationSettings()
    check_images(color, depth_m)
    labels = np.zeros(depth_m.shape, np.uint8)
    longer = max(depth_m.shape)
    cell = min(max(1, round(longer / settings.grid_long_side)), *depth_m.shape)
    usable_focal = focal_px is not None and math.isfinite(focal_px) and focal_px > 0
    focal = focal_px if usable_focal and focal_px is not None else _USUAL_FOCAL * longer
    top, left = _grid_start(color, depth_m, cell)
    depth_m = depth_m[top:, left:]
    depth = _reduce_depth(depth_m, cell, _DEPTH_MAX_M)
    if not np.isfinite(depth).any():
        return labels
    scene = _Scene(depth, focal / cell, settings)
    hand, held = np.zeros(depth.shape, np.bool_), np.zeros(depth.shape, np.bool_)
    if color is None:
        hand = scene.nearest_thing()
    else:
        small = _reduce_color(color[top:, left:], cell)
        sampled = depth_m[cell // 2 :: cell, cell // 2 :: cell][: depth.shape[0], : depth.shape[1]]
        edges = picture_edges(_usable(sampled, np.inf))  # also of what is too far away for the scene
        hands = scene.hands(skin_score(small))
        skin = np.logical_or.reduce([hand, *hands])
        for one in hands:
            thing, sleeve = scene.things_of(one, skin, small, edges)
            held |= thing
            hand |= one | sleeve
    _enlarge(hand, held, cell, labels[top:, left:])
    return labels


def skin_score(color: NDArray[np.uint8]) -> Floats:
    """How much a colour leans towards that of skin: 0 is grey, skin of any tone is well above.

    All skin owes its hue to the same two pigments: it is redder (Cr) and less blue (Cb) than grey by an
    amount that grows with the light that falls on it; so the lean of dark pixels is taken relative to luma.
    """
    luma_cr_cb = cv2.cvtColor(color, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    lean = (luma_cr_cb[:, :, 1] - 128) - 0.25 * (luma_cr_cb[:, :, 2] - 128)
    # Blue outweighing red by far is purple or pink, not skin.
    lean -= np.maximum(luma_cr_cb[:, :, 2] - 130, 0)
    # What is far more yellow than red is wood, brass or cloth.
    lean -= np.maximum((128 - luma_cr_cb[:, :, 2]) - 2.2 * np.maximum(luma_cr_cb[:, :, 1] - 128, 0), 0)
    lean *= np.clip(110 / np.maximum(luma_cr_cb[:, :, 0], 1), 1.0, 2.0)
    # Nor is plain red, which leans farther than skin does in the warmest light.
    score: Floats = lean - 3 * np.maximum(lean - 60, 0)
    return score


class _Scene:
    """A frame reduced to cells, with the large planes taken away."""

    def __init__(self, depth: Floats, focal_cells: float, settings: SegmentationSettings) -> None:
        self.depth = depth
        self.settings = settings
        self.focal = focal_cells
        self.valid: Mask = np.isfinite(depth)
        with np.errstate(invalid="ignore"):
            self.free: Mask = self.valid & (depth < settings.depth_max_m)
        for plane in _planes(depth, self.valid, settings, share=settings.plane_share, number=_MAX_PLANES):
            self.free &= ~plane.holds(1.0)

    def nearest_thing(self) -> Mask:
        """The nearest region of a hand's size."""
        regions = self._surfaces(self.free)
        _count, area, depth = self._measure(regions)
        big = (area >= self.settings.hand_area_min_m2) & (area <= self.settings.hand_area_max_m2)
        if not big.any():
            return np.zeros(self.depth.shape, np.bool_)
        nearest = int(np.argmin(np.where(big, depth, np.inf)))
        found: Mask = regions == nearest + 1
        return found

    def hands(self, score: Floats) -> list[Mask]:
        """The hands, the best first; they do not overlap."""
        found = sorted(self._hand_candidates(score), key=lambda candidate: -candidate.merit)
        hands: list[Mask] = []
        taken: Mask = np.zeros(self.depth.shape, np.bool_)
        for candidate in found:
            if candidate.merit < 0.5 * found[0].merit or candidate.depth > found[0].depth + self.settings.band_m:
                continue
            if (taken & candidate.mask).any():
                continue
            hand = self._settle(candidate, score) & ~taken
            taken |= hand
            hands.append(hand)
        return hands

    def _hand_candidates(self, score: Floats) -> Iterator[_Candidate]:
        """Regions of skin at several thresholds: the light decides which of them parts hand from ground."""
        settings = self.settings
        for threshold in np.geomspace(settings.skin_min, settings.skin_max, _SKIN_STEPS):
            regions = self._surfaces(self._skin(score, threshold), fill="near")
            _count, area, depth = self._measure(regions)
            fits = (area >= settings.hand_area_min_m2) & (area <= settings.hand_area_max_m2)
            size = np.where(fits, np.minimum(area / _HAND_AREA_M2, 1.0), 0.0)
            worth = size / np.where(fits, depth, 1) ** 2
            for index in np.argsort(-worth, kind="stable")[:_CANDIDATES]:
                if worth[index] <= 0:
                    break
                mask = regions == index + 1
                contrast, free = self._stands_out(mask, score)
                thick = _half_thickness(mask) * float(depth[index]) / self.focal >= _HALF_PALM_M
                if not thick or contrast < settings.skin_contrast_min:
                    continue
                share_read = float(self.valid[mask].mean())
                quality = float(size[index]) * min(contrast / _CONTRAST_MAX, 1.0) * share_read * free
                if quality >= settings.quality_min:
                    merit = quality / float(depth[index]) ** 2  # the nearer of two is meant
                    yield _Candidate(mask, float(depth[index]), float(threshold), merit)

    def _stands_out(self, mask: Mask, score: Floats) -> tuple[float, float]:
        """How much a region stands out: in skin score, and the share of its outline that has nothing beside it.

        Beside what lies behind it counts the region's whole score, beside what is at its depth the difference, and
        beside what is in front of it nothing: background, too, shows between things.
        """
        top, left, bottom, right = _around(mask, 2)
        part = slice(top, bottom), slice(left, right)
        mask, score, depth = mask[part], score[part], self.depth[part]
        ring = _grown(mask, 2) & ~_grown(mask, 1)
        if not ring.any():
            return 0.0, 0.0
        own = cv2.dilate(np.where(mask & np.isfinite(depth), depth, np.float32(0)), np.ones((5, 5), np.uint8))
        own_score = float(score[mask].mean())
        with np.errstate(invalid="ignore"):
            step = _STEP_M * np.maximum(own / 0.5, 1.0) ** 2
            behind = (depth > own + step) & (own > 0)
            before = (depth < own - step) & (own > 0)
        gain = np.where(behind, own_score, np.where(before, 0.0, own_score - score))
        return float(gain[ring].mean()), float((behind | np.isnan(depth))[ring].mean())

    def _settle(self, candidate: _Candidate, score: Floats) -> Mask:
        """The candidate's hand at the threshold that parts it best from what is around it."""
        around = _grown(candidate.mask, self._cells(_AROUND_M, candidate.depth))
        with np.errstate(invalid="ignore"):
            apart = (self.depth > candidate.depth + _BACKGROUND_M) & ~candidate.mask
        near = around & ~apart & (self.valid | candidate.mask)
        threshold = candidate.threshold
        if (near & ~candidate.mask).sum() >= 0.2 * candidate.mask.sum():
            threshold = _best_threshold(score[near], self.settings)
        usual = float(np.median(score[candidate.mask & self.valid]))
        skin = self._skin(score, threshold) & ~apart & (self.valid | (score >= _HOLE_SCORE_SHARE * usual))
        regions = self._surfaces(skin, fill="near")
        count, area, depth = self._measure(regions)
        shared = np.bincount(regions[candidate.mask], minlength=len(count) + 1)[1:]
        inside = np.bincount(regions[around], minlength=len(count) + 1)[1:]
        # The hand itself, and fingers that the object cuts off from it.
        itself = shared >= 0.25 * candidate.mask.sum()
        finger = (
            (inside >= 0.8 * count) & (area >= _FINGER_AREA_M2) & (np.abs(depth - candidate.depth) <= _FINGER_DEPTH_M)
        )
        hand = np.isin(regions, np.flatnonzero(itself | finger) + 1)
        if not itself.any():
            hand = candidate.mask
        return hand | self._shaded(hand, score, near, threshold)

    def _shaded(self, hand: Mask, score: Floats, around: Mask, threshold: float) -> Mask:
        """Paler and darker parts of the hand: weaker skin at its edge, on the same surface."""
        beside = around & ~hand
        usual = float(np.median(score[beside])) if beside.any() else threshold
        weak = (score >= (usual + threshold) / 2) & self.free & around
        regions = self._surfaces((weak & _grown(hand, _SHADED_CELLS)) | hand)
        joined: Mask = np.isin(regions, np.unique(regions[hand & self.valid])) & (regions > 0)
        return joined

    def _skin(self, score: Floats, threshold: float) -> Mask:
        """Cells that look like skin; where there is a hole in the depth, the colour has to speak clearly."""
        return (score >= threshold) & (self.free | (~self.valid & (score >= 1.2 * threshold)))

    def _cells(self, length_m: float, depth_m: float) -> int:
        """A length at a depth, in cells."""
        return max(1, math.ceil(length_m * self.focal / depth_m))

    def things_of(
        self, hand: Mask, hands: Mask, color: NDArray[np.uint8], edges: tuple[int, int, int, int]
    ) -> tuple[Mask, Mask]:
        """What a hand holds, and the sleeve of its arm: both touch it, one in front, the other behind."""
        held: Mask = np.zeros(hand.shape, np.bool_)
        sleeve = held.copy()
        read = hand & self.valid
        if not read.any():
            return held, sleeve
        depth_m = float(np.median(self.depth[read]))
        other = self._things_near(hands, depth_m, color)
        beside = self._beside(read, self._cells(self.settings.gap_m, depth_m))
        # Thin bridges (fattened edges) must not join a thing to what stands behind it.
        thick = cv2.morphologyEx(other.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
        touched = [thing for part in (thick, other & ~thick) for thing in self._touched(part, beside)]
        way = _Way.of(hand, self.focal / depth_m, edges)
        sleeves = [way.from_sleeve(thing, thing & beside) for thing in touched]
        arm = max((found for found in sleeves if found is not None), key=lambda found: found.fit, default=None)
        for thing, found in zip(touched, sleeves, strict=True):
            if found is not None and found is arm:
                sleeve |= thing
            elif (arm or way).is_at_hand(thing & beside):
                held |= thing
        if held.any():
            held |= self._parts_of(held, thick & ~sleeve)
            held |= other & ~thick & _grown(held, 2) & ~sleeve
            held |= self._holes_of(held, hands | sleeve, color, self._cells(_HOLE_M, depth_m))
        return held, sleeve

    def _things_near(self, hands: Mask, depth_m: float, color: NDArray[np.uint8]) -> Mask:
        """What is neither hand nor ground nor an artefact at the hand's edge, and not far behind the hand."""
        ground, plain = self._ground_near(hands, depth_m, color)
        things = self.free & ~hands & ~ground & (self.depth < depth_m + _OBJECT_BEHIND_M)
        # Between the fingers and along the arm, the ground is given the hand's depth.
        things &= ~(plain & _grown(hands, self._cells(_WEB_M, depth_m)))
        things &= ~self._bled(things, ~things & ~hands, color)
        away = things & ~_grown(hands, self._cells(_RIM_M, depth_m))
        things &= _grown(away, self._cells(1.5 * _RIM_M, depth_m))
        things |= ~self.valid & ~hands & ~plain & _closed(things, 2)
        return things

    def _touched(self, things: Mask, beside: Mask) -> list[Mask]:
        """The regions with enough cells beside the hand."""
        settings = self.settings
        regions = self._surfaces(things, _THING_SLACK_M, fill="far")
        _, area, _ = self._measure(regions)
        contacts = np.bincount(regions[things & beside], minlength=len(area) + 1)[1:]
        taken = (
            (contacts >= _CONTACT_CELLS) & (area >= settings.object_area_min_m2) & (area <= settings.object_area_max_m2)
        )
        return [regions == index + 1 for index in np.flatnonzero(taken)]

    def _parts_of(self, held: Mask, things: Mask) -> Mask:
        """Regions beside a held thing at its depth: rough depth breaks a thing up. What stands behind is not meant."""
        regions = self._surfaces(things & ~held, _THING_SLACK_M, fill="far")
        _, area, depth = self._measure(regions)
        contacts = np.bincount(regions[_grown(held, 2)], minlength=len(area) + 1)[1:]
        offset = depth - float(np.median(self.depth[held & self.valid])) if (held & self.valid).any() else depth
        taken = (contacts >= _CONTACT_CELLS) & (offset <= 0.02) & (offset >= -0.05)
        taken &= area <= self.settings.object_area_max_m2
        return np.isin(regions, np.flatnonzero(taken) + 1)

    def _holes_of(self, held: Mask, hands: Mask, color: NDArray[np.uint8], reach: int) -> Mask:
        """Cells without depth beside the thing (shiny, black, in a shadow) that look like it, not like the rest."""
        values = color.astype(np.float32)
        other_color, other_known = _local_mean(values, self.valid & ~held & ~hands, 2 * reach)
        thing_color, thing_known = _local_mean(values, held, 2 * reach)
        alike = np.abs(values - thing_color).sum(axis=2) < np.abs(values - other_color).sum(axis=2)
        holes = ~self.valid & ~hands & thing_known & (alike | ~other_known) & _grown(held, reach)
        _, regions = cv2.connectedComponents((holes | held).astype(np.uint8), connectivity=4)
        joined: Mask = holes & np.isin(regions, np.unique(regions[held]))
        return joined

    def _bled(self, front: Mask, back: Mask, color: NDArray[np.uint8]) -> Mask:
        """Cells of the front that have the colour of the back beside them: depth cameras fatten edges."""
        radius = _BLEED_CELLS
        inner = ~_grown(~front, radius - 1)
        values = color.astype(np.float32)
        front_color, front_known = _local_mean(values, inner, 2 * radius)
        back_color, back_known = _local_mean(values, back, radius)
        to_back, to_front = (np.abs(values - mean).sum(axis=2) for mean in (back_color, front_color))
        nearer_back = to_back < _BLEED_RATIO * to_front
        bled: Mask = front & ~inner & front_known & back_known & nearer_back
        return bled

    def _beside(self, hand: Mask, radius: int) -> Mask:
        """Cells next to the hand in the picture and in depth."""
        kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
        far = np.float32(1e6)
        nearest = cv2.erode(np.where(hand, self.depth, far), kernel, borderType=cv2.BORDER_REPLICATE)
        farthest = cv2.dilate(np.where(hand, self.depth, -far), kernel, borderType=cv2.BORDER_REPLICATE)
        limit = self.settings.contact_m
        with np.errstate(invalid="ignore"):
            beside: Mask = (self.depth > nearest - limit) & (self.depth < farthest + limit)
        return beside

    def _ground_near(self, hands: Mask, depth_m: float, color: NDArray[np.uint8]) -> tuple[Mask, Mask]:
        """The surface that the thing stands or stood on; and all that has its colour, at whatever depth.

        Depth cameras bend large planes, so it is fitted once more around the hand alone; and what has its
        colour belongs to it at a larger distance from it than what has not.
        """
        around = _grown(hands, self._cells(_GROUND_RADIUS_M, depth_m)) & ~hands & self.valid
        ground: Mask = np.zeros(hands.shape, np.bool_)
        plain: Mask = np.zeros(hands.shape, np.bool_)
        for plane in _planes(self.depth, around, self.settings, share=0.2, number=2):
            on_plane = plane.holds(1.0) & around
            if not on_plane.any():
                continue
            usual = np.median(color[on_plane], axis=0)
            alike = np.abs(color.astype(np.float32) - usual).max(axis=2) <= _ALIKE
            ground |= plane.holds(1.0) | (plane.holds(3.0) & alike)
            plain |= alike
        return ground, plain

    def _surfaces(self, mask: Mask, slack_m: float = 0.006, *, fill: Literal["near", "far"] | None = None) -> Regions:
        """Regions of a mask (numbered from 1) within which the depth makes no step.

        A hole in the depth makes no step; with ``fill``, holes are given the depth of what is beside them, so that
        they do not join what is far apart, and those that are too large are left out.

        Cells become every second point of a finer lattice; the points between two cells are set where no step
        separates them, so the connected components of the lattice are the surfaces.
        """
        height, width = mask.shape
        depth = self.depth
        if fill is not None:
            depth = self._filled(mask, fill)
            mask = mask & ~np.isnan(depth)
        # Twice a cell's width: a surface seen at up to 60 degrees; the slack is for noise.
        allowed = slack_m + 2 * np.where(np.isnan(depth), 0, depth) / self.focal
        lattice = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
        lattice[::2, ::2] = mask
        with np.errstate(invalid="ignore"):
            down = np.abs(depth[:-1] - depth[1:]) > allowed[:-1]
            right = np.abs(depth[:, :-1] - depth[:, 1:]) > allowed[:, :-1]
        lattice[1::2, ::2] = mask[:-1] & mask[1:] & ~down  # a comparison with NaN is false: no step
        lattice[::2, 1::2] = mask[:, :-1] & mask[:, 1:] & ~right
        _, regions = cv2.connectedComponents(lattice, connectivity=4)
        return np.ascontiguousarray(regions[::2, ::2])

    def _filled(self, mask: Mask, choice: Literal["near", "far"]) -> Floats:
        """The depth of a mask's cells, its holes filled ring by ring with the nearest or farthest neighbour's."""
        # Skin closes over wide holes; what is behind a thing must come close up to it.
        size, rings = (9, 3) if choice == "near" else (5, 6)
        kernel = np.ones((size, size), np.uint8)
        sign = np.float32(1 if choice == "far" else -1)
        nothing = np.float32(-1e6)
        depth = np.where(mask & self.valid, sign * self.depth, nothing)
        for _ in range(rings):
            empty = mask & (depth == nothing)
            if not empty.any():
                break
            depth = np.where(empty, cv2.dilate(depth, kernel), depth)
        return np.where(depth > nothing, sign * depth, np.float32(np.nan))

    def _measure(self, regions: Regions) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Cells, area (square metres) and mean depth of each region; a region without depth has depth inf."""
        number = int(regions.max()) + 1
        inside = np.flatnonzero(regions)
        region, valid = regions.ravel()[inside], self.valid.ravel()[inside]
        count = np.bincount(region, minlength=number)[1:]
        read = np.bincount(region[valid], minlength=number)[1:]
        total = np.bincount(region[valid], self.depth.ravel()[inside][valid], number)[1:]
        depth = np.where(read >= 0.25 * count, total / np.maximum(read, 1), np.inf)
        area = np.where(np.isfinite(depth), count * (depth / self.focal) ** 2, 0.0)
        return count, area, depth


@dataclass(frozen=True)
class _Candidate:
    """A region that may be a hand."""

    mask: Mask
    depth: float
    threshold: float  # of the skin score at which it was found
    merit: float


@dataclass(frozen=True)
class _Way:
    """Along a hand, from the finger tips to where the arm comes from (in cells)."""

    xs: NDArray[np.intp]
    ys: NDArray[np.intp]
    tip: tuple[float, float]
    enters: bool  # the skin itself reaches the picture's edge, so there is no sleeve
    cells_per_m: float
    fit: float = 0.0  # of the sleeve that the way was taken from

    @classmethod
    def of(cls, hand: Mask, cells_per_m: float, edges: tuple[int, int, int, int]) -> _Way:
        ys, xs = np.nonzero(hand)
        tip, entry = tip_and_entry(xs, ys, cells_per_m, edges, (0, 0))
        return cls(xs, ys, tip, entry is not None, cells_per_m)

    def is_at_hand(self, contact: Mask) -> bool:
        """A contact within a hand's length of the finger tips."""
        ys, xs = np.nonzero(contact)
        distance = np.hypot(xs - self.tip[0], ys - self.tip[1])
        return bool((distance <= _HAND_LENGTH_M * self.cells_per_m).mean() >= 0.5)

    def from_sleeve(self, thing: Mask, contact: Mask) -> _Way | None:
        """The way from this thing when it is the arm in its sleeve: it goes on from one end, about as wide."""
        if self.enters:
            return None
        start = _middle(contact)
        tip = far_end(self.xs, self.ys, (float(start[0]), float(start[1])), self.cells_per_m)
        skin = np.stack([self.xs, self.ys], axis=1).astype(np.float64)
        along = start - tip
        along /= max(float(np.hypot(*along)), 1e-6)
        across = np.array([-along[1], along[0]])
        wrist = skin[np.hypot(*(skin - start).T) <= _WRIST_M * self.cells_per_m]
        large = thing.sum() >= _SLEEVE_AREA_M2 * self.cells_per_m**2
        if len(wrist) < 3 or not large:
            return None
        width = float((wrist @ across).std()) + 0.3
        cells = np.stack(np.nonzero(thing)[::-1], axis=1)
        seam = np.stack(np.nonzero(contact)[::-1], axis=1)
        in_line = abs(float(((cells - start) @ across).mean())) <= width
        as_wide = 0.7 * width <= float((cells @ across).std()) <= 1.8 * width
        # A thing beside a flat hand is across it; the arm goes on along it.
        lengthwise = float((skin @ along).std()) >= 0.8 * float((skin @ across).std())
        goes_on = float((cells @ along).mean()) > float((wrist @ along).mean())
        # The seam between sleeve and skin is as long as both are wide.
        fit = float((seam @ across).std()) / max(width, float((cells @ across).std()))
        if not (in_line and as_wide and lengthwise and goes_on and fit >= 0.85):
            return None
        return _Way(self.xs, self.ys, tip, False, self.cells_per_m, fit)


def _middle(mask: Mask) -> NDArray[np.float64]:
    """Mean x and y of a mask's cells."""
    ys, xs = np.nonzero(mask)
    return np.array([xs.mean(), ys.mean()])


@dataclass(frozen=True)
class _Plane:
    """A plane in the scene, by what it does to each cell."""

    distance: Floats
    """Distance along the view ray from the plane to the reading, in tolerances; NaN where there is none."""

    def holds(self, tolerances: float) -> Mask:
        with np.errstate(invalid="ignore"):
            held: Mask = self.distance <= tolerances
        return held


def _planes(
    depth: Floats, valid: Mask, settings: SegmentationSettings, *, share: float, number: int
) -> Iterator[_Plane]:
    """Tables and walls, the largest first. On a plane, 1/depth is an affine function of the pixel."""
    ys, xs = np.nonzero(valid)
    if len(xs) < _PLANE_CELLS_MIN:
        return
    thinning = max(1, len(xs) // _PLANE_SAMPLE)
    ys, xs = ys[::thinning], xs[::thinning]
    # Single precision is enough for thousandths of the depth when the coordinates are small numbers.
    middle_y, middle_x = float(ys.mean()), float(xs.mean())
    points = np.stack([xs - middle_x, ys - middle_y, np.ones(len(xs))], axis=1).astype(np.float32)
    z = depth[ys, xs]
    tolerance = settings.plane_tolerance_m * _noise_growth(z)
    generator = np.random.default_rng(0)
    all_points, all_z = points, z
    for _ in range(number):
        if len(z) < share * len(xs):
            return
        plane = _best_plane(points, z, tolerance, generator)
        if plane is None:
            return
        near = np.abs(1 - z * (points @ plane)) * z <= tolerance
        if near.sum() < share * len(xs):
            return
        points, z, tolerance = points[~near], z[~near], tolerance[~near]
        if (all_z * (all_points @ plane) > 1.03).mean() > _MOSTLY:
            continue  # most of the scene is behind: this is no ground but a flat thing, or a flat hand
        columns = plane[0] * (np.arange(depth.shape[1], dtype=np.float32) - middle_x)
        rows = plane[1] * (np.arange(depth.shape[0], dtype=np.float32) - middle_y) + plane[2]
        # |z - 1/p| is nearly |1 - z p| z near the plane, also where the plane is behind the camera (p < 0)
        misfit = np.abs(1 - depth * (rows[:, None] + columns[None])) * depth
        yield _Plane((misfit / (settings.plane_tolerance_m * _noise_growth(depth))).astype(np.float32))


def _noise_growth(z: Floats) -> Floats:
    """Depth noise relative to that at half a metre; of triangulation, it grows with the square."""
    growth: Floats = np.maximum(z * np.float32(2.0), np.float32(0.7)) ** 2
    return growth


def _best_plane(points: Floats, z: Floats, tolerance: Floats, generator: np.random.Generator) -> Floats | None:
    """The plane (coefficients of 1/z) with most readings on it: the best of random trials, then fitted."""
    triples = generator.integers(0, len(z), (_PLANE_TRIALS, 3))
    corners = points[triples].astype(np.float64)  # (trials, 3, 3)
    solvable = np.abs(np.linalg.det(corners)) > 50  # twice the area of the triangle, in cells
    if not solvable.any():
        return None
    planes = np.linalg.solve(corners[solvable], 1.0 / z[triples[solvable]][:, :, None].astype(np.float64))[:, :, 0]
    misfit = np.abs(1 - z * (planes.astype(np.float32) @ points.T)) * z  # (trials, readings)
    plane: Floats = planes[int(np.argmax((misfit <= tolerance).sum(axis=1)))].astype(np.float32)
    for _ in range(2):
        near = np.abs(1 - z * (points @ plane)) * z <= tolerance
        if near.sum() < 10:
            return None
        weighted = (points[near] * z[near][:, None]).astype(np.float64)  # z p = 1 in the least squares
        plane = np.linalg.lstsq(weighted.T @ weighted, weighted.sum(axis=0), rcond=None)[0].astype(np.float32)
    return plane


def _best_threshold(scores: Floats, settings: SegmentationSettings) -> float:
    """The score that parts two groups best (Otsu), within the settings' bounds."""
    scaled = np.clip(scores * 4 + 64, 0, 255).astype(np.uint8)
    chosen, _ = cv2.threshold(scaled[:, None], 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(np.clip((chosen + 0.5 - 64) / 4, settings.skin_min, settings.skin_max))


def _local_mean(values: Floats, mask: Mask, radius: int) -> tuple[Floats, Mask]:
    """Mean over a mask's cells in the square around each cell, and where there are any."""
    size = (2 * radius + 1, 2 * radius + 1)
    weight = mask.astype(np.float32)
    count = cv2.boxFilter(weight, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    total = cv2.boxFilter(values * weight[:, :, None], -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return (total / np.maximum(count, 1)[:, :, None]).astype(np.float32), count > 0.5


def _usable(depth_m: Floats, depth_max_m: float) -> Mask:
    with np.errstate(invalid="ignore"):
        return (depth_m > 0.001) & (depth_m < depth_max_m)


def _around(mask: Mask, margin: int) -> tuple[int, int, int, int]:
    """top, left, bottom, right of a mask with a margin, within the picture."""
    top, left, bottom, right = bounding_box(mask) or (0, 0, 0, 0)
    height, width = mask.shape
    return max(0, top - margin), max(0, left - margin), min(height, bottom + margin), min(width, right + margin)


def _half_thickness(mask: Mask) -> float:
    """Radius of the largest circle that fits into a mask, in cells."""
    top, left, bottom, right = _around(mask, 0)
    part = np.pad(mask[top:bottom, left:right], 1).astype(np.uint8)
    return float(cv2.distanceTransform(part, cv2.DIST_L2, 3).max())


def _closed(mask: Mask, radius: int) -> Mask:
    return ~_grown(~_grown(mask, radius), radius)


def _grown(mask: Mask, radius: int) -> Mask:
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(np.bool_)


def _reduce_color(color: NDArray[np.uint8], cell: int) -> NDArray[np.uint8]:
    height, width = color.shape[0] // cell, color.shape[1] // cell
    cut = color[: height * cell, : width * cell]
    reduced = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)
    return reduced.astype(np.uint8, copy=False)


def _reduce_depth(depth_m: Floats, cell: int, depth_max_m: float) -> Floats:
    """Mean of a cell's readings on its nearest surface, NaN where fewer than a quarter of the pixels have any."""
    height, width = depth_m.shape[0] // cell, depth_m.shape[1] // cell
    cut = depth_m[: height * cell, : width * cell]
    # (h * cell, w * cell) -> (cell * cell, h, w)
    split = cut.reshape(height, cell, width, cell).transpose(1, 3, 0, 2)
    if cell % 4 == 0:  # every second pixel, as on a chessboard, says as much
        split = np.concatenate([split[::2, ::2], split[1::2, 1::2]])
    parts = split.reshape(-1, height, width)
    parts = np.where(_usable(parts, depth_max_m), parts, np.float32(np.inf))
    nearest = parts.min(axis=0)
    same = parts <= nearest * np.float32(_CELL_DEPTH_RATIO)
    count = same.sum(axis=0, dtype=np.float32)
    total = np.where(same, parts, np.float32(0)).sum(axis=0)
    enough = np.isfinite(nearest) & (4 * count >= len(parts))
    return np.where(enough, total / count, np.float32(np.nan)).astype(np.float32)


def _enlarge(hand: Mask, held: Mask, cell: int, labels: Labels) -> None:
    """Cells -> pixels of the labels, with outlines smoothed over a cell."""
    for mask, value in ((held, OBJECT), (hand, HAND)):
        if not mask.any():
            continue
        size = (mask.shape[1] * cell, mask.shape[0] * cell)
        grown = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        labels[: size[1], : size[0]][grown > 0.5] = value


def _grid_start(color: NDArray[np.uint8] | None, depth_m: Floats, cell: int) -> tuple[int, int]:
    """The pixel (row, column), less than a cell from the corner, where the grid of cells starts.

    The grid is laid through a point of the picture's content: the middle of the nearest patch of skin colour
    (or, without colour, of the nearest patch). So it moves with the content, by any number of pixels.
    """
    height, width = depth_m.shape
    if cell == 1 or min(height, width) < 2 * cell:
        return 0, 0
    with np.errstate(divide="ignore", invalid="ignore"):
        nearness = np.where(_usable(depth_m, _DEPTH_MAX_M), np.minimum(50.0 / depth_m, 250.0), 0.0)
    weight = nearness.astype(np.uint8)
    if color is not None:
        red = color[:, :, 0]  # of skin it is above green and blue; of pink and purple rooms only above green
        above = cv2.min(cv2.subtract(red, color[:, :, 1]), cv2.subtract(red, color[:, :, 2]))  # not below 0
        if above.any():  # otherwise (gloves, grey pictures) the nearest patch serves
            weight = cv2.multiply(weight, above, scale=1 / 64).astype(np.uint8, copy=False)
    side = 8 * cell + 1
    # In whole numbers: sums that are rounded depend on where in the picture they are made.
    patches = cv2.boxFilter(weight, cv2.CV_32S, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
    row, column = divmod(int(np.argmax(patches)), width)
    return row % cell, column % cell


def check_images(color: NDArray[np.uint8] | None, depth_m: Floats) -> None:
    """Raise ImageError unless these are a picture (or None) and its registered depth."""
    if depth_m.ndim != 2 or depth_m.size == 0:
        raise ImageError(f"depth must be (height, width) and not empty, got shape {depth_m.shape}")
    if color is None:
        return
    if color.ndim != 3 or color.shape[2] != 3 or color.dtype != np.uint8:
        raise ImageError(f"colour must be (height, width, 3) uint8, got {color.shape} {color.dtype}")
    if color.shape[:2] != depth_m.shape:
        raise ImageError(
            f"colour is {color.shape[1]}x{color.shape[0]} but depth is {depth_m.shape[1]}x{depth_m.shape[0]}; "
            "both must be of one size"
        )
