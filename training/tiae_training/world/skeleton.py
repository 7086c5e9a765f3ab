"""Poses of a person's arms and hands: the 25 joints of `simulator.hand` on the bones of anny.

A hand's joints mean the same here as on the simulator's own hand: each segment is first brought to where that hand has
it at angle zero (in the palm frame: x to the fingertips, y to the thumb side, z out of the back of the hand, origin at
the wrist), then turned about the same axes. So grasps that were found on one are shown by the other, and the truth of a
picture is in one convention.

Left arms are worked on as the mirror image (x changes sign) of right ones.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_training.simulator.hand import FINGERS, SPLAY, THUMB_ALONG, THUMB_PAD

from .people import Person

Array = NDArray[np.float64]
SIDES = ("R", "L")
_NUMBER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "little": 5}
_METACARPAL = {"index": 1, "middle": 2, "ring": 3, "little": 4}
_TURN_OF_FOREARM = {"lowerarm01": 0.15, "lowerarm02": 0.6}  # shares of pronation


def rotation_about(axis: Array, angle: float | Array) -> Array:
    """(..., 3, 3) rotation about a unit axis (3,) by angles (...) in radians (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0.0]])
    angle = np.asarray(angle)[..., None, None]
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


def frame_of(first: Array, second: Array) -> Array:
    """Rotation whose columns are unit axes: the first as given, the second as near as possible, the third by cross."""
    first = unit(np.asarray(first, float))
    second = unit(second - first * (second @ first))
    return np.stack([first, second, np.cross(first, second)], axis=1)


@dataclass(frozen=True)
class HandRest:
    """A right hand at rest in its palm frame, and how each segment comes to the zero of its joints."""

    axes: Array  # (3, 3) palm frame in the body's axes
    wrist: Array  # (3,) in the body's axes
    bones: tuple[int, ...]  # of the rig, in the order below: palm, four metacarpals, then thumb to little, base to tip
    heads: Array  # (20, 3) in the palm frame
    parents: tuple[int, ...]
    to_zero: Array  # (20, 3, 3) rest -> zero pose, palm frame
    flexion: Array  # (5, 3) axes in the palm frame at zero
    tips: Array  # (5, 3) fingertips at rest, palm frame


FINGER_NAMES = ("thumb", *FINGERS)


def segment(finger: str, part: int) -> int:
    """Row of `HandRest.heads` of a finger's segment (0 to 2)."""
    return 5 + 3 * FINGER_NAMES.index(finger) + part


@functools.lru_cache(maxsize=16)
def hand_rest(person: Person, side: str) -> HandRest:
    """Side "R" or "L"; of a left hand its mirror image."""
    rig = person.rig
    mirror = np.array([-1.0 if side == "L" else 1.0, 1, 1])
    vertices, heads = person.vertices * mirror, person.heads * mirror

    def head(name: str) -> Array:
        return np.asarray(heads[rig.number(f"{name}.{side}")], float)

    wrist = head("wrist")
    knuckles = {finger: head(f"finger{_NUMBER[finger]}-1") for finger in FINGERS}
    x = np.mean(list(knuckles.values()), axis=0) - wrist
    axes = frame_of(x, knuckles["index"] - knuckles["little"])

    def in_palm(point: Array) -> Array:
        return (np.asarray(point, float) - wrist) @ axes

    names = ["wrist", *(f"metacarpal{number}" for number in range(1, 5))]
    names += [f"finger{number}-{part}" for number in range(1, 6) for part in (1, 2, 3)]
    places = np.array([in_palm(head(name)) for name in names])
    parents = [0, 0, 0, 0, 0]
    to_zero = np.tile(np.eye(3), (len(names), 1, 1))
    flexions, tips = [], []
    for finger in FINGER_NAMES:
        first = segment(finger, 0)
        parents += [0 if finger == "thumb" else _METACARPAL[finger], first, first + 1]
        base = places[first : first + 3]
        own = rig.vertices_of(f"finger{_NUMBER[finger]}-3.{side}")
        ahead = unit(base[2] - base[1])
        cloud = in_palm(vertices[own])
        tip = cloud[np.argsort((cloud - base[2]) @ ahead)[-4:]].mean(axis=0)
        tips.append(tip)
        along = np.diff(np.vstack([base, tip]), axis=0)
        if finger == "thumb":
            ours = unit(np.array(THUMB_ALONG))
            pad = np.array(THUMB_PAD)
            pad = unit(pad - ours * (pad @ ours))
            bend = np.cross(ours, pad)
            hinge = unit(np.cross(unit(along[0]), unit(along[2])))
        else:
            splay = SPLAY[finger]
            ours = np.array([np.cos(splay), np.sin(splay), 0.0])
            bend = np.array([-np.sin(splay), np.cos(splay), 0.0])
            hinge = np.array([0.0, 1.0, 0.0])
        flexions.append(bend)
        for part in range(3):
            to_zero[first + part] = frame_of(ours, bend) @ frame_of(along[part], hinge).T
    bones = tuple(rig.number(f"{name}.{side}") for name in names)
    return HandRest(axes, wrist, bones, places, tuple(parents), to_zero, np.array(flexions), np.array(tips))


