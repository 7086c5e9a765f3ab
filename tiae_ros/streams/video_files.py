"""Frames of a video with depth beside it, and of a webcam, which has none.

    cup.mp4                        colour: whatever OpenCV's FFmpeg reads; beside it may lie
    cup_depth/000000.png, …        registered depth, a 16-bit picture for each frame, in the order of their names
    cup_depth.mkv (or .avi)        or a video of 16-bit grey without loss: FFV1, gray16le

Depth is in steps of depth_unit_m (millimetres), 0 = nothing. Frame N of one belongs to frame N of the other.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError, ImageError
from tiae_ros.streams.depth_units import MILLIMETRE_M
from tiae_ros.streams.image_decoding import resize_depth_to
from tiae_ros.streams.picture_files import depth_of_values, read_depth
from tiae_ros.streams.source_frame import SourceFrame

VIDEOS = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v")
_DEPTH_FILES = (".png", ".tif", ".tiff")
_LOSSLESS = (".mkv", ".avi")
_USUAL_RATE_HZ = 30.0
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # its FFmpeg is silent; read when the first video is opened
Depth = tuple[NDArray[np.float32], str]


class Video:
    """A video, with depth if there is any beside it; as `FrameSource`."""

    def __init__(
        self, path: Path, depth: Path | None = None, *, depth_unit_m: float = MILLIMETRE_M, strict: bool = False
    ) -> None:
        """depth: a folder of pictures or a video; None: what lies beside it, if anything does.

        Raises:
            DataError: one of them cannot be read.
        """
        self.lost: list[str] = []
        self._path, self._strict, self._unit_m = path, strict, depth_unit_m
        self._capture = _opened(path)
        self.rate_hz = _rate_of(self._capture)
        self._depth_path = depth or _beside(path)
        self._depth_capture = None
        if self._depth_path is not None and not self._depth_path.is_dir():
            self._depth_capture = _opened(self._depth_path, as_stored=True)
        self.told = f"video {path}" + (f", depth of {self._depth_path}" if self._depth_path else "")

    def __iter__(self) -> Iterator[SourceFrame]:
        depths = self._depths()
        number, used = -1, 0
        for number, color in enumerate(_frames_of(self._capture)):
            name, stamp_ns = f"{self._path.stem}_{number:06d}", round(number / self.rate_hz * 1e9)
            if depths is None:
                yield SourceFrame(name, color, stamp_ns=stamp_ns)
                continue
            try:
                depth_m, encoding = next(depths, (None, ""))
                if depth_m is None:
                    self._lose(f"{self._depth_path} ends before {self._path}, at frame {number}")
                    break
                depth_m = resize_depth_to(depth_m, color.shape)
            except (DataError, ImageError) as error:
                self._lose(f"frame {number} of {self._path}: {error}")
                continue
            used += 1
            yield SourceFrame(name, color, depth_m, stamp_ns=stamp_ns, depth_encoding=encoding)
        else:
            self._look_behind(depths, number + 1)
        if number < 0:
            raise DataError(f"video {self._path} holds no frame that can be decoded")
        if depths is not None and not used:
            raise DataError(f"no frame of {self._path} can be used; the first: {self.lost[0]}")

    def close(self) -> None:
        """Let go of the files."""
        self._capture.release()
        if self._depth_capture is not None:
            self._depth_capture.release()

    def _depths(self) -> Iterator[Depth] | None:
        """None without any. After a frame that raises DataError it goes on (a generator would be at its end)."""
        if self._depth_path is None:
            return None
        if self._depth_capture is None:
            files = sorted(path for path in self._depth_path.iterdir() if path.suffix.lower() in _DEPTH_FILES)
            if not files:
                raise DataError(f"{self._depth_path} holds no depth; needed is a 16-bit .png for each frame")
            return map(read_depth, files, itertools.repeat(self._unit_m))
        frames = _frames_of(self._depth_capture, as_stored=True)
        told = f"depth video {self._depth_path}"
        return map(depth_of_values, frames, itertools.repeat(self._unit_m), itertools.repeat(told))

    def _look_behind(self, depths: Iterator[Depth] | None, count: int) -> None:
        """Whether depth goes on where colour has ended."""
        try:
            more = depths is not None and next(depths, None) is not None
        except DataError:
            more = True
        if more and count:
            self._lose(f"{self._path} ends before {self._depth_path}, at frame {count}")

    def _lose(self, line: str) -> None:
        if self._strict:
            raise DataError(line)
        self.lost.append(line)


class WebCamera:
    """A camera of this machine, without depth; as `FrameSource`. It never ends by itself."""

    def __init__(self, device: str) -> None:
        """device: its number, or its path such as /dev/video0. Raises DataError."""
        self.lost: list[str] = []
        number = int(device) if device.isdecimal() else None
        with _quiet():
            try:
                self._capture = cv2.VideoCapture(device if number is None else number, cv2.CAP_V4L2)
            except cv2.error:  # a number that no camera has
                self._capture = cv2.VideoCapture()
        if not self._capture.isOpened():
            there = sorted(str(path) for path in Path("/dev").glob("video*"))
            raise DataError(
                f"camera {device} cannot be opened; "
                + (f"there are {', '.join(there)} (does another program use it?)" if there else "this machine has none")
            )
        self.rate_hz = _rate_of(self._capture)
        self.told = f"camera {device}"

    def __iter__(self) -> Iterator[SourceFrame]:
        for number in itertools.count():
            ok, pixels = self._capture.read()
            if not ok:
                raise DataError(f"{self.told} gave no picture after {number}; is it still plugged in?")
            yield SourceFrame(f"camera_{number:06d}", _rgb(pixels), stamp_ns=time.monotonic_ns())

    def close(self) -> None:
        """Let go of the camera."""
        self._capture.release()


def _opened(path: Path, *, as_stored: bool = False) -> Any:
    if not path.is_file():
        raise DataError(f"video {path} does not exist; accepted are {', '.join(VIDEOS)}")
    with _quiet():
        options = [cv2.CAP_PROP_CONVERT_RGB, 0] if as_stored else []
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, options)
    if not capture.isOpened():
        needed = "a video of 16-bit grey without loss (FFV1, gray16le)" if as_stored else "a video that FFmpeg reads"
        raise DataError(f"video {path} cannot be read; needed is {needed}")
    return capture


def _frames_of(capture: Any, *, as_stored: bool = False) -> Iterator[NDArray[Any]]:
    while True:
        with _quiet():
            ok, pixels = capture.read()
        if not ok:
            return
        yield pixels if as_stored else _rgb(pixels)


def _rgb(pixels: Any) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels[..., ::-1])


def _rate_of(capture: Any) -> float:
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if 1 <= rate <= 1000 else _USUAL_RATE_HZ


def _beside(path: Path) -> Path | None:
    """Depth beside a video: a folder first."""
    stem = path.stem.removesuffix("_color")
    names = [f"{stem}_depth", *(f"{stem}_depth{suffix}" for suffix in _LOSSLESS)]
    return next((path.with_name(name) for name in names if path.with_name(name).exists()), None)


class _quiet:
    """OpenCV says nothing by itself: what is wrong is said in one line."""

    def __enter__(self) -> None:
        self._level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

    def __exit__(self, *_: object) -> None:
        cv2.utils.logging.setLogLevel(self._level)
