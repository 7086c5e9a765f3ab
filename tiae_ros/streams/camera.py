"""The camera that a picture was taken by, in pixels of that picture, or why it is not known.

`camera_of_picture` is the one place that reads sensor_msgs/CameraInfo. Each of its fields counts or withholds metres:

    header.frame_id             must be the picture's
    width, height               of the picture that K is of; a picture of another size of one ratio is a scaled one
    k                           of pictures that are not rectified
    distortion_model, d         likewise; `tiae_ros.streams.distortion`
    p                           of rectified pictures (image_proc's topics: image_rect...); its offset must be 0
    r                           not needed: positions are in the frame that the picture was taken, or rectified, in
    binning_x, binning_y, roi   how the picture was cut out of the full one and made smaller
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.streams.distortion import MODELS, Distortion

_RATIO_SLACK = 0.01  # sizes are rounded to whole pixels
_WIDEST_DEG, _NARROWEST_DEG = 175.0, 1.0
_NO_INFO = "no camera info"
_OTHER_FRAME = "frame of {name}"


@dataclass(frozen=True)
class Camera:
    """What is known of the camera of one picture."""

    k: NDArray[np.float64] | None = None
    """(3, 3) of the picture's pixels; None: positions in metres are withheld."""
    distortion: Distortion | None = None
    unknown: str = ""
    """Why there is no k."""

    @property
    def withheld(self) -> dict[str, str]:
        """By reason, what is missing without k."""
        if not self.unknown:
            return {}
        reason = _NO_INFO if self.unknown.startswith(_NO_INFO) else "camera info"
        return {reason: f"{self.unknown}: positions in metres are withheld"}


class _Withheld(Exception):
    """Why a camera info cannot be used; ends with what it is."""


def focal_length_px(k: NDArray[np.float64]) -> float | None:
    """Mean focal length of a camera matrix (3x3 or its 9 values), None when it is not calibrated."""
    matrix = calibrated(k)
    return None if matrix is None else float((matrix[0, 0] + matrix[1, 1]) / 2)


def calibrated(k: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """K as 3x3, None when it is that of an uncalibrated camera (sensor_msgs/CameraInfo: all zeros)."""
    matrix = np.asarray(k, dtype=np.float64)
    if matrix.size != 9:
        return None
    matrix = matrix.reshape(3, 3)
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        return None
    return matrix


def is_camera_matrix(k: NDArray[np.float64]) -> bool:
    """Whether (3, 3) numbers are finite and laid out as a camera matrix: focal lengths above 0, last row 0 0 1."""
    return calibrated(k) is not None and np.array_equal(k[2], (0, 0, 1)) and bool(k[1, 0] == 0)


def is_rectified(topic: str) -> bool:
    """Whether pictures of a topic are rectified, by the names of image_proc: image_rect, image_rect_color."""
    return any("rect" in part.split("_") for part in topic.split("/"))


def camera_of_picture(info: Any, frame_id: str, shape: tuple[int, int], *, rectified: bool = False) -> Camera:
    """The camera of a colour picture.

    Args:
        info: anything with the fields of sensor_msgs/CameraInfo; None: there was none yet.
        frame_id: that of the picture.
        shape: its height and width.
        rectified: without distortion already; see `is_rectified`.
    """
    if info is None:
        return Camera(unknown=f"{_NO_INFO} yet")
    try:
        k = _matrix(info, rectified)
        _check_frame(info, frame_id)
        k = _of_the_cut_out(k, info)
        _check_turned(k, info, shape)
        k = _scaled(k, _size_of_the_cut_out(info), shape)
        _check_plausible(k, info, shape)
        distortion = None if rectified else _distortion(info)
    except _Withheld as reason:
        return Camera(unknown=f"camera info {reason}")
    return Camera(k, distortion)


def other_frames(color_frame: str, others: dict[str, str]) -> dict[str, str]:
    """A warning, by reason, about each image whose frame_id is not that of the colour image.

    Args:
        color_frame: frame_id of the colour image.
        others: name -> frame_id of the images that must lie pixel by pixel on it. An empty one says nothing.
    """
    return {
        _OTHER_FRAME.format(name=name): f"{name} is of frame {frame!r} but colour is of {color_frame!r}: "
        + ("give depth that is registered to colour" if name == "depth" else "it must lie on colour pixel by pixel")
        for name, frame in others.items()
        if frame and color_frame and frame != color_frame
    }


def _matrix(info: Any, rectified: bool) -> NDArray[np.float64]:
    """K, or that of the rectified picture. (3, 3)"""
    values = np.asarray(info.k, np.float64).ravel()
    k = calibrated(values)
    if k is None:
        raise _Withheld(f"is not calibrated (fx = {values[0] if values.size else 0:g})")
    if rectified:
        p = np.asarray(getattr(info, "p", ()), np.float64).ravel()
        if p.size != 12 or calibrated(p.reshape(3, 4)[:, :3]) is None:
            raise _Withheld("has no matrix P, which a rectified picture needs")
        if p[3] or p[7]:
            raise _Withheld(
                f"is of the second camera of a pair (P has an offset of {p[3]:g}, {p[7]:g}); take the picture of the "
                "first one"
            )
        k = p.reshape(3, 4)[:, :3]
    if not is_camera_matrix(k):
        raise _Withheld(f"has a K that is no camera matrix ({', '.join(f'{value:g}' for value in k.ravel())})")
    return k.copy()


def _check_frame(info: Any, frame_id: str) -> None:
    info_frame = info.header.frame_id
    if info_frame and frame_id and info_frame != frame_id:
        raise _Withheld(f"is of frame {info_frame!r} but colour is of {frame_id!r}")


def _binning(info: Any) -> tuple[int, int]:
    """0 means 1."""
    return max(1, getattr(info, "binning_x", 0)), max(1, getattr(info, "binning_y", 0))


def _region(info: Any) -> tuple[int, int, int, int]:
    """x, y, width, height of the part of the full picture; all 0 in the message means the whole. 0: not known."""
    roi = getattr(info, "roi", None)
    if roi is None or not (roi.width or roi.height or roi.x_offset or roi.y_offset):
        return 0, 0, info.width, info.height
    width, height = roi.width or info.width - roi.x_offset, roi.height or info.height - roi.y_offset
    outside = info.width and info.height and (roi.x_offset + width > info.width or roi.y_offset + height > info.height)
    if outside or width < 1 or height < 1:
        raise _Withheld(
            f"has a region of {width}x{height} at {roi.x_offset}, {roi.y_offset} that is not within {info.width}x"
            f"{info.height}"
        )
    return roi.x_offset, roi.y_offset, width, height


def _size_of_the_cut_out(info: Any) -> tuple[int, int] | None:
    """Width and height that the picture should have; None when the camera info does not say."""
    _, _, width, height = _region(info)
    if not (width and height):
        return None
    binning_x, binning_y = _binning(info)
    return max(1, width // binning_x), max(1, height // binning_y)


def _of_the_cut_out(k: NDArray[np.float64], info: Any) -> NDArray[np.float64]:
    left, top, _, _ = _region(info)
    binning_x, binning_y = _binning(info)
    return _resized(k - np.array([[0, 0, left], [0, 0, top], [0, 0, 0]]), 1 / binning_x, 1 / binning_y)


def _resized(k: NDArray[np.float64], scale_x: float, scale_y: float) -> NDArray[np.float64]:
    # Pixel centres lie at integers, so the picture's corner is at -0.5.
    resize = np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]])
    return np.asarray(resize @ k)


