"""A thing in a hand: where it goes, and how far each finger closes until it touches.

Fingers are points on the skin of each segment. They bend along a way from open to closed; each stops at its first
contact, then what lies beyond the contact bends on. All is in the palm frame (`simulator.hand`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_training.simulator.grasping import grasp_thing
from tiae_training.simulator.grasps import BY_NAME, frame, tilt
from tiae_training.simulator.hand import FINGERS, JOINT_NAMES, HandWriter, draw_subject
from tiae_training.simulator.rendering import import_mujoco

from .hand_poses import Pose, as_row, within_limits
from .people import Person
from .skeleton import FINGER_NAMES, Array, HandRest, hand_rest, hand_transforms, segment
from .things import Grip, Thing, of_pieces

STYLES = ("wrap", "pinch", "lateral", "hook", "span")  # in which things that no named grasp is for are held
_STEPS = 16
_POINTS_PER_SEGMENT = 10
_TRIES = 5
X, Y, Z = np.eye(3)


@dataclass(frozen=True)
class Held:
    """A hand's pose and a thing's place in the palm frame."""

    pose: Pose
    thing: Thing
    rotation: Array  # (3, 3) thing -> palm
    place: Array  # (3,)
    grasp: str  # a named one, or one of STYLES
    touching: bool


@dataclass(frozen=True, eq=False)
class Skin:
    """Points on a right hand's skin by segment (row of HandRest.heads), at rest."""

    points: Array  # (P, 3) palm frame
    owner: NDArray[np.int64]  # (P,) segment
    finger: NDArray[np.int64]  # (P,) 0 thumb … 4 little, -1 palm


