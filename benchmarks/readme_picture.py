"""The animated picture of the README: the recorded demo, and what the package makes of it, with names on it.

    python benchmarks/readme_picture.py                       # docs/hand.gif
    python benchmarks/readme_picture.py --bag MY_BAG --out my.gif --every 2

The camera pictures of the recorded demo are rendered; everything that is drawn on them and beside them is computed here
by the shipped models, frame by frame, as the node does it. Needs pillow (requirements/test.txt).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tiae_ros import palette
from tiae_ros.drawing import depth_picture, masks_picture
from tiae_ros.imitation.hand_picture import HandPicture
from tiae_ros.imitation.imitator import Imitator
from tiae_ros.imitation.observing import observation_of
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.parameters import Settings
from tiae_ros.perception import Images, load_pipeline
from tiae_ros.streams.bags import Bag
from tiae_ros.vision.labels import HAND, OBJECT

ROOT = Path(__file__).resolve().parents[1]
CAMERA = (384, 288)  # pixels of the camera picture, width and height
TILE = 132
GAP = 8
HEAD = 22
PAPER, INK, GREY = (255, 255, 255), (20, 30, 36), (110, 120, 126)
COLORS = 64  # of the palette
KINDS = ("input masks", "restored masks", "input depth", "restored depth")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", type=Path, default=ROOT / "test" / "data" / "grasps", help="rosbag2")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "hand.gif", help="GIF to write")
    parser.add_argument("--every", type=int, default=7, help="draw each so many-th frame (7)")
    parser.add_argument("--source", default="camera (rendered)", help="what stands above the camera's picture")
    options = parser.parse_args()
    settings = Settings(robot_hand="shadow")
    pipeline, hand = load_pipeline(settings), load_hand("shadow")
    imitator, robot, angles = Imitator(hand, starts_at_rest=True), HandPicture(hand, CAMERA[1]), hand.rest
    imitator.enabled = True
    pictures, stamps = [], []
    with Bag(options.bag) as bag:
        for number, frame in enumerate(bag.rgbd_frames()):
            # All frames are looked at, as the node would: it follows a hand from one to the next.
            described = pipeline.describe(Images(frame.color, frame.depth_m, frame.k), settings)
            result, hands = pipeline.restore(described), pipeline.estimate_hands(described, most=1)
            stamp_s = frame.stamp_ns * 1e-9
            seen = observation_of(hands, 0, stamp_s) if hands is not None and len(hands.joints) else None
            made = imitator.step(seen, stamp_s)
            angles = angles if made.angles is None else made.angles  # a controller holds the last ones
            if not number or number % options.every:  # the first picture shows a robot at rest
                continue
            depth_m = pipeline.restore_depth(result, settings) if result.windows else None
            pictures.append(compose(frame.color, result, depth_m, robot.draw(angles), options.source))
            stamps.append(frame.stamp_ns)
    step_ms = round(float(np.median(np.diff(stamps))) * 1e-6)
    write(options.out, pictures, step_ms)
    print(f"{options.out}: {len(pictures)} pictures, {options.out.stat().st_size / 1e3:.0f} kB")
    return 0


def compose(color: Any, result: Any, depth_m: Any, robot: Any, source: str) -> Image.Image:
    """One picture: the camera with masks, window and name; what went in and what came out; the robot hand."""
    width = 3 * GAP + CAMERA[0] + GAP + 2 * TILE + 2 * GAP + robot.shape[1]
    picture = Image.new("RGB", (width, 2 * HEAD + CAMERA[1] + GAP), PAPER)
    pen = ImageDraw.Draw(picture)
    picture.paste(camera(color, result), (GAP, HEAD))
    pen.text((GAP, 4), source, INK, font(13))
    pen.text((GAP + CAMERA[0], 4), "hand", palette.HAND, font(13), anchor="ra")
    pen.text((GAP + CAMERA[0] - 40, 4), "held thing", palette.OBJECT, font(13), anchor="ra")
    insets = (
        masks_picture(result.seen[0, :2]) if result.windows else None,
        masks_picture(result.restored_masks) if result.windows else None,
        depth_picture(seen_depth(result)) if result.windows else None,
        depth_picture(depth_m) if depth_m is not None else None,
    )
    for index, (kind, inset) in enumerate(zip(KINDS, insets, strict=True)):
        left = CAMERA[0] + 3 * GAP + (index % 2) * (TILE + GAP)
        top = HEAD + (index // 2) * (TILE + HEAD + 2)
        shown = np.zeros((1, 1, 3), np.uint8) if inset is None else inset
        enlarged = cv2.resize(shown, (TILE, TILE), interpolation=cv2.INTER_NEAREST)
        picture.paste(Image.fromarray(enlarged), (left, top))
        pen.text((left, top - HEAD + 4), kind, INK, font(13))
    left = width - robot.shape[1] - GAP
    picture.paste(Image.fromarray(robot), (left, HEAD))
    pen.text((left, 4), "robot hand (Shadow) that imitates", INK, font(13))
    pen.text((GAP, HEAD + CAMERA[1] + 5), told(result), INK, font(14))
    return picture


def camera(color: Any, result: Any) -> Image.Image:
    """The camera's picture with masks, the square that is cut out, and where the grasp is."""
    painted = color.astype(np.float32)
    for label, shade in ((HAND, palette.HAND), (OBJECT, palette.OBJECT)):
        painted[result.labels == label] = 0.5 * painted[result.labels == label] + 0.5 * np.array(shade)
    shown = Image.fromarray(painted.astype(np.uint8)).resize(CAMERA, Image.Resampling.LANCZOS)
    if not result.windows:
        return shown
    pen, scale, window = ImageDraw.Draw(shown), CAMERA[0] / color.shape[1], result.windows[0]
    half = window.side_px / 2
    corners = [scale * (at + sign * half) for sign in (-1, 1) for at in (window.center_x, window.center_y)]
    pen.rectangle(corners, outline=PAPER, width=2)
    pen.text((corners[0] + 6, corners[1] + 3), name_of(result), PAPER, font(16), stroke_width=2, stroke_fill=INK)
    x, y = (scale * (result.shifts[0] + (np.array(color.shape[1::-1]) - 1) / 2)).tolist()
    pen.line((x - 7, y, x + 7, y), PAPER, 3)
    pen.line((x, y - 7, x, y + 7), PAPER, 3)
    return shown


def seen_depth(result: Any) -> Any:
    """The depth channel that went in, as a distance: 1 is near, 0 is nothing."""
    nearness = result.seen[0, -1]
    return np.where(nearness > 0, 1.0 - 0.3 * nearness, np.nan)


def name_of(result: Any) -> str:
    return (result.names[0] if result.names else "") or "unknown"


def told(result: Any) -> str:
    """What the node says of the nearest grasp."""
    if not result.windows:
        return "no hand"
    x, y, z = result.positions[0]
    return f"grasp: {name_of(result)}    at {x:+.2f} {y:+.2f} {z:.2f} m    hand {result.confidences[0]:.2f}"


def font(size: int) -> Any:
    return ImageFont.load_default(size)


def write(path: Path, pictures: list[Image.Image], step_ms: int) -> None:
    """One palette for all, so that pixels that stay cost nothing."""
    sheet = Image.new("RGB", (pictures[0].width, pictures[0].height * len(pictures)))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (0, number * picture.height))
    palette = sheet.quantize(COLORS, Image.Quantize.MEDIANCUT)
    flat = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    flat[0].save(path, save_all=True, append_images=flat[1:], duration=step_ms, loop=0, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
