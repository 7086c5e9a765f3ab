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
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.arm_axis import cells_of, far_end, picture_edges, tip_and_entry
from tiae_ros.vision.labels import HAND, OBJECT, Floats, Labels, Mask, check_images
from tiae_ros.vision.masks import Part, closed, grown, half_thickness, means_around, part_around, shrunk, square
from tiae_ros.vision.segmentation.classical.grid import enlarge, grid_start, mean_colors, readings, surface_depths
from tiae_ros.vision.segmentation.classical.ground import find_planes
from tiae_ros.vision.segmentation.settings import SegmentationSettings, usable_focal_px

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
_MAX_PLANES = 3


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
    focal = usable_focal_px(focal_px, longer)
    read_m = readings(depth_m)
    top, left = grid_start(color, read_m, cell)
    depth = surface_depths(read_m[top:, left:], cell)
    scene = _Scene(depth, focal / cell, settings)
    if not scene.valid.any():
        return labels
    hand, held = np.zeros(depth.shape, np.bool_), np.zeros(depth.shape, np.bool_)
    if color is None:
        hand = scene.nearest_thing()
    else:
        small = mean_colors(color[top:, left:], cell)
        hands = scene.hands(skin_score(small))
        skin = np.logical_or.reduce([hand, *hands])
        if hands:  # also of what is too far away for the scene
            sampled = depth_m[top + cell // 2 :: cell, left + cell // 2 :: cell][: depth.shape[0], : depth.shape[1]]
            edges = picture_edges(sampled, nearest_m=0.001)
        for one in hands:
            thing, sleeve = scene.things_of(one, skin, small, edges)
            held |= thing
            hand |= one | sleeve
    enlarge(held, cell, labels[top:, left:], OBJECT)
    enlarge(hand, cell, labels[top:, left:], HAND)
    return labels


def skin_score(color: NDArray[np.uint8]) -> Floats:
    """How much a colour leans towards that of skin: 0 is grey, skin of any tone is well above.

    All skin owes its hue to the same two pigments: it is redder (Cr) and less blue (Cb) than grey by an
    amount that grows with the light that falls on it; so the lean of dark pixels is taken relative to luma.
    """
    planes = cv2.split(cv2.cvtColor(color, cv2.COLOR_RGB2YCrCb))
    luma, red, blue = (plane.astype(np.float32) for plane in planes)
    lean = (red - 128) - 0.25 * (blue - 128)
    # Blue outweighing red by far is purple or pink, not skin.
    lean -= np.maximum(blue - 130, 0)
    # What is far more yellow than red is wood, brass or cloth.
    lean -= np.maximum((128 - blue) - 2.2 * np.maximum(red - 128, 0), 0)
    lean *= np.clip(110 / np.maximum(luma, 1), 1.0, 2.0)
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
        self.hole: Mask = ~self.valid
        self.read = np.where(self.valid, depth, np.float32(0))
        self.free: Mask = self.valid & (self.read < settings.depth_max_m)
        self._links: dict[float, tuple[Mask, Mask]] = {}
        for plane in find_planes(
            depth, self.valid, settings.plane_tolerance_m, share=settings.plane_share, number=_MAX_PLANES
        ):
            self.free &= ~plane.holds(1.0)

    def nearest_thing(self) -> Mask:
        """The nearest region of a hand's size."""
        surfaces = self._surfaces(self.free)
        measures = surfaces.measure(self)
        big = (measures.area >= self.settings.hand_area_min_m2) & (measures.area <= self.settings.hand_area_max_m2)
        if not big.any():
            return np.zeros(self.depth.shape, np.bool_)
        return surfaces.only(int(np.argmin(np.where(big, measures.depth, np.inf))))

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
        ratio = settings.skin_max / settings.skin_min
        for step in range(_SKIN_STEPS):
            threshold = settings.skin_min * ratio ** (step / (_SKIN_STEPS - 1))
            surfaces = self._surfaces(self._skin(score, threshold), fill="near")
            found = surfaces.measure(self)
            fits = (found.area >= settings.hand_area_min_m2) & (found.area <= settings.hand_area_max_m2)
            size = np.where(fits, np.minimum(found.area / _HAND_AREA_M2, 1.0), 0.0)
            worth = size / np.where(fits, found.depth, 1) ** 2
            for index in np.argsort(-worth, kind="stable")[:_CANDIDATES]:
                if worth[index] <= 0:
                    break
                depth = float(found.depth[index])
                mask = surfaces.only(int(index))
                if half_thickness(mask[part_around(mask) or ()]) * depth / self.focal < _HALF_PALM_M:
                    continue
                contrast, free = self._stands_out(mask, score)
                if contrast < settings.skin_contrast_min:
                    continue
                share_read = float(found.read[index] / found.count[index])
                quality = float(size[index]) * min(contrast / _CONTRAST_MAX, 1.0) * share_read * free
                if quality >= settings.quality_min:
                    merit = quality / depth**2  # the nearer of two is meant
                    yield _Candidate(mask, depth, threshold, merit)

    def _stands_out(self, mask: Mask, score: Floats) -> tuple[float, float]:
        """How much a region stands out: in skin score, and the share of its outline that has nothing beside it.

        Beside what lies behind it counts the region's whole score, beside what is at its depth the difference, and
        beside what is in front of it nothing: background, too, shows between things.
        """
        part = part_around(mask, 2) or ()
        mask, score = mask[part], score[part]
        ring = grown(mask, 2) & ~grown(mask, 1)
        if not ring.any():
            return 0.0, 0.0
        own_score = float(np.add.reduce(score[mask]) / np.count_nonzero(mask))  # the mean; numpy's own takes longer
        own = cv2.dilate(np.where(mask, self.read[part], np.float32(0)), square(2))[ring]
        depth, score = self.depth[part][ring], score[ring]
        step = _STEP_M * np.maximum(own / 0.5, 1.0) ** 2
        behind = (depth > own + step) & (own > 0)
        before = (depth < own - step) & (own > 0)
        gain = np.where(behind, own_score, np.where(before, 0.0, own_score - score))
        open_outline = np.count_nonzero(behind | np.isnan(depth))
        return float(np.add.reduce(gain) / len(gain)), open_outline / len(gain)

    def _settle(self, candidate: _Candidate, score: Floats) -> Mask:
        """The candidate's hand at the threshold that parts it best from what is around it."""
        hand, size = candidate.mask, np.count_nonzero(candidate.mask)
        around = grown(hand, self._cells(_AROUND_M, candidate.depth))
        apart = (self.depth > candidate.depth + _BACKGROUND_M) & ~hand
        near = around & ~apart & (self.valid | hand)
        part = part_around(around) or ()
        threshold = candidate.threshold
        if np.count_nonzero(near) - size >= 0.2 * size:
            threshold = best_threshold(score[part][near[part]], self.settings)
        usual = float(np.median(score[part][(hand & self.valid)[part]]))
        skin = self._skin(score, threshold) & ~apart & (self.valid | (score >= _HOLE_SCORE_SHARE * usual))
        surfaces = self._surfaces(skin, fill="near")
        found = surfaces.measure(self)
        # The hand itself, and fingers that the object cuts off from it.
        itself = surfaces.shared(hand) >= 0.25 * size
        finger = (
            (surfaces.shared(around) >= 0.8 * found.count)
            & (found.area >= _FINGER_AREA_M2)
            & (np.abs(found.depth - candidate.depth) <= _FINGER_DEPTH_M)
        )
        if itself.any():
            hand = surfaces.those(itself | finger)
        return hand | self._shaded(hand, score, near, threshold)

    def _shaded(self, hand: Mask, score: Floats, around: Mask, threshold: float) -> Mask:
        """Paler and darker parts of the hand: weaker skin at its edge, on the same surface."""
        beside = around & ~hand
        part = part_around(beside)
        usual = float(np.median(score[part][beside[part]])) if part is not None else threshold
        weak = (score >= (usual + threshold) / 2) & self.free & around
        surfaces = self._surfaces((weak & grown(hand, _SHADED_CELLS)) | hand)
        return surfaces.those(surfaces.shared(hand & self.valid) > 0)

    def _skin(self, score: Floats, threshold: float) -> Mask:
        """Cells that look like skin; where there is a hole in the depth, the colour has to speak clearly."""
        return (self.free & (score >= threshold)) | (self.hole & (score >= 1.2 * threshold))

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
        thick = cv2.morphologyEx(other.view(np.uint8), cv2.MORPH_OPEN, square(1)).view(np.bool_)
        thin = other & ~thick
        touched = [thing for part in (thick, thin) for thing in self._touched(part, beside)]
        if not touched:
            return held, sleeve
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
            held |= thin & grown(held, 2) & ~sleeve
            held |= self._holes_of(held, hands | sleeve, color, self._cells(_HOLE_M, depth_m))
        return held, sleeve

    def _things_near(self, hands: Mask, depth_m: float, color: NDArray[np.uint8]) -> Mask:
        """What is neither hand nor ground nor an artefact at the hand's edge, and not far behind the hand."""
        ground, plain = self._ground_near(hands, depth_m, color)
        things = self.free & ~hands & ~ground & (self.read < depth_m + _OBJECT_BEHIND_M)
        # Between the fingers and along the arm, the ground is given the hand's depth.
        things &= ~(plain & grown(hands, self._cells(_WEB_M, depth_m)))
        things &= ~self._bled(things, ~things & ~hands, color)
        away = things & ~grown(hands, self._cells(_RIM_M, depth_m))
        things &= grown(away, self._cells(1.5 * _RIM_M, depth_m))
        things |= self.hole & ~hands & ~plain & closed(things, 2)
        return things

    def _touched(self, things: Mask, beside: Mask) -> list[Mask]:
        """The regions with enough cells beside the hand."""
        settings = self.settings
        surfaces = self._surfaces(things, _THING_SLACK_M, fill="far")
        area = surfaces.measure(self).area
        taken = (
            (surfaces.shared(things & beside) >= _CONTACT_CELLS)
            & (area >= settings.object_area_min_m2)
            & (area <= settings.object_area_max_m2)
        )
        return [surfaces.only(int(index)) for index in np.flatnonzero(taken)]

    def _parts_of(self, held: Mask, things: Mask) -> Mask:
        """Regions beside a held thing at its depth: rough depth breaks a thing up. What stands behind is not meant."""
        surfaces = self._surfaces(things & ~held, _THING_SLACK_M, fill="far")
        found = surfaces.measure(self)
        read = held & self.valid
        offset = found.depth - float(np.median(self.depth[read])) if read.any() else found.depth
        taken = (surfaces.shared(grown(held, 2)) >= _CONTACT_CELLS) & (offset <= 0.02) & (offset >= -0.05)
        return surfaces.those(taken & (found.area <= self.settings.object_area_max_m2))

    def _holes_of(self, held: Mask, hands: Mask, color: NDArray[np.uint8], reach: int) -> Mask:
        """Cells without depth beside the thing (shiny, black, in a shadow) that look like it, not like the rest."""
        joined: Mask = np.zeros(held.shape, np.bool_)
        cells = np.flatnonzero(self.hole & ~hands & grown(held, reach))
        if len(cells) == 0:
            return joined
        to_other, other_known = _unlikeness(color, self.valid & ~held & ~hands, 2 * reach, cells)
        to_thing, thing_known = _unlikeness(color, held, 2 * reach, cells)
        joined.reshape(-1)[cells[thing_known & ((to_thing < to_other) | ~other_known)]] = True
        both = joined | held
        part = part_around(both) or ()
        number, regions = cv2.connectedComponents(both[part].view(np.uint8), connectivity=4)
        with_held: Mask = np.zeros(number, np.bool_)
        with_held[regions[held[part]]] = True
        joined[part] &= with_held[regions]
        return joined

    def _bled(self, front: Mask, back: Mask, color: NDArray[np.uint8]) -> Mask:
        """Cells of the front that have the colour of the back beside them: depth cameras fatten edges."""
        inner = shrunk(front, _BLEED_CELLS - 1)
        cells = np.flatnonzero(front & ~inner)
        to_front, front_known = _unlikeness(color, inner, 2 * _BLEED_CELLS, cells)
        to_back, back_known = _unlikeness(color, back, _BLEED_CELLS, cells)
        bled: Mask = np.zeros(front.shape, np.bool_)
        bled.reshape(-1)[cells[front_known & back_known & (to_back < _BLEED_RATIO * to_front)]] = True
        return bled

    def _beside(self, hand: Mask, radius: int) -> Mask:
        """Cells next to the hand in the picture and in depth."""
        beside: Mask = np.zeros(hand.shape, np.bool_)
        part = part_around(hand, radius)
        if part is None:
            return beside
        hand, depth = hand[part], self.depth[part]
        kernel = square(radius)
        far, limit = np.float32(1e6), self.settings.contact_m
        nearest = cv2.erode(np.where(hand, depth, far), kernel, borderType=cv2.BORDER_REPLICATE)
        farthest = cv2.dilate(np.where(hand, depth, -far), kernel, borderType=cv2.BORDER_REPLICATE)
        beside[part] = (depth > nearest - limit) & (depth < farthest + limit)
        return beside

    def _ground_near(self, hands: Mask, depth_m: float, color: NDArray[np.uint8]) -> tuple[Mask, Mask]:
        """The surface that the thing stands or stood on; and all that has its colour, at whatever depth.

        Depth cameras bend large planes, so it is fitted once more around the hand alone; and what has its
        colour belongs to it at a larger distance from it than what has not.
        """
        around = grown(hands, self._cells(_GROUND_RADIUS_M, depth_m)) & ~hands & self.valid
        ground: Mask = np.zeros(hands.shape, np.bool_)
        plain: Mask = np.zeros(hands.shape, np.bool_)
        for plane in find_planes(self.depth, around, self.settings.plane_tolerance_m, share=0.2, number=2):
            on_plane = plane.holds(1.0)
            seen = on_plane & around
            if not seen.any():
                continue
            alike = _of_color(color, _median_color(color, seen))
            ground |= on_plane | (plane.holds(3.0) & alike)
            plain |= alike
        return ground, plain

    def _surfaces(self, mask: Mask, slack_m: float = 0.006, *, fill: Literal["near", "far"] | None = None) -> _Surfaces:
        """Regions of a mask (numbered from 1) within which the depth makes no step.

        A hole in the depth makes no step; with ``fill``, holes are given the depth of what is beside them, so that
        they do not join what is far apart, and those that are too large are left out.

        Cells become every second point of a finer lattice; the points between two cells are set where no step
        separates them, so the connected components of the lattice are the surfaces.
        """
        part = part_around(mask)
        if part is None:
            return _Surfaces(mask.shape, (slice(0, 0), slice(0, 0)), 0, np.zeros((0, 0), np.int32))
        mask = mask[part]
        if fill is not None and (mask & self.hole[part]).any():
            depth = self._filled(mask, part, fill)
            mask = mask & (depth == depth)  # NaN is not equal to itself
            down, right = self._no_step(depth, slack_m)
        else:
            if slack_m not in self._links:
                self._links[slack_m] = self._no_step(self.depth, slack_m)
            down, right = (links[part] for links in self._links[slack_m])
        height, width = mask.shape
        lattice = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
        lattice[::2, ::2] = mask
        lattice[1::2, ::2] = mask[:-1] & mask[1:] & down[: height - 1]
        lattice[::2, 1::2] = mask[:, :-1] & mask[:, 1:] & right[:, : width - 1]
        number, regions = cv2.connectedComponents(lattice, connectivity=4)
        return _Surfaces(self.depth.shape, part, number - 1, np.ascontiguousarray(regions[::2, ::2]))

    def _no_step(self, depth: Floats, slack_m: float) -> tuple[Mask, Mask]:
        """Where the depth makes no step from a cell to that below and to that on the right; NaN makes none."""
        # Twice a cell's width: a surface seen at up to 60 degrees; the slack is for noise.
        allowed = slack_m + 2 * depth / self.focal
        down: Mask = ~(np.abs(depth[:-1] - depth[1:]) > allowed[:-1])
        right: Mask = ~(np.abs(depth[:, :-1] - depth[:, 1:]) > allowed[:, :-1])
        return down, right

    def _filled(self, mask: Mask, part: Part, choice: Literal["near", "far"]) -> Floats:
        """The depth of a mask's cells, its holes filled ring by ring with the nearest or farthest neighbour's."""
        # Skin closes over wide holes; what is behind a thing must come close up to it.
        reach, rings = (4, 3) if choice == "near" else (2, 6)
        sign = np.float32(1 if choice == "far" else -1)
        nothing = np.float32(-1e6)
        depth = np.where(mask & self.valid[part], sign * self.depth[part], nothing)
        holes = part_around(mask & (depth == nothing), reach) or ()
        inner, inner_mask = depth[holes], mask[holes]  # a view: what is filled there is filled in the whole
        for _ in range(rings):
            empty = inner_mask & (inner == nothing)
            if not empty.any():
                break
            np.copyto(inner, cv2.dilate(inner, square(reach)), where=empty)
        return np.where(depth > nothing, sign * depth, np.float32(np.nan))


@dataclass(frozen=True)
class _Surfaces:
    """Numbered regions of a picture (1, 2, ...; 0 is none); results are by region, the first being number 1."""

    shape: tuple[int, ...]  # of the picture
    part: Part  # of the picture that holds them all
    number: int
    regions: NDArray[np.int32]  # of that part

    def only(self, index: int) -> Mask:
        """The mask of one region."""
        mask: Mask = np.zeros(self.shape, np.bool_)
        mask[self.part] = self.regions == index + 1
        return mask

    def those(self, chosen: Mask) -> Mask:
        """The mask of several."""
        mask: Mask = np.zeros(self.shape, np.bool_)
        mask[self.part] = np.concatenate([[False], chosen])[self.regions]
        return mask

    def shared(self, mask: Mask) -> NDArray[np.int64]:
        """How many of a mask's cells lie in each."""
        return np.bincount((self.regions * mask[self.part]).reshape(-1), minlength=self.number + 1)[1:]

    def measure(self, scene: _Scene) -> _Measures:
        """Cells, area and depth of each."""
        regions, hole = self.regions.reshape(-1).astype(np.intp), scene.hole[self.part].reshape(-1)
        count = np.bincount(regions, minlength=self.number + 1)[1:]
        read = count - np.bincount(regions[hole], minlength=self.number + 1)[1:]
        total = np.bincount(regions, scene.read[self.part].reshape(-1), self.number + 1)[1:]
        depth = np.where(read >= 0.25 * count, total / np.maximum(read, 1), np.inf)
        area = np.where(np.isfinite(depth), count * (depth / scene.focal) ** 2, 0.0)
        return _Measures(count, read, area, depth)


@dataclass(frozen=True)
class _Measures:
    """Of regions, one number each."""

    count: NDArray[np.int64]
    read: NDArray[np.int64]
    """Cells with a reading."""
    area: NDArray[np.float64]
    """Square metres; 0 without a depth."""
    depth: NDArray[np.float64]
    """Mean, metres; inf where fewer than a quarter of the cells have a reading."""


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
        ys, xs = cells_of(hand)
        tip, entry = tip_and_entry(xs, ys, cells_per_m, edges, (0, 0))
        return cls(xs, ys, tip, entry is not None, cells_per_m)

    def is_at_hand(self, contact: Mask) -> bool:
        """A contact within a hand's length of the finger tips."""
        ys, xs = cells_of(contact)
        distance = np.hypot(xs - self.tip[0], ys - self.tip[1])
        return bool(np.count_nonzero(distance <= _HAND_LENGTH_M * self.cells_per_m) >= 0.5 * len(xs))

    def from_sleeve(self, thing: Mask, contact: Mask) -> _Way | None:
        """The way from this thing when it is the arm in its sleeve: it goes on from one end, about as wide."""
        if self.enters or np.count_nonzero(thing) < _SLEEVE_AREA_M2 * self.cells_per_m**2:
            return None
        seam = np.stack(cells_of(contact)[::-1], axis=1)
        start = seam.mean(axis=0)
        tip = far_end(self.xs, self.ys, (float(start[0]), float(start[1])), self.cells_per_m)
        skin = np.stack([self.xs, self.ys], axis=1).astype(np.float64)
        along = start - tip
        along /= max(float(np.hypot(*along)), 1e-6)
        across = np.array([-along[1], along[0]])
        wrist = skin[np.hypot(*(skin - start).T) <= _WRIST_M * self.cells_per_m]
        if len(wrist) < 3:
            return None
        width = float((wrist @ across).std()) + 0.3
        cells = np.stack(cells_of(thing)[::-1], axis=1)
        in_line = abs(float(((cells - start) @ across).mean())) <= width
        as_wide = 0.7 * width <= float((cells @ across).std()) <= 1.8 * width
        if not (in_line and as_wide):
            return None
        # A thing beside a flat hand is across it; the arm goes on along it.
        lengthwise = float((skin @ along).std()) >= 0.8 * float((skin @ across).std())
        goes_on = float((cells @ along).mean()) > float((wrist @ along).mean())
        # The seam between sleeve and skin is as long as both are wide.
        fit = float((seam @ across).std()) / max(width, float((cells @ across).std()))
        if not (lengthwise and goes_on and fit >= 0.85):
            return None
        return _Way(self.xs, self.ys, tip, False, self.cells_per_m, fit)


def _of_color(color: NDArray[np.uint8], usual: NDArray[np.float64]) -> Mask:
    """Cells none of whose colour values differs by more than _ALIKE from the usual one's."""
    low, high = np.ceil(usual - _ALIKE).clip(0, 255), np.floor(usual + _ALIKE).clip(0, 255)
    alike: Mask = cv2.inRange(color, low, high) > 0
    return alike


def _median_color(color: NDArray[np.uint8], mask: Mask) -> NDArray[np.float64]:
    """Median of each colour value (3,) over a mask, by counting."""
    medians = []
    for channel in range(3):
        counts = cv2.calcHist([color], [channel], mask.view(np.uint8), [256], [0, 256]).ravel().cumsum()
        middle = [np.searchsorted(counts, (counts[-1] + odd) // 2, side="right") for odd in (-1, 0)]
        medians.append(sum(map(float, middle)) / 2)
    return np.array(medians)


def _unlikeness(color: NDArray[np.uint8], mask: Mask, radius: int, cells: NDArray[np.intp]) -> tuple[Floats, Mask]:
    """How far each cell's colour is from the mean of a mask around it, and where there is any of the mask."""
    ys, xs = np.divmod(cells, mask.shape[1])
    mean, known = means_around(color, mask, radius, ys, xs)
    return np.abs(color.reshape(-1, 3)[cells] - mean).sum(axis=1), known


def best_threshold(scores: Floats, settings: SegmentationSettings) -> float:
    """The score that parts two groups best (Otsu), within the settings' bounds."""
    scaled = np.clip(scores * 4 + 64, 0, 255).astype(np.uint8)
    chosen, _ = cv2.threshold(scaled[:, None], 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(np.clip((chosen + 0.5 - 64) / 4, settings.skin_min, settings.skin_max))
