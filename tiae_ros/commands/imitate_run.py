"""``tiae imitate run``: joint targets from a recording, as the node would give them."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiae_ros.errors import ParameterError
from tiae_ros.model.shipped import DEFAULT_MODEL

if TYPE_CHECKING:
    from tiae_ros.imitation.gate import Observation
    from tiae_ros.perception import Pipeline

HELP = "joint targets of a robot hand from a recording: a bag, or windows (npz)"
DESCRIPTION = """Runs a recorded bag, or the windows of FILE.npz (`images`), through the same steps as the node: the
operator's hand, the gate, retargeting, limits of angle, speed and acceleration. A robot that tells no joints is
assumed: it begins in its rest pose. One JSON object a line, `targets` empty where the node would have published
nothing; or with --out an npz: stamp_s (F,), state (F,), names (A,), targets (F, A) radians, NaN for nothing."""
EXAMPLES = """  tiae imitate run my_bag --hand shadow
  tiae imitate run my_bag --hand my_hand.yaml --side left --out targets.npz
  tiae imitate run windows.npz --hand allegro --rate-hz 30"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``tiae imitate run``."""
    parser.add_argument("source", type=Path, metavar="BAG|FILE.npz")
    parser.add_argument("--hand", default="shadow", help="name of a robot hand, or its YAML file (shadow)")
    parser.add_argument("--side", choices=("right", "left"), default="right", help="of the robot hand (right)")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="DIR", help="as the node's parameter (hands)")
    parser.add_argument("--hand-pose-model", default="auto", metavar="DIR", help="as the node's parameter (auto)")
    parser.add_argument("--map", type=Path, metavar="MAP.npz", help="of `tiae imitate fit`: corrects the joints")
    parser.add_argument("--rate-hz", type=float, default=30.0, help="of the windows of FILE.npz (30)")
    parser.add_argument("--out", type=Path, metavar="OUT.npz", help="write arrays instead of lines")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT.npz")


def run(arguments: argparse.Namespace) -> int:
    """Frame by frame."""
    import numpy as np

    from tiae_ros.imitation.calibration import load_map
    from tiae_ros.imitation.imitator import Imitator
    from tiae_ros.imitation.robot_hand import load_hand
    from tiae_ros.parameters import Settings
    from tiae_ros.perception import load_pipeline

    if not 1 <= arguments.rate_hz <= 1000:
        raise ParameterError(f"--rate-hz {arguments.rate_hz:g} cannot be used; accepted is 1 to 1000")
    if arguments.out is not None:
        from tiae_training.data.arrays import refuse_existing

        refuse_existing(arguments.out, overwrite=arguments.overwrite)
    windows = arguments.source.suffix == ".npz"
    settings = Settings().with_changes(
        {
            "model": arguments.model,
            "robot_hand": arguments.hand,
            "hand_pose_model": arguments.hand_pose_model,
            "mask_source": "topics" if windows else "segmentation",  # windows need no segmentation
        }
    )
    hand, pair_map = load_hand(arguments.hand, arguments.side), load_map(arguments.map) if arguments.map else None
    pipeline = load_pipeline(settings)
    if pair_map is not None and pipeline.hand_pose is not None:
        pair_map.check(pipeline.hand_pose.manifest, hand)
    imitator = Imitator(hand, pair_map=pair_map, starts_at_rest=True)
    imitator.enabled = True
    frames = _windows(arguments, pipeline) if windows else _frames(arguments.source, pipeline, settings)
    rows: dict[str, list[Any]] = {"stamp_s": [], "state": [], "targets": []}
    for stamp_s, observation in frames:
        made = imitator.step(observation, stamp_s)
        if arguments.out is None:
            angles = () if made.angles is None else made.angles.round(6).tolist()
            line = {"stamp_s": round(stamp_s, 6), "state": made.state.value, "reason": made.reason}
            print(json.dumps({**line, "targets": dict(zip(imitator.hand.names, angles, strict=False))}), flush=True)
        rows["stamp_s"].append(stamp_s)
        rows["state"].append(made.state.value)
        rows["targets"].append(np.full(len(imitator.hand.names), np.nan) if made.angles is None else made.angles)
    if arguments.out is not None:
        from tiae_training.data.arrays import save_arrays

        arrays = {name: np.array(values) for name, values in rows.items()}
        save_arrays(arguments.out, {**arrays, "names": np.array(imitator.hand.names)}, overwrite=arguments.overwrite)
        followed = int(np.isfinite(arrays["targets"]).all(axis=-1).sum())
        print(f"{arguments.out}: {len(rows['state'])} frames, {followed} with joint targets")
    return 0


def _frames(bag: Path, pipeline: Pipeline, settings: Any) -> Iterator[tuple[float, Observation | None]]:
    """Stamp and main grasp's hand of each pair of pictures of a bag."""
    from tiae_ros.imitation.observing import observation_of
    from tiae_ros.perception import FrameDropped, Images
    from tiae_ros.streams.bags import Bag

    with Bag(bag) as recorded:
        for frame in recorded.rgbd_frames():
            stamp_s = frame.stamp_ns * 1e-9
            observation = None
            with contextlib.suppress(FrameDropped):
                described = pipeline.describe(Images(frame.color, frame.depth_m, frame.k), settings)
                hands = pipeline.estimate_hands(described, most=1)
                if hands is not None and len(hands.joints):
                    observation = observation_of(hands, 0, stamp_s, described.descriptors[0])
            yield stamp_s, observation


def _windows(arguments: argparse.Namespace, pipeline: Pipeline) -> Iterator[tuple[float, Observation | None]]:
    """The same of each window of an npz."""
    from tiae_ros.imitation.observing import observation_of
    from tiae_training.data.arrays import load_arrays
    from tiae_training.imitation.seeing import details_of, seen_by

    model, hand_pose = pipeline.grasp_model, pipeline.hand_pose
    assert hand_pose is not None  # as robot_hand is set
    arrays = load_arrays(arguments.source).in_order(model.manifest.channels)
    details = details_of(arrays)
    for number in range(len(arrays)):
        stamp_s, one = number / arguments.rate_hz, slice(number, number + 1)
        hands, descriptors = seen_by(hand_pose, model, arrays.images[one], details[one])
        yield stamp_s, observation_of(hands, 0, stamp_s, descriptors[0])
