"""What a hand does with a thing: how it opens, where the thing goes, how far the fingers close, whence one looks.

Nothing here is a final finger angle: `opening` is the posture before the grasp, `closing` is where the servos pull to
until contact stops them. Directions and places are in the palm frame of a right hand (see `hand`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import objects
from .hand import FINGERS, Subject
from .objects import Piece

Landmarks = dict[str, np.ndarray]
Angles = dict[str, float]


@dataclass(frozen=True)
class Placement:
    """A thing in the palm frame. With `approach`, it comes along that direction until it touches the hand."""

    pieces: list[Piece]
    position: np.ndarray
    rotation: np.ndarray  # columns: axes of the thing in the palm frame
    approach: np.ndarray | None = None
    yielding: float = 1.0  # how far the thing gives way to the fingers; 0 is fixed


@dataclass(frozen=True)
class Grasp:
    """One labelled way of holding one kind of thing (or nothing)."""

    name: str
    opening: Angles
    closing: Angles
    up: tuple[float, float, float]  # away from gravity when people do this
    look: tuple[float, float, float]  # from the hand to a camera that sees it well
    place: Callable[[Subject, Landmarks, np.random.Generator], Placement] | None = None


def _fingers(mcp: float, pip: float, dip: float, names: tuple[str, ...] = FINGERS) -> Angles:
    return {
        f"{name}_{joint}_flexion": angle
        for name in names
        for joint, angle in (("mcp", mcp), ("pip", pip), ("dip", dip))
    }


def _thumb(abduction: float, flexion: float, opposition: float, mcp: float, ip: float) -> Angles:
    return {
        "thumb_cmc_abduction": abduction,
        "thumb_cmc_flexion": flexion,
        "thumb_cmc_opposition": opposition,
        "thumb_mcp_flexion": mcp,
        "thumb_ip_flexion": ip,
    }


def frame(z: np.ndarray, x_hint: np.ndarray) -> np.ndarray:
    """Rotation whose columns are axes with this z and an x as near as possible to the hint."""
    z = np.asarray(z, float) / np.linalg.norm(z)
    x = np.asarray(x_hint, float) - z * (np.asarray(x_hint, float) @ z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def tilt(rng: np.random.Generator, degrees: float) -> np.ndarray:
    """A small random rotation."""
    vector = rng.normal(0.0, np.radians(degrees), 3)
    angle = float(np.linalg.norm(vector)) + 1e-12
    k = vector / angle
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


X, Y, Z = np.eye(3)


# --- where things go ---------------------------------------------------------------------------------------------


def _wrapped(
    subject: Subject,
    pieces: list[Piece],
    radius: float,
    rotation: np.ndarray,
    along: float,
    side: float,
    rng: np.random.Generator,
) -> Placement:
    """A thing of this radius lies across the palm and comes up to it from below."""
    position = np.array([along * subject.length_m, side, -(subject.palm_depth_m + radius - 0.004)])
    return Placement(pieces, position, tilt(rng, 4) @ rotation, approach=Z)


def _cup(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    top = rng.uniform(0.034, 0.042)
    bottom = top * rng.uniform(0.72, 0.95)
    height = rng.uniform(0.08, 0.125)
    pieces = objects.tube(rng, top, bottom, height)
    side = 0.012 + rng.uniform(-0.012, 0.012)
    return _wrapped(subject, pieces, (top + bottom) / 2, frame(Y, -Z), 0.50, side, rng)


def _mug_pieces(rng: np.random.Generator) -> tuple[list[Piece], float, float, float]:
    radius, height = rng.uniform(0.037, 0.044), rng.uniform(0.088, 0.108)
    reach = rng.uniform(0.032, 0.040)
    pieces = objects.tube(rng, radius, radius * rng.uniform(0.92, 1.0), height)
    pieces += objects.mug_handle(radius, height, reach, rng.uniform(0.0045, 0.006))
    return pieces, radius, height, reach


def _mug(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    pieces, radius, _, reach = _mug_pieces(rng)
    knuckle = subject.knuckle("middle")
    bar = knuckle + np.array([0.022 * subject.scale / 1e-3, -0.002, -0.015 * subject.thickness])
    rotation = tilt(rng, 3) @ frame(Y, Z)
    position = bar - rotation @ np.array([radius + reach, 0, 0])
    return Placement(pieces, position, rotation, approach=Z, yielding=0.4)


def _reversed_mug(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    pieces, radius, _, _ = _mug_pieces(rng)
    turn = rng.uniform(-0.3, 0.3) - 0.5  # towards the wrist: where neither thumb nor fingers are in the way
    handle = np.array([np.sin(turn), 0, -np.cos(turn)])
    return _wrapped(subject, pieces, radius, frame(-Y, handle), 0.50, 0.01 + rng.uniform(-0.01, 0.01), rng)


def _bottle(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    radius, height = rng.uniform(0.030, 0.038), rng.uniform(0.19, 0.24)
    pieces = objects.bottle(radius, height, rng.uniform(0.011, 0.015))
    return _wrapped(subject, pieces, radius, frame(Y, -Z), 0.50, height * rng.uniform(-0.02, 0.14), rng)


def _ball(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    radius = rng.uniform(0.030, 0.040)
    return _wrapped(subject, objects.ball(radius), radius, frame(X + 0.5 * Y, Z), 0.56, 0.004, rng)


def _phone(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    length, width, depth = rng.uniform(0.138, 0.165), rng.uniform(0.066, 0.077), rng.uniform(0.007, 0.010)
    lean = rng.uniform(0.25, 0.6)
    rotation = frame(np.cos(lean) * Y + np.sin(lean) * X, -Z)
    position = np.array([0.50 * subject.length_m, 0.035, -(subject.palm_depth_m + depth / 2 + 0.008)])
    return Placement(objects.phone(length, width, depth), position, tilt(rng, 3) @ rotation, Z, 0.5)


def _tripod(
    subject: Subject, marks: Landmarks, pieces: list[Piece], length: float, beyond: float, thickness: float
) -> Placement:
    """A stick between the pads of thumb, index and middle finger that leans on the index knuckle; tip at -z."""
    pinch = 0.5 * marks["thumb_pad"] + 0.3 * marks["index_distal_pad"] + 0.2 * marks["middle_distal_pad"]
    rest = subject.knuckle("index") + np.array([-0.012, 0.014 * subject.thickness + thickness, 0.002])
    axis = (rest - pinch) / np.linalg.norm(rest - pinch)
    position = pinch + axis * (length / 2 - beyond)
    return Placement(pieces, position, frame(axis, Z + Y), yielding=1.5)


def _pen_tripod(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    length, radius = rng.uniform(0.135, 0.152), rng.uniform(0.004, 0.0056)
    pieces = objects.pen(length, radius, bool(rng.random() < 0.4))
    return _tripod(subject, marks, pieces, length, rng.uniform(0.030, 0.042), radius)


def _in_fist(subject: Subject, pieces: list[Piece], thickness: float, shift: float, axis: np.ndarray) -> Placement:
    position = np.array([0.50 * subject.length_m, 0.0, -(subject.palm_depth_m + thickness + 0.006)])
    return Placement(pieces, position + axis * shift, frame(axis, -Z), approach=Z, yielding=1.0)


def _pen_fist(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    length, radius = rng.uniform(0.135, 0.152), rng.uniform(0.0045, 0.006)
    pieces = objects.pen(length, radius, bool(rng.random() < 0.4))
    axis = Y + rng.normal(0, 0.06) * X - 0.1 * X
    return _in_fist(subject, pieces, radius, rng.uniform(-0.022, -0.008), axis / np.linalg.norm(axis))


def _cutter_pieces(rng: np.random.Generator) -> tuple[list[Piece], float, float]:
    length, width, depth = rng.uniform(0.125, 0.15), rng.uniform(0.017, 0.023), rng.uniform(0.010, 0.014)
    return objects.cutter(length, width, depth, rng.uniform(0.022, 0.04)), length, depth


def _cutter_index(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    """Along the index finger, the end of the handle in the hollow of the hand."""
    pieces, length, depth = _cutter_pieces(rng)
    front = marks["index_distal_pad"] + np.array([0.0, -0.001, -depth * 0.6])
    back = np.array([0.20 * subject.length_m, -0.16 * subject.breadth_m, -(subject.palm_depth_m + 0.012)])
    axis = (back - front) / np.linalg.norm(back - front)
    position = front + axis * (length / 2 - rng.uniform(0.004, 0.014))
    return Placement(pieces, position, frame(axis, Z), approach=Z)


def _lateral(subject: Subject, marks: Landmarks, pieces: list[Piece], length: float, grip: float) -> Placement:
    """Flat between the thumb's pad and the side of the bent index finger; the tip points away from the palm."""
    side = marks["index_middle_centre"] + np.array([0.0, 0.010 * subject.thickness, 0.0])
    pinch = 0.5 * (side + marks["thumb_pad"])
    axis = -(0.80 * X - 0.45 * Z + 0.12 * Y)
    axis /= np.linalg.norm(axis)
    return Placement(pieces, pinch + axis * (length / 2 - grip), frame(axis, Y), yielding=1.2)


