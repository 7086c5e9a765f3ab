"""One smooth surface over the capsules and ellipsoids of a hand, as a MuJoCo skin that follows its joints.

The surface is the zero level of a signed distance field: tapered capsules along each finger, the palm's parts melted
into one another and into the fingers, fingers kept apart. It is made in a posture with spread fingers.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import numpy as np

from .hand import FINGERS, HandWriter, Subject
from .rendering import import_mujoco

_CELL_M = 0.0032
_MELT_M = 0.0020  # the larger, the softer the transitions
_REACH_M = 0.010  # around a part in which its distance matters
_WEIGHT_M = 0.0035  # how far from a joint the skin follows both sides
_SPREAD = {"index_mcp_abduction": 0.22, "ring_mcp_abduction": 0.2, "little_mcp_abduction": 0.35}
BIND_POSTURE = {**_SPREAD, "thumb_cmc_abduction": 0.5, "thumb_cmc_flexion": -0.2}
GEOM_CLASSES = ("skin", "flesh", "web")  # what the surface replaces in pictures


class _Part:
    """Distance to one tapered capsule or ellipsoid."""

    def __init__(self, model: Any, data: Any, geom: int, subject: Subject) -> None:
        self.body = int(model.geom_bodyid[geom])
        self.rotation = data.geom_xmat[geom].reshape(3, 3)
        self.centre = data.geom_xpos[geom].copy()
        self.size = model.geom_size[geom].copy()
        name = model.geom(geom).name.removeprefix("hand_")
        self.capsule = model.geom_type[geom] == import_mujoco().mjtGeom.mjGEOM_CAPSULE
        if self.capsule:
            half = self.rotation[:, 2] * self.size[1]
            ends = (self.centre - half, self.centre + half)
            root = data.xpos[self.body]
            self.start, self.end = sorted(ends, key=lambda end: float(np.linalg.norm(end - root)))
            self.radii = _taper(name, subject) or (self.size[0], self.size[0])
            self.low = np.minimum(*ends) - max(self.radii) - _REACH_M
            self.high = np.maximum(*ends) + max(self.radii) + _REACH_M
        else:
            extent = np.abs(self.rotation) @ self.size
            self.low, self.high = self.centre - extent - _REACH_M, self.centre + extent + _REACH_M

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(P, 3) -> (P,) metres, negative inside."""
        if self.capsule:
            along = self.end - self.start
            share = np.clip((points - self.start) @ along / max(float(along @ along), 1e-12), 0.0, 1.0)
            away = points - self.start - share[:, None] * along
            radius = self.radii[0] + share * (self.radii[1] - self.radii[0])
            return np.sqrt(np.einsum("pi,pi->p", away, away)) - radius
        local = (points - self.centre) @ (self.rotation / self.size)
        steeper = local / self.size
        level = np.sqrt(np.einsum("pi,pi->p", local, local))
        slope = np.sqrt(np.einsum("pi,pi->p", steeper, steeper))
        return level * (level - 1.0) / np.maximum(slope, 1e-9)


def _taper(name: str, subject: Subject) -> tuple[float, float] | None:
    """Radii at both ends of a finger's segment, so that neighbours meet without a step."""
    finger, _, segment = name.partition("_")
    if finger not in (*FINGERS, "thumb"):
        return None
    first, second, third = subject.radii(finger)
    if finger == "thumb":
        first = second * 1.08
    bounds = {
        "proximal": (first, 0.5 * (first + second)),
        "middle": (0.5 * (first + second), 0.5 * (second + third)),
        "distal": (0.5 * (second + third), 0.93 * third),
    }
    if finger == "thumb":
        bounds = {
            "metacarpal": (first, second * 1.02),
            "proximal": (second * 1.02, 0.5 * (second + third)),
            "distal": (0.5 * (second + third), 0.95 * third),
        }
    return bounds.get(segment)


def _group(body: str) -> str:
    """Fingers do not melt into each other; each melts into the palm, to which the metacarpals belong."""
    if body.startswith("thumb"):
        return "thumb"
    return body.split("_")[0] if body.endswith(("_proximal", "_middle", "_distal")) else "palm"


