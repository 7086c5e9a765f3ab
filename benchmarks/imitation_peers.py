"""Imitation beside its peers, on the same rendered frames: MediaPipe and true keypoints, each with our retargeting.

    python -m venv mediapipe && mediapipe/bin/pip install mediapipe==0.10.14
    python benchmarks/imitation_peers.py --mediapipe mediapipe/bin/python

Frames are of people who are in no training: known grasps from where people look at them; the same with something
before the hand; with gloves; hands in free poses; and known grasps from anywhere above. `found` is the share of hands
that a method sees. Of these: fingertips in the frame of the palm against the truth, for a hand of 187 mm, and the
fingertips of the robot hand against where they are for the true joints, tips and pinches. Means over fingers and each
method's frames.

`true keypoints` knows where wrist, knuckles and tips are; MediaPipe guesses them in space and is told the side. Their
tips are seen in the frame in which wrist and knuckles lie most like those of the hand that is imitated, and retargeting
goes by these tips alone. Ours says joints and pinches as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from mediapipe_hands import PALM, MediaPipeHands, has_mediapipe

from tiae_ros.errors import TiaeError
from tiae_ros.imitation.human_hand import KNUCKLES_MM, LENGTH_MM
from tiae_ros.imitation.retargeting import Retargeting
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.parameters import Settings
from tiae_ros.perception import Images, load_pipeline
from tiae_training.imitation.seeing import pinches_of
from tiae_training.simulator.grasps import GRASP_NAMES
from tiae_training.simulator.simulator import Sample, Simulator

HELD_OUT = ("ball", "phone", "key")  # of which the shipped model learnt nothing
SETS: dict[str, dict[str, Any]] = {
    "known grasps, desk": {},
    "something before the hand": {"occluder_share": 1.0},
    "gloves": {"glove_share": 1.0},
    "free poses": {"free_share": 1.0},
    "known grasps, anywhere above": {"view": "any"},
}
TIPS = (4, 8, 12, 16, 20)  # among the keypoints
NEAR_M = 0.08  # of the true middle: another hand, or none, is farther


@dataclass(frozen=True)
class Told:
    """Of one hand: tips (5, 3) mm in the palm's frame and its length; joints (25,) and pinches (4,) where told."""

    tips_mm: np.ndarray
    length_mm: float
    joints: np.ndarray | None = None
    pinch: np.ndarray | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mediapipe", metavar="PYTHON", help="an interpreter that has mediapipe==0.10.14")
    parser.add_argument("--count", type=int, default=120, help="frames of each kind (120)")
    parser.add_argument("--hand", default="shadow", help="the robot hand (shadow)")
    parser.add_argument("--seed", type=int, default=71)
    parser.add_argument("--model", default="hands")
    parser.add_argument("--hand-pose-model", default="auto")
    options = parser.parse_args()
    if options.count < 1 or options.seed < 0:
        parser.error(f"--count is {options.count}, --seed {options.seed}; accepted are 1 and more, 0 and more")
    given = {"model": options.model, "robot_hand": options.hand, "hand_pose_model": options.hand_pose_model}
    try:
        ours, hand = Ours(Settings().with_changes(given)), load_hand(options.hand)
    except TiaeError as error:
        parser.error(str(error))
    methods = {"ours": ours.tell, "true keypoints": lambda sample: of_keypoints(sample.palm.keypoints_m, sample.left)}
    if options.mediapipe:
        if not has_mediapipe(options.mediapipe):
            parser.error(
                f"--mediapipe {options.mediapipe} is no interpreter with mediapipe; install mediapipe==0.10.14"
            )
        mediapipe = MediaPipeHands(options.mediapipe)
        methods["MediaPipe"] = lambda sample: by_mediapipe(mediapipe, sample)
    retargeting = Retargeting(hand)

    def aimed(told: Told) -> np.ndarray:
        retargeting.reset()
        return retargeting.retarget(told.tips_mm, told.joints, told.length_mm, told.pinch)

    print("| frames | method | found | fingertips, mm | robot fingertips, mm |\n|---|---|---|---|---|")
    for name, how in SETS.items():
        rows: dict[str, list[tuple[float, ...]]] = {method: [] for method in methods}
        for sample in frames(options.count, options.seed, how):
            tips_mm = sample.palm.tips_mm
            pinch = pinches_of(tips_mm[None].astype(np.float32))[0]
            truth = Told(tips_mm, 1000 * sample.palm.length_m, sample.joints, pinch)
            wanted = aimed(truth)
            for method, tell in methods.items():
                told = tell(sample)
                if told is not None:
                    angles = aimed(told)
                    apart = retargeting.tips.positions(angles) - retargeting.tips.positions(wanted)
                    rows[method].append(
                        (
                            float(np.linalg.norm(of_one_size(told) - of_one_size(truth), axis=1).mean()),
                            float(np.linalg.norm(apart, axis=1).mean()),
                        )
                    )
        for method, values in rows.items():
            means = np.mean(values, 0) if values else [np.nan] * 2
            told_of = " | ".join(f"{value:.1f}" for value in means)
            print(f"| {name} | {method} | {len(values) / options.count:.2f} | {told_of} |", flush=True)


