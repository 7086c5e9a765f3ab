"""Things that hands hold and that stand about: thousands of generated ones, one for a number, in families.

Each thing has parts with a paint, and *grips*: places where a hand may take it. Sizes are those of things in a
household; a grip's radius is half of how thick the thing is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_training.simulator import objects

from .renderer import CHECKER, GRAIN, PLAIN, STRIPES, Solid, joined
from .shapes import Shape, bent_tube, box, ellipsoid, extruded, lathed, of_piece, rod, superquadric

Array = NDArray[np.float64]
X, Y, Z = np.eye(3)


@dataclass(frozen=True)
class Grip:
    """Where a thing may be taken: a place, the direction along it, half its thickness there, how long that is."""

    place: Array  # (3,)
    along: Array  # (3,) unit
    radius: float
    length: float


@dataclass(frozen=True)
class Part:
    shape: Shape
    paint: int = 0


@dataclass(frozen=True)
class Thing:
    """One thing in its own frame."""

    family: str
    parts: tuple[Part, ...]
    grips: tuple[Grip, ...]
    base_z: float  # its lowest point, standing
    scale: float = 1.0

    def inside(self, points: Array) -> NDArray[np.bool_]:
        """Which points (N, 3) of its frame lie within."""
        points = points / self.scale
        return np.any([part.shape.inside(points) for part in self.parts], axis=0)

    def solid(self, rng: np.random.Generator, code: float) -> Solid:
        """Painted: colours, a pattern, some shine."""
        paints = objects.draw_colours(rng)
        if rng.random() < 0.12:  # the colour of skin, or of wood
            paints[0] = np.array([0.80, 0.58, 0.44]) * rng.uniform(0.5, 1.2) + rng.normal(0, 0.04, 3)
        solids = []
        for part in self.parts:
            pattern = int(rng.choice([PLAIN, GRAIN, CHECKER, STRIPES], p=[0.7, 0.1, 0.08, 0.12]))
            material = (
                pattern,
                float(rng.uniform(20, 200)),
                float(rng.uniform(0.02, 0.25 if pattern == PLAIN else 0.7)),
                float(rng.choice([0.0, 0.1, 0.5], p=[0.4, 0.4, 0.2])),
            )
            color = np.clip(paints[part.paint], 0.01, 1)
            solids.append(
                Solid.of(
                    (part.shape.vertices * self.scale).astype(np.float32),
                    part.shape.normals.astype(np.float32),
                    part.shape.triangles,
                    color.astype(np.float32),
                    code,
                    material,
                )
            )
        return joined(solids)

    def scaled(self, scale: float) -> Thing:
        """The same thing larger or smaller."""
        grips = tuple(Grip(g.place * scale, g.along, g.radius * scale, g.length * scale) for g in self.grips)
        return Thing(self.family, self.parts, grips, self.base_z * scale, self.scale * scale)


def of_pieces(pieces: list[objects.Piece], family: str, grips: tuple[Grip, ...] = ()) -> Thing:
    """One of the simulator's things."""
    parts = tuple(Part(of_piece(piece), piece.paint) for piece in pieces)
    return Thing(family, parts, grips, min(float(part.shape.vertices[:, 2].min()) for part in parts))


def _smooth_profile(rng: np.random.Generator, radii: Array, heights: Array) -> Array:
    fine = np.linspace(heights[0], heights[-1], 12)
    return np.stack([np.interp(fine, heights, radii), fine], axis=1)


def _vessel(rng: np.random.Generator) -> Thing:
    """Bottles, jars, vases, glasses, bowls: any radius over height."""
    height = rng.uniform(0.05, 0.26)
    widest = rng.uniform(0.018, 0.048)
    count = int(rng.integers(2, 6))
    radii = widest * np.clip(rng.normal(0.85, 0.25, count), 0.25, 1.0)
    heights = np.sort(rng.uniform(0.1, 0.9, count)) * height
    heights[0], heights[-1] = 0.0, height
    profile = _smooth_profile(rng, radii, heights) if rng.random() < 0.6 else np.stack([radii, heights], axis=1)
    profile = profile - [0.0, height / 2]
    parts = [Part(lathed(profile, hollow_m=0.003 if rng.random() < 0.4 else 0.0))]
    if rng.random() < 0.4:  # a label, a cap
        low, high = np.sort(rng.uniform(-0.45, 0.45, 2)) * height
        around = np.stack([np.interp([low, high], profile[:, 1], profile[:, 0]) * 1.02 + 0.0004, [low, high]], axis=1)
        parts.append(Part(lathed(around), 1))
    if rng.random() < 0.25:
        parts.append(Part(_handle(rng, float(np.interp(0, profile[:, 1], profile[:, 0])), height), 0))
    at = rng.uniform(-0.3, 0.3) * height
    grips = (Grip(at * Z, Z, float(np.interp(at, profile[:, 1], profile[:, 0])), height),)
    return Thing("vessel", tuple(parts), grips, -height / 2)


