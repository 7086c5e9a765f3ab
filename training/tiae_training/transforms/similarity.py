"""Rotation, scale and mirroring, with or without shifts: one warp to apply, and a search that costs little more."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from tiae_ros.errors import ParameterError
from tiae_training.processes import batch_mean
from tiae_training.transforms.polar import likest_turns
from tiae_training.transforms.poses import (
    bring_back,
    compose,
    compose_shift,
    invert,
    place_by_pose,
    widened,
    wrap_angle,
)
from tiae_training.transforms.shifts import best_shifts_subpixel, shift_costs
from tiae_training.transforms.transform import Transform

_ANGLE_STEP = math.radians(10.0)  # of the refinement around an estimate
_SCALE_STEP = math.log(1.1)
_COARSE_RADIUS = 4  # shifts tried around each candidate, pixels of the half-sized window
_RING = 12  # angles tried when there is no estimate
_FINE = 0.4  # steps of the second look, of those of the first
_CLEARLY = 1.1  # an estimate stays unless its cost is more than this times another pose's: of two, one for good
_MUCH_LOST = 0.04  # of patterns, from which share on the anchor pulls with all its force
_FINE_RADIUS = 2  # shifts tried around each of its candidates, pixels


@dataclass(frozen=True)
class Similarity(Transform):
    """Poses: angles up to ±angle_rad, scales 1/scale_factor to scale_factor, shifts up to ±shift_radius_px, mirrored.

    The minimum over poses is a search over angle and scale and exact over shifts: candidates around the
    regressor's estimate and its quarter turns are compared on half-sized windows, each by one correlation over
    a few shifts; parabolas through the best one and its neighbours refine angle and scale below the step, and only
    the start and the refined pose are correlated in full. Costs are compared on the input's own scale (times
    scale²), so that no pattern gets cheaper by being restored smaller.

    Nothing in the objective says how large a restored pattern is to be. An anchor above 0 pulls the mean scale found
    in a batch towards 1 by that share, so that in training patterns settle at the size the data shows them. Where
    windows are turned anyhow, nothing says either where in its window a pattern is restored. Of what lies beyond the
    border nothing is asked, so patterns would drift there: as far as a part of them lies outside, the anchor pulls the
    mean place to the middle.
    """

    shift_radius_px: int = 8
    angle_rad: float = math.pi
    scale_factor: float = 1.4
    anchor: float = 0.0
    mirrors: bool = False

    def __post_init__(self) -> None:
        if type(self.shift_radius_px) is not int or not 0 <= self.shift_radius_px <= 64:
            raise ParameterError(
                f"shift radius is {self.shift_radius_px!r}; accepted is a whole number of pixels, 1 to 64"
            )
        if not 0.0 <= self.angle_rad <= math.pi:
            raise ParameterError(f"rotation is ±{math.degrees(self.angle_rad):g}°; accepted is 0 to 180")
        if not 1.0 <= self.scale_factor <= 4.0:
            raise ParameterError(f"scale factor is {self.scale_factor:g}; accepted is 1 to 4 (1.4: from 1/1.4 to 1.4)")

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("dx", "dy", "angle", "log_scale", *(["mirrored"] if self.mirrors else []))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        shifts = torch.randint(-self.shift_radius_px, self.shift_radius_px + 1, (count, 2), generator=generator)
        spread = 2.0 * torch.rand(count, 2, generator=generator) - 1.0
        turns = spread * torch.tensor([self.angle_rad, math.log(self.scale_factor)])
        parts = [shifts, turns]
        if self.mirrors:
            parts.append(torch.randint(0, 2, (count, 1), generator=generator))
        return torch.cat(parts, 1)

    def apply(self, images: Tensor, parameters: Tensor, cover: Tensor | None = None) -> Tensor:
        return place_by_pose(images, parameters)

    def invert(self, images: Tensor, parameters: Tensor) -> Tensor:
        return bring_back(images, parameters)

    def best(self, restored: Tensor, targets: Tensor, estimate: Tensor | None = None) -> Tensor:
        radius = max(1, 2 * self.shift_radius_px)
        start = self._start(estimate, targets)
        start = compose_shift(start, best_shifts_subpixel(restored, bring_back(targets, start), radius))
        informed = estimate is not None and estimate.shape[1] >= len(self.columns)
        candidates = self.candidates(start, informed=informed)
        if self.mirrors and not informed:
            candidates = torch.cat((candidates, torch.cat((candidates[..., :4], 1.0 - candidates[..., 4:]), -1)))
        return self._placed(restored, targets, self._search(restored, targets, candidates, informed=informed), radius)

    def nearest_whole(
        self, restored: Tensor, whole: Tensor, drawn: Tensor, estimate: Tensor, trust: float, *, upright: bool = True
    ) -> tuple[Tensor, Tensor]:
        """As `Transform.nearest_whole`; the pattern's own pose is near the one that the window shows, or the estimate.

        Of the two, what the window shows counts unless the estimate's cost is less than `trust` times its own. Where
        windows are not upright, the estimate counts, unless some other turn of what was restored is clearly more like
        the window.
        """
        estimated = compose(invert(drawn), widened(estimate, len(self.columns)))
        shown = torch.zeros_like(drawn)
        if not upright:
            shown = likest_turns(restored, whole, estimated, min(math.pi, 2.0 * self.angle_rad))
        found = self._near(restored, whole, shown)
        nearest = bring_back(whole, found)
        if trust > 0.0:
            other = self._near(restored, whole, estimated)
            nearest_other = bring_back(whole, other)
            energy = whole.square().sum((1, 2, 3))  # all of it counts, also what a pose pushes out of the window
            costs, costs_other = (
                energy + (restored.square() - 2.0 * restored * seen).sum((1, 2, 3)) * torch.exp(2.0 * poses[:, 3])
                for seen, poses in ((nearest, found), (nearest_other, other))
            )
            better = costs_other < trust * costs * (1.0 if upright else _CLEARLY)
            found = torch.where(better[:, None], other, found)
            nearest = torch.where(better[:, None, None, None], nearest_other, nearest)
        if self.anchor and not upright:
            found = self._to_the_middle(found, nearest, whole)
            nearest = bring_back(whole, found)
        return nearest, compose(drawn, found)

    def _to_the_middle(self, poses: Tensor, nearest: Tensor, whole: Tensor) -> Tensor:
        """Poses with the anchor's pull at where restored patterns lie, as far as a part of them lies outside. (N, P)"""
        mass = whole.sum((1, 2, 3))
        kept = nearest.sum((1, 2, 3)) * torch.exp(2.0 * poses[:, 3])
        lost = batch_mean((mass - kept).clamp_min(0.0)) / batch_mean(mass).clamp_min(1e-6)
        middles = invert(poses)[:, :2]  # of the windows seen, in those that are restored
        pull = self.anchor * (lost / _MUCH_LOST).clamp(max=1.0)
        return compose_shift(poses, (pull * batch_mean(middles)).expand(len(poses), 2))

    def _near(self, restored: Tensor, targets: Tensor, start: Tensor) -> Tensor:
        """The best pose within a step or so of a start: (N, P) -> (N, P).

        A pattern's own middle stays within the shift radius of its window's. Estimates could otherwise lead it out of
        the window, where all poses of nothing are as good as each other.
        """
        radius = max(1, self.shift_radius_px)
        start = _within(start, radius)
        start = compose_shift(start, best_shifts_subpixel(restored, bring_back(targets, start), radius))
        angles, scales = self._steps(informed=True)
        grid = self.candidates(start, informed=True)[: len(angles) * len(scales)]
        found = self._placed(restored, targets, self._search(restored, targets, grid, informed=True), radius)
        return _within(found, radius)

    def _placed(self, restored: Tensor, targets: Tensor, poses: Tensor, radius: int) -> Tensor:
        """Poses with the anchor's pull at their scales and the best shifts for them. (N, P)"""
        if self.anchor and self.scale_factor > 1.0:
            poses[:, 3] -= self.anchor * batch_mean(poses[:, 3])
        return compose_shift(poses, best_shifts_subpixel(restored, bring_back(targets, poses), radius))

    def ranges(self) -> dict[str, dict[str, float]]:
        kinds: dict[str, dict[str, float]] = {}
        if self.shift_radius_px:
            kinds["shift"] = {"radius_px": self.shift_radius_px}
        if self.angle_rad:
            kinds["rotation"] = {"degrees": math.degrees(self.angle_rad)}
        if self.scale_factor > 1.0:
            kinds["scale"] = {"factor": self.scale_factor}
        if self.mirrors:
            kinds["mirror"] = {}
        return kinds

    def refine(self, restored: Tensor, targets: Tensor, poses: Tensor) -> Tensor:
        """A second, finer look around poses that `best` found, on windows of full size: (N, P) -> (N, P).

        Without the anchor: the pose that lays the restored pattern on the target best.
        """
        candidates = self.candidates(poses, informed=True, fraction=_FINE)
        grid = candidates[: math.prod(len(steps) for steps in self._steps(informed=True))]
        costs = self._costs(restored, targets, grid, _FINE_RADIUS)
        found = self._refined(grid, costs, costs.argmin(0), informed=True, fraction=_FINE)
        return compose_shift(found, best_shifts_subpixel(restored, bring_back(targets, found), _FINE_RADIUS))

    def candidates(self, start: Tensor, *, informed: bool, fraction: float = 1.0) -> Tensor:
        """Poses worth comparing around a start: (N, P) -> (K, N, P); the grid of angles × scales, then turns."""
        angles, scales = self._steps(informed=informed)
        steps = [(fraction * angle, fraction * scale) for angle in angles for scale in scales]
        if self.angle_rad and informed:
            steps += [(turn, 0.0) for turn in (math.pi, math.pi / 2, -math.pi / 2) if turn <= self.angle_rad]
        elif self.angle_rad:
            steps += [(2 * self.angle_rad * k / _RING - self.angle_rad, 0.0) for k in range(_RING)]
        offsets = torch.tensor(steps, device=start.device, dtype=start.dtype)  # (K, 2)
        poses = start[None].repeat(len(steps), 1, 1)
        poses[:, :, 2] = wrap_angle(poses[:, :, 2] + offsets[:, None, 0])
        poses[:, :, 3] = poses[:, :, 3] + offsets[:, None, 1]
        return self._within_reach(poses)

    def _steps(self, *, informed: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Angles and log scales of the grid around a start, in order."""
        angles = (-_ANGLE_STEP, 0.0, _ANGLE_STEP) if self.angle_rad and informed else (0.0,)
        scales = (-_SCALE_STEP, 0.0, _SCALE_STEP) if self.scale_factor > 1.0 else (0.0,)
        return angles, scales

    def _within_reach(self, poses: Tensor) -> Tensor:
        """Angles and scales cut at twice the range: as with shifts, the pattern's own may be an extreme one."""
        turn, reach = 2.0 * self.angle_rad, 2.0 * math.log(self.scale_factor)
        angles = poses[..., 2:3] if turn >= math.pi else poses[..., 2:3].clamp(-turn, turn)
        return torch.cat((poses[..., :2], angles, poses[..., 3:4].clamp(-reach, reach), poses[..., 4:]), -1)

    def _start(self, estimate: Tensor | None, targets: Tensor) -> Tensor:
        """Where the search begins: the estimate within what is possible, no pose without one. (N, P)"""
        if estimate is None:
            estimate = targets.new_zeros(len(targets), 2)
        start = _within(widened(estimate.to(targets.dtype), len(self.columns)), 2 * self.shift_radius_px)
        if not self.angle_rad:
            start[:, 2] = 0.0
        if self.scale_factor == 1.0:
            start[:, 3] = 0.0
        return start

    def _search(self, restored: Tensor, targets: Tensor, candidates: Tensor, *, informed: bool) -> Tensor:
        """The candidate with the lowest cost on half-sized windows, refined: (K, N, P) -> (N, P)."""
        patterns, small = _halved(restored), _halved(targets)  # (N, C, ⌈S/2⌉, ⌈S/2⌉)
        halved = torch.cat((0.5 * candidates[..., :2], candidates[..., 2:]), -1)
        costs = self._costs(patterns, small, halved, _COARSE_RADIUS)
        return self._refined(candidates, costs, costs.argmin(0), informed=informed)

    def _costs(self, restored: Tensor, targets: Tensor, candidates: Tensor, radius: int) -> Tensor:
        """The lowest cost over a few shifts of each candidate, on the input's scale: (K, N, P) -> (K, N)."""
        tries, count = candidates.shape[:2]
        views = bring_back(targets.repeat(tries, 1, 1, 1), candidates.flatten(0, 1))  # (K·N, C, S, S)
        costs = shift_costs(restored.repeat(tries, 1, 1, 1), views, radius).flatten(1).amin(1)
        return costs.view(tries, count) * torch.exp(2.0 * candidates[:, :, 3])

    def _refined(
        self, candidates: Tensor, costs: Tensor, best: Tensor, *, informed: bool, fraction: float = 1.0
    ) -> Tensor:
        """The best candidates moved to the minima of parabolas along angle and scale. (K, N, P), (K, N), (N,)."""
        angles, scales = (len(steps) for steps in self._steps(informed=informed))
        sample = torch.arange(len(best), device=best.device)
        found = candidates[best, sample]
        inside = best < angles * scales  # a turn has no neighbours
        row, column = best.clamp_max(angles * scales - 1) // scales, best.clamp_max(angles * scales - 1) % scales
        grid = costs[: angles * scales].view(angles, scales, -1)
        if angles == 3:
            turned = _parabola_offset(grid[:, column, sample], row) * (fraction * _ANGLE_STEP)
            found[:, 2] = wrap_angle(found[:, 2] + inside * turned)
        if scales == 3:
            found[:, 3] += inside * _parabola_offset(grid[row, :, sample].T, column) * (fraction * _SCALE_STEP)
        return self._within_reach(found)


def _within(poses: Tensor, radius: int) -> Tensor:
    """Poses whose shifts are cut at ±radius: (N, P) -> (N, P)."""
    return torch.cat((poses[:, :2].clamp(-radius, radius), poses[:, 2:]), 1)


def _halved(images: Tensor) -> Tensor:
    """Windows of half the size about the same centre: (N, C, S, S) -> (N, C, ⌈S/2⌉, ⌈S/2⌉).

    Poses turn them about it. Blocks of 2×2 pixels are averaged. They leave one row and column of an odd side over, and
    half a pixel between the centres; so its pixels are first averaged onto those between them, which are even in number
    and have its centre.
    """
    if images.shape[-1] % 2:
        images = F.avg_pool2d(images, 2, stride=1, padding=1)  # (N, C, S + 1, S + 1)
    return F.avg_pool2d(images, 2)


def _parabola_offset(costs: Tensor, best: Tensor) -> Tensor:
    """From the best of three equidistant costs (3, N) to the minimum of their parabola, at most half a step. -> (N,)"""
    low, middle, high = costs
    curvature = low - 2.0 * middle + high
    vertex = 0.5 * (low - high) / curvature.clamp_min(1e-12)  # in steps from the middle one
    offset = (vertex - (best - 1)).clamp(-0.5, 0.5)
    return torch.where(curvature > 1e-9, offset, torch.zeros_like(offset))