def _scaled(k: NDArray[np.float64], size: tuple[int, int] | None, shape: tuple[int, int]) -> NDArray[np.float64]:
    height, width = shape
    if size is None or size == (width, height):
        return k
    scale_x, scale_y = width / size[0], height / size[1]
    if abs(scale_x / scale_y - 1) > _RATIO_SLACK:
        raise _Withheld(f"is for {size[0]}x{size[1]} but colour is {width}x{height}")
    return _resized(k, scale_x, scale_y)


def _check_turned(k: NDArray[np.float64], info: Any, shape: tuple[int, int]) -> None:
    """A driver that turns the picture by a right angle has to turn the camera info with it."""
    height, width = shape
    size = _size_of_the_cut_out(info)
    if size is None or width == height:
        return
    if size == (height, width):
        raise _Withheld(
            f"is for {size[0]}x{size[1]} but colour is {width}x{height}: the picture is turned by 90 degrees, and its "
            "camera info is not"
        )
    if size != (width, height):
        return
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    here, turned = np.abs(k[:2, 2] - middle).max(), np.abs(k[:2, 2] - middle[::-1]).max()
    difference = abs(width - height) / 2
    if turned < 0.25 * difference and here > 0.75 * difference and _region(info)[:2] == (0, 0):
        raise _Withheld(
            f"has its principal point at {k[0, 2]:.0f}, {k[1, 2]:.0f}, the middle of {height}x{width}, but colour is "
            f"{width}x{height}: K is that of the picture before it was turned"
        )


def _check_plausible(k: NDArray[np.float64], info: Any, shape: tuple[int, int]) -> None:
    height, width = shape
    for focal, length in ((k[0, 0], width), (k[1, 1], height)):
        # A picture of a few pixels is a test's or a thumbnail's.
        view_deg = 2 * math.degrees(math.atan(length / 2 / focal))
        if length >= 32 and not _NARROWEST_DEG <= view_deg <= _WIDEST_DEG:
            raise _Withheld(
                f"has a focal length of {focal:g} px, with which {length} px are {view_deg:.3g} degrees; K must be in "
                "pixels"
            )
    is_whole = _region(info)[:2] == (0, 0)
    if is_whole and info.width and not (-width <= k[0, 2] <= 2 * width and -height <= k[1, 2] <= 2 * height):
        raise _Withheld(f"has its principal point at {k[0, 2]:g}, {k[1, 2]:g}, far outside of {width}x{height}")


def _distortion(info: Any) -> Distortion | None:
    coefficients = tuple(float(value) for value in getattr(info, "d", ()))
    if not any(coefficients):
        return None
    model = getattr(info, "distortion_model", "") or "plumb_bob"
    model = {"fisheye": "equidistant", "kannala_brandt4": "equidistant", "pinhole": "plumb_bob"}.get(model, model)
    if model == "rational_polynomial" and not any(coefficients[8:]):
        coefficients = coefficients[:8]  # OpenCV's long form, with thin prism and tilt, which most lenses have not
    if model not in MODELS or len(coefficients) > MODELS[model]:
        raise _Withheld(
            f"has the distortion model {model!r} with {len(coefficients)} numbers; accepted are {', '.join(MODELS)}; "
            "give rectified pictures (image_proc)"
        )
    if not all(math.isfinite(value) for value in coefficients):
        raise _Withheld("has distortion coefficients that are not finite")
    return Distortion(model, coefficients)
