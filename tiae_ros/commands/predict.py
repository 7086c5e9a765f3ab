"""``tiae predict``: hands and grasps in a folder of colour and depth pictures."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiae_ros.errors import DataError, ParameterError

if TYPE_CHECKING:
    from tiae_ros.perception import Grasp
    from tiae_ros.vision.labels import Floats, Picture

HELP = "hands and grasps in a folder of pictures"
DESCRIPTION = """Look at pairs of pictures, NAME_color.jpg (or .png) beside NAME_depth_mm.png (16 bit, 0 = nothing),
registered to each other, and print a line for each: how many hands, how sure, which grasp, where. With --out also
annotated pictures and sheet.jpg with all of them, to try your own camera by eye."""
EXAMPLES = """  tiae predict my_pictures --fov-deg 65
  tiae predict my_pictures --focal-px 525 --out looked_at
  tiae predict my_pictures --focal-px 525 --json"""
_TILE_PX = 320
_ACROSS = 6
_SHEET = 60  # pictures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="FOLDER", help="pictures")
    lens = parser.add_mutually_exclusive_group(required=True)
    lens.add_argument("--focal-px", type=float, metavar="F", help="focal length in pixels of the colour picture")
    lens.add_argument("--fov-deg", type=float, metavar="DEG", help="or its horizontal field of view")
    parser.add_argument("--model", default="hands", help="as the node's parameter (hands)")
    parser.add_argument(
        "--segmentation-model",
        default="segmentation",
        metavar="DIR",
        help="what finds hands (the shipped segmentation)",
    )
    parser.add_argument(
        "--use-color", choices=("auto", "true", "false"), default="auto", help="as the node's parameter (auto)"
    )
    parser.add_argument(
        "--confidence-min",
        type=float,
        default=0.5,
        metavar="C",
        help="of a detector: what it is less sure of is no hand (0.5)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for annotated pictures and sheet.jpg")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--strict", action="store_true", help="refuse a folder of which a picture cannot be used")


def run(arguments: argparse.Namespace) -> int:
    import cv2
    import numpy as np

    from tiae_ros.perception import Perception
    from tiae_ros.streams.depth_units import question_unit

    perception = Perception(
        model=arguments.model,
        segmentation_model=arguments.segmentation_model,
        use_color=arguments.use_color,
        hand_confidence_min=arguments.confidence_min,
        follow_frames=0,
        max_grasps=4,
    )
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
    tiles: list[Picture] = []
    skipped: list[str] = []
    doubts: list[str] = []
    for name, color, depth_m in pairs(arguments.source, None if arguments.strict else skipped):
        k = camera_matrix(arguments, color.shape[1], color.shape[0])
        grasps = perception.frame(color, depth_m, k)
        doubt = question_unit(depth_m, "16UC1", depth_max_m=perception.settings.depth_max_m, unit_m=0.001)
        if doubt is not None:
            doubts.append(f"{name}: {doubt}")
        print(json.dumps(as_json(name, grasps)) if arguments.json else line(name, grasps), flush=True)
        if arguments.out is not None:
            seen = annotated(color, grasps)
            cv2.imwrite(str(arguments.out / f"{name}.jpg"), seen[..., ::-1])
            if len(tiles) < _SHEET:
                height = round(_TILE_PX * seen.shape[0] / seen.shape[1])
                tiles.append(cv2.resize(seen, (_TILE_PX, height), interpolation=cv2.INTER_AREA))
    if doubts:
        print(f"warning: {len(doubts)} pictures look wrong; the first: {doubts[0]}", file=sys.stderr)
    for reason in skipped:
        print(f"warning: skipped: {reason}", file=sys.stderr)
    if tiles:
        tallest = max(tile.shape[0] for tile in tiles)
        padded = [np.pad(tile, ((0, tallest - tile.shape[0]), (0, 0), (0, 0))) for tile in tiles]
        padded += [np.zeros_like(padded[0])] * (-len(padded) % min(_ACROSS, len(padded)))
        across = min(_ACROSS, len(padded))
        rows = [np.hstack(padded[start : start + across]) for start in range(0, len(padded), across)]
        cv2.imwrite(str(arguments.out / "sheet.jpg"), np.vstack(rows)[..., ::-1])
    return 0


def pairs(folder: Path, skipped: list[str] | None = None) -> Iterator[tuple[str, Picture, Floats]]:
    """Name, rgb (H, W, 3) and depth (H, W) metres of each pair.

    What cannot be used is added to `skipped`; without it, and where nothing can be used, it is a DataError.
    """
    colors = sorted([*folder.glob("*_color.jpg"), *folder.glob("*_color.png")])
    if not colors:
        raise DataError(f"{folder} holds no pictures; accepted are NAME_color.jpg (or .png) beside NAME_depth_mm.png")
    used = False
    for path in colors:
        try:
            pair = _pair(path)
        except DataError as error:
            if skipped is None:
                raise
            skipped.append(str(error))
            continue
        used = True
        yield pair
    if not used and skipped:
        raise DataError(f"none of {len(colors)} pictures of {folder} can be used; the first: {skipped[0]}")


def _pair(path: Path) -> tuple[str, Picture, Floats]:
    import cv2
    import numpy as np

    name = path.stem.removesuffix("_color")
    beside = path.with_name(f"{name}_depth_mm.png")
    if not beside.exists():
        raise DataError(f"{path} has no depth beside it; needed is {beside.name}, 16 bit grey, in mm")
    color = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    millimetres = cv2.imread(str(beside), cv2.IMREAD_UNCHANGED)
    if color is None:
        raise DataError(f"{path} cannot be used; needed is a colour picture")
    if millimetres is None or millimetres.ndim != 2 or millimetres.dtype != np.uint16:
        raise DataError(f"{beside} cannot be used; needed is depth as 16 bit grey, in mm")
    if millimetres.shape != color.shape[:2]:
        raise DataError(
            f"{path} is {color.shape[1::-1]}, {beside.name} {millimetres.shape[::-1]}; both must be of one size"
        )
    depth = np.where(millimetres > 0, millimetres.astype(np.float32) / 1000, np.nan).astype(np.float32)
    return name, np.ascontiguousarray(color[..., ::-1]), depth


def camera_matrix(arguments: argparse.Namespace, width: int, height: int) -> list[list[float]]:
    """Of a camera whose axis goes through the middle. Raises ParameterError."""
    if arguments.fov_deg is not None and not 5 <= arguments.fov_deg <= 170:
        raise ParameterError(f"--fov-deg is {arguments.fov_deg:g}; accepted is 5 to 170")
    focal = (
        arguments.focal_px
        if arguments.focal_px is not None
        else width / 2 / math.tan(math.radians(arguments.fov_deg or 65) / 2)
    )
    if not (math.isfinite(focal) and focal > 0):
        raise ParameterError(f"--focal-px is {focal:g}; it must be above 0")
    return [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]


def line(name: str, grasps: list[Grasp]) -> str:
    if not grasps:
        return f"{name}: no hand"
    told = [
        f"{grasp.label or 'unknown'} {grasp.confidence:.2f} at "
        f"{grasp.position_m[0]:+.2f} {grasp.position_m[1]:+.2f} {grasp.position_m[2]:.2f} m"
        for grasp in grasps
    ]
    return f"{name}: " + "; ".join(told)


def as_json(name: str, grasps: list[Grasp]) -> dict[str, Any]:
    return {
        "name": name,
        "grasps": [
            {
                "label": grasp.label,
                "confidence": round(grasp.confidence, 4),
                "position_m": [round(float(value), 4) for value in grasp.position_m],
                "shift_px": [round(value, 2) for value in grasp.shift_px],
                "window_px": [
                    round(v, 1) for v in (grasp.window.center_x, grasp.window.center_y, grasp.window.side_px)
                ],
                "descriptor": [round(float(value), 5) for value in grasp.descriptor],
            }
            for grasp in grasps
        ],
    }


def annotated(color: Picture, grasps: list[Grasp]) -> Picture:
    """The picture with each grasp's window, name and confidence."""
    import cv2

    from tiae_ros import palette

    seen = color.copy()
    scale = max(color.shape[:2]) / 640
    for grasp in grasps:
        window = grasp.window
        half = window.side_px / 2
        corners = [(round(window.center_x + sign * half), round(window.center_y + sign * half)) for sign in (-1, 1)]
        cv2.rectangle(seen, corners[0], corners[1], palette.WINDOW, max(1, round(2 * scale)))
        told = f"{grasp.label or 'unknown'} {grasp.confidence:.2f}"
        place = (max(2, corners[0][0]), max(round(16 * scale), corners[0][1] - 4))
        cv2.putText(seen, told, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * scale, palette.WINDOW, max(1, round(2 * scale)))
    return seen