def _cutter_lateral(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    pieces, length, _ = _cutter_pieces(rng)
    return _lateral(subject, marks, pieces, length, length * rng.uniform(0.62, 0.74))


def _key(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    length = rng.uniform(0.05, 0.065)
    return _lateral(subject, marks, objects.key(length), length, length * 0.82)


def _scissors_rings(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    """Thumb in one ring, middle finger in the other."""
    thumb, finger = marks["thumb_ring"], marks["middle_ring"]
    normal = marks["thumb_ring_axis"] + marks["middle_ring_axis"]
    apart = thumb - finger
    y = apart / np.linalg.norm(apart)
    normal = normal - y * (normal @ y)
    normal /= np.linalg.norm(normal)
    forward = np.cross(y, normal)
    if forward[0] < 0:  # the blades point away from the wrist
        forward, normal = -forward, -normal
    rings = (0.0155 * subject.thickness + 0.002, rng.uniform(0.0165, 0.019) * subject.thickness)
    pieces = objects.scissors(
        float(np.linalg.norm(apart)), rings, rng.uniform(0.06, 0.085), rng.uniform(0.055, 0.066), rng.uniform(0.15, 0.5)
    )
    rotation = np.stack([forward, y, normal], axis=1)
    return Placement(pieces, 0.5 * (thumb + finger), rotation, yielding=0.3)


def _scissors_fist(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    """Handed over: the fist round the closed blades, the rings out at the thumb side."""
    ring = rng.uniform(0.017, 0.021)
    blade, shank = rng.uniform(0.07, 0.09), rng.uniform(0.05, 0.06)
    pieces = objects.scissors(2.15 * ring + 0.006, (ring, ring), blade, shank, 0.02)
    axis = -(Y + rng.normal(0, 0.08) * X)
    position = np.array([0.50 * subject.length_m, 0.0, -(subject.palm_depth_m + 0.010)]) - axis * (shank + 0.028)
    rotation = frame(-np.cross(axis, Z), axis)
    rotation = np.stack([axis / np.linalg.norm(axis), np.zeros(3), Z], axis=1)
    rotation[:, 1] = np.cross(rotation[:, 2], rotation[:, 0])
    return Placement(pieces, position, rotation, approach=Z)


def _eraser_pinch(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    length, width, depth = rng.uniform(0.05, 0.065), rng.uniform(0.022, 0.028), rng.uniform(0.011, 0.015)
    tips = 0.5 * (marks["index_distal_pad"] + marks["middle_distal_pad"])
    pinch = 0.5 * (marks["thumb_pad"] + tips)
    across = marks["thumb_pad"] - tips
    down = marks["index_distal_tip"] - marks["index_middle_centre"]
    rotation = frame(-down, across)
    position = pinch - rotation[:, 2] * (length / 2 - rng.uniform(0.012, 0.02))
    return Placement(objects.eraser(length, width, depth), position, rotation, yielding=1.5)


def _eraser_flat(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    """Big eraser lying below the straight fingers, thumb at its side: rubbing a board."""
    length, width, depth = rng.uniform(0.085, 0.11), rng.uniform(0.042, 0.052), rng.uniform(0.022, 0.03)
    middle = 0.5 * (marks["middle_middle_centre"] + marks["middle_distal_pad"])
    position = middle + np.array([-0.012, -0.002, -(0.5 * depth + 0.006)])
    return Placement(objects.eraser(length, width, depth), position, tilt(rng, 3) @ frame(Y + 0.1 * X, -Z), Z, 0.6)


def _stapler_pieces(rng: np.random.Generator) -> tuple[list[Piece], float, float]:
    length, height, width = rng.uniform(0.115, 0.15), rng.uniform(0.048, 0.06), rng.uniform(0.03, 0.038)
    return objects.stapler(length, height, width, rng.uniform(0.08, 0.25)), length, height


def _stapler_press(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    """Standing on a table below the hand, its lever up against the palm, mouth forward."""
    pieces, _, height = _stapler_pieces(rng)
    position = np.array([0.72 * subject.length_m, 0.0, -(subject.palm_depth_m + height / 2)])
    return Placement(pieces, position, tilt(rng, 3) @ frame(-X + 0.1 * Y, Z), Z, 0.6)


def _stapler_squeeze(subject: Subject, marks: Landmarks, rng: np.random.Generator) -> Placement:
    """Lying in the hand like a handle, mouth out at the thumb side, base on the fingers."""
    pieces, length, height = _stapler_pieces(rng)
    return _wrapped(subject, pieces, height / 2, frame(-Y, Z), 0.52, length * rng.uniform(0.10, 0.22), rng)


# --- the table ---------------------------------------------------------------------------------------------------

_OPEN_WRAP = _fingers(0.25, 0.25, 0.1) | _thumb(1.25, -0.65, 0.2, 0.0, 0.0)
_WRAP = _fingers(1.5, 1.75, 1.0) | _thumb(1.25, 0.4, 0.2, 0.8, 0.9)
_FIST = _fingers(1.55, 1.8, 1.1) | _thumb(1.1, 0.35, 0.5, 0.8, 0.8)
_CURLED = _fingers(1.25, 1.55, 0.8, ("ring", "little"))
_TRIPOD_OPEN = (
    _fingers(0.75, 0.65, 0.25, ("index",))
    | _fingers(0.85, 0.85, 0.3, ("middle",))
    | _CURLED
    | _thumb(1.1, -0.35, 0.3, 0.3, 0.25)
)
_TRIPOD = (
    _fingers(1.2, 1.0, 0.5, ("index",))
    | _fingers(1.2, 1.2, 0.5, ("middle",))
    | _fingers(1.4, 1.7, 0.9, ("ring", "little"))
    | _thumb(1.1, 0.5, 0.3, 0.7, 0.5)
)
_LATERAL_OPEN = _fingers(1.1, 1.45, 0.7) | _thumb(0.45, -0.1, 0.1, 0.25, 0.0)
_LATERAL = _fingers(1.2, 1.6, 0.8) | _thumb(0.45, 0.5, 0.1, 0.6, 0.5)
_SIDE = (0.55, 0.1, -0.85)  # sees the palm side and the finger tips
_FRONT_TOP = (0.55, 0.65, 0.45)

GRASPS: tuple[Grasp, ...] = (
    Grasp("cup", _OPEN_WRAP, _WRAP, (0, 1, 0), _SIDE, _cup),
    Grasp(
        "mug",
        _OPEN_WRAP | _thumb(0.7, -0.3, 0.2, 0.1, 0.1),
        _WRAP | _thumb(0.7, 0.4, 0.3, 0.6, 0.6),
        (0, 1, 0),
        (0.9, 0.1, -0.35),
        _mug,
    ),
    Grasp("reversed_mug", _OPEN_WRAP, _WRAP, (0, 1, 0), _SIDE, _reversed_mug),
    Grasp(
        "cutter_1",
        _fingers(0.2, 0.25, 0.1, ("index",))
        | _fingers(0.35, 0.3, 0.2, ("middle", "ring", "little"))
        | _thumb(0.9, -0.5, 0.2, 0.1, 0.1),
        _fingers(0.7, 0.4, 0.2, ("index",))
        | _fingers(1.55, 1.8, 1.1, ("middle", "ring", "little"))
        | _thumb(0.9, 0.4, 0.3, 0.5, 0.5),
        (0, 0.4, 1),
        (0.3, 1, 0.25),
        _cutter_index,
    ),
    Grasp("cutter_2", _LATERAL_OPEN, _LATERAL, (0, 1, 0), (0.35, 0.35, -0.85), _cutter_lateral),
    Grasp("pen_1", _TRIPOD_OPEN, _TRIPOD, (0, 0.75, 0.7), (0.5, 0.7, -0.5), _pen_tripod),
    Grasp("pen_2", _OPEN_WRAP | _fingers(0.5, 0.5, 0.3), _FIST, (0, 1, 0), _SIDE, _pen_fist),
    Grasp(
        "scissors_1",
        _fingers(0.55, 0.75, 0.3, ("index",))
        | _fingers(0.9, 1.05, 0.3, ("middle", "ring", "little"))
        | _thumb(0.85, 0.1, 0.2, 0.0, 0.0),
        _fingers(0.75, 0.9, 0.3, ("index",))
        | _fingers(1.0, 1.15, 0.4, ("middle",))
        | _fingers(1.1, 1.3, 0.6, ("ring", "little"))
        | _thumb(0.85, 0.0, 0.2, 0.0, 0.1),
        (0, 1, 0),
        _SIDE,
        _scissors_rings,
    ),
    Grasp("scissors_2", _OPEN_WRAP | _fingers(0.5, 0.5, 0.3), _FIST, (0, 1, 0), _SIDE, _scissors_fist),
    Grasp(
        "eraser_1",
        _fingers(0.8, 0.55, 0.2, ("index", "middle")) | _CURLED | _thumb(1.15, -0.35, 0.35, 0.3, 0.2),
        _fingers(1.3, 0.8, 0.4, ("index", "middle"))
        | _fingers(1.4, 1.7, 0.9, ("ring", "little"))
        | _thumb(1.15, 0.5, 0.35, 0.6, 0.4),
        (-0.3, 0.3, 0.9),
        (0.35, 0.9, 0.1),
        _eraser_pinch,
    ),
    Grasp(
        "eraser_2",
        _fingers(0.25, 0.2, 0.1) | _thumb(0.7, -0.5, 0.2, 0.0, 0.0),
        _fingers(0.5, 0.45, 0.3) | _thumb(0.7, 0.45, 0.2, 0.6, 0.4),
        (0, 0, 1),
        (0.7, 0.65, 0.3),
        _eraser_flat,
    ),
    Grasp(
        "stapler_1",
        _fingers(0.1, 0.1, 0.05) | _thumb(0.6, -0.5, 0.1, 0.0, 0.0),
        _fingers(0.9, 0.8, 0.4) | _thumb(0.6, 0.5, 0.1, 0.6, 0.5),
        (0, 0, 1),
        (0.45, 0.85, 0.25),
        _stapler_press,
    ),
    Grasp(
        "stapler_2",
        _OPEN_WRAP | _thumb(0.9, -0.6, 0.2, 0.0, 0.0),
        _WRAP | _thumb(0.9, 0.4, 0.2, 0.6, 0.6),
        (0, 1, 0),
        _SIDE,
        _stapler_squeeze,
    ),
    Grasp(
        "open_hand",
        _fingers(0.05, 0.05, 0.02) | _thumb(0.3, -0.1, 0.0, 0.0, 0.0),
        _fingers(0.05, 0.08, 0.04) | _thumb(0.3, -0.1, 0.0, 0.05, 0.05),
        (1, 0, 0),
        (0.1, 0.1, -1),
    ),
    Grasp(
        "pointing",
        _fingers(0.05, 0.05, 0.0, ("index",))
        | _fingers(0.9, 1.0, 0.5, ("middle", "ring", "little"))
        | _thumb(0.9, -0.3, 0.2, 0.2, 0.1),
        _fingers(0.05, 0.08, 0.05, ("index",))
        | _fingers(1.55, 1.8, 1.1, ("middle", "ring", "little"))
        | _thumb(0.9, 0.3, 0.3, 0.8, 0.7),
        (0, 0.7, 0.7),
        (0.2, 0.5, -0.8),
    ),
    Grasp("fist", _fingers(0.7, 0.8, 0.4) | _thumb(1.0, -0.4, 0.2, 0.0, 0.0), _FIST, (0, 1, 0), _SIDE),
    Grasp(
        "pinch",
        _fingers(0.75, 0.6, 0.1, ("index",))
        | _fingers(0.3, 0.3, 0.15, ("middle",))
        | _fingers(0.2, 0.2, 0.1, ("ring", "little"))
        | _thumb(1.05, -0.25, 0.1, 0.0, 0.0),
        _fingers(1.3, 1.0, 0.3, ("index",))
        | _fingers(0.3, 0.3, 0.15, ("middle",))
        | _fingers(0.15, 0.2, 0.1, ("ring", "little"))
        | _thumb(1.05, 0.1, 0.1, 0.15, 0.2),
        (1, 0, 0.1),
        (0.1, 1, -0.35),
    ),
    Grasp("key", _LATERAL_OPEN, _LATERAL, (0, 1, 0), (0.35, 0.35, -0.85), _key),
    Grasp(
        "phone",
        _fingers(0.2, 0.15, 0.1) | _thumb(0.9, -0.65, 0.0, 0.0, 0.0),
        _fingers(0.9, 1.1, 0.7) | _thumb(0.9, 0.4, 0.0, 0.6, 0.4),
        (0.3, 1, 0),
        (0.1, 0.1, -1),
        _phone,
    ),
    Grasp("bottle", _OPEN_WRAP, _WRAP, (0, 1, 0), _SIDE, _bottle),
    Grasp(
        "ball",
        _fingers(0.15, 0.2, 0.1)
        | _thumb(1.2, -0.65, 0.2, 0.0, 0.0)
        | {"index_mcp_abduction": 0.2, "ring_mcp_abduction": 0.12, "little_mcp_abduction": 0.25},
        _WRAP,
        (0.3, 1, 0),
        _SIDE,
        _ball,
    ),
)


def draw_bystander(subject: Subject, rng: np.random.Generator) -> Placement:
    """A thing that stands or lies about, in its own frame, as people leave it."""
    upright = {"cup": False, "mug": False, "bottle": False, "ball": False, "phone": True, "stapler_1": True}
    lying = ("pen_2", "eraser_2", "key", "cutter_2")
    name = str(rng.choice([*upright, *lying]))
    place = next(grasp.place for grasp in GRASPS if grasp.name == name)
    marks: Landmarks = {key: rng.normal(0, 0.02, 3) + 0.1 * X for key in _BYSTANDER_MARKS}
    pieces = place(subject, marks, rng).pieces if place else []
    on_side = frame(-X, Z) if upright.get(name) or name in lying else np.eye(3)
    return Placement(pieces, np.zeros(3), on_side)


_BYSTANDER_MARKS = ("thumb_pad", "index_middle_centre", "middle_middle_centre", "middle_distal_pad")
GRASP_NAMES = tuple(grasp.name for grasp in GRASPS)
SLIDE_GRASPS = GRASP_NAMES[:13]
BY_NAME = {grasp.name: grasp for grasp in GRASPS}
