"""Continuous hand poses: what fingers do without a thing, within limits, without passing through each other.

A pose is a dict of joint angles in radians (`simulator.hand.JOINT_NAMES`). Drawn are blends of the named grasps' poses
at any moment of their closing, synergies (fingers that bend together, as in Santello et al. 1998), and free poses.
"""

from __future__ import annotations

import numpy as np

from tiae_training.simulator.grasps import BY_NAME, GRASPS
from tiae_training.simulator.hand import FINGERS, JOINT_LIMITS, JOINT_NAMES

from .skeleton import FINGER_NAMES, Array, HandRest, fingertips, hand_transforms, segment

Pose = dict[str, float]
_RADIUS_M = {"thumb": 0.0085, "index": 0.0075, "middle": 0.0075, "ring": 0.007, "little": 0.006}
_TRIES = 12
# Of the fingers in a hand of 0.18 m, how near their middle lines may come, as a share of both radii.
_OVERLAP = 0.75
# Of the finger and the thumb of a pinch, to begin with.
_ROUND = {"mcp_flexion": 0.85, "pip_flexion": 0.95, "dip_flexion": 0.45, "mcp_abduction": 0.0}
_OPPOSED = {"cmc_abduction": 0.9, "cmc_flexion": 0.0, "cmc_opposition": 0.3, "mcp_flexion": 0.3, "ip_flexion": 0.3}
_PINCH_STEPS = 25
_CLOSE_M = 0.004  # to the gap that is wanted


def within_limits(pose: Pose) -> Pose:
    return {name: float(np.clip(angle, *JOINT_LIMITS[name])) for name, angle in pose.items()}


def draw_free_pose(rng: np.random.Generator, rest: HandRest, grasps: tuple[str, ...]) -> Pose:
    """A pose of the hand alone. `grasps`: names whose poses may be mixed in."""
    for _ in range(_TRIES):
        pose = draw_any_pose(rng, grasps)
        if not fingers_cross(rest, pose):
            return pose
    return draw_plain_pose(rng)


def draw_any_pose(rng: np.random.Generator, grasps: tuple[str, ...]) -> Pose:
    """A pose within limits, whose fingers may pass through each other."""
    kind = rng.random()
    if kind < 0.35:
        return within_limits(_blend(rng, grasps))
    return within_limits(_synergy(rng) if kind < 0.7 else _free(rng))


def draw_pinch(rng: np.random.Generator, rest: HandRest, grasps: tuple[str, ...]) -> Pose:
    """The tips of the thumb and of one finger touch, or nearly; now and then the next finger's, too."""
    for _ in range(3):
        pose, finger = begin_pinch(rng, grasps)
        if _close_pinch(rest, pose, finger, gap_m=rng.uniform(0.001, 0.016)):
            number = FINGERS.index(finger)
            if number < len(FINGERS) - 1 and rng.random() < 0.25:
                for joint in _ROUND:
                    pose[f"{FINGERS[number + 1]}_{joint}"] = pose[f"{finger}_{joint}"] + rng.normal(0, 0.08)
            return within_limits(pose)
    return draw_free_pose(rng, rest, grasps)


def begin_pinch(rng: np.random.Generator, grasps: tuple[str, ...]) -> tuple[Pose, str]:
    """A pose in which the thumb and a finger are near each other, and that finger; the others are as they like."""
    pose = {name: 0.0 for name in JOINT_NAMES if not name.startswith("wrist")} | draw_any_pose(rng, grasps)
    finger = str(rng.choice(FINGERS, p=(0.45, 0.25, 0.17, 0.13)))
    pose |= {f"{finger}_{joint}": angle + rng.normal(0, 0.25) for joint, angle in _ROUND.items()}
    pose |= {f"thumb_{joint}": angle + rng.normal(0, 0.2) for joint, angle in _OPPOSED.items()}
    pose[f"{finger}_mcp_abduction"] *= 0.3
    return within_limits(pose), finger


