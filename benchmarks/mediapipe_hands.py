"""MediaPipe's hand landmarks as a segmentation without masks, to be held beside ours; it runs in a process of its own.

    python -m venv mediapipe && mediapipe/bin/pip install mediapipe==0.10.14
    python benchmarks/hands_found.py --mediapipe mediapipe/bin/python

It sees colour alone and has no masks. Its model card says that hands which hold things are not what it is made for.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

_HEADER = struct.Struct("<2i")
_MOST_HANDS = 4
PALM = (0, 5, 9, 13, 17)  # wrist and knuckles


def serve() -> None:
    """Answer each picture (height, width, rgb) with a line of JSON: its hands.

    score; landmarks (21, 2) in shares of the picture's size; in_space (21, 3) metres, the camera's axes.
    """
    import mediapipe

    hands = mediapipe.solutions.hands.Hands(
        static_image_mode=True, max_num_hands=_MOST_HANDS, min_detection_confidence=0.5
    )
    while header := sys.stdin.buffer.read(_HEADER.size):
        height, width = _HEADER.unpack(header)
        picture = np.frombuffer(sys.stdin.buffer.read(3 * height * width), np.uint8).reshape(height, width, 3)
        told = hands.process(picture)
        found = zip(
            told.multi_hand_landmarks or [],
            told.multi_hand_world_landmarks or [],
            told.multi_handedness or [],
            strict=True,
        )
        answer = [
            {
                "score": side.classification[0].score,
                "landmarks": [(point.x, point.y) for point in hand.landmark],
                "in_space": [(point.x, point.y, point.z) for point in in_space.landmark],
            }
            for hand, in_space, side in found
        ]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
    raise SystemExit(0)

from tiae_ros.vision.labels import Floats, Picture  # noqa: E402  # what serves has neither
from tiae_ros.vision.segmentation.settings import SegmentationSettings, usable_focal_px  # noqa: E402
from tiae_ros.vision.sight import WHOLE_PICTURE, FoundHand, Segmentation, Sight  # noqa: E402
from tiae_ros.vision.window import Window, has_reading  # noqa: E402


def has_mediapipe(python: str) -> bool:
    """Whether this interpreter is there, and has it."""
    try:
        return subprocess.run([python, "-c", "import mediapipe"], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


class MediaPipeHands(Segmentation):
    """Windows around MediaPipe's hands; depth tells how large they are."""

    name = "MediaPipe hands 0.10.14"

    def __init__(self, python: str) -> None:
        """python: an interpreter that has mediapipe."""
        self._process = subprocess.Popen(
            [python, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def ask(self, color: Picture) -> list[dict[str, Any]]:
        """What it says of a picture (H, W, 3): see `serve`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(_HEADER.pack(*color.shape[:2]) + np.ascontiguousarray(color).tobytes())
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(
                f"MediaPipe's process ended with {self._process.wait(10)}; does its interpreter have mediapipe?"
            )
        hands: list[dict[str, Any]] = json.loads(answer)
        return hands

    def see(
        self,
        color: Picture | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
        metric_size_m: float = 0.30,
        before: Sequence[FoundHand] = (),
        redetect: bool = False,
    ) -> Sight:
        labels = np.zeros(depth_m.shape, np.uint8)
        if color is None:
            return Sight(labels, [], WHOLE_PICTURE)
        height, width = depth_m.shape
        focal, found = usable_focal_px(focal_px, max(depth_m.shape)), []
        for hand in self.ask(color):
            points = np.array(hand["landmarks"]) * (width, height)
            x, y = points[list(PALM)].mean(0)
            rows, columns = points.round().astype(int)[:, ::-1].T
            inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
            readings = depth_m[rows[inside], columns[inside]]
            readings = readings[has_reading(readings)]
            depth = float(np.median(readings)) if len(readings) else 0.6
            window = Window(center_x=x, center_y=y, side_px=metric_size_m * focal / depth, depth_m=depth)
            found.append(FoundHand(window, float(hand["score"]), middle=(x, y)))
        return Sight(labels, sorted(found, key=lambda hand: hand.window.depth_m), WHOLE_PICTURE)