def hand_transforms(rest: HandRest, joints: Mapping[str, Array]) -> tuple[Array, Array]:
    """Rotations (N, 20, 3, 3) from rest, and heads (N, 20, 3), in the palm frame, for joint angles (N,) by name."""
    count = len(next(iter(joints.values()), np.zeros(1)))
    zero = np.zeros(count)

    def angle(name: str) -> Array:
        return joints.get(name, zero)

    turns = np.tile(np.eye(3), (count, len(rest.bones), 1, 1))
    x, y, z = np.eye(3)
    for finger in FINGERS:
        if finger in ("ring", "little"):
            turns[:, _METACARPAL[finger]] = rotation_about(y, angle(f"{finger}_cmc_flexion"))
    for number, finger in enumerate(FINGER_NAMES):
        bend = rest.flexion[number]
        if finger == "thumb":
            along = unit(np.array(THUMB_ALONG))
            turn = rotation_about(-x, angle("thumb_cmc_abduction")) @ rotation_about(bend, angle("thumb_cmc_flexion"))
            turn = turn @ rotation_about(along, angle("thumb_cmc_opposition"))
            bends = ("thumb_mcp_flexion", "thumb_ip_flexion")
        else:
            spread = z if finger in ("index", "middle") else -z
            turn = turns[:, _METACARPAL[finger]] @ rotation_about(spread, angle(f"{finger}_mcp_abduction"))
            turn = turn @ rotation_about(bend, angle(f"{finger}_mcp_flexion"))
            bends = (f"{finger}_pip_flexion", f"{finger}_dip_flexion")
        first = segment(finger, 0)
        for part in range(3):
            if part:
                turn = turn @ rotation_about(bend, angle(bends[part - 1]))
            turns[:, first + part] = turn @ rest.to_zero[first + part]
    heads = np.zeros((count, len(rest.bones), 3))
    for number, parent in enumerate(rest.parents):
        if number:
            heads[:, number] = heads[:, parent] + turns[:, parent] @ (rest.heads[number] - rest.heads[parent])
    return turns, heads


def fingertips(rest: HandRest, turns: Array, heads: Array) -> Array:
    """(N, 5, 3) in the palm frame, thumb to little."""
    last = [segment(finger, 2) for finger in FINGER_NAMES]
    return heads[:, last] + np.einsum("nfij,fj->nfi", turns[:, last], rest.tips - rest.heads[last])


def keypoints_of(heads: Array, tips: Array) -> Array:
    """(21, 3) in the order of `simulator.hand.KEYPOINTS`, of heads (20, 3) and fingertips (5, 3)."""
    rows = [heads[:1]]
    for number, finger in enumerate(FINGER_NAMES):
        first = segment(finger, 0)
        rows += [heads[first : first + 3], tips[number : number + 1]]
    return np.concatenate(rows)


@dataclass(frozen=True)
class ArmPose:
    """Where an arm is; directions of the body, of a left arm its mirror image."""

    wrist: Array  # (3,) wanted place of the wrist in the body's axes
    swivel: float = 0.4  # rad, of the elbow about the line from shoulder to wrist; 0 is down, positive outwards
    pronation: float = 0.0  # rad from rest
    wrist_flexion: float = 0.0
    wrist_deviation: float = 0.0
    palm_axes: Array | None = None  # (3, 3) instead of what pronation and the wrist's angles give