def _handle(rng: np.random.Generator, radius: float, height: float) -> Shape:
    angle = np.linspace(0, np.pi, 10)
    reach = rng.uniform(0.025, 0.045)
    path = np.stack(
        [radius * 0.95 + reach * np.sin(angle), 0 * angle, rng.uniform(0.25, 0.42) * height * np.cos(angle)], axis=1
    )
    return bent_tube(path, rng.uniform(0.004, 0.008))


def _handled(rng: np.random.Generator) -> Thing:
    """A head on a handle: hammers, spoons, brushes, screwdrivers, ladles, rackets."""
    length, radius = rng.uniform(0.07, 0.22), rng.uniform(0.0045, 0.018)
    bend = rng.uniform(-0.15, 0.15) * length
    t = np.linspace(0, 1, 9)
    path = np.stack([bend * np.sin(np.pi * t), 0 * t, (t - 0.5) * length], axis=1)
    swell = radius * (1 + rng.uniform(-0.3, 0.4) * np.sin(np.pi * t))
    parts = [Part(bent_tube(path, swell)), Part(ellipsoid((swell[0],) * 3).moved(np.eye(3), path[0]))]
    size = rng.uniform(0.008, 0.045, 3)
    head: Shape
    kind = rng.integers(4)
    if kind == 0:
        head = box(size)
    elif kind == 1:
        head = ellipsoid(size * [1, 1, 1.6])
    elif kind == 2:
        head = rod(np.array([-size[0] * 1.5, 0, 0]), np.array([size[0] * 1.5, 0, 0]), size[1] * 0.7, round_ends=False)
    else:
        head = box((0.0012, size[1] * 0.6, size[2] * 2.2))
    parts.append(Part(head.moved(np.eye(3), path[-1] + [0, 0, size[2] * 0.8]), int(rng.integers(1, 3))))
    grip = Grip((rng.uniform(-0.3, 0.05) * length) * Z, Z, radius, length)
    return Thing("handled", tuple(parts), (grip,), -length / 2 - radius)


def _block(rng: np.random.Generator) -> Thing:
    """Boxes, books, phones, cards, packets, soap."""
    kind = rng.integers(4)
    half = {
        0: np.array([rng.uniform(0.0008, 0.006), rng.uniform(0.025, 0.045), rng.uniform(0.04, 0.09)]),
        1: rng.uniform(0.012, 0.045, 3),
        2: np.array([rng.uniform(0.005, 0.02), rng.uniform(0.05, 0.09), rng.uniform(0.07, 0.12)]),
        3: np.array([rng.uniform(0.008, 0.02), rng.uniform(0.008, 0.03), rng.uniform(0.02, 0.09)]),
    }[int(kind)]
    shape = box(half) if rng.random() < 0.6 else superquadric(half, *rng.uniform(0.15, 0.6, 2))
    parts = [Part(shape)]
    if rng.random() < 0.4:
        parts.append(Part(box(half * [1.02, rng.uniform(0.4, 0.9), rng.uniform(0.3, 0.9)]), 1))
    edge = rng.uniform(0.5, 0.9) * half[2] * rng.choice([-1, 1])
    grips = (
        Grip(edge * Z, Y, float(half[0]), float(2 * half[1])),
        Grip(np.zeros(3), Z, float(half[0]), float(half[2])),
    )
    return Thing("block", tuple(parts), grips, float(-half[2]))


def _lump(rng: np.random.Generator) -> Thing:
    """Balls, fruit, stones, soft lumps, diamonds."""
    size = rng.uniform(0.014, 0.045) * rng.uniform(0.7, 1.15, 3)
    shape = superquadric(size, *rng.uniform(0.5, 1.6, 2)) if rng.random() < 0.6 else ellipsoid(size)
    parts = [Part(shape)]
    for _ in range(int(rng.integers(3))):
        lean = rng.normal(0, 1, 3)
        at = lean / np.linalg.norm(lean) * size * 0.8
        parts.append(Part(ellipsoid(size * rng.uniform(0.3, 0.6)).moved(np.eye(3), at), int(rng.integers(2))))
    return Thing("lump", tuple(parts), (Grip(np.zeros(3), Z, float(size[:2].mean()), float(size[2])),), float(-size[2]))


def _blade(rng: np.random.Generator) -> Thing:
    """Flat things: knives, spanners, rulers, spatulas, keys, leaves of card."""
    length, width = rng.uniform(0.06, 0.24), rng.uniform(0.008, 0.035)
    t = np.linspace(0, 1, 7)
    upper = width / 2 * np.clip(rng.normal(1, 0.25, 7), 0.3, 1.5)
    lower = width / 2 * np.clip(rng.normal(1, 0.25, 7), 0.3, 1.5)
    z = (t - 0.5) * length
    outline = np.concatenate([np.stack([lower, z], 1), np.stack([-upper[::-1], z[::-1]], 1)])
    plate = extruded(outline, rng.uniform(0.0006, 0.004))
    upright = np.stack([Y, Z, X], axis=1)  # the plate's x, y, z in the thing's frame: flat across x
    parts = [Part(plate.moved(upright, np.zeros(3)), int(rng.integers(3)))]
    radius = 0.003
    if rng.random() < 0.6:  # a handle on it
        radius = rng.uniform(0.005, 0.011)
        half = np.array([radius, width * rng.uniform(0.35, 0.6), length * rng.uniform(0.18, 0.28)])
        parts.append(Part(superquadric(half, 0.4, 0.4).moved(np.eye(3), -0.30 * length * Z)))
    return Thing("blade", tuple(parts), (Grip(-0.28 * length * Z, Z, float(radius), 0.4 * length),), -length / 2)