@functools.lru_cache(maxsize=16)
def skin_points(person: Person, side: str) -> Skin:
    rest, rig = hand_rest(person, side), person.rig
    mirror = np.array([-1.0 if side == "L" else 1.0, 1, 1])
    rng = np.random.default_rng(0)
    points, owner, finger = [], [], []
    for row, bone in enumerate(rest.bones):
        own = np.flatnonzero(rig.main_bone == bone)
        if not len(own):
            continue
        if len(own) > _POINTS_PER_SEGMENT:
            own = rng.choice(own, _POINTS_PER_SEGMENT * (2 if row < 5 else 1), replace=False)
        points.append((person.vertices[own] * mirror - rest.wrist) @ rest.axes)
        owner += [row] * len(own)
        finger += [-1 if row < 5 else (row - 5) // 3] * len(own)
    return Skin(np.vstack(points), np.array(owner), np.array(finger))


def _placed(skin: Skin, rest: HandRest, poses: Array) -> Array:
    """Skin points (N, P, 3) for poses (N, 25)."""
    turns, heads = hand_transforms(rest, {name: poses[:, number] for number, name in enumerate(JOINT_NAMES)})
    local = skin.points - rest.heads[skin.owner]
    return heads[:, skin.owner] + np.einsum("npij,pj->npi", turns[:, skin.owner], local)


_JOINTS_OF = {
    finger: [number for number, name in enumerate(JOINT_NAMES) if name.startswith(finger) and "abduction" not in name]
    for finger in FINGERS
} | {"thumb": [number for number, name in enumerate(JOINT_NAMES) if name.startswith("thumb")]}
_BEYOND = {  # joints that still bend when a segment (0, 1, 2) has stopped
    finger: [
        [number for number, name in enumerate(JOINT_NAMES) if name in wanted]
        for wanted in (
            (
                (f"{finger}_pip_flexion", f"{finger}_dip_flexion")
                if finger != "thumb"
                else ("thumb_mcp_flexion", "thumb_ip_flexion")
            ),
            ((f"{finger}_dip_flexion",) if finger != "thumb" else ("thumb_ip_flexion",)),
            (),
        )
    ]
    for finger in FINGER_NAMES
}


def close_on(
    rest: HandRest, skin: Skin, thing: Thing, rotation: Array, place: Array, opening: Array, closing: Array
) -> tuple[Array, set[str]]:
    """The pose (25,) in which fingers have closed on a thing, and which fingers touch it ("palm" too).

    opening, closing: (25,) the ends of the way; the thing is fixed.
    """
    shares = np.linspace(0, 1, _STEPS)
    start, goal = opening.copy(), closing.copy()
    pose = opening.copy()
    touching: set[str] = set()
    bending = {finger: _JOINTS_OF[finger] for finger in FINGER_NAMES}
    for _ in range(3):  # the whole finger, then what lies beyond the contact, then the last joint
        way = start + shares[:, None] * (goal - start)
        for number in range(len(JOINT_NAMES)):
            if not any(number in joints for joints in bending.values()):
                way[:, number] = pose[number]
        points = _placed(skin, rest, way)
        flat = (points.reshape(-1, 3) - place) @ rotation
        hit = thing.inside(flat).reshape(_STEPS, -1)
        if hit[0][skin.finger == -1].any():
            touching.add("palm")
        following: dict[str, list[int]] = {}
        for row, finger in enumerate(FINGER_NAMES):
            joints = bending.get(finger, [])
            if not joints:
                continue
            own = hit[:, skin.finger == row]
            first = int(np.argmax(own.any(axis=1))) if own.any() else _STEPS
            stop = max(first - 1, 0) if first < _STEPS else _STEPS - 1
            pose[joints] = way[stop, joints]
            if first < _STEPS:
                touching.add(finger)
                parts = (skin.owner[skin.finger == row] - segment(finger, 0))[own[first]]
                following[finger] = _BEYOND[finger][int(parts.max())]
        start = pose.copy()
        bending = following
        if not any(following.values()):
            break
    return pose, touching


def _fingers(mcp: float, pip: float, dip: float, names: tuple[str, ...] = FINGERS) -> Pose:
    return {f"{f}_{j}_flexion": a for f in names for j, a in (("mcp", mcp), ("pip", pip), ("dip", dip))}


def _thumb(abduction: float, flexion: float, opposition: float, mcp: float, ip: float) -> Pose:
    names = ("cmc_abduction", "cmc_flexion", "cmc_opposition", "mcp_flexion", "ip_flexion")
    return {f"thumb_{n}": a for n, a in zip(names, (abduction, flexion, opposition, mcp, ip), strict=True)}


def _noisy(pose: Pose, rng: np.random.Generator, deviation: float = 0.08) -> Array:
    return as_row(within_limits({name: angle + rng.normal(0, deviation) for name, angle in pose.items()}))


def hold(person: Person, side: str, thing: Thing, rng: np.random.Generator, *, moment: float = 1.0) -> Held | None:
    """The hand of a person around a thing, in some way that contact allows; None when none was found.

    moment: below 1 the closing is stopped there; the thing is then not held unless it is touched already.
    """
    rest, skin = hand_rest(person, side), skin_points(person, side)
    size = person.hand_length_m / 0.187
    for _ in range(_TRIES):
        grip = thing.grips[int(rng.integers(len(thing.grips)))]
        style, opening, closing, point, along = _style(grip, rest, size, rng)
        axis = tilt(rng, 12) @ along
        rotation = frame(axis, rng.normal(0, 1, 3)) @ frame(grip.along, np.array([0.31, 0.53, 0.79])).T
        if thing.family in ("block", "blade"):  # flat sides lie against the palm or between the fingers
            flat = -Z if style in ("wrap", "hook", "span") else X
            rotation = frame(axis, flat) @ frame(grip.along, X if abs(grip.along[0]) < 0.9 else Y).T
        place = point - rotation @ grip.place
        if style in ("wrap", "hook", "span"):
            place = _out_of_palm(rest, skin, thing, rotation, place, opening)
            if place is None:
                continue
        pose, touching = close_on(rest, skin, thing, rotation, place, opening, closing)
        fingers = touching - {"thumb", "palm"}
        opposed = "thumb" in touching or style == "hook" or (style == "wrap" and len(fingers) >= 3)
        if not (fingers and opposed):
            continue
        if moment < 1:
            pose = opening + moment * (pose - opening)
        names = {name: float(angle) for name, angle in zip(JOINT_NAMES, pose, strict=True)}
        return Held(within_limits(names), thing, rotation, place, style, moment >= 0.95)
    return None


def _style(grip: Grip, rest: HandRest, size: float, rng: np.random.Generator) -> tuple[str, Array, Array, Array, Array]:
    """Style, opening and closing (25,), where the grip's place goes and its direction, in the palm frame."""
    length = float(np.linalg.norm(rest.tips[2]))
    thick = grip.radius
    weights = np.array([1.0, 0.9 if thick < 0.022 * size else 0.25, 0.5 if thick < 0.012 * size else 0.02, 0.25, 0.35])
    if thick > 0.045 * size:
        weights = np.array([0.4, 0.02, 0.0, 0.05, 1.0])
    style = str(rng.choice(STYLES, p=weights / weights.sum()))
    if style == "wrap":
        opening = _fingers(0.1, 0.2, 0.1) | _thumb(rng.uniform(0.6, 1.3), -0.6, rng.uniform(0, 0.3), 0.0, 0.0)
        closing = _fingers(1.5, 1.75, 1.1) | _thumb(rng.uniform(0.7, 1.3), 0.5, 0.3, 0.8, 0.8)
        point = np.array([rng.uniform(0.38, 0.55) * length, rng.normal(0, 0.012) * size, -(0.017 * size + thick)])
        lean = rng.normal(0, 0.35)
        along = np.cos(lean) * Y + np.sin(lean) * X
    elif style == "hook":
        opening = _fingers(0.3, 0.5, 0.3) | _thumb(rng.uniform(0, 1), -0.3, 0, 0, 0)
        closing = _fingers(1.0, 1.75, 1.1) | _thumb(rng.uniform(0, 1), 0.2, 0.2, 0.6, 0.5)
        point = np.array([rng.uniform(0.6, 0.72) * length, rng.normal(0, 0.01), -(0.02 * size + thick)])
        along = Y
    elif style == "span":
        opening = _fingers(0.0, 0.15, 0.1) | _thumb(rng.uniform(0.9, 1.4), -0.7, 0.1, 0, 0)
        closing = _fingers(1.1, 1.0, 0.7) | _thumb(rng.uniform(0.9, 1.4), 0.5, 0.3, 0.6, 0.5)
        opening |= {"index_mcp_abduction": 0.15, "ring_mcp_abduction": 0.12, "little_mcp_abduction": 0.25}
        closing |= {"index_mcp_abduction": 0.1, "ring_mcp_abduction": 0.08, "little_mcp_abduction": 0.15}
        point = np.array([rng.uniform(0.5, 0.65) * length, rng.normal(0, 0.01), -(0.03 * size + thick)])
        along = rng.normal(0, 1, 3) * [1, 1, 1.5]
        along = along / np.linalg.norm(along)
    elif style == "pinch":
        used = FINGERS[: int(rng.choice([1, 2, 3, 4], p=[0.35, 0.35, 0.15, 0.15]))]
        others = tuple(finger for finger in FINGERS if finger not in used)
        bent = rng.uniform(0.0, 1.4)
        rest_of = _fingers(bent, bent * 1.1, bent * 0.6, others)
        opening = _fingers(0.5, 0.5, 0.15, used) | rest_of | _thumb(1.1, -0.5, 0.2, 0.0, 0.0)
        closing = _fingers(1.25, 1.0, 0.5, used) | rest_of | _thumb(1.1, 0.35, 0.35, 0.5, 0.5)
        opening_row, closing_row = _noisy(opening, rng, 0.05), _noisy(closing, rng, 0.05)
        middle = _tips(rest, 0.5 * (opening_row + closing_row))
        point = 0.5 * middle[0] + 0.5 * middle[[FINGER_NAMES.index(f) for f in used]].mean(axis=0)
        across = middle[0] - middle[1]
        along = np.cross(across, rng.normal(0, 1, 3))
        return style, opening_row, closing_row, point, along / np.linalg.norm(along)
    else:  # lateral: between the thumb's pad and the side of the bent index finger
        opening = _fingers(1.0, 1.2, 0.6) | _thumb(0.5, -0.5, 0.1, 0.0, 0.1)
        closing = _fingers(1.1, 1.4, 0.7) | _thumb(0.55, 0.45, 0.3, 0.5, 0.5)
        opening_row, closing_row = _noisy(opening, rng, 0.06), _noisy(closing, rng, 0.06)
        _, heads = hand_transforms(rest, {n: closing_row[None, k] for k, n in enumerate(JOINT_NAMES)})
        side = heads[0, segment("index", 1)] + [0, 0.009 * size, 0]
        point = 0.7 * side + 0.3 * _tips(rest, 0.5 * (opening_row + closing_row))[0]
        along = X + rng.normal(0, 0.3, 3)
        return style, opening_row, closing_row, point, along / np.linalg.norm(along)
    return style, _noisy(opening, rng), _noisy(closing, rng), point, along


def _tips(rest: HandRest, row: Array) -> Array:
    from .skeleton import fingertips

    turns, heads = hand_transforms(rest, {name: row[None, number] for number, name in enumerate(JOINT_NAMES)})
    return fingertips(rest, turns, heads)[0]


def _out_of_palm(
    rest: HandRest, skin: Skin, thing: Thing, rotation: Array, place: Array, opening: Array
) -> Array | None:
    """The place moved away from the palm until only the palm's skin is touched; None when that is too far."""
    points = _placed(skin, rest, opening[None])[0]
    ways = np.concatenate([np.arange(-0.012, 0.0, 0.004), np.arange(0.0, 0.05, 0.004)])
    clear = [not thing.inside((points - (place - way * Z)) @ rotation).any() for way in ways]
    if not any(clear):
        return None
    first = int(np.argmax(clear))
    return place - ways[first] * Z


def hold_as(person: Person, side: str, name: str, rng: np.random.Generator, *, moment: float = 1.0) -> Held:
    """A named grasp of the simulator, brought over to this person's hand."""
    subject = draw_subject(int(rng.integers(1 << 20)))
    grasp = BY_NAME[name]
    found = grasp_thing(grasp, HandWriter(subject, False, "no_forearm"), rng)
    row = len(found.closing.joints) - 1 if moment >= 1 else int(moment * (len(found.closing.joints) - 1))
    joints = found.closing.joints[row].astype(float)
    pose = {n: float(angle) for n, angle in zip(JOINT_NAMES, joints, strict=True) if not n.startswith("wrist")}
    rest, skin = hand_rest(person, side), skin_points(person, side)
    scale = person.hand_length_m / subject.length_m
    if found.placement is None:
        empty = Thing("none", (), (), 0.0)
        return Held(pose, empty, np.eye(3), np.zeros(3), name, False)
    thing = of_pieces(found.placement.pieces, "tool").scaled(scale)
    matrix = np.zeros(9)
    import_mujoco().mju_quat2Mat(matrix, found.closing.thing_pose[row][3:])
    rotation = matrix.reshape(3, 3) @ found.placement.rotation
    place = found.closing.thing_pose[row][:3] * scale
    if moment >= 1:
        # Two hands are never quite alike: fingers open a little, then close until they touch.
        start, goal = joints.copy(), joints.copy()
        for number, joint in enumerate(JOINT_NAMES):
            if "flexion" in joint and not joint.startswith("wrist"):
                start[number] -= 0.25 if "cmc" not in joint else 0.1
                goal[number] += 0.12 if "cmc" not in joint else 0.03
        goal_pose, _ = close_on(rest, skin, thing, rotation, place, start, goal)
        pose = {n: float(angle) for n, angle in zip(JOINT_NAMES, goal_pose, strict=True) if not n.startswith("wrist")}
    return Held(within_limits(pose), thing, rotation, place, name, moment >= 1 or bool(found.closing.touching[row]))