def make_skin(model: Any, data: Any, subject: Subject) -> bytes:
    """The skin file (.skn) of the hand in `model`; moves its joints to the posture in which skin meets bones."""
    mujoco = import_mujoco()
    data.qpos[:] = 0.0
    for joint, angle in BIND_POSTURE.items():
        data.joint(joint).qpos[0] = angle
    mujoco.mj_kinematics(model, data)
    parts = [
        _Part(model, data, geom, subject)
        for geom in range(model.ngeom)
        if model.geom(geom).name.startswith("hand_") and not _is_apart(model.geom(geom).name)
    ]
    field, origin = _distance_field(model, parts)
    vertices, faces = _surface(field, origin)
    weights, bodies = _weights(model, parts, vertices)
    bones = {model.body(body).name: np.concatenate([data.xpos[body], data.xquat[body]]) for body in bodies}
    return _skin_file(vertices, faces, weights, bones)


def _is_apart(name: str) -> bool:
    """Nails stay what they are; the arm has a skin of its own."""
    return name.endswith("_nail") or name.startswith(("hand_forearm", "hand_sleeve", "hand_wrist"))


def _distance_field(model: Any, parts: list[_Part]) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z) signed distances on a grid, and the grid's first corner."""
    low = np.min([part.low for part in parts], axis=0)
    high = np.max([part.high for part in parts], axis=0)
    shape = tuple(np.ceil((high - low) / _CELL_M).astype(int) + 1)
    palm = np.zeros(shape, np.float32)
    fingers: dict[str, np.ndarray] = {}
    for part in parts:
        first = np.maximum(np.floor((part.low - low) / _CELL_M).astype(int), 0)
        last = np.minimum(np.ceil((part.high - low) / _CELL_M).astype(int) + 1, shape)
        block = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        points = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(first, last, strict=True)], indexing="ij"), -1)
        distance = part.distance(points.reshape(-1, 3) * _CELL_M + low).reshape(points.shape[:3])
        closeness = np.exp(-np.clip(distance, -0.02, 0.03) / _MELT_M).astype(np.float32)
        group = _group(model.body(part.body).name)
        if group == "palm":
            palm[block] += closeness
        else:
            # Along a finger the segments meet without a step: the nearer one counts, nothing swells.
            finger = fingers.setdefault(group, np.zeros(shape, np.float32))
            finger[block] = np.maximum(finger[block], closeness)
    nearest = np.max(list(fingers.values()), axis=0)
    return -_MELT_M * np.log(np.maximum(palm + nearest, 1e-9)), low


