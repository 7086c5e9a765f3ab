"""The human hand that is imitated: names of joints and fingers, and the sizes of one adult.

Palm frame of a right hand: x to the fingertips, y to the thumb side, z out of the back of the hand, origin in the
wrist. A left hand is its mirror image (y changes sign), with the same joint names, signs and limits.

Sizes are those of `tiae_training.simulator.hand` (lengths after Buryanov and Kotiuk 2010) for a hand of 187 mm and a
breadth of 88 mm; a test holds both together.
"""

from __future__ import annotations

import numpy as np

FINGERS = ("thumb", "index", "middle", "ring", "little")
JOINT_NAMES = (
    "wrist_flexion",
    "wrist_deviation",
    "thumb_cmc_abduction",
    "thumb_cmc_flexion",
    "thumb_cmc_opposition",
    "thumb_mcp_flexion",
    "thumb_ip_flexion",
    "ring_cmc_flexion",
    "little_cmc_flexion",
    *(
        f"{finger}_{joint}"
        for finger in FINGERS[1:]
        for joint in ("mcp_abduction", "mcp_flexion", "pip_flexion", "dip_flexion")
    ),
)
"""The 25 angles. Flexion closes the hand, abduction spreads the fingers."""

LENGTH_MM = 187.0
"""From the wrist to the tip of the middle finger."""

KNUCKLES_MM = np.array(
    [
        [20.6, 21.1, -6.0],  # the thumb's root in the wrist
        [91.6, 30.4, 0.0],
        [93.5, 9.7, 0.0],
        [87.5, -11.0, 0.0],
        [79.5, -29.5, -3.7],
    ]
)
"""(5, 3) roots of the fingers."""

REACH_MM = np.array([103.0, 81.8, 92.2, 88.3, 70.5])
"""(5,) from there to the tips of the open hand."""
