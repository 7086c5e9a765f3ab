"""The human hand of the simulator as a robot hand, so that its fingertips can be computed; and random pinches of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import yaml

from tiae_ros.imitation.fingertips import Fingertips
from tiae_ros.imitation.human_hand import FINGERS, JOINT_NAMES
from tiae_ros.imitation.robot_hand import RobotHand, read_hand
from tiae_training.simulator.hand import JOINT_LIMITS, SPLAY, THUMB_ALONG, THUMB_PAD, Subject, draw_subject

# What `human_hand` gives the sizes of.
REFERENCE = dataclasses.replace(
    draw_subject(0), length_m=0.187, breadth_m=0.088, finger_length=dict.fromkeys(FINGERS, 1.0), thickness=1.0
)


def human_hand(subject: Subject = REFERENCE) -> RobotHand:
    """A person's hand, after `tiae_training.simulator.hand.HandWriter`."""

    def step(joint, axis, xyz=(0.0, 0.0, 0.0)):
        return {"joint": joint, "xyz": [float(x) for x in xyz], "axis": [float(x) for x in axis]}

    along = np.array(THUMB_ALONG) / np.linalg.norm(THUMB_ALONG)
    pad = np.array(THUMB_PAD) - along * (np.array(THUMB_PAD) @ along)
    bend = np.cross(-pad / np.linalg.norm(pad), along)
    lengths = subject.phalanges("thumb")
    base = np.array([0.11 * subject.length_m, 0.24 * subject.breadth_m, -0.006])
    fingers = {
        "thumb": {
            "chain": [
                step("thumb_cmc_abduction", (-1, 0, 0), base),
                step("thumb_cmc_flexion", bend),
                step("thumb_cmc_opposition", along),
                step("thumb_mcp_flexion", bend, along * lengths[0]),
                step("thumb_ip_flexion", bend, along * lengths[1]),
            ],
            "tip": {"link": "thumb_tip", "xyz": [float(x) for x in along * lengths[2]]},
        }
    }
    for finger in FINGERS[1:]:
        along = np.array([np.cos(SPLAY[finger]), np.sin(SPLAY[finger]), 0.0])
        bend = (-along[1], along[0], 0.0)
        lengths, knuckle = subject.phalanges(finger), subject.knuckle(finger)
        chain = []
        if finger in ("ring", "little"):
            start = np.array([0.06 * subject.length_m, 0.55 * knuckle[1], 0.0])
            chain, knuckle = [step(f"{finger}_cmc_flexion", (0, 1, 0), start)], knuckle - start
        spread = (0, 0, 1 if finger in ("index", "middle") else -1)
        chain += [
            step(f"{finger}_mcp_abduction", spread, knuckle),
            step(f"{finger}_mcp_flexion", bend),
            step(f"{finger}_pip_flexion", bend, along * lengths[0]),
            step(f"{finger}_dip_flexion", bend, along * lengths[1]),
        ]
        fingers[finger] = {
            "knuckle": f"{finger}_mcp_abduction",
            "chain": chain,
            "tip": {"link": finger, "xyz": [float(x) for x in along * lengths[2]]},
        }
    described = {
        "format": 1, "name": "human", "title": "a person", "side": "right", "source": "the simulator",
        "palm": {"base_link": "palm", "to_fingertips": [1, 0, 0], "to_thumb_side": [0, 1, 0]},
        "joints": {
            name: {"lower": low, "upper": high, "speed": 10, "acceleration": 100}
            for name, (low, high) in JOINT_LIMITS.items()
        },
        "fingers": fingers,
    }  # fmt: skip
    return read_hand(yaml.safe_dump(described, sort_keys=False).encode(), "human")


HUMAN = human_hand()
TIPS = Fingertips(HUMAN)


def pose(**angles: float) -> np.ndarray:
    """(25,) angles by name; `mcp_flexion=1` and the like bend all four fingers."""
    given = {}
    for name, angle in angles.items():
        given |= {name: angle} if name in JOINT_NAMES else {f"{finger}_{name}": angle for finger in FINGERS[1:]}
    return np.array([given.get(name, 0.0) for name in JOINT_NAMES])


OPEN = pose()
FIST = pose(
    mcp_flexion=1.45, pip_flexion=1.75, dip_flexion=1.1,
    thumb_cmc_abduction=0.9, thumb_cmc_flexion=0.3, thumb_mcp_flexion=0.7, thumb_ip_flexion=0.9,
)  # fmt: skip


def random_pinches(count: int, seed: int) -> list[tuple[int, np.ndarray]]:
    """(finger 1 … 4, (25,) angles) of hands whose thumb meets that finger within 10 mm, the others anyhow."""
    rng = np.random.default_rng(seed)
    low, high = HUMAN.lower, HUMAN.upper
    found: list[tuple[int, np.ndarray]] = []
    while len(found) < count:
        finger = int(rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])) + 1
        angles = rng.uniform(low, high)
        angles[[JOINT_NAMES.index(f"{name}_dip_flexion") for name in FINGERS[1:]]] *= 0.6
        wanted = rng.uniform(0.0, 9.0)
        start = angles
        for _ in range(25):
            tips, motion = TIPS.motion(angles)
            apart, slope = tips[0] - tips[finger], motion[0] - motion[finger]
            distance = np.linalg.norm(apart)
            if distance < 9.9:
                break
            step = slope.T @ np.linalg.solve(slope @ slope.T + 100 * np.eye(3), apart * (1 - wanted / distance))
            angles = np.clip(angles - 0.7 * step + 0.02 * (start - angles), low, high)
        if distance < 9.9:
            found.append((finger, angles))
    return found
