"""Frames of files: a picture and its depth, or a folder of them.

    cup.png                          colour; beside it may lie
    cup_depth.png, cup_depth_mm.png  its registered depth: 16 bit grey in steps of depth_unit_m, 0 = nothing
    cup_color.jpg                    colour, too; its depth is cup_depth.png or cup_depth_mm.png
    color/cup.jpg, depth/cup.png     the same in a folder each (or rgb/)

Depth may be a TIFF of 32-bit floats, too: metres.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError, ImageError
from tiae_ros.streams.depth_units import MILLIMETRE_M
from tiae_ros.streams.image_decoding import resize_depth_to, to_depth_m
from tiae_ros.streams.source_frame import SourceFrame

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_DEPTH_ENDS = ("_depth_mm", "_depth")
_COLOR_END = "_color"
COLOR_FOLDERS, DEPTH_FOLDER = ("color", "rgb", "colour"), "depth"
_ACCEPTED = "NAME_color.jpg (or .png) beside NAME_depth_mm.png, color/NAME.jpg and depth/NAME.png, or colour alone"


class Pictures:
    """One picture (with its depth), or those of a folder; as `FrameSource`."""

    rate_hz = None

    def __init__(
        self, path: Path, depth: Path | None = None, *, depth_unit_m: float = MILLIMETRE_M, strict: bool = False
    ) -> None:
        """strict: a picture that cannot be used is an error; else it is left out and told in `lost`.

        Raises:
            DataError: there is none.
        """
        self.lost: list[str] = []
        self._unit_m, self._strict = depth_unit_m, strict
        if path.is_dir():
            self._pairs = _pairs_of(path)
            self.told = f"{len(self._pairs)} pictures of {path}"
        else:
            self._strict = True
            self._pairs = [(path, depth or _depth_of(path))]
            self.told = f"picture {path}"
        self._path = path
        # Where some have depth, one without it lacks it; where none has, colour is all there is.
        self._some_depth = any(depth is not None and depth.exists() for _, depth in self._pairs)

    def __iter__(self) -> Iterator[SourceFrame]:
        used = False
        for color, depth in self._pairs:
            try:
                frame = self._frame(color, depth)
            except DataError as error:
                if self._strict:
                    raise
                self.lost.append(str(error))
                continue
            used = True
            yield frame
        if not used and self.lost:
            raise DataError(
                f"none of {len(self._pairs)} pictures of {self._path} can be used; the first: {self.lost[0]}"
            )

    def close(self) -> None:
        """Nothing is kept open."""

    def _frame(self, path: Path, beside: Path | None) -> SourceFrame:
        name = path.stem.removesuffix(_COLOR_END)
        color = read_color(path)
        if beside is None or not beside.exists():
            if self._some_depth or (beside is not None and path.parent != beside.parent):
                needed = beside.name if beside is not None else f"{name}{_DEPTH_ENDS[0]}.png"
                raise DataError(f"{path} has no depth beside it; needed is {needed}, 16 bit grey, in mm")
            return SourceFrame(name, color)
        depth_m, encoding = read_depth(beside, self._unit_m)
        try:
            depth_m = resize_depth_to(depth_m, color.shape)
        except ImageError as error:
            raise DataError(f"{path} and {beside.name} do not fit: {error}") from None
        return SourceFrame(name, color, depth_m, depth_encoding=encoding)


def read_color(path: Path) -> NDArray[np.uint8]:
    """A picture file (H, W, 3) red, green, blue. Raises DataError."""
    pixels = _read(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        reason = "cannot be used" if path.exists() else "does not exist"
        raise DataError(f"{path} {reason}; needed is a colour picture ({', '.join(PICTURES)})")
    return np.ascontiguousarray(pixels[..., ::-1]).astype(np.uint8, copy=False)


def read_depth(path: Path, unit_m: float) -> tuple[NDArray[np.float32], str]:
    """A depth file -> metres (H, W), NaN = nothing, and its encoding as of sensor_msgs/Image. Raises DataError."""
    values = _read(path, cv2.IMREAD_UNCHANGED)
    if values is None and not path.exists():
        raise DataError(f"{path} does not exist; needed is depth as 16 bit grey, in mm")
    return depth_of_values(values, unit_m, str(path))


def depth_of_values(values: NDArray[np.generic] | None, unit_m: float, where: str) -> tuple[NDArray[np.float32], str]:
    """Values of a depth picture -> metres (H, W), and their encoding. Raises DataError."""
    encodings = {"uint16": "16UC1", "float32": "32FC1"}
    if values is None or values.ndim != 2 or str(values.dtype) not in encodings:
        found = "" if values is None else f" (it is {values.dtype}, {'x'.join(map(str, values.shape))})"
        raise DataError(f"{where} cannot be used{found}; needed is depth as 16 bit grey, in mm, or 32-bit metres")
    encoding = encodings[str(values.dtype)]
    return to_depth_m(values, encoding, unit_m), encoding


def _read(path: Path, how: int) -> NDArray[Any] | None:
    """A picture file's values; None for what is none."""
    if not path.is_file():
        return None
    try:
        values: NDArray[Any] | None = cv2.imread(str(path), how)
    except cv2.error:  # more than 2**30 pixels, by its head
        return None
    return values


def _pairs_of(folder: Path) -> list[tuple[Path, Path | None]]:
    """Colour files of a folder, each with where its depth is to lie."""
    for name in COLOR_FOLDERS:
        if (colors := _pictures_in(folder / name)) and (folder / DEPTH_FOLDER).is_dir():
            depths = {path.stem: path for path in _pictures_in(folder / DEPTH_FOLDER)}
            return [(path, depths.get(path.stem, folder / DEPTH_FOLDER / f"{path.stem}.png")) for path in colors]
    pictures = [path for path in _pictures_in(folder) if not path.stem.endswith(_DEPTH_ENDS)]
    named = [path for path in pictures if path.stem.endswith(_COLOR_END)]
    if not pictures:
        raise DataError(f"{folder} holds no pictures; accepted are {_ACCEPTED}")
    return [(path, _depth_of(path)) for path in named or pictures]


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURES and path.is_file())


def _depth_of(color: Path) -> Path | None:
    """The depth file beside a colour file; None when there is none."""
    stem = color.stem.removesuffix(_COLOR_END)
    names = [f"{stem}{end}{suffix}" for end in _DEPTH_ENDS for suffix in (".png", ".tif", ".tiff")]
    return next((color.with_name(name) for name in names if color.with_name(name).exists()), None)
