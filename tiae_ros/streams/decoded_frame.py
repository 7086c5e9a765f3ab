"""The messages of one moment -> colour, registered depth and camera: what the node and the reader of bags share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ImageError
from tiae_ros.streams.camera import Camera, camera_of_picture, other_frames
from tiae_ros.streams.depth_units import MILLIMETRE_M
from tiae_ros.streams.image_decoding import resize_depth_to
from tiae_ros.streams.pictures import color_of, depth_of, encoding_of

COLOR_PART, DEPTH_PART, SIZES = "colour image", "depth image", "sizes"


class FrameFault(ImageError):
    """A frame that cannot be decoded.

    Attributes:
        part: COLOR_PART, DEPTH_PART, or SIZES where they do not fit together.
    """

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part

    @property
    def named(self) -> str:
        """The message, with what it is about."""
        return {COLOR_PART: "colour: ", DEPTH_PART: "depth: "}.get(self.part, "") + str(self)


@dataclass(frozen=True)
class DecodedFrame:
    """Colour and depth of one moment, of one size."""

    color: NDArray[np.uint8] | None  # (H, W, 3); None: nobody needs it
    depth_m: NDArray[np.float32]  # (H, W), NaN = nothing
    camera: Camera = field(default_factory=Camera)
    depth_encoding: str = "32FC1"
    warnings: Mapping[str, str] = field(default_factory=dict)
    """By reason, what looks wrong; a camera that is not known is not among them."""


def decode_pair(
    color: Any,
    depth: Any,
    camera_info: Any = None,
    *,
    rectified: bool = False,
    depth_unit_m: float = MILLIMETRE_M,
    need_color: bool = True,
) -> DecodedFrame:
    """Colour, depth at its size, and the camera of a pair of messages.

    Args:
        color, depth: anything with the fields of sensor_msgs/Image, or CompressedImage.
        camera_info: with the fields of sensor_msgs/CameraInfo; None: there is none yet.
        rectified: whether colour is; see `tiae_ros.streams.camera.is_rectified`.
        depth_unit_m: one step of 16-bit depth.
        need_color: False leaves out what it costs.

    Raises:
        FrameFault: one of them cannot be decoded, or they do not fit together.
    """
    try:
        pixels, shape = color_of(color, need_pixels=need_color)
    except ImageError as error:
        raise FrameFault(COLOR_PART, str(error)) from error
    try:
        depth_m = depth_of(depth, depth_unit_m)
    except ImageError as error:
        raise FrameFault(DEPTH_PART, str(error)) from error
    try:
        depth_m = resize_depth_to(depth_m, shape)
    except ImageError as error:
        raise FrameFault(SIZES, str(error)) from error
    frame_id = color.header.frame_id
    camera = camera_of_picture(camera_info, frame_id, shape, rectified=rectified)
    warnings = other_frames(frame_id, {"depth": depth.header.frame_id})
    return DecodedFrame(pixels, depth_m, camera, encoding_of(depth), warnings)
