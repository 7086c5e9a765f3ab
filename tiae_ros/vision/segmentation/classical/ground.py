"""Large planes (table, wall) in a depth picture. On a plane, 1/depth is an affine function of the pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import Floats, Mask

_TRIALS = 48
_SAMPLE = 700
_CELLS_MIN = 100
_MOSTLY = 0.6


@dataclass(frozen=True)
class Plane:
    """A plane in the scene, by what it does to each cell."""

    distance: Floats
    """Distance along the view ray from the plane to the reading, in tolerances; NaN where there is none."""

    def holds(self, tolerances: float) -> Mask:
        """Cells whose reading lies on the plane."""
        with np.errstate(invalid="ignore"):
            held: Mask = self.distance <= tolerances
        return held


def find_planes(depth: Floats, valid: Mask, tolerance_m: float, *, share: float, number: int) -> Iterator[Plane]:
    """Planes that hold at least a share of the valid cells, the largest first, at most so many.

    ``tolerance_m`` is the distance from a plane up to which a reading at half a metre belongs to it.
    """
    height, width = depth.shape
    cells = np.flatnonzero(valid)
    if len(cells) < _CELLS_MIN:
        return
    cells = cells[:: max(1, len(cells) // _SAMPLE)]
    ys, xs = np.divmod(cells, width)
    # Single precision is enough for thousandths of the depth when the coordinates are small numbers.
    middle_y, middle_x = float(ys.mean()), float(xs.mean())
    all_points = np.ones((len(cells), 3), np.float32)
    all_points[:, 0] = xs - middle_x
    all_points[:, 1] = ys - middle_y
    all_z = depth.ravel()[cells]
    points, z, tolerance = all_points, all_z, tolerance_m * _noise_growth(all_z)
    generator = np.random.default_rng(0)
    for _ in range(number):
        if len(z) < share * len(cells):
            return
        plane = _best_plane(points, z, tolerance, generator)
        if plane is None:
            return
        far = np.abs(1 - z * (points @ plane)) * z > tolerance
        if len(z) - np.count_nonzero(far) < share * len(cells):
            return
        points, z, tolerance = points[far], z[far], tolerance[far]
        if np.count_nonzero(all_z * (all_points @ plane) > 1.03) > _MOSTLY * len(all_z):
            continue  # most of the scene is behind: this is no ground but a flat thing, or a flat hand
        columns = plane[0] * (np.arange(width, dtype=np.float32) - middle_x)
        rows = plane[1] * (np.arange(height, dtype=np.float32) - middle_y) + plane[2]
        # |z - 1/p| is nearly |1 - z p| z near the plane, also where the plane is behind the camera (p < 0)
        misfit = rows[:, None] + columns[None]
        misfit *= depth
        np.subtract(1, misfit, out=misfit)
        np.abs(misfit, out=misfit)
        misfit *= depth
        misfit /= tolerance_m * _noise_growth(depth)
        yield Plane(misfit)


def _noise_growth(z: Floats) -> Floats:
    """Depth noise relative to that at half a metre; of triangulation, it grows with the square."""
    growth: Floats = np.maximum(z * np.float32(2.0), np.float32(0.7))
    growth *= growth
    return growth


def _best_plane(points: Floats, z: Floats, tolerance: Floats, generator: np.random.Generator) -> Floats | None:
    """The plane (coefficients of 1/z) with most readings on it: the best of random trials, then fitted."""
    planes = _through(points, z, generator.integers(0, len(z), (_TRIALS, 3)))
    if len(planes) == 0:
        return None
    # In tolerances, and by one matrix product: (1 - z p) z / tolerance = (z / tolerance) - p (z² / tolerance)
    scaled = np.empty((len(z), 4), np.float32)
    np.divide(z, tolerance, out=scaled[:, 3])
    np.multiply(points, (scaled[:, 3] * z)[:, None], out=scaled[:, :3])
    misfit = np.append(planes, np.full((len(planes), 1), -1, np.float32), axis=1) @ scaled.T  # (trials, readings)
    np.abs(misfit, out=misfit)
    held = np.less_equal(misfit, 1, out=misfit)  # as 0 and 1
    plane: Floats = planes[int(np.argmax(held @ np.ones(len(z), np.float32)))]
    for _ in range(2):
        near = np.flatnonzero(np.abs(1 - z * (points @ plane)) * z <= tolerance)
        if len(near) < 10:
            return None
        weighted = (points[near] * z[near][:, None]).astype(np.float64)  # z p = 1 in the least squares
        squares, sums = weighted.T @ weighted, weighted.sum(axis=0)[:, None]  # a column: OpenCV 5 takes no flat array
        fine, solved = cv2.solve(squares, sums, flags=cv2.DECOMP_CHOLESKY)
        if not fine:
            _, solved = cv2.solve(squares, sums, flags=cv2.DECOMP_SVD)
        plane = solved[:, 0].astype(np.float32)
    return plane


def _through(points: Floats, z: Floats, triples: NDArray[np.int64]) -> Floats:
    """Planes (n, 3) through three points each; triples that lie nearly on a line are left out."""
    corners = points.take(triples, axis=0).astype(np.float64)  # (trials, 3, 3)
    inverse = 1.0 / z.take(triples).astype(np.float64)
    x, y, u = corners[:, :, 0].T, corners[:, :, 1].T, inverse.T  # (3, trials)
    x1, x2, y1, y2, u1, u2 = x[1] - x[0], x[2] - x[0], y[1] - y[0], y[2] - y[0], u[1] - u[0], u[2] - u[0]
    area = x1 * y2 - x2 * y1  # twice that of the triangle, in cells
    kept = np.abs(area) > 50
    if not kept.any():
        return np.zeros((0, 3), np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (u1 * y2 - u2 * y1) / area, (x1 * u2 - x2 * u1) / area
        planes = np.stack([a, b, u[0] - a * x[0] - b * y[0]], axis=1)
    through: Floats = planes[kept].astype(np.float32)
    return through
