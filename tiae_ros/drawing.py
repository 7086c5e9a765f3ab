"""The debug picture: the frame with its masks and windows, and beside it what went in and what came out. No ROS."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tiae_ros import palette
from tiae_ros.vision.labels import HAND, OBJECT, Floats, Labels, Picture

if TYPE_CHECKING:
    from tiae_ros.perception import Result

_ARROW_PX = 24


def draw(color: Picture, result: Result, depth_m: Floats | None = None, *, guessed: bool = False) -> Picture:
    """(H, W, 3) -> (H, W + H // 3, 3): on the right from top to bottom the main grasp's input masks, its
    restored masks moved onto the input, and its restored depth (S, S) in metres.

    guessed: names are, as they are without depth.
    """
    height = color.shape[0]
    picture = with_masks(color, result.labels)
    poses = result.pattern_poses
    for index, (window, (dx, dy)) in enumerate(zip(result.windows, result.shifts, strict=True)):
        shade = palette.WINDOW if index == 0 else palette.OTHER_WINDOW
        half = window.side_px / 2
        corners = [(round(window.center_x + sign * half), round(window.center_y + sign * half)) for sign in (-1, 1)]
        cv2.rectangle(picture, corners[0], corners[1], shade, 1)
        x = round(float(dx) + (color.shape[1] - 1) / 2)
        y = round(float(dy) + (height - 1) / 2)
        mark_place(picture, (x, y), shade, math.nan if poses is None else float(poses.angles[index]))
        text = f"hand {result.confidences[index]:.2f}"  # how sure that it is one; of the name nobody says it
        if result.names and result.names[index]:
            text = f"{'perhaps ' if guessed else ''}{result.names[index]}, {text}"
        at = (max(corners[0][0], 0) + 3, max(corners[0][1], 0) + 13)
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, shade, 1, cv2.LINE_AA)
    side = max(height // 3, 1)
    strip = np.full((height, side, 3), 24, np.uint8)
    insets = [
        masks_picture(result.seen[0, :2]) if result.windows else None,
        masks_picture(result.restored_masks) if result.restored_masks is not None else None,
        depth_picture(depth_m) if depth_m is not None else None,
    ]
    for row, inset in enumerate(insets):
        if inset is not None:
            enlarged = cv2.resize(inset, (side - 1, side - 1), interpolation=cv2.INTER_NEAREST)
            strip[row * side : row * side + side - 1, 1:] = enlarged[: height - row * side]
    return np.ascontiguousarray(np.concatenate([picture, strip], axis=1))


def mark_place(picture: Picture, at: tuple[int, int], shade: tuple[int, int, int], angle: float = math.nan) -> None:
    """A cross where a pattern lies, and an arrow in the direction of its angle (radians) if that is known."""
    cv2.drawMarker(picture, at, shade, cv2.MARKER_CROSS, 13, 2)
    if math.isfinite(angle):
        tip = round(at[0] + _ARROW_PX * math.cos(angle)), round(at[1] + _ARROW_PX * math.sin(angle))
        cv2.arrowedLine(picture, at, tip, shade, 2, cv2.LINE_AA, tipLength=0.3)


def masks_picture(masks: Floats) -> Picture:
    """Hand and object masks (2, S, S) 0..1 as one coloured picture (S, S, 3)."""
    mixed = masks[0][..., None] * np.array(palette.HAND) + masks[1][..., None] * np.array(palette.OBJECT)
    picture: Picture = np.clip(mixed, 0, 255).astype(np.uint8)
    return picture


def depth_picture(depth_m: Floats) -> Picture:
    """Metres (S, S) as a picture: near bright, far dark, nothing black."""
    known = np.isfinite(depth_m)
    if not known.any():
        return np.zeros((*depth_m.shape, 3), np.uint8)
    near, far = float(depth_m[known].min()), float(depth_m[known].max())
    share = 1 - (np.where(known, depth_m, far) - near) / max(far - near, 1e-3)
    grey = np.where(known, 60 + 195 * share, 0).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_BONE), cv2.COLOR_BGR2RGB).astype(np.uint8)


def with_masks(color: Picture, labels: Labels) -> Picture:
    """(H, W, 3) with hand and object (H, W) tinted."""
    tint = np.zeros((3, 3), np.uint8)
    tint[HAND], tint[OBJECT] = palette.HAND, palette.OBJECT
    mixed = cv2.addWeighted(color, 0.55, tint[labels], 0.45, 0)
    shown: Picture = np.where(labels[..., None] > 0, mixed, color).astype(np.uint8)
    return shown
