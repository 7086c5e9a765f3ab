"""A drawn camera frame: a hand in front of a wall that holds a thing. For first passes, before any camera is there."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FOCAL_PX = 640, 480, 525.0
_HAND_MM, _THING_MM, _WALL_MM = 500, 510, 900
_SKIN, _THING, _WALL = (205, 140, 110), (40, 70, 160), (150, 150, 145)


def drawn_images() -> dict[str, SimpleNamespace]:
    """Messages by the names of `Frame`'s fields: colour, depth, masks, camera info; as sensor_msgs has them."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    hand = ((columns - 320) / 70) ** 2 + ((rows - 250) / 55) ** 2 <= 1
    hand |= (np.abs(columns - 320) < 30) & (rows >= 250)  # the arm comes from below
    thing = (np.abs(columns - 320) < 35) & (rows > 120) & (rows < 220) & ~hand
    color = np.full((HEIGHT, WIDTH, 3), _WALL, np.uint8)
    depth_mm = np.full((HEIGHT, WIDTH), _WALL_MM, np.uint16)
    for mask, shade, millimetres in ((hand, _SKIN, _HAND_MM), (thing, _THING, _THING_MM)):
        color[mask], depth_mm[mask] = shade, millimetres
    depth_mm[::7, ::11] = 0  # no camera reads everywhere
    return {
        "color": _message(color, "rgb8"),
        "depth": _message(depth_mm, "16UC1"),
        "hand_mask": _message(hand * np.uint8(255), "mono8"),
        "object_mask": _message(thing * np.uint8(255), "mono8"),
        "camera_info": SimpleNamespace(
            header=SimpleNamespace(frame_id=""),
            width=WIDTH,
            height=HEIGHT,
            k=[FOCAL_PX, 0, (WIDTH - 1) / 2, 0, FOCAL_PX, (HEIGHT - 1) / 2, 0, 0, 1],
        ),
    }


def _message(pixels: NDArray[np.uint8] | NDArray[np.uint16], encoding: str) -> SimpleNamespace:
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=""),
        encoding=encoding,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=pixels[0].nbytes,
        is_bigendian=0,
        data=pixels.tobytes(),
    )
