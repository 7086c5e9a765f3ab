"""How restored patterns lie on their inputs beside the shift, as it is said to others: what is not sure is NaN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.model.ambiguity import Ambiguity, ambiguity, angle_is_known
from tiae_ros.model.arrays import Floats

_ANGLE, _LOG_SCALE, _MIRRORED = 2, 3, 4  # columns of parameters
_CODES = {one: code for code, one in enumerate(Ambiguity)}  # 0 none, 1 half turn, 2 any


@dataclass(frozen=True)
class PatternPoses:
    """How N patterns are turned, scaled and mirrored.

    Attributes:
        angles: (N,) radians from x (right) towards y (down), clockwise on the screen; NaN unless ambiguity is NONE.
        scales: (N,) how large the pattern is, 1 as it is restored.
        mirrored: (N,) 1 where it is mirrored, 0 where not, NaN where ambiguity is ANY; None of models that cannot tell.
        confidences: (N,) how likely the angle is right, 0 to 1.
        ambiguities: which other angles each looks the same at.
    """

    angles: Floats
    scales: Floats
    mirrored: Floats | None
    confidences: Floats
    ambiguities: list[Ambiguity]

    @property
    def codes(self) -> NDArray[np.uint8]:
        """Ambiguities as numbers: 0 none, 1 half turn, 2 any. (N,)"""
        return np.array([_CODES[one] for one in self.ambiguities], np.uint8)


def pattern_poses(parameters: Any, angle_confidence: Any) -> PatternPoses | None:
    """Of what an encoder says of N windows (`Description`): (N, 2, 4 or 5), (N, 2).

    None where it does not say how sure its angles are: of a shift alone, and of models of earlier releases.
    """
    if angle_confidence is None:
        return None
    poses, confidence = np.asarray(parameters, np.float32), np.asarray(angle_confidence, np.float32)
    ambiguities = ambiguity(confidence)
    mirrored = None
    if poses.shape[1] > _MIRRORED:
        means_nothing = np.array([one is Ambiguity.ANY for one in ambiguities], bool)
        mirrored = np.where(means_nothing, np.float32(np.nan), poses[:, _MIRRORED])
    return PatternPoses(
        angles=np.where(angle_is_known(confidence), poses[:, _ANGLE], np.float32(np.nan)),
        scales=np.exp(poses[:, _LOG_SCALE]),
        mirrored=mirrored,
        confidences=confidence[:, 0],
        ambiguities=ambiguities,
    )
