"""Solid shapes: their triangles, and which points lie inside. Metres; each shape in a frame of its own.

The simulator's `Piece` (box, ellipsoid, sphere, capsule, cylinder) is one kind; lathed, extruded, bent and
superquadric shapes are the others.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_training.simulator.objects import Piece

Array = NDArray[np.float64]
Inside = Callable[[Array], NDArray[np.bool_]]


@dataclass(frozen=True)
class Shape:
    """Triangles with normals, and a test of points (N, 3) -> (N,)."""

    vertices: Array  # (V, 3)
    normals: Array  # (V, 3)
    triangles: NDArray[np.int32]  # (F, 3)
    inside: Inside

    def moved(self, rotation: Array, place: Array, scale: float = 1.0) -> Shape:
        """The shape made larger, turned and moved."""

        def inside(points: Array) -> NDArray[np.bool_]:
            return self.inside((points - place) @ rotation / scale)

        return Shape(scale * self.vertices @ rotation.T + place, self.normals @ rotation.T, self.triangles, inside)


def _grid_triangles(rows: int, columns: int) -> NDArray[np.int32]:
    """Two triangles for each cell of a grid of vertices."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    one = np.stack([corner, corner + 1, corner + columns], axis=1)
    other = np.stack([corner + 1, corner + columns + 1, corner + columns], axis=1)
    return np.concatenate([one, other]).astype(np.int32)


def _of_grid(points: Array, normals: Array | None, inside: Inside) -> Shape:
    """A shape from a grid of points (R, C, 3)."""
    rows, columns = points.shape[:2]
    triangles = _grid_triangles(rows, columns)
    flat = points.reshape(-1, 3)
    if normals is None:
        a, b, c = (flat[triangles[:, corner]] for corner in range(3))
        across = np.cross(b - a, c - a)
        summed = np.zeros_like(flat)
        for corner in range(3):
            np.add.at(summed, triangles[:, corner], across)
        # The seam: first and last column are one place.
        grid = summed.reshape(rows, columns, 3)
        seam = np.linalg.norm(points[:, 0] - points[:, -1], axis=1) < 1e-9
        grid[seam, 0] = grid[seam, -1] = grid[seam, 0] + grid[seam, -1]
        normals = summed.reshape(rows, columns, 3)
    flat_normals = normals.reshape(-1, 3)
    lengths = np.linalg.norm(flat_normals, axis=1, keepdims=True)
    return Shape(flat, flat_normals / np.maximum(lengths, 1e-12), triangles, inside)


@functools.lru_cache(maxsize=2)
def _sphere(rows: int = 13, columns: int = 21) -> Array:
    polar, around = np.linspace(0, np.pi, rows)[:, None], np.linspace(0, 2 * np.pi, columns)
    return np.stack(
        [
            np.sin(polar) * np.cos(around),
            np.sin(polar) * np.sin(around),
            np.broadcast_to(np.cos(polar), (rows, columns)),
        ],
        axis=2,
    )


def ellipsoid(semi_axes: Sequence[float] | Array) -> Shape:
    size = np.array(semi_axes, float)
    unit = _sphere()
    return _of_grid(unit * size, unit / size, lambda p: ((p / size) ** 2).sum(axis=1) < 1)


def superquadric(semi_axes: Sequence[float] | Array, east: float, north: float) -> Shape:
    """Exponents near 0 are boxes, 1 ellipsoids, 2 diamonds (Barr 1981)."""
    size = np.array(semi_axes, float)
    polar, around = np.linspace(-np.pi / 2, np.pi / 2, 17)[:, None], np.linspace(-np.pi, np.pi, 29)

    def power(value: Array, exponent: float) -> Array:
        return np.sign(value) * np.abs(value) ** exponent

    x = power(np.cos(polar), north) * power(np.cos(around), east)
    y = power(np.cos(polar), north) * power(np.sin(around), east)
    z = np.broadcast_to(power(np.sin(polar), north), x.shape)

    def inside(points: Array) -> NDArray[np.bool_]:
        a, b, c = np.abs(points / size).T
        return (a ** (2 / east) + b ** (2 / east)) ** (east / north) + c ** (2 / north) < 1

    return _of_grid(np.stack([x, y, z], axis=2) * size, None, inside)


