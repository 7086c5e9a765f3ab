"""The messages of one moment -> the pictures that perception takes. No ROS: anything with the messages' fields."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiae_ros.errors import ImageError
from tiae_ros.node import library_output
from tiae_ros.parameters import Settings
from tiae_ros.perception import WARN, FrameDropped, Images
from tiae_ros.streams.camera import other_frames
from tiae_ros.streams.decoded_frame import FrameFault, decode_pair
from tiae_ros.streams.depth_units import question_unit
from tiae_ros.streams.image_decoding import decode_message
from tiae_ros.vision.labels import HAND, OBJECT, Floats, Labels


@dataclass(frozen=True)
class Frame:
    """The messages of one moment, not decoded yet: those of sensor_msgs/Image, or CompressedImage."""

    color: Any
    depth: Any
    hand_mask: Any = None
    object_mask: Any = None
    camera_info: Any = None
    """The latest one; anything with the fields of sensor_msgs/CameraInfo."""
    rectified: bool = False
    """Whether the colour image is; see `tiae_ros.streams.camera.is_rectified`."""


def decode_frame(frame: Frame, settings: Settings, *, need_color: bool = True) -> tuple[Images, dict[str, str]]:
    """The pictures, and by reason what has to be withheld or looks wrong.

    need_color: decode the colours even where masks come from topics.

    Raises:
        FrameDropped: the frame cannot be used; the reason says why.
    """
    segmented = settings.mask_source == "segmentation"
    compressed = not (hasattr(frame.color, "encoding") and hasattr(frame.depth, "encoding"))
    decoders: AbstractContextManager[list[str]] = library_output.collected() if compressed else nullcontext([])
    with decoders as complaints:
        try:
            seen = decode_pair(
                frame.color,
                frame.depth,
                frame.camera_info,
                rectified=frame.rectified,
                depth_unit_m=settings.depth_unit_m,
                need_color=need_color or segmented,
            )
        except FrameFault as error:
            raise FrameDropped(error.part, error.named) from error
    depth_m = seen.depth_m
    _check_readings(depth_m, settings)
    warnings = {**seen.camera.withheld, **seen.warnings, **other_frames(frame.color.header.frame_id, _masks(frame))}
    unit = question_unit(depth_m, seen.depth_encoding, depth_max_m=settings.depth_max_m, unit_m=settings.depth_unit_m)
    if unit is not None:
        warnings["depth unit"] = unit
    if complaints:
        warnings["compressed images"] = f"damaged compressed images are used as far as they go: {complaints[0]}"
    labels = None if segmented else _labels_of_masks(frame, depth_m, settings, warnings)
    stamp = getattr(frame.color.header, "stamp", None)  # the frame that warms up has none
    stamp_s = None if stamp is None else stamp.sec + 1e-9 * stamp.nanosec
    return Images(seen.color, depth_m, seen.camera.k, labels, seen.camera.distortion, stamp_s), warnings


def _masks(frame: Frame) -> dict[str, str]:
    """frame_id of each mask, which has to lie on colour."""
    images = {"hand mask": frame.hand_mask, "object mask": frame.object_mask}
    return {name: image.header.frame_id for name, image in images.items() if image is not None}


def _check_readings(depth_m: Floats, settings: Settings) -> None:
    """Raise FrameDropped where there is too little depth (NaN = nothing)."""
    readings = np.count_nonzero(depth_m == depth_m)  # NaN is not equal to itself
    if readings < settings.min_valid_fraction * depth_m.size:
        share = readings / depth_m.size
        raise FrameDropped(
            "too few depth readings",
            f"only {share:.1%} of the depth image are readings; at least {settings.min_valid_fraction:.1%} "
            "are needed (min_valid_fraction)",
            WARN,
        )


def _labels_of_masks(frame: Frame, depth_m: Floats, settings: Settings, warnings: dict[str, str]) -> Labels:
    """Any value above 0 is hand or object: masks are sent as 0 and 255, as 0 and 1, as class numbers."""
    labels = np.zeros(depth_m.shape, np.uint8)
    for image, value, name in ((frame.object_mask, OBJECT, "object"), (frame.hand_mask, HAND, "hand")):
        try:
            mask = decode_message(image)
            if image.encoding not in ("mono8", "8UC1"):
                raise ImageError(f"encoding {image.encoding!r} cannot be a mask; accepted are mono8, 8UC1")
        except ImageError as error:
            raise FrameDropped("mask image", f"{name} mask: {error}") from error
        if mask.shape != labels.shape:
            raise FrameDropped(
                "sizes",
                f"{name} mask is {image.width}x{image.height} but colour is "
                f"{depth_m.shape[1]}x{depth_m.shape[0]}; they must be of one size",
            )
        if mask.max() == 1:
            warnings[f"{name} mask"] = (
                f"the largest value of {name} mask is 1: taken as a mask of 0 and 1, since any value above 0 counts; "
                "255 is usual"
            )
        labels[mask > 0] = value
    with np.errstate(invalid="ignore"):
        labels[depth_m > settings.depth_max_m] = 0
    return labels
