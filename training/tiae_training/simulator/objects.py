"""Objects that people hold, built from primitives. Metres; each has its own frame, described with it.

Sizes are drawn within what is sold: cups 75–130 mm tall, pens 130–150 mm long, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

Vector = np.ndarray
_IDENTITY = np.eye(3)


@dataclass(frozen=True)
class Piece:
    """One primitive. `paint` picks the object's main (0), second (1) or metal (2) colour."""

    kind: str  # box, ellipsoid, sphere, capsule, cylinder
    size: tuple[float, ...]  # half sizes, semi-axes, or the radius
    centre: Vector = field(default_factory=lambda: np.zeros(3))
    rotation: Vector = field(default_factory=lambda: _IDENTITY)
    ends: tuple[Vector, Vector] | None = None  # capsules and cylinders
    paint: int = 0


def _rod(kind: str, start: Vector, end: Vector, radius: float, paint: int = 0) -> Piece:
    return Piece(kind=kind, size=(radius,), ends=(np.asarray(start, float), np.asarray(end, float)), paint=paint)


def _box(centre: tuple[float, float, float], half: tuple[float, float, float], paint: int = 0) -> Piece:
    return Piece(kind="box", size=half, centre=np.array(centre), paint=paint)


def tube(rng: np.random.Generator, radius_top: float, radius_bottom: float, height: float) -> list[Piece]:
    """An open cup around the z axis, its opening at +z, the origin at half height."""
    sides, wall = 16, rng.uniform(0.0025, 0.004)
    pieces = []
    slope = np.arctan2(radius_top - radius_bottom, height)
    middle = 0.5 * (radius_top + radius_bottom) - wall / 2
    for side in range(sides):
        angle = 2 * np.pi * side / sides
        radial = np.array([np.cos(angle), np.sin(angle), 0.0])
        tangent = np.array([-np.sin(angle), np.cos(angle), 0.0])
        up = np.array([0.0, 0.0, 1.0])
        along = np.cos(slope) * up + np.sin(slope) * radial
        rotation = np.stack([np.cross(tangent, along), tangent, along], axis=1)
        width = np.tan(np.pi / sides) * (max(radius_top, radius_bottom) + wall)
        half = (wall / 2, width, height / 2 / np.cos(slope))
        pieces.append(Piece(kind="box", size=half, centre=middle * radial, rotation=rotation))
    floor = np.array([0.0, 0.0, -height / 2])
    pieces.append(_rod("cylinder", floor, floor + np.array([0, 0, 0.005]), radius_bottom))
    return pieces


def mug_handle(radius: float, height: float, reach: float, thickness: float) -> list[Piece]:
    """A handle in the xz plane at the +x side of a mug."""
    angles = np.linspace(0.0, np.pi, 7)
    half = 0.36 * height
    corner = 0.6  # below 1: fuller than an ellipse, as handles are
    bend = np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** corner
    points = [
        np.array([radius - 0.002 + reach * s**corner, 0.0, half * c]) for s, c in zip(np.sin(angles), bend, strict=True)
    ]
    return [_rod("capsule", a, b, thickness) for a, b in pairwise(points)]


def pen(length: float, radius: float, cap: bool) -> list[Piece]:
    """Along z, tip at -z, origin in the middle."""
    z = length / 2
    pieces = [
        _rod("cylinder", np.array([0, 0, -z + 0.012]), np.array([0, 0, z]), radius),
        _rod("capsule", np.array([0, 0, -z]), np.array([0, 0, -z + 0.014]), radius * 0.45, 2),
        _rod("cylinder", np.array([0, 0, -z + 0.008]), np.array([0, 0, -z + 0.022]), radius * 0.8, 1),
    ]
    if cap:
        pieces.append(_rod("cylinder", np.array([0, 0, z - 0.035]), np.array([0, 0, z + 0.002]), radius * 1.15, 1))
        pieces.append(_box((radius * 1.3, 0, z - 0.02), (0.0012, 0.0018, 0.018), 2))
    return pieces


def cutter(length: float, width: float, depth: float, blade: float) -> list[Piece]:
    """A box cutter along z, blade at -z, its flat side across y; the slider sits at +x."""
    z = length / 2
    return [
        _box((0, 0, 0), (depth / 2, width / 2, z)),
        _box((depth / 2, 0, -0.2 * z), (0.003, width * 0.28, 0.012), 1),
        _box((0, 0, -z - blade / 2), (0.0012, width * 0.36, blade / 2), 2),
        _box((0, 0, z - 0.006), (depth / 2 * 1.1, width / 2 * 1.08, 0.008), 1),
    ]


def eraser(length: float, width: float, depth: float) -> list[Piece]:
    """Along z with a paper sleeve; its broad side faces x."""
    return [
        _box((0, 0, 0), (depth / 2, width / 2, length / 2)),
        _box((0, 0, -0.16 * length), (depth / 2 * 1.05, width / 2 * 1.03, 0.32 * length), 1),
    ]