def box(half: Sequence[float] | Array) -> Shape:
    size = np.array(half, float)
    vertices, normals, triangles = [], [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                corner = np.zeros(3)
                corner[axis], corner[u], corner[v] = sign, a, b
                vertices.append(corner * size)
                normal = np.zeros(3)
                normal[axis] = sign
                normals.append(normal)
            first = len(vertices) - 4
            triangles += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
    return Shape(
        np.array(vertices), np.array(normals), np.array(triangles, np.int32), lambda p: np.all(np.abs(p) < size, axis=1)
    )


def lathed(profile: Array, sides: int = 25, *, hollow_m: float = 0.0) -> Shape:
    """Around z: profile (P, 2) of radius and height from the bottom up; `hollow_m`: an open vessel of such walls."""
    radius, height = profile.T
    rows = [(0.0, height[0]), *zip(radius, height, strict=True)]
    if hollow_m > 0:
        inner = np.maximum(radius - hollow_m, 0.001)
        rows += [(r, h) for r, h in zip(inner[::-1], height[::-1], strict=True)]
        rows[-1] = (rows[-1][0], height[0] + hollow_m)
        rows.append((0.0, height[0] + hollow_m))
    else:
        rows.append((0.0, height[-1]))
    # Edges stay sharp: each piece of the profile has rows of its own.
    doubled = np.array([row for pair in itertools.pairwise(rows) for row in pair])
    around = np.linspace(0, 2 * np.pi, sides)
    points = np.stack(
        [
            doubled[:, :1] * np.cos(around),
            doubled[:, :1] * np.sin(around),
            np.broadcast_to(doubled[:, 1:], (len(doubled), sides)),
        ],
        axis=2,
    )
    step = np.diff(doubled, axis=0)[::2]
    across = np.repeat(np.stack([step[:, 1], -step[:, 0]], axis=1), 2, axis=0)
    normals = np.stack(
        [
            across[:, :1] * np.cos(around),
            across[:, :1] * np.sin(around),
            np.broadcast_to(across[:, 1:], (len(doubled), sides)),
        ],
        axis=2,
    )

    def inside(points: Array) -> NDArray[np.bool_]:
        at = np.interp(points[:, 2], height, radius, left=-1, right=-1)
        return np.hypot(points[:, 0], points[:, 1]) < at

    return _of_grid(points, normals, inside)


def extruded(outline: Array, half_m: float) -> Shape:
    """A plate in the xy plane: outline (P, 2), star-shaped about its mean, counted against the clock."""
    count = len(outline)
    middle = outline.mean(axis=0)
    vertices: list[Array] = []
    normals: list[Array] = []
    triangles: list[tuple[int, int, int]] = []
    for sign in (-1.0, 1.0):
        first = len(vertices)
        vertices += [np.append(middle, sign * half_m), *(np.append(point, sign * half_m) for point in outline)]
        normals += [np.array([0, 0, sign])] * (count + 1)
        triangles += [(first, first + 1 + k, first + 1 + (k + 1) % count) for k in range(count)]
    for k in range(count):
        a, b = outline[k], outline[(k + 1) % count]
        outward = np.array([b[1] - a[1], a[0] - b[0], 0.0])
        outward /= max(np.linalg.norm(outward), 1e-12)
        first = len(vertices)
        vertices += [np.append(point, z) for point in (a, b) for z in (-half_m, half_m)]
        normals += [outward] * 4
        triangles += [(first, first + 2, first + 1), (first + 1, first + 2, first + 3)]
    following = np.roll(outline, -1, axis=0)

    def inside(points: Array) -> NDArray[np.bool_]:
        x, y = points[:, :1], points[:, 1:2]
        crossing = (outline[:, 1] > y) != (following[:, 1] > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (following[:, 0] - outline[:, 0]) * (y - outline[:, 1]) / (following[:, 1] - outline[:, 1])
        odd = (crossing & (x < at + outline[:, 0])).sum(axis=1) % 2 == 1
        return odd & (np.abs(points[:, 2]) < half_m)

    return Shape(np.array(vertices), np.array(normals), np.array(triangles, np.int32), inside)


def bent_tube(path: Array, radius: float | Array, sides: int = 11) -> Shape:
    """A round tube along points (P, 3): handles, cables, rings."""
    count = len(path)
    radii = np.broadcast_to(np.asarray(radius, float), (count,))
    tangents = np.gradient(path, axis=0)
    tangents /= np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-12)
    side = np.cross(tangents[0], [0.3, 0.5, 0.8])
    around = np.linspace(0, 2 * np.pi, sides)
    points, normals = np.zeros((count, sides, 3)), np.zeros((count, sides, 3))
    for k in range(count):
        side = side - tangents[k] * (side @ tangents[k])
        side /= np.linalg.norm(side)
        up = np.cross(tangents[k], side)
        normals[k] = np.cos(around)[:, None] * side + np.sin(around)[:, None] * up
        points[k] = path[k] + radii[k] * normals[k]

    def inside(given: Array) -> NDArray[np.bool_]:
        start, step = path[:-1], np.diff(path, axis=0)
        way = given[:, None] - start
        share = np.clip((way * step).sum(2) / np.maximum((step**2).sum(1), 1e-12), 0, 1)
        distance = np.linalg.norm(way - share[..., None] * step, axis=2)
        return (distance < radii[:-1] + share * np.diff(radii)).any(axis=1)

    return _of_grid(points, normals, inside)


def rod(start: Array, end: Array, radius: float, *, round_ends: bool) -> Shape:
    """A cylinder or capsule between two points."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(end - start))
    if round_ends:
        bow = np.linspace(-np.pi / 2, 0, 5)
        profile = np.concatenate(
            [
                np.stack([radius * np.cos(bow), radius * np.sin(bow)], axis=1),
                np.stack([radius * np.cos(bow[::-1]), length - radius * np.sin(bow[::-1])], axis=1),
            ]
        )
    else:
        profile = np.array([[radius, 0.0], [radius, length]])
    z = (end - start) / max(length, 1e-9)
    x = np.cross(z, [1.0, 0, 0] if abs(z[0]) < 0.9 else [0, 1.0, 0])
    x /= np.linalg.norm(x)
    return lathed(profile, 17).moved(np.stack([x, np.cross(z, x), z], axis=1), start)


def of_piece(piece: Piece) -> Shape:
    """The simulator's primitive as a shape, in the thing's frame."""
    if piece.ends is not None:
        return rod(*piece.ends, piece.size[0], round_ends=piece.kind == "capsule")
    if piece.kind == "box":
        shape = box(piece.size)
    else:
        shape = ellipsoid(piece.size if piece.kind == "ellipsoid" else (piece.size[0],) * 3)
    return shape.moved(np.asarray(piece.rotation, float), np.asarray(piece.centre, float))
