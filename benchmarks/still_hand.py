"""A still hand that moves about the picture: how far do the robot's joint targets move? And frames' time, step by step.

    python benchmarks/still_hand.py                                  # rendered hands, the shipped models
    python benchmarks/still_hand.py --hand-pose-model runs/hand_pose --subjects 1100 1101 1102
    python benchmarks/still_hand.py --reach-px 0                    # it does not move at all

Each rendered picture (an open hand, a fist, a pinch, of each subject) is moved along a path of up to 40 pixels
(--reach-px), once around in three seconds at 30 Hz, with the depth sensor's millimetre of noise anew in every frame.
It goes through the node's road: hands, windows, descriptors, the operator's joints, gate, retargeting, filter, limits.
The first two seconds, in which the robot's hand closes from rest, are left out. `targets` is the distance of each joint
from its median over the rest. Wanted: 1 degree in 95 %. `followed` is the share of frames with a target. Times are of
this process's CPU, since a busy machine's clock says little. It needs the extra `sim`.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from tiae_ros.imitation.imitator import Imitator
from tiae_ros.imitation.observing import observation_of
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.parameters import Settings
from tiae_ros.perception import Images, load_pipeline
from tiae_training.simulator.gestures import render_gestures
from tiae_training.simulator.simulator import Sample, SimulatorSettings

RATE_HZ, SECONDS, SETTLED_S, REACH_PX = 30, 5, 2, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="hands")
    parser.add_argument("--hand-pose-model", default="auto")
    parser.add_argument("--hand", default="shadow")
    parser.add_argument("--subjects", type=int, nargs="+", default=[1100, 1101, 1102])
    parser.add_argument("--reach-px", type=int, default=REACH_PX, help="how far it moves, at most (40)")
    arguments = parser.parse_args()
    settings = Settings().with_changes(
        {"model": arguments.model, "robot_hand": arguments.hand, "hand_pose_model": arguments.hand_pose_model}
    )
    pipeline, hand = load_pipeline(settings), load_hand(arguments.hand)
    print("| subject | pose | followed | estimate, degrees (95 %) | targets, degrees (95 %) |\n|---|---|---|---|---|")
    every: list[np.ndarray] = []
    spent: dict[str, list[float]] = {"hand pose": [], "imitator": []}
    for subject in arguments.subjects:
        for pose, sample in stills(subject):
            imitator = Imitator(hand, starts_at_rest=True)
            imitator.enabled = True
            targets, estimates = [], []
            rng = np.random.default_rng(subject)
            pipeline.forget()
            for frame in range(RATE_HZ * SECONDS):
                described = pipeline.describe(moved(sample, frame, rng, arguments.reach_px), settings)
                observation = None
                started = time.process_time()
                hands = pipeline.estimate_hands(described, most=1)
                spent["hand pose"].append(time.process_time() - started)
                if hands is not None and len(hands.joints):
                    observation = observation_of(hands, 0, frame / RATE_HZ, described.descriptors[0])
                started = time.process_time()
                made = imitator.step(observation, frame / RATE_HZ)
                spent["imitator"].append(time.process_time() - started)
                if frame >= RATE_HZ * SETTLED_S and made.angles is not None and observation is not None:
                    targets.append(made.angles)
                    estimates.append(observation.joints)
            share = len(targets) / (RATE_HZ * (SECONDS - SETTLED_S))
            if targets:
                off, raw = (spread(np.array(rows)) for rows in (targets, estimates))
                every.append(off.ravel())
                told = f"{np.quantile(raw, 0.95):.2f} | {np.quantile(off, 0.95):.2f}"
            else:
                told = "- | -"
            print(f"| {subject} | {pose} | {share:.0%} | {told} |", flush=True)
    if every:
        print(f"all targets: {np.quantile(np.concatenate(every), 0.95):.2f} degrees (95 %)")
    for name, seconds in spent.items():
        print(
            f"{name}: {1e3 * np.median(seconds):.2f} ms of CPU (median), {1e3 * np.quantile(seconds, 0.95):.2f} (95 %)"
        )


def stills(subject: int) -> list[tuple[str, Sample]]:
    """The last picture of each pose."""
    settings = SimulatorSettings(seed=subject, width=320, height=240, smooth_skin=True)
    poses = ("open", "fist", "index")
    seen = [one.sample for one in render_gestures(settings, poses, rate_hz=4.0, subject=subject)]
    each = len(seen) // len(poses)
    return [(pose, seen[(number + 1) * each - 1]) for number, pose in enumerate(poses)]


def moved(sample: Sample, frame: int, rng: np.random.Generator, reach_px: int) -> Images:
    """The picture moved by whole pixels; what comes in at a border is the other one's."""
    phase = 2 * np.pi * frame / (RATE_HZ * (SECONDS - SETTLED_S))
    dx, dy = round(reach_px * np.sin(2 * phase)), round(0.3 * reach_px * (np.cos(3 * phase) - 1))
    depth_m = np.roll(sample.depth_m, (dy, dx), (0, 1)) + rng.normal(0, 1e-3, sample.depth_m.shape)
    return Images(np.roll(sample.rgb, (dy, dx), (0, 1)), depth_m.astype(np.float32), sample.k)


def spread(rows: np.ndarray) -> np.ndarray:
    """(T, A) radians -> (T, A) degrees from the median."""
    off: np.ndarray = np.degrees(np.abs(rows - np.median(rows, axis=0)))
    return off


if __name__ == "__main__":
    main()