def _close_pinch(rest: HandRest, pose: Pose, finger: str, gap_m: float) -> bool:
    """Change the pose until both tips are that far apart, by damped least squares; whether it succeeds."""
    names = [name for name in pose if name.startswith(("thumb", finger))]
    limits = np.array([JOINT_LIMITS[name] for name in names])
    row = FINGER_NAMES.index(finger)
    for _ in range(_PINCH_STEPS):
        angles = np.array([pose[name] for name in names])
        tried = angles + np.vstack([np.zeros(len(names)), 1e-4 * np.eye(len(names))])  # (1 + J, J)
        joints = {name: np.full(len(tried), angle) for name, angle in pose.items()}
        tips = fingertips(rest, *hand_transforms(rest, joints | dict(zip(names, tried.T, strict=True))))
        apart = tips[:, row] - tips[:, 0]
        distance = float(np.linalg.norm(apart[0]))
        if abs(distance - gap_m) < _CLOSE_M / 2:
            return True
        slope = ((apart[1:] - apart[0]) / 1e-4).T  # (3, J)
        wanted = apart[0] * (1 - gap_m / max(distance, 1e-6))
        step = slope.T @ np.linalg.solve(slope @ slope.T + 1e-5 * np.eye(3), wanted)
        angles = np.clip(angles - 0.7 * step, limits[:, 0], limits[:, 1])
        pose |= {name: float(angle) for name, angle in zip(names, angles, strict=True)}
    return abs(distance - gap_m) < _CLOSE_M


def draw_plain_pose(rng: np.random.Generator) -> Pose:
    """All fingers bend alike; none is in another's way."""
    return within_limits(_synergy(rng, spread=0.0))


def _blend(rng: np.random.Generator, grasps: tuple[str, ...]) -> Pose:
    """Between two grasps, each at some moment between open and closed."""
    rows = []
    for name in rng.choice(grasps, 2):
        grasp = BY_NAME[str(name)]
        share = rng.random()
        closed = {**grasp.opening, **grasp.closing}
        names = set(grasp.opening) | set(closed)
        rows.append({j: (1 - share) * grasp.opening.get(j, 0.0) + share * closed.get(j, 0.0) for j in names})
    mix = rng.random()
    return {
        name: mix * rows[0].get(name, 0.0) + (1 - mix) * rows[1].get(name, 0.0) + rng.normal(0, 0.08)
        for name in JOINT_NAMES
        if not name.startswith("wrist")
    }


def _synergy(rng: np.random.Generator, spread: float = 1.0) -> Pose:
    """One bend for all fingers, a slope from index to little, single fingers that differ."""
    bend, slope = rng.beta(0.7, 0.9), rng.normal(0, 0.2)
    curl = np.clip(bend + slope * np.linspace(-1, 1, 4) + rng.normal(0, 0.05, 4), 0, 1)
    if rng.random() < 0.4:  # pointing, counting, OK, horns …
        alone = rng.random(4) < 0.4
        curl = np.where(alone, rng.random(4) * 0.15, np.clip(curl + 0.3, 0, 1))
    pose: Pose = {}
    fan = spread * rng.normal(0.05, 0.12)
    proximal = rng.uniform(0.4, 1.0)
    for number, finger in enumerate(FINGERS):
        pip = curl[number] * rng.uniform(1.5, 1.8)
        pose[f"{finger}_mcp_flexion"] = curl[number] * 1.5 * proximal + rng.normal(0, 0.08) - 0.1 * rng.random()
        pose[f"{finger}_pip_flexion"] = pip
        pose[f"{finger}_dip_flexion"] = pip * rng.normal(0.6, 0.1)
        pose[f"{finger}_mcp_abduction"] = fan * (1 - curl[number]) * [1, 0.3, 0.6, 1.4][number] + rng.normal(0, 0.03)
    _draw_thumb(rng, pose, float(curl.mean()))
    return pose