def _ring(rng: np.random.Generator) -> Thing:
    """Rings, tape rolls, bracelets, handles of pots and buckets, carabiners."""
    radius, thick = rng.uniform(0.018, 0.055), rng.uniform(0.003, 0.009)
    angle = np.linspace(0, 2 * np.pi, 25)
    squash = rng.uniform(0.5, 1.3)
    path = np.stack([radius * squash * np.cos(angle), 0 * angle, radius * np.sin(angle)], axis=1)
    parts = [Part(bent_tube(path, thick))]
    if rng.random() < 0.35:
        size = rng.uniform(0.01, 0.05, 3)
        parts.append(Part(superquadric(size, 0.3, 0.3).moved(np.eye(3), (radius + size[2]) * -Z), 1))
    return Thing("ring", tuple(parts), (Grip(radius * Z, X, float(thick), float(radius)),), float(-radius - thick))


def _soft(rng: np.random.Generator) -> Thing:
    """Soft and thin: cables, straps, a folded cloth, a bent tube."""
    count = int(rng.integers(3, 6))
    corners = np.cumsum(rng.normal(0, 0.035, (count, 3)), axis=0)
    t = np.linspace(0, count - 1, 5 * count)
    path = np.stack([np.interp(t, np.arange(count), corners[:, axis]) for axis in range(3)], axis=1)
    for _ in range(6):
        path[1:-1] = 0.5 * path[1:-1] + 0.25 * (path[:-2] + path[2:])
    path -= path[len(path) // 2]
    radius = rng.uniform(0.002, 0.011)
    along = path[len(path) // 2 + 1] - path[len(path) // 2 - 1]
    shape = bent_tube(path, radius)
    return Thing(
        "soft",
        (Part(shape),),
        (Grip(np.zeros(3), along / np.linalg.norm(along), float(radius), 0.06),),
        float(shape.vertices[:, 2].min()),
    )


def _tool(rng: np.random.Generator) -> Thing:
    """The simulator's pens, cutters, erasers, staplers, scissors, phones, keys, bottles, cups."""
    kind = rng.integers(8)
    if kind == 0:
        length = rng.uniform(0.12, 0.16)
        return of_pieces(
            objects.pen(length, rng.uniform(0.004, 0.007), rng.random() < 0.4), "tool", _rod_grip(0.005, length)
        )
    if kind == 1:
        length = rng.uniform(0.12, 0.16)
        return of_pieces(objects.cutter(length, 0.02, 0.012, 0.03), "tool", _rod_grip(0.008, length))
    if kind == 2:
        return of_pieces(
            objects.eraser(*rng.uniform([0.03, 0.015, 0.008], [0.06, 0.03, 0.015])), "tool", _rod_grip(0.008, 0.04)
        )
    if kind == 3:
        return of_pieces(objects.stapler(0.13, 0.05, 0.03, rng.uniform(0.05, 0.2)), "tool", _rod_grip(0.022, 0.1))
    if kind == 4:
        grip = Grip(0.03 * X, X, 0.006, 0.04)
        return of_pieces(
            objects.scissors(0.055, (0.017, 0.02), rng.uniform(0.05, 0.1), 0.05, rng.uniform(0.1, 0.7)), "tool", (grip,)
        )
    if kind == 5:
        return of_pieces(objects.phone(0.15, 0.07, 0.009), "tool", _rod_grip(0.006, 0.1))
    if kind == 6:
        height = rng.uniform(0.15, 0.25)
        return of_pieces(objects.bottle(rng.uniform(0.028, 0.04), height, 0.013), "tool", _rod_grip(0.033, height))
    radius = rng.uniform(0.033, 0.043)
    pieces = objects.tube(rng, radius, radius * 0.9, 0.1)
    if rng.random() < 0.5:
        pieces += objects.mug_handle(radius, 0.1, 0.035, 0.005)
    return of_pieces(pieces, "tool", _rod_grip(radius, 0.09))


def _rod_grip(radius: float, length: float) -> tuple[Grip, ...]:
    return (Grip(np.zeros(3), Z, radius, length),)


_FAMILIES: dict[str, Callable[[np.random.Generator], Thing]] = {
    "vessel": _vessel,
    "handled": _handled,
    "block": _block,
    "lump": _lump,
    "blade": _blade,
    "ring": _ring,
    "soft": _soft,
    "tool": _tool,
}
FAMILIES = tuple(_FAMILIES)


def draw_thing(number: int, families: tuple[str, ...] = FAMILIES) -> Thing:
    """The thing with this number; always the same one for the same families."""
    rng = np.random.default_rng([number, 20262])
    return _FAMILIES[families[int(rng.integers(len(families)))]](rng)
