"""``tiae predict``: hands and grasps in pictures, a folder, a video, a bag or a camera."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiae_ros.errors import OutputError, ParameterError
from tiae_ros.model.shipped import DEFAULT_MODEL, DEFAULT_SEGMENTATION_MODEL

if TYPE_CHECKING:
    from tiae_ros.perception import Grasp, Perception, Pose
    from tiae_ros.streams.source_frame import FrameSource, SourceFrame
    from tiae_ros.vision.labels import Picture

HELP = "hands and grasps in pictures, a folder, a video, a bag or a camera"
DESCRIPTION = """Look at every frame of SOURCE and print a line for it: how many hands, how sure, which grasp, where.
With --out also annotated pictures, or a video, and sheet.jpg with many of them. ROS is not needed. SOURCE is

  a picture     cup.png, and its registered depth as a second word, or beside it as cup_depth.png (16 bit, mm, 0 = none)
  a folder      NAME_color.jpg beside NAME_depth_mm.png, or color/NAME.jpg and depth/NAME.png
  a video       cup.mp4, with depth beside it: cup_depth/*.png, or cup_depth.mkv of 16-bit grey (FFV1)
  a bag         a rosbag2 folder, .mcap or .db3; its topics are found by types, encodings and names
  a camera      its number, or /dev/video0: it has no depth
  realsense     or realsense:SERIAL, with the extra `realsense`

Without depth hands are found by the colour of skin alone: no positions, no restored depth, nothing of what a hand
holds, and names are guesses from its outline."""
EXAMPLES = """  tiae predict cup.png cup_depth.png --fov-deg 65
  tiae predict my_pictures --focal-px 525 --out looked_at
  tiae predict my_bag --out looked_at
  tiae predict cup.mp4 --fov-deg 65 --out looked_at          # with cup_depth/ beside it
  tiae predict realsense --frames 300 --json
  tiae predict 0                                             # a webcam, until Ctrl-C"""
_TILE_PX = 320
_ACROSS = 6
_SHEET = 60  # pictures
NO_DEPTH = (
    "no depth: hands are found by the colour of skin alone (classical); positions, restored depth and held things "
    "cannot be had, and names are guesses from the hand's outline"
)
NO_CAMERA = (
    "the camera is not known: positions are withheld and sizes are those of {fov:g} degrees of view; give --fov-deg or "
    "--focal-px"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="see above")
    parser.add_argument("depth_file", nargs="?", type=Path, metavar="DEPTH", help="depth of a picture or video")
    lens = parser.add_mutually_exclusive_group()
    lens.add_argument("--focal-px", type=float, metavar="F", help="focal length in pixels of the colour picture")
    lens.add_argument("--fov-deg", type=float, metavar="DEG", help="or its horizontal field of view")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="as the node's parameter (hands)")
    parser.add_argument(
        "--segmentation-model",
        default=DEFAULT_SEGMENTATION_MODEL,
        metavar="DIR",
        help="what finds hands (the shipped detector)",
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
    parser.add_argument(
        "--hand-views",
        type=int,
        choices=(1, 2),
        default=1,
        help="of a detector: 2: look at each place mirrored, too (1)",
    )
    parser.add_argument(
        "--depth-unit-m", type=float, default=0.001, metavar="M", help="one step of 16-bit depth (0.001)"
    )
    parser.add_argument("--color", metavar="TOPIC", help="of a bag: colour (found)")
    parser.add_argument("--depth", metavar="TOPIC", help="of a bag: registered depth (found)")
    parser.add_argument("--camera-info", metavar="TOPIC", help="of a bag: camera info of colour (found)")
    parser.add_argument("--frames", type=int, metavar="N", help="end after so many (all)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for annotated pictures or video, and sheet.jpg")
    parser.add_argument("--overwrite", action="store_true", help="replace pictures and video that DIR holds")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--strict", action="store_true", help="refuse a source of which a part cannot be used")


def run(arguments: argparse.Namespace) -> int:
    from tiae_ros.parameters import Settings
    from tiae_ros.perception import Perception
    from tiae_ros.streams.frame_source import SourceOptions, open_source

    _check(arguments)
    options = SourceOptions(
        depth=arguments.depth_file,
        color_topic=arguments.color,
        depth_topic=arguments.depth,
        camera_info_topic=arguments.camera_info,
        depth_unit_m=arguments.depth_unit_m,
        strict=arguments.strict,
    )
    if arguments.out is not None:
        _check_apart(Path(arguments.source), arguments.out)
        _check_new(arguments.out, overwrite=arguments.overwrite)
    with contextlib.closing(open_source(arguments.source, options)) as source:
        if source.rate_hz is not None:
            tell(source.told)
        perception = Perception(
            model=arguments.model,
            segmentation_model=arguments.segmentation_model,
            use_color=arguments.use_color,
            hand_confidence_min=arguments.confidence_min,
            hand_views=arguments.hand_views,
            follow_frames=0 if source.rate_hz is None else Settings().follow_frames,
            max_grasps=4,
        )
        doubts = _Doubts()
        with contextlib.ExitStack() as stack:
            drawn = stack.enter_context(_Drawn(arguments.out, source.rate_hz)) if arguments.out is not None else None
            with contextlib.suppress(KeyboardInterrupt) if _is_live(source) else contextlib.nullcontext():
                _go_through(source, perception, arguments, doubts, drawn)
        for line in (*doubts.lines(), *(f"skipped: {reason}" for reason in source.lost)):
            tell(f"warning: {line}")
    return 0


def _go_through(
    source: FrameSource, perception: Perception, arguments: argparse.Namespace, doubts: _Doubts, drawn: _Drawn | None
) -> None:
    import itertools

    from tiae_ros.drawing import draw
    from tiae_ros.perception import FrameDropped
    from tiae_ros.vision.registration import RegistrationWatch

    registration = RegistrationWatch()
    for frame in itertools.islice(source, arguments.frames):
        height, width = frame.color.shape[:2]
        k = camera_matrix(arguments, width, height) or frame.camera.k
        doubts.of_frame(frame, perception, known=k is not None)
        if frame.depth_m is not None and source.rate_hz is not None:
            registration.looked_at(frame.color, frame.depth_m)
            doubts.add("registration", frame.name, registration.doubt)
        stamp_s = None if frame.stamp_ns is None else frame.stamp_ns * 1e-9
        given = frame.camera.distortion if k is frame.camera.k else None
        try:
            result = perception.look(frame.color, frame.depth_m, k, distortion=given, stamp_s=stamp_s)
        except FrameDropped as dropped:
            source.lost.append(f"{frame.name}: {dropped}")
            continue
        grasps = perception.grasps(result)
        print(json.dumps(as_json(frame, grasps)) if arguments.json else line(frame, grasps), flush=True)
        if drawn is not None:
            depth_m = grasps[0].depth_m if grasps else None
            drawn.add(frame.name, draw(frame.color, result, depth_m, guessed=frame.depth_m is None))


def _check(arguments: argparse.Namespace) -> None:
    if arguments.fov_deg is not None and not 5 <= arguments.fov_deg <= 170:
        raise ParameterError(f"--fov-deg is {arguments.fov_deg:g}; accepted is 5 to 170")
    focal = arguments.focal_px
    if focal is not None and not (math.isfinite(focal) and focal > 0):
        raise ParameterError(f"--focal-px is {focal:g}; it must be above 0")
    if arguments.frames is not None and arguments.frames < 1:
        raise ParameterError(f"--frames is {arguments.frames}; it must be at least 1")


def _check_apart(source: Path, out: Path) -> None:
    """Annotated pictures bear their source's name: beside it they would take its place. Raises OutputError."""
    from tiae_ros.streams.picture_files import COLOR_FOLDERS, DEPTH_FOLDER

    with contextlib.suppress(OSError):  # what is no source is told as that
        if source.is_dir():
            places = [source, *(source / name for name in COLOR_FOLDERS), source / DEPTH_FOLDER]
        elif source.is_file():
            places = [source.parent]
        else:
            return
        if out.resolve() in [place.resolve() for place in places]:
            raise OutputError(f"--out {out} is where the pictures of {source} lie; give a folder of its own")


def _check_new(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError for a folder with pictures or a video of an earlier time."""
    held = sorted(path.name for path in out.iterdir() if path.suffix in (".jpg", ".mp4")) if out.is_dir() else []
    if held and not overwrite:
        raise OutputError(f"--out {out} already holds {held[0]}; give another folder, or --overwrite to replace it")


def _is_live(source: FrameSource) -> bool:
    """Cameras end by Ctrl-C alone: that is no fault."""
    from tiae_ros.streams.realsense_camera import RealSense
    from tiae_ros.streams.video_files import WebCamera

    return isinstance(source, RealSense | WebCamera)


def tell(text: str) -> None:
    """To people; what is printed on the other stream is for programs."""
    print(text, file=sys.stderr, flush=True)


def camera_matrix(arguments: argparse.Namespace, width: int, height: int) -> list[list[float]] | None:
    """Of a camera whose axis goes through the middle, as it was asked for; None when it was not."""
    if arguments.focal_px is None and arguments.fov_deg is None:
        return None
    focal = arguments.focal_px or width / 2 / math.tan(math.radians(arguments.fov_deg) / 2)
    return [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]


def line(frame: SourceFrame, grasps: list[Grasp]) -> str:
    """One frame for people."""
    height, width = frame.color.shape[:2]

    def place(grasp: Grasp) -> str:
        x, y, z = grasp.position_m
        if math.isfinite(z):
            return f"{x:+.2f} {y:+.2f} {z:.2f} m"
        return f"pixel {grasp.shift_px[0] + (width - 1) / 2:.0f} {grasp.shift_px[1] + (height - 1) / 2:.0f}"

    def name(grasp: Grasp) -> str:
        return f"{'perhaps ' if frame.depth_m is None and grasp.label else ''}{grasp.label or 'unknown'}"

    told = [f"{name(grasp)}, hand {grasp.confidence:.2f} at {place(grasp)}{_turn(grasp.pose)}" for grasp in grasps]
    return f"{frame.name}: " + ("; ".join(told) or "no hand")


def _turn(pose: Pose | None) -> str:
    """Nothing of a model that finds shifts alone."""
    if pose is None:
        return ""
    if math.isfinite(pose.angle_rad):
        turned = f"turned {math.degrees(pose.angle_rad):+.0f}° ({pose.confidence:.2f})"
    else:
        turned = f"turn unknown (ambiguity: {pose.ambiguity.value})"
    return f", {turned}, scale {pose.scale:.2f}" + (", mirrored" if pose.mirrored else "")


def as_json(frame: SourceFrame, grasps: list[Grasp]) -> dict[str, Any]:
    """One frame for programs; what is not known is null."""
    return {
        "name": frame.name,
        "stamp_ns": frame.stamp_ns,
        "depth": frame.depth_m is not None,
        "grasps": [
            {
                "label": grasp.label,
                "confidence": round(grasp.confidence, 4),
                "position_m": [round(float(value), 4) for value in grasp.position_m]
                if math.isfinite(float(grasp.position_m.sum()))
                else None,
                "shift_px": [round(value, 2) for value in grasp.shift_px],
                "window_px": [
                    round(v, 1) for v in (grasp.window.center_x, grasp.window.center_y, grasp.window.side_px)
                ],
                "descriptor": [round(float(value), 5) for value in grasp.descriptor],
                **({} if grasp.pose is None else {"pose": _pose_as_json(grasp.pose)}),
            }
            for grasp in grasps
        ],
    }


def _pose_as_json(pose: Pose) -> dict[str, Any]:
    return {
        "angle_rad": round(pose.angle_rad, 4) if math.isfinite(pose.angle_rad) else None,
        "scale": round(pose.scale, 4),
        "mirrored": pose.mirrored,
        "confidence": round(pose.confidence, 4),
        "ambiguity": pose.ambiguity.value,
    }


class _Doubts:
    """What looks wrong, by reason: how often, and the first one."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}
        self._told: set[str] = set()

    def of_frame(self, frame: SourceFrame, perception: Perception, *, known: bool) -> None:
        from tiae_ros.streams.depth_units import question_unit
        from tiae_ros.vision.window import has_reading

        settings = perception.settings
        for reason, text in frame.warnings.items():
            self.add(reason, frame.name, text)
        if frame.camera.unknown:
            self.add("camera", frame.name, frame.camera.unknown)
        if frame.depth_m is None:
            self._once(NO_DEPTH)
            return
        if not known:
            self._once(NO_CAMERA.format(fov=settings.assumed_fov_deg))
        if not has_reading(frame.depth_m).any():
            self.add("no reading", frame.name, "its depth has no reading at all: each pixel is 0 or not a number")
            return
        doubt = question_unit(frame.depth_m, frame.depth_encoding, depth_max_m=settings.depth_max_m)
        self.add("unit", frame.name, doubt or "")

    def add(self, reason: str, name: str, text: str) -> None:
        """Nothing when there is no text."""
        if text:
            count, first = self._found.get(reason, (0, f"{name}: {text}"))
            self._found[reason] = count + 1, first

    def lines(self) -> Iterator[str]:
        for count, first in self._found.values():
            yield f"{'1 picture looks' if count == 1 else f'{count} pictures look'} wrong; the first: {first}"

    def _once(self, text: str) -> None:
        """While it goes on: what one should know before the end."""
        if text not in self._told:
            self._told.add(text)
            tell(text)


class _Drawn:
    """Annotated pictures, or of a stream a video, and a sheet of many; what is there at its end is whole."""

    def __init__(self, folder: Path, rate_hz: float | None) -> None:
        self._folder, self._rate_hz = folder, rate_hz
        self._tiles: list[Picture] = []
        self._every, self._count = 1, 0
        self._video: Any = None
        self._size = (0, 0)

    def __enter__(self) -> _Drawn:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"--out {self._folder} cannot be made: {error.strerror}") from None
        return self

    def add(self, name: str, seen: Picture) -> None:
        import cv2

        if self._rate_hz is None:
            self._write_picture(f"{name}.jpg", seen)
        else:
            self._write_frame(seen)
        if self._count % self._every == 0:
            height = max(1, round(_TILE_PX * seen.shape[0] / seen.shape[1]))
            self._tiles.append(cv2.resize(seen, (_TILE_PX, height), interpolation=cv2.INTER_AREA))
        self._count += 1
        if len(self._tiles) > _SHEET:  # of a long stream fewer and fewer, so that all of it is there
            self._tiles, self._every = self._tiles[::2], 2 * self._every

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        staged = self._folder / "annotated.part.mp4"
        if self._video is not None:
            self._video.release()
            if kind is None or kind is KeyboardInterrupt:
                os.replace(staged, self._folder / "annotated.mp4")
            else:
                staged.unlink(missing_ok=True)
        if self._tiles and kind is None:
            self._write_picture("sheet.jpg", sheet_of(self._tiles))

    def _write_picture(self, name: str, seen: Picture) -> None:
        import cv2

        from tiae_ros.model.folder import write_whole

        write_whole(self._folder / name, cv2.imencode(".jpg", seen[..., ::-1])[1].tobytes())

    def _write_frame(self, seen: Picture) -> None:
        import cv2

        if self._video is None:
            self._size = (seen.shape[1], seen.shape[0])
            staged = str(self._folder / "annotated.part.mp4")
            self._video = cv2.VideoWriter(staged, cv2.VideoWriter.fourcc(*"mp4v"), self._rate_hz, self._size)
            if not self._video.isOpened():
                raise OutputError(f"{staged} cannot be written; is the disk full, or the folder read-only?")
        fitting = seen if seen.shape[1::-1] == self._size else cv2.resize(seen, self._size)
        self._video.write(fitting[..., ::-1].copy())


def sheet_of(tiles: list[Picture]) -> Picture:
    """Pictures of one width in rows."""
    import numpy as np

    tallest = max(tile.shape[0] for tile in tiles)
    padded = [np.pad(tile, ((0, tallest - tile.shape[0]), (0, 0), (0, 0))) for tile in tiles]
    across = min(_ACROSS, len(padded))
    padded += [np.zeros_like(padded[0])] * (-len(padded) % across)
    rows = [np.hstack(padded[start : start + across]) for start in range(0, len(padded), across)]
    return np.vstack(rows)
