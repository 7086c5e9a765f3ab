"""Rooms and what stands in them: tables, walls, shelves, slats, rails, cushions, boxes like skin, robot arms, things.

World axes: z up; the top of a table lies at z = 0. Nothing here is a hand, however much it looks like one.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from tiae_training.simulator.grasps import frame, tilt

from .renderer import CHECKER, GRAIN, PICTURE, PLAIN, STRIPES, Solid
from .shapes import Shape, bent_tube, box, ellipsoid, lathed, rod, superquadric
from .things import Thing, draw_thing

Array = NDArray[np.float64]
FLOOR_Z = -0.74
X, Y, Z = np.eye(3)


def _solid(shape: Shape, color: Array, material: tuple[float, float, float, float]) -> Solid:
    return Solid.of(
        shape.vertices.astype(np.float32),
        shape.normals.astype(np.float32),
        shape.triangles,
        np.clip(color, 0.01, 1).astype(np.float32),
        0.0,
        material,
    )


def _surface(rng: np.random.Generator, pictures: int) -> tuple[Array, tuple[float, float, float, float]]:
    """A colour and a material: paint, wood, cloth, tiles, pictures."""
    kind = rng.random()
    if kind < 0.3:  # wood, some of it like skin
        color = np.array([0.72, 0.50, 0.33]) * rng.uniform(0.25, 1.3) + rng.normal(0, 0.04, 3)
        return color, (GRAIN, rng.uniform(2, 12), rng.uniform(0.15, 0.6), rng.uniform(0, 0.3))
    if kind < 0.45 and pictures:
        return np.full(3, 0.5), (PICTURE, float(rng.integers(pictures)), rng.uniform(0, 0.4), 0.0)
    if kind < 0.55:
        return rng.random(3), (float(rng.choice([CHECKER, STRIPES])), rng.uniform(5, 60), rng.uniform(0.1, 0.7), 0.0)
    if kind < 0.65:  # like skin
        color = np.array([0.80, 0.58, 0.46]) * rng.uniform(0.35, 1.2) + rng.normal(0, 0.03, 3)
        return color, (PLAIN, rng.uniform(5, 100), rng.uniform(0, 0.2), rng.uniform(0, 0.1))
    grey = rng.uniform(0.05, 0.95)
    color = grey + rng.beta(0.6, 1.5) * (rng.random(3) - grey) + rng.normal(0, 0.02, 3)  # few rooms are gaudy
    return color, (PLAIN, rng.uniform(3, 80), rng.uniform(0, 0.4), rng.choice([0.0, 0.2]))


def room(rng: np.random.Generator, pictures: int) -> list[Solid]:
    """Floor, walls, perhaps a ceiling, from one to five metres away."""
    reach = rng.uniform(0.7, 4.0, 4)
    low, high = FLOOR_Z, rng.uniform(1.0, 2.2)
    solids = [_solid(box((5, 5, 0.02)).moved(np.eye(3), np.array([0, 0, low - 0.02])), *_surface(rng, pictures))]
    for number, (axis, sign) in enumerate(((X, 1), (X, -1), (Y, 1), (Y, -1))):
        if rng.random() < 0.12:
            continue
        half = np.full(3, 5.0)
        half[np.argmax(axis)] = 0.02
        wall = box(half).moved(np.eye(3), sign * axis * (reach[number] + 0.3))
        solids.append(_solid(wall, *_surface(rng, pictures)))
    if rng.random() < 0.6:
        solids.append(_solid(box((5, 5, 0.02)).moved(np.eye(3), np.array([0, 0, high])), *_surface(rng, 0)))
    return solids


def table(rng: np.random.Generator, pictures: int) -> list[Solid]:
    """A table top around the origin, or a bench, a tray, a mat on it."""
    half = np.array([rng.uniform(0.35, 1.0), rng.uniform(0.28, 0.6), 0.012])
    solids = [_solid(box(half).moved(np.eye(3), np.array([0, -half[1] + 0.1, -0.012])), *_surface(rng, pictures))]
    if rng.random() < 0.35:
        mat = np.array([rng.uniform(0.1, 0.3), rng.uniform(0.08, 0.2), 0.0015])
        place = np.array([*rng.uniform(-0.2, 0.2, 2) - [0, 0.3], 0.001])
        solids.append(_solid(box(mat).moved(np.eye(3), place), *_surface(rng, pictures)))
    return solids


def furniture(rng: np.random.Generator, pictures: int, around: Array, clear_m: float) -> list[Solid]:
    """Boxes, shelves, slats, rails, cushions, lamps, plants about a place, none nearer than `clear_m`."""
    solids: list[Solid] = []
    for _ in range(int(rng.integers(0, 7))):
        turn = rng.uniform(0, 2 * np.pi)
        place = around + np.array([np.cos(turn), np.sin(turn), 0]) * (clear_m + rng.uniform(0.15, 1.6))
        place[2] = rng.uniform(FLOOR_Z, 0.6)
        yaw = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
        color, material = _surface(rng, pictures)
        kind = rng.integers(7)
        shapes: list[Shape] = []
        if kind == 0:
            shapes = [box(rng.uniform(0.04, 0.3, 3))]
        elif kind == 1:  # slats or rails, upright or level
            upright, count = rng.random() < 0.5, int(rng.integers(3, 10))
            thick, length, apart = rng.uniform(0.006, 0.03), rng.uniform(0.2, 0.7), rng.uniform(0.03, 0.1)
            for n in range(count):
                at = (n - count / 2) * apart
                half = (thick, thick * rng.uniform(0.3, 1), length) if upright else (length, thick * 0.5, thick)
                shapes.append(box(half).moved(np.eye(3), np.array([at, 0, 0]) if upright else np.array([0, 0, at])))
        elif kind == 2:  # a shelf with boards
            width, apart = rng.uniform(0.2, 0.6), rng.uniform(0.15, 0.35)
            shapes = [box((width, 0.12, 0.01)).moved(np.eye(3), n * apart * Z) for n in range(-1, 3)]
            shapes += [box((0.01, 0.12, 2 * apart)).moved(np.eye(3), s * width * X) for s in (-1, 1)]
        elif kind == 3:  # a cushion
            shapes = [superquadric(rng.uniform(0.06, 0.25, 3), *rng.uniform(0.4, 0.9, 2))]
        elif kind == 4:
            shapes = [
                rod(-rng.uniform(0.1, 0.6) * Z, rng.uniform(0.1, 0.6) * Z, rng.uniform(0.008, 0.07), round_ends=False)
            ]
        elif kind == 5:  # a chair's back: a frame of rods
            w, h, r = rng.uniform(0.15, 0.25), rng.uniform(0.2, 0.4), rng.uniform(0.01, 0.02)
            corners = [np.array(c) for c in ((-w, 0, -h), (-w, 0, h), (w, 0, h), (w, 0, -h))]
            shapes = [rod(a, b, r, round_ends=True) for a, b in itertools.pairwise(corners)]
        else:  # leaves
            for _ in range(int(rng.integers(4, 12))):
                lean = tilt(rng, 60)
                shapes.append(ellipsoid((0.012, 0.002, rng.uniform(0.03, 0.09))).moved(lean, lean @ (0.08 * Z)))
        solids += [_solid(shape.moved(yaw @ tilt(rng, 3), place), color, material) for shape in shapes]
    return solids


def robot_arm(rng: np.random.Generator, tip: Array) -> list[Solid]:
    """An arm of two or three links with a gripper of two, three or five fingers at a place."""
    color = np.full(3, rng.choice([0.08, 0.4, 0.8, 0.95])) + rng.normal(0, 0.03, 3)
    if rng.random() < 0.35:
        color = rng.choice(np.array([[0.9, 0.45, 0.05], [0.1, 0.2, 0.7], [0.8, 0.62, 0.5]]))
    dark = np.full(3, rng.uniform(0.03, 0.4))
    ahead = rng.normal(0, 1, 3) - [0, 0, 0.8]
    ahead /= np.linalg.norm(ahead)
    turn = frame(ahead, rng.normal(0, 1, 3))
    radius = rng.uniform(0.02, 0.05)
    places = [tip - 0.09 * ahead]
    way = -ahead
    for _ in range(int(rng.integers(2, 4))):
        way = way + rng.normal(0, 0.6, 3) + [0, 0, 0.3]
        way /= np.linalg.norm(way)
        places.append(places[-1] + way * rng.uniform(0.12, 0.35))
    shiny = (PLAIN, 40.0, 0.05, 0.4)
    solids = [_solid(rod(a, b, radius, round_ends=True), color, shiny) for a, b in itertools.pairwise(places)]
    solids.append(_solid(box((0.035, 0.03, 0.03)).moved(turn, tip - 0.07 * ahead), dark, shiny))
    count = int(rng.choice([2, 3, 5], p=[0.5, 0.2, 0.3]))
    for n in range(count):
        out = turn @ np.array([np.cos(2 * np.pi * n / count), np.sin(2 * np.pi * n / count), 0])
        if count == 5:
            out = turn @ np.array([(n - 2) * 0.45, 0.2, 0])
        base = tip - 0.05 * ahead + out * rng.uniform(0.02, 0.04)
        middle = base + 0.035 * ahead + 0.01 * out
        if count == 2 or rng.random() < 0.4:
            solids.append(_solid(box((0.008, 0.01, 0.03)).moved(turn, 0.5 * (base + middle)), dark, shiny))
        else:
            end = middle + 0.035 * ahead - 0.012 * out
            solids += [
                _solid(rod(a, b, 0.008, round_ends=True), color, shiny) for a, b in ((base, middle), (middle, end))
            ]
    return solids


def clutter(
    rng: np.random.Generator, count: int, around: Array, spread_m: float, keep_from: Array, things: tuple[int, int]
) -> list[Solid]:
    """Things that stand or lie on the table about a place, none of them in a hand (points `keep_from`, (N, 3))."""
    solids = []
    for _ in range(count):
        thing: Thing = draw_thing(int(rng.integers(*things)))
        place = np.array([around[0] + rng.normal(0, spread_m), around[1] + rng.normal(0, spread_m), 0.0])
        lying = rng.random() < 0.5
        turn = rng.uniform(0, 2 * np.pi)
        yaw = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
        rotation = yaw @ (frame(X, Z) if lying else np.eye(3))
        corners = np.concatenate([part.shape.vertices for part in thing.parts]) @ rotation.T
        place[2] = -corners[:, 2].min() + rng.choice([0.0, rng.uniform(0, 0.15)], p=[0.85, 0.15])
        if len(keep_from):
            near = corners[:: max(1, len(corners) // 60)] + place
            if np.linalg.norm(near[:, None] - keep_from[None], axis=2).min() < 0.012:
                continue
        solids.append(thing.solid(rng, 0.0).moved(rotation, place))
    return solids


def deceiving_shapes(rng: np.random.Generator, around: Array) -> list[Solid]:
    """Shapes in the colours of skin near the place: lumps with prongs, bent rods, bundles, boxes."""
    solids = []
    for _ in range(int(rng.integers(1, 4))):
        color = np.array([0.80, 0.58, 0.46]) * rng.uniform(0.35, 1.25) + rng.normal(0, 0.05, 3)
        if rng.random() < 0.3:
            color = np.array([0.75, 0.12, 0.1]) * rng.uniform(0.5, 1.2)  # red boxes
        place = around + rng.normal(0, 0.2, 3) * [1, 1, 0.4]
        place[2] = abs(place[2])
        material = (PLAIN, rng.uniform(20, 300), rng.uniform(0, 0.2), rng.choice([0.0, 0.1, 0.4]))
        kind = rng.integers(4)
        if kind == 0:
            shapes = [box(rng.uniform(0.015, 0.07, 3))]
        elif kind == 1:
            shapes = [ellipsoid(rng.uniform(0.02, 0.06, 3))]
            for _ in range(int(rng.integers(1, 7))):
                way = rng.normal(0, 1, 3)
                way /= np.linalg.norm(way)
                shapes.append(
                    rod(np.zeros(3), way * rng.uniform(0.05, 0.13), rng.uniform(0.005, 0.012), round_ends=True)
                )
        elif kind == 2:
            corners = np.cumsum(rng.normal(0, 0.05, (4, 3)), axis=0)
            shapes = [bent_tube(corners, rng.uniform(0.008, 0.03))]
        else:
            radii = rng.uniform(0.01, 0.05, 5)
            shapes = [lathed(np.stack([radii, np.linspace(-0.1, 0.1, 5)], axis=1))]
        lean = tilt(rng, 70)
        solids += [_solid(shape.moved(lean, place), color, material) for shape in shapes]
    return solids