@dataclass
class Skeleton:
    """Transforms of all bones: rotation from rest and head, in the body's axes."""

    person: Person
    turns: Array  # (B, 3, 3)
    heads: Array  # (B, 3)
    palms: dict[str, tuple[Array, Array]]  # by side: axes (3, 3) and wrist (3,) of the palm; of a left hand mirrored

    @classmethod
    def at_rest(cls, person: Person) -> Skeleton:
        count = len(person.rig.bones)
        return cls(person, np.tile(np.eye(3), (count, 1, 1)), person.heads.astype(float), {})

    def turn(self, bone: str, rotation: Array) -> None:
        """Turn a bone and all that hangs on it about its head."""
        rig = self.person.rig
        first = rig.number(bone)
        pivot = self.heads[first].copy()
        hanging = {first}
        for number, parent in enumerate(rig.parents):
            if parent in hanging:
                hanging.add(number)
        for number in hanging:
            self.turns[number] = rotation @ self.turns[number]
            self.heads[number] = pivot + rotation @ (self.heads[number] - pivot)

    def reach(self, side: str, pose: ArmPose, joints: Mapping[str, float]) -> None:
        """Bring the wrist where it is wanted (or as near as the arm is long) and the fingers into their pose."""
        rig, person = self.person.rig, self.person
        mirror = np.array([-1.0 if side == "L" else 1.0, 1, 1])
        flip = np.outer(mirror, mirror)  # of rotations

        def number(name: str) -> int:
            return rig.number(f"{name}.{side}")

        at_rest = person.heads.astype(float) * mirror
        shoulder_rest, elbow_rest, wrist_rest = (
            at_rest[number(name)] for name in ("upperarm01", "lowerarm01", "wrist")
        )
        shoulder = self.heads[number("upperarm01")] * mirror
        upper = float(np.linalg.norm(elbow_rest - shoulder_rest))
        lower = float(np.linalg.norm(wrist_rest - elbow_rest))
        way = pose.wrist - shoulder
        distance = float(np.clip(np.linalg.norm(way), abs(upper - lower) + 0.03, 0.995 * (upper + lower)))
        way = unit(way)
        share = (upper**2 - lower**2 + distance**2) / (2 * distance)
        radius = np.sqrt(max(upper**2 - share**2, 0.0))
        down = np.array([0.0, 0.0, -1.0])
        down = down - way * (down @ way)
        down = unit(down) if np.linalg.norm(down) > 1e-3 else unit(np.cross(way, [1.0, 0, 0]))
        out = np.cross(down, way)
        out = out if out[0] < 0 else -out  # the right arm's outside is -x
        elbow = shoulder + way * share + radius * (np.cos(pose.swivel) * down + np.sin(pose.swivel) * out)
        wrist = shoulder + way * distance
        hinge_rest = np.cross(elbow_rest - shoulder_rest, wrist_rest - elbow_rest)
        hinge = np.cross(elbow - shoulder, wrist - elbow)
        turn_upper = frame_of(elbow - shoulder, hinge) @ frame_of(elbow_rest - shoulder_rest, hinge_rest).T
        turn_lower = frame_of(wrist - elbow, hinge) @ frame_of(wrist_rest - elbow_rest, hinge_rest).T
        forearm = unit(wrist - elbow)
        rest = hand_rest(person, side)
        turn_hand = rotation_about(forearm, pose.pronation) @ turn_lower
        axes = turn_hand @ rest.axes
        axes = axes @ rotation_about(np.array([0.0, 1, 0]), pose.wrist_flexion)
        axes = axes @ rotation_about(np.array([0.0, 0, 1]), pose.wrist_deviation)

        if pose.palm_axes is not None:
            axes = pose.palm_axes

        def put(name: str, rotation: Array, place: Array) -> None:
            self.turns[number(name)] = rotation * flip
            self.heads[number(name)] = place * mirror

        put("upperarm01", turn_upper, shoulder)
        put("upperarm02", turn_upper, shoulder + turn_upper @ (at_rest[number("upperarm02")] - shoulder_rest))
        for name, turned in _TURN_OF_FOREARM.items():
            rotation = rotation_about(forearm, turned * pose.pronation) @ turn_lower
            put(name, rotation, elbow + turn_lower @ (at_rest[number(name)] - elbow_rest))
        turns, heads = hand_transforms(rest, {name: np.array([angle]) for name, angle in joints.items()})
        for bone, turn, head in zip(rest.bones, turns[0], heads[0], strict=True):
            self.turns[bone] = (axes @ turn @ rest.axes.T) * flip
            self.heads[bone] = (wrist + axes @ head) * mirror
        self.palms[side] = (axes, wrist)

    def skin(self, rows: NDArray[np.int64] | slice = slice(None)) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vertices and normals (V, 3) in the body's axes, by linear blend skinning; of these rows alone."""
        moved = self.heads - np.einsum("bij,bj->bi", self.turns, self.person.heads.astype(float))
        table = np.concatenate([self.turns.reshape(-1, 9), moved], axis=1).astype(np.float32)
        blended = self.person.rig.weights[rows] @ table
        rotations = blended[:, :9].reshape(-1, 3, 3)
        vertices = np.einsum("vij,vj->vi", rotations, self.person.vertices[rows]) + blended[:, 9:]
        normals = np.einsum("vij,vj->vi", rotations, self.person.normals[rows])
        return vertices, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


def palm_in_body(skeleton: Skeleton, side: str) -> tuple[Array, Array]:
    """(3, 3) axes and (3,) origin: a point p of the palm frame (of a left hand with its y mirrored, as
    `simulator.hand` has it) lies at ``origin + axes @ p`` in the body's axes."""
    axes, wrist = skeleton.palms[side]
    if side == "R":
        return axes, wrist
    return np.array([-1.0, 1, 1])[:, None] * axes * np.array([1.0, -1, 1]), wrist * np.array([-1.0, 1, 1])