def frames(count: int, seed: int, how: dict[str, Any]) -> Iterator[Sample]:
    """Pictures of the simulator, one of each scene."""
    grasps = tuple(name for name in GRASP_NAMES if name not in HELD_OUT)
    simulator = Simulator(
        seed, width=640, height=480, grasps=grasps, subjects=(1000, 1200), views_per_scene=1, smooth_skin=True, **how
    )
    for _ in range(count):
        yield simulator.sample()


class Ours:
    """The node's road."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._pipeline = settings, load_pipeline(settings)

    def tell(self, sample: Sample) -> Told | None:
        """None where no window is near the hand."""
        self._pipeline.forget()
        described = self._pipeline.describe(Images(sample.rgb, sample.depth_m, sample.k), self._settings)
        hands = self._pipeline.estimate_hands(described, most=4)
        if hands is None or not len(hands.joints):
            return None
        places = np.array([(window.center_x, window.center_y) for window in described.windows])[: len(hands.joints)]
        index = nearest(places, sample)
        if index is None:
            return None
        return Told(hands.tips_mm[index], float(hands.length_mm[index]), hands.joints[index], hands.pinch[index])


def by_mediapipe(mediapipe: MediaPipeHands, sample: Sample) -> Told | None:
    """Its landmarks in space; None where none are near the hand."""
    height, width = sample.depth_m.shape
    hands = mediapipe.ask(sample.rgb)
    places = np.array([np.array(hand["landmarks"])[list(PALM)].mean(0) * (width, height) for hand in hands])
    index = nearest(places, sample) if hands else None
    if index is None:
        return None
    return of_keypoints(np.array(hands[index]["in_space"]), sample.left)


def nearest(places: np.ndarray, sample: Sample) -> int | None:
    """Which of places (N, 2) in the picture is the true hand's, None for none."""
    x, y, z = sample.palm.middle_m
    true = np.array([sample.k[0, 0] * x / z + sample.k[0, 2], sample.k[1, 1] * y / z + sample.k[1, 2]])
    off = np.linalg.norm(places - true, axis=1) * z / sample.k[0, 0]
    return int(off.argmin()) if off.min() <= NEAR_M else None


def of_keypoints(keypoints_m: np.ndarray, left: bool) -> Told:
    """Keypoints (21, 3) in a camera's axes -> tips in the palm's frame, by the similarity that fits the palm best."""
    mirrored = 1000 * keypoints_m * np.array([-1.0 if left else 1.0, 1, 1])
    own = np.concatenate((np.zeros((1, 3)), KNUCKLES_MM[1:]))
    moved, scale = cv2.estimateAffine3D(mirrored[list(PALM)], own, force_rotation=True)
    tips_mm = mirrored[list(TIPS)] @ moved[:, :3].T + moved[:, 3] / scale  # of a hand of the size that is seen
    return Told(tips_mm, LENGTH_MM / scale)


def of_one_size(told: Told) -> np.ndarray:
    """(5, 3) mm of a hand of `LENGTH_MM`."""
    return told.tips_mm * (LENGTH_MM / told.length_mm)


if __name__ == "__main__":
    main()
