"""What the hand pose model says of one window -> what the gate and retargeting take."""

from __future__ import annotations

import numpy as np

from tiae_ros.imitation.calibration import pair_features
from tiae_ros.imitation.gate import Observation
from tiae_ros.model.hand_pose import HandPoseEstimate


def observation_of(
    hands: HandPoseEstimate, index: int, stamp_s: float, descriptor: np.ndarray | None = None
) -> Observation:
    """Hand ``index`` of an estimate, in a frame of that stamp; ``descriptor`` (K,) where a map of pairs asks for it.

    A left hand needs nothing more: its fingertips come mirrored, and left robot hands are described in mirrored space.
    The spread is the root mean square over the joints.
    """
    one = slice(index, index + 1)
    features = None
    if descriptor is not None:
        features = pair_features(hands.joints[one], hands.tips_mm[one], np.asarray(descriptor)[None])[0]
    spread = hands.joint_spread[index].astype(float)
    return Observation(
        stamp_s=stamp_s,
        tips_mm=hands.tips_mm[index].astype(float),
        joints=hands.joints[index].astype(float),
        spread_rad=float(np.sqrt((spread**2).mean())),
        known=bool(hands.known[index]),
        length_mm=float(hands.length_mm[index]),
        pinch=hands.pinch[index].astype(float),
        features=features,
    )
