"""Time, tip error and pinches of retargeting, for each robot hand; and dexi-rs on the Shadow hand beside it.

    python benchmarks/retargeting.py                     # all shipped hands
    python benchmarks/retargeting.py --hands shadow      # with `pip install dexi-rs==0.4.1`: its DexPilot, too

The human hand moves at 30 frames per second from a random pinch to a free pose and on, half a second each. `tips` is
the distance of the robot's tips from where they belong (scaled human tips; median over frames and fingers), much of
which is out of reach. `pinch`: of frames in which the human tips of thumb and a finger are within 10 mm, the share in
which the robot's are within 8 mm. Times are of one core's CPU, since a busy machine's clock says little.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))

from human_fingers import HUMAN, TIPS, random_pinches

from tiae_ros.imitation.hand_files import shipped_hands
from tiae_ros.imitation.human_hand import FINGERS
from tiae_ros.imitation.retargeting import Retargeting
from tiae_ros.imitation.robot_hand import load_hand

FRAMES_PER_MOVE = 15


def human_motion(moves: int, seed: int) -> np.ndarray:
    """(frames, 25) joints."""
    rng = np.random.default_rng(seed)
    keys = [joints for _, joints in random_pinches(moves + 1, seed)]
    for k in range(0, len(keys), 2):
        keys[k] = 0.7 * rng.uniform(HUMAN.lower, HUMAN.upper)
    smooth = (1 - np.cos(np.linspace(0, np.pi, FRAMES_PER_MOVE, endpoint=False))) / 2
    return np.array([a + (b - a) * t for a, b in itertools.pairwise(keys) for t in smooth])


def report(name: str, joints: np.ndarray, fingers: tuple[str, ...], step: Callable, belong: Callable) -> None:
    """One row: ``step(tips, joints)`` -> robot tips (F, 3) and seconds; ``belong(tips)`` -> (F, 3)."""
    times, off, pinches = [], [], []
    for one in joints:
        tips = TIPS.positions(one)
        robot, seconds = step(tips, one)
        times.append(1e3 * seconds)
        off.append(np.linalg.norm(robot - belong(tips), axis=-1))
        for finger in range(1, 5):
            if FINGERS[finger] in fingers and np.linalg.norm(tips[0] - tips[finger]) <= 10:
                pinches.append(np.linalg.norm(robot[0] - robot[fingers.index(FINGERS[finger])]) <= 8)
    fast, slow = np.percentile(times[5:], [50, 95])
    print(
        f"| {name} | {fast:.2f} | {slow:.2f} | {np.median(off):.1f} | {np.mean(pinches):.0%} ({len(pinches)}) |",
        flush=True,
    )


def ours(name: str, joints: np.ndarray) -> None:
    retargeting = Retargeting(load_hand(name))

    def step(tips: np.ndarray, one: np.ndarray) -> tuple[np.ndarray, float]:
        started = time.process_time()
        angles = retargeting.retarget(tips, one)
        return retargeting.tips.positions(angles), time.process_time() - started

    report(name, joints, retargeting.tips.fingers, step, retargeting.targets)


def dexi(joints: np.ndarray, scale: float = 1.1) -> None:
    """DexPilot of dexi-rs on its own description of the Shadow hand, without its low-pass filter."""
    import dexi_rs

    folder = str(dexi_rs.asset_path("robots/hands"))
    count = {"TH": 5, "FF": 4, "MF": 4, "RF": 4, "LF": 5}
    moved = [f"{finger}J{k}" for finger, last in count.items() for k in range(1, last + 1)]  # not the wrist
    links = ["thtip", "fftip", "mftip", "rftip", "lftip"]
    config = dexi_rs.RetargetingConfig(
        "dexpilot", f"{folder}/shadow_hand/shadow_hand_right.urdf", urdf_dir=folder, wrist_link_name="palm",
        finger_tip_link_names=links, scaling_factor=scale, project_dist=0.014,
        target_joint_names=moved, escape_dist=0.04, low_pass_alpha=1.0,
    )  # fmt: skip
    solver, palm = config.build(), load_hand("shadow").palm
    palm = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]) @ palm  # its forearm stands turned by 90 degrees
    starts = [i for i in range(1, 5) for _ in range(i + 1, 6)] + [0] * 5
    ends = [j for i in range(1, 5) for j in range(i + 1, 6)] + [1, 2, 3, 4, 5]

    def step(tips: np.ndarray, _: np.ndarray) -> tuple[np.ndarray, float]:
        points = np.concatenate([np.zeros((1, 3)), tips]) @ palm.T / 1000
        # DexPilot's order: vectors between fingers point to the lower one, those of the wrist to the tips.
        vectors = points[[*starts[:10], *ends[10:]]] - points[[*ends[:10], *starts[10:]]]
        wanted = vectors.ravel().tolist()
        started = time.process_time()
        angles = solver.retarget(wanted)
        seconds = time.process_time() - started
        places = np.array(solver.link_positions(angles, ["palm", *links])).reshape(6, 3) * 1000
        return (places[1:] - places[0]) @ palm, seconds

    report(f"shadow, dexi-rs {dexi_rs.__version__}", joints, FINGERS, step, lambda tips: scale * tips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hands", nargs="+", default=list(shipped_hands()))
    parser.add_argument("--moves", type=int, default=40)
    arguments = parser.parse_args()
    joints = human_motion(arguments.moves, seed=5)
    print("| hand | ms, median | ms, 95 % | tips, mm | pinch |\n|---|---|---|---|---|")
    for name in arguments.hands:
        ours(name, joints)
    if "shadow" in arguments.hands:
        try:
            dexi(joints)
        except ImportError:
            print("dexi-rs is not installed: it is left out", file=sys.stderr)


if __name__ == "__main__":
    main()
