"""The robot hand of scripts/demo: what the node is told for it, and its picture from the joint targets that came.

No simulator: the demonstration's environment is light, so the hand is drawn from the chains of its file.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from tiae_ros.errors import ModelError
from tiae_ros.imitation.hand_picture import BACKDROP, HandPicture
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.model.shipped import DEFAULT_HAND_POSE_MODEL, find_model

HAND = "shadow"
TITLE = "robot hand (Shadow)"


def is_there() -> bool:
    """Whether a model for the operator's joints is shipped."""
    try:
        find_model(DEFAULT_HAND_POSE_MODEL)
    except ModelError:
        return False
    return True


def node_words() -> list[str]:
    """Parameters of the node; nothing plays the robot, so it is taken to begin at rest. Stamps are the recording's."""
    given = {"robot_hand": HAND, "imitate_at_start": "true", "imitation_starts_at_rest": "true", "use_sim_time": "true"}
    return [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]


def tile(targets: Any, size: int) -> np.ndarray:
    """(size, size, 3) rgb of a frame's joint targets; None where the node published none."""
    if targets is None:
        picture = np.full((size, size, 3), BACKDROP, np.uint8)
        cv2.putText(picture, "no target", (size // 3, size // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (200, 205, 215), 1)
        return picture
    drawn = _picture(size)
    return drawn.draw(load_hand(HAND).in_order(targets.name, targets.position))


@lru_cache
def _picture(size: int) -> HandPicture:
    return HandPicture(load_hand(HAND), size)