def _surface(field: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Zero level as vertices (V, 3) and triangles (F, 3): one vertex per cell that the surface crosses.

    Each vertex is the mean of the crossings on its cell's edges ("surface nets").
    """
    inside = field < 0
    corners = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    sizes = np.array(field.shape) - 1

    def corner(values: np.ndarray, offset: tuple[int, int, int]) -> np.ndarray:
        return values[tuple(slice(o, o + n) for o, n in zip(offset, sizes, strict=True))]

    count = sum(corner(inside, offset).astype(np.int8) for offset in corners)
    cells = np.argwhere((count > 0) & (count < 8))
    number = np.full(sizes, -1, np.int32)
    number[tuple(cells.T)] = np.arange(len(cells))
    total, crossings = np.zeros((len(cells), 3)), np.zeros(len(cells))
    for start in corners:
        for axis in range(3):
            if start[axis]:
                continue
            end = list(start)
            end[axis] = 1
            a, b = (field[tuple((cells + offset).T)] for offset in (start, end))
            crossing = (a < 0) != (b < 0)
            share = np.where(crossing, a / np.where(crossing, a - b, 1.0), 0.0)
            place = np.tile(np.array(start, float), (len(cells), 1))
            place[:, axis] += share
            total[crossing] += place[crossing]
            crossings[crossing] += 1
    vertices = origin + (cells + total / crossings[:, None]) * _CELL_M
    faces = []
    for axis in range(3):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        low, high = np.take(inside, range(sizes[axis]), axis), np.take(inside, range(1, sizes[axis] + 1), axis)
        edges = np.argwhere(low != high)
        edges = edges[(edges[:, one] > 0) & (edges[:, two] > 0)]
        edges = edges[(edges[:, one] < sizes[one]) & (edges[:, two] < sizes[two])]
        around = []
        for step_one, step_two in ((0, 0), (1, 0), (1, 1), (0, 1)):
            cell = edges.copy()
            cell[:, one] -= step_one
            cell[:, two] -= step_two
            around.append(number[tuple(cell.T)])
        quads = np.stack(around, axis=1)
        flip = ~low[tuple(edges.T)]
        quads[flip] = quads[flip][:, ::-1]
        faces += [quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]
    return vertices, np.concatenate(faces).astype(np.int32)


def _weights(model: Any, parts: list[_Part], vertices: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """(V, B) how much each vertex follows each body, and the bodies."""
    bodies = sorted({part.body for part in parts})
    distance = np.full((len(vertices), len(bodies)), np.inf)
    for part in parts:
        column = bodies.index(part.body)
        distance[:, column] = np.minimum(distance[:, column], part.distance(vertices))
    names = [model.body(body).name for body in bodies]
    groups = np.array([_group(name) for name in names])
    own = groups[distance.argmin(axis=1)]
    strange = (groups[None, :] != own[:, None]) & (groups[None, :] != "palm") & (own[:, None] != "palm")
    distance[strange] = np.inf
    weights = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / _WEIGHT_M)
    weights[weights < 0.04] = 0.0
    return weights / weights.sum(axis=1, keepdims=True), bodies


def _skin_file(vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray, bones: dict[str, np.ndarray]) -> bytes:
    """MuJoCo's binary skin; bones: place and quaternion (7,) of each body when it was bound."""
    texture = vertices[:, :2] * 14.0
    used = weights.any(axis=0)
    weights = weights[:, used]
    bones = {name: pose for (name, pose), in_use in zip(bones.items(), used, strict=True) if in_use}
    content = [struct.pack("<4i", len(vertices), len(texture), len(faces), len(bones))]
    content += [vertices.astype("<f4").tobytes(), texture.astype("<f4").tobytes(), faces.astype("<i4").tobytes()]
    for column, (name, pose) in enumerate(bones.items()):
        followers = np.nonzero(weights[:, column])[0]
        content.append(struct.pack("<40s", name.encode()))
        content.append(pose.astype("<f4").tobytes())
        content.append(struct.pack("<i", len(followers)))
        content += [followers.astype("<i4").tobytes(), weights[followers, column].astype("<f4").tobytes()]
    return b"".join(content)


@lru_cache(maxsize=64)
def _cached(number: int, left: bool) -> bytes:
    from .grasping import bare_hand
    from .hand import draw_subject

    model, data = bare_hand(number, left)
    return make_skin(model, data, draw_subject(number))


def _arm_skin(subject: Subject, start_m: float, end_m: float, wider_m: float, folds_m: float) -> bytes:
    """An arm or a sleeve: rings around the forearm, closed at both ends; folds are waves along a sleeve."""
    sides = 20
    distances = np.arange(start_m, end_m + 1e-9, 0.0125)
    around = 2 * np.pi * np.arange(sides) / sides
    rings = []
    for distance in (distances[0], *distances, distances[-1]):
        # Before the wrist it narrows and ends inside the hand.
        width, height = (subject.arm_size(max(float(distance), 0.0)) + wider_m) * min(1.0, 1.0 + 9.0 * distance)
        wave = folds_m * (np.sin(170 * distance + 2 * np.sin(around + subject.number)) + np.sin(61 * distance + around))
        ring = np.stack(
            [np.full(sides, -distance), (width + wave) * np.cos(around), (height + wave) * np.sin(around)], 1
        )
        rings.append(ring)
    rings[0], rings[-1] = rings[0] * [1, 0.05, 0.05], rings[-1] * [1, 0.05, 0.05]
    vertices = np.concatenate(rings)
    faces = []
    for ring in range(len(rings) - 1):
        a = ring * sides + np.arange(sides)
        b = ring * sides + (np.arange(sides) + 1) % sides
        faces += [np.stack([a, a + sides, b], 1), np.stack([b, a + sides, b + sides], 1)]
    # The wrist bends over some centimetres.
    follow = np.clip((0.02 - vertices[:, 0]) / 0.045, 0.0, 1.0)
    weights = np.stack([1.0 - follow, follow], axis=1)
    at_rest = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    return _skin_file(vertices, np.concatenate(faces).astype(np.int32), weights, {"palm": at_rest, "forearm": at_rest})


def skins_of(writer: HandWriter) -> dict[str, bytes]:
    """Skin files of hand, arm and sleeve by name, as far as they are there."""
    skins = {"hand": _cached(writer.subject.number, writer.left)}
    if writer.sleeve != "no_forearm":
        skins["arm"] = _arm_skin(writer.subject, -0.03, writer.arm_length_m, 0.0, 0.0)
    if writer.sleeve == "sleeve" and writer.sleeve_start_m < writer.arm_length_m - 0.02:
        skins["sleeve"] = _arm_skin(writer.subject, writer.sleeve_start_m, writer.arm_length_m + 0.004, 0.0065, 0.0011)
    return skins
