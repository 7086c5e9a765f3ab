"""``tiae imitate fit``: a few pairs of a hand seen and a robot's joints -> a map that corrects the robot's joints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tiae_ros.model.shipped import DEFAULT_HAND_POSE_MODEL, DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np

    from tiae_ros.imitation.robot_hand import RobotHand
    from tiae_ros.model.autoencoder import Autoencoder
    from tiae_ros.model.hand_pose import HandPose
    from tiae_training.data.arrays import ImageArrays

HELP = "learn from 5 to 500 pairs how a robot hand's joints are to be corrected"
DESCRIPTION = """Fit a map from pairs: windows of your hand, and the joints that the robot hand should have had. --pairs
is a recorded bag of depth and colour with a topic of joint states (--joints), or a FILE.npz of `tiae extract --joints`.

The map corrects what retargeting gives, where pairs that were left out of the fit say that it is of use. Its file names
the hand pose model and the robot hand, and is refused with others."""
EXAMPLES = """  tiae imitate fit --pairs teach_bag --joints /joint_states --hand shadow --out my_map.npz
  tiae extract --bag teach_bag --channels masks+depth --joints /joint_states --out pairs.npz
  tiae imitate fit --pairs pairs.npz --hand my_hand.yaml --side left --out my_map.npz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=Path, required=True, metavar="BAG|FILE.npz", help="windows with robot joints")
    parser.add_argument("--hand", required=True, metavar="HAND", help="name of a shipped hand, or a YAML file")
    parser.add_argument("--side", choices=("right", "left"), default="right", help="of the robot hand (right)")
    parser.add_argument("--out", type=Path, required=True, metavar="MAP.npz", help="file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace it")
    parser.add_argument("--joints", metavar="TOPIC", help="joint states in a bag")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="DIR", help="auto-encoder (hands)")
    parser.add_argument(
        "--hand-pose-model", default=DEFAULT_HAND_POSE_MODEL, metavar="DIR", help="hand pose model (hand_pose)"
    )


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.errors import DataError
    from tiae_ros.imitation.calibration import Belongs, fit_pairs, save_map
    from tiae_ros.imitation.robot_hand import load_hand
    from tiae_ros.model.autoencoder import load_model
    from tiae_ros.model.hand_pose import check_belongs, load_hand_pose
    from tiae_training.data.arrays import refuse_existing

    refuse_existing(arguments.out, overwrite=arguments.overwrite)
    hand = load_hand(arguments.hand, arguments.side)
    autoencoder, pose = load_model(arguments.model, threads=1), load_hand_pose(arguments.hand_pose_model)
    check_belongs(pose, autoencoder)
    pairs = _load_pairs(arguments, autoencoder)
    if "joints" not in pairs.others:
        raise DataError(f"{arguments.pairs} holds no joints; make it by `tiae extract --joints TOPIC`")
    names = [str(name) for name in pairs.others["joint_names"]]
    if not set(names) & set(hand.names):
        raise DataError(
            f"{arguments.pairs} tells the joints {', '.join(names)[:120]}; none is of {hand.name}, whose joints are "
            f"{', '.join(hand.names)[:120]}"
        )
    import numpy as np

    measured = np.stack([hand.in_order(names, row) for row in pairs.others["joints"]])
    features, retargeted, known = _seen(pairs, autoencoder, pose, hand)
    fit = fit_pairs(features[known], retargeted[known], measured[known], Belongs.to(pose.manifest, hand))
    save_map(fit.map, arguments.out)
    if not known.all():
        unlike = f"unlike any hand that {pose.manifest.model_id} knows"
        print(f"left out: {int((~known).sum())} of {len(known)} windows, {unlike}")
    if absent := [name for name in hand.names if name not in names]:
        print(f"not told, and not corrected: {', '.join(absent)}")
    errors = f"{fit.before_deg:.1f}° before, {fit.after_deg:.1f}° after"
    print(f"{arguments.out}: {len(fit.map.points)} pairs; error of pairs that were left out {errors}")
    return 0


def _load_pairs(arguments: argparse.Namespace, autoencoder: Autoencoder) -> ImageArrays:
    """Windows as the auto-encoder takes them, and joints. Raises DataError, BagError, ParameterError."""
    from tiae_ros.errors import DataError, ParameterError
    from tiae_training.data.arrays import ImageArrays, load_arrays
    from tiae_training.data.extraction import CHANNELS, ExtractionSettings, extract_windows

    of = autoencoder.manifest
    source: Path = arguments.pairs
    if source.suffix == ".npz":
        if arguments.joints is not None:
            raise ParameterError(f"--joints names a topic of a bag; {source} is a file of arrays, leave it out")
        arrays = load_arrays(source)
    else:
        if not source.exists():
            raise DataError(f"{source} does not exist; --pairs takes a bag, or a FILE.npz of windows with joints")
        if arguments.joints is None:
            raise ParameterError(f"{source} is a bag: name its topic of joint states, --joints TOPIC")
        wanted = next((name for name, channels in CHANNELS.items() if channels == of.channels), None)
        if wanted is None:
            raise ParameterError(f"windows of {of.model_id} cannot be cut from a bag; give a FILE.npz")
        settings = ExtractionSettings(
            channels=wanted,
            window_size=of.window_size,
            metric_size_m=float(of.preprocessing.get("metric_size_m", 0.3)),
            range_m=float(of.preprocessing.get("range_m", 0.3)),
        )
        made = extract_windows(source, settings, joints_topic=arguments.joints)
        for remark in made.remarks:
            print(f"warning: {remark}")
        images = made.arrays["images"]
        images = images.astype("float32") / (255 if images.dtype == "uint8" else 1)
        arrays = ImageArrays(images, channels=of.channels, data_id=str(source), others=made.arrays)
    arrays = arrays.in_order(of.channels)
    for name, value in arrays.preprocessing.items():
        if of.preprocessing.get(name, value) != value:
            raise DataError(f"{source} was cut with {name} {value:g}, {of.model_id} with {of.preprocessing[name]:g}")
    return arrays


def _seen(
    pairs: ImageArrays, autoencoder: Autoencoder, pose: HandPose, hand: RobotHand
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (P, F), retargeted joints (P, A) and whether the window is a known hand (P,)."""
    import numpy as np

    from tiae_ros.imitation.calibration import pair_features
    from tiae_ros.imitation.retargeting import Retargeting
    from tiae_training.imitation.seeing import details_of, seen_by

    said, descriptors = seen_by(pose, autoencoder, pairs.images, details_of(pairs))
    retargeting = Retargeting(hand)
    rows = zip(said.tips_mm, said.joints, said.length_mm, said.pinch, strict=True)
    retargeted = np.stack(
        [retargeting.retarget(tips, joints, float(length), pinch) for tips, joints, length, pinch in rows]
    )
    return pair_features(said.joints, said.tips_mm, descriptors), retargeted, said.known