def _free(rng: np.random.Generator) -> Pose:
    """Each finger by itself; the last joint goes with the one before it."""
    pose: Pose = {}
    for finger in FINGERS:
        pose[f"{finger}_mcp_flexion"] = rng.uniform(-0.25, 1.55)
        pose[f"{finger}_pip_flexion"] = pip = rng.uniform(0.0, 1.75) * rng.beta(0.8, 0.8)
        pose[f"{finger}_dip_flexion"] = pip * rng.normal(0.6, 0.15)
        pose[f"{finger}_mcp_abduction"] = rng.normal(0, 0.12)
    for one, other in (("index", "middle"), ("middle", "ring"), ("ring", "little")):  # tendons tie neighbours
        own, next_ = f"{one}_mcp_flexion", f"{other}_mcp_flexion"
        pose[next_] = float(np.clip(pose[next_], pose[own] - 0.9, pose[own] + 0.9))
    _draw_thumb(rng, pose, float(rng.random()))
    return pose


def _draw_thumb(rng: np.random.Generator, pose: Pose, curl: float) -> None:
    pose["thumb_cmc_abduction"] = rng.uniform(-0.1, 1.35)
    pose["thumb_cmc_flexion"] = rng.uniform(-0.7, 0.5)
    pose["thumb_cmc_opposition"] = rng.uniform(-0.2, 0.7)
    pose["thumb_mcp_flexion"] = rng.uniform(-0.1, 0.8) * (0.3 + 0.7 * rng.random())
    pose["thumb_ip_flexion"] = rng.uniform(-0.2, 1.2) * (0.2 + 0.8 * curl)
    pose["ring_cmc_flexion"] = 0.12 * max(pose["ring_mcp_flexion"], 0.0) / 1.5
    pose["little_cmc_flexion"] = 0.25 * max(pose["little_mcp_flexion"], 0.0) / 1.5


def fingers_cross(rest: HandRest, pose: Pose) -> bool:
    """Whether two fingers, or the thumb and the palm, pass through each other (by capsules)."""
    turns, heads = hand_transforms(rest, {name: np.array([angle]) for name, angle in pose.items()})
    scale = float(np.linalg.norm(rest.tips[2])) / 0.18
    points, owners, radii = [], [], []
    for number, finger in enumerate(FINGER_NAMES):
        first = segment(finger, 0)
        last = heads[0, first + 2] + turns[0, first + 2] @ (rest.tips[number] - rest.heads[first + 2])
        corners = np.vstack([heads[0, first : first + 3], last])
        for share in np.linspace(0.1, 0.95, 4):
            row = corners[:-1] + share * np.diff(corners, axis=0)
            keep = row if finger != "thumb" else row[1:]
            points.append(keep)
            owners += [number] * len(keep)
            radii += [_RADIUS_M[finger] * scale] * len(keep)
    cloud, owner, radius = np.vstack(points), np.array(owners), np.array(radii)
    distance = np.linalg.norm(cloud[:, None] - cloud[None], axis=2)
    other = owner[:, None] != owner[None]
    # Neighbours touch where they begin; only farther out they may not.
    near_base = np.abs(owner[:, None] - owner[None]) == 1
    limit = _OVERLAP * (radius[:, None] + radius[None]) * np.where(near_base & (owner[:, None] > 0), 0.8, 1.0)
    if bool((other & (distance < limit)).any()):
        return True
    thumb = cloud[owner == 0]
    palm = np.array([[0.35, 0.1, 0], [0.35, -0.1, 0], [0.5, 0, 0], [0.2, 0, 0]]) * np.linalg.norm(rest.tips[2])
    return bool((np.linalg.norm(thumb[:, None] - palm[None], axis=2) < 0.016 * scale).any())


def as_row(pose: Pose) -> Array:
    """(25,) in the order of JOINT_NAMES."""
    return np.array([pose.get(name, 0.0) for name in JOINT_NAMES])


ALL_GRASPS = tuple(grasp.name for grasp in GRASPS)