def stapler(length: float, height: float, width: float, opening: float) -> list[Piece]:
    """Along z, mouth at -z; base at -x, lever at +x; hinge at +z."""
    z = length / 2
    tilt = np.array([[np.cos(opening), 0, -np.sin(opening)], [0, 1, 0], [np.sin(opening), 0, np.cos(opening)]])
    lever_centre = np.array([0.22 * height + 0.5 * z * np.sin(opening), 0, -0.04 * length])
    return [
        _box((-height / 2 + 0.004, 0, 0), (0.004, width / 2, z), 2),
        _box((0, 0, z - 0.015), (height / 2 * 0.9, width / 2 * 0.9, 0.015), 1),
        Piece("box", (height * 0.24, width * 0.42, z * 0.93), lever_centre, tilt.T, paint=0),
        Piece("ellipsoid", (height * 0.25, width * 0.42, 0.02), lever_centre + tilt.T @ [0, 0, -z * 0.9], tilt.T),
    ]


def scissors(spread: float, ring: tuple[float, float], blade: float, shank: float, opening: float) -> list[Piece]:
    """In the xy plane, blades to +x, ring centres at (0, ±spread/2): first (thumb) ring at +y, second at -y."""
    thick = 0.0042
    pieces: list[Piece] = []
    pivot = np.array([shank, 0.0, 0.0])
    bolt = np.array([0.0, 0.0, 0.004])
    for side, radius in zip((1, -1), ring, strict=True):
        centre = np.array([0.0, side * spread / 2, 0.0])
        corners = [centre + radius * np.array([1.15 * np.cos(a), np.sin(a), 0]) for a in np.linspace(0, 2 * np.pi, 11)]
        pieces += [_rod("capsule", a, b, thick) for a, b in pairwise(corners)]
        root = centre + np.array([radius * 1.1, -side * radius * 0.35, 0])
        pieces.append(_rod("capsule", root, pivot, thick * 1.1))
        angle = -side * opening / 2
        tip = pivot + blade * np.array([np.cos(angle), np.sin(angle), 0])
        middle, half = 0.5 * (pivot + tip), blade / 2
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
        pieces.append(Piece("box", (half, 0.0055, 0.0011), middle, turn, paint=2))
        pieces.append(_rod("capsule", middle, tip, 0.0022, 2))
    pieces.append(_rod("cylinder", pivot - bolt, pivot + bolt, 0.005, 2))
    return pieces


def bottle(radius: float, height: float, neck: float) -> list[Piece]:
    """Around z, cap at +z, origin at half height."""
    z = height / 2
    body_top = z - 0.30 * height
    return [
        _rod("cylinder", np.array([0, 0, -z]), np.array([0, 0, body_top]), radius),
        Piece("ellipsoid", (radius, radius, 0.16 * height), np.array([0, 0, body_top])),
        _rod("cylinder", np.array([0, 0, body_top]), np.array([0, 0, z - 0.02]), neck),
        _rod("cylinder", np.array([0, 0, z - 0.025]), np.array([0, 0, z]), neck * 1.2, 1),
        _rod("cylinder", np.array([0, 0, -0.45 * z]), np.array([0, 0, 0.1 * z]), radius * 1.01, 1),
    ]


def phone(length: float, width: float, depth: float) -> list[Piece]:
    """Long side along z, screen towards +x."""
    return [
        _box((0, 0, 0), (depth / 2, width / 2, length / 2)),
        _box((depth / 2, 0, 0), (0.0006, width * 0.46, length * 0.47), 1),
        _box((-depth / 2, width * 0.25, length * 0.38), (0.0012, 0.012, 0.014), 2),
    ]


def ball(radius: float) -> list[Piece]:
    """A sphere with a band, so that turning it shows."""
    return [
        Piece("sphere", (radius,)),
        _rod("cylinder", np.array([0, 0, -0.004]), np.array([0, 0, 0.004]), radius * 1.004, 1),
    ]


def key(length: float) -> list[Piece]:
    """Along z, bow (handle) at +z, flat across y."""
    z = length / 2
    return [
        _rod("cylinder", np.array([-0.0012, 0, z - 0.011]), np.array([0.0012, 0, z - 0.011]), 0.0115),
        _box((0, 0, -0.011), (0.0011, 0.0036, z - 0.011), 2),
        _box((0, 0.004, -z + 0.010), (0.0011, 0.0032, 0.008), 2),
    ]


def draw_colours(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) rgb of the main, second and metal paint."""
    hue = rng.random(3)
    main = np.clip(hue if rng.random() < 0.6 else np.full(3, rng.choice([0.06, 0.25, 0.6, 0.95])) + 0.1 * hue, 0, 1)
    second = np.clip(rng.random(3) if rng.random() < 0.5 else 1.0 - main * 0.9, 0, 1)
    metal = np.full(3, rng.uniform(0.45, 0.85)) + rng.normal(0, 0.02, 3)
    return np.clip(np.stack([main, second, metal]), 0.02, 1.0)
