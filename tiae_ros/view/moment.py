"""The messages of one moment -> arrays.

The colour image, its depth, masks and results carry one stamp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ImageError
from tiae_ros.streams.camera import camera_of_picture, is_rectified
from tiae_ros.streams.image_decoding import decode_message, resize_depth_to
from tiae_ros.streams.pictures import color_of, depth_of
from tiae_ros.view.recent import Messages
from tiae_ros.vision.labels import Floats, Labels, Picture
from tiae_ros.vision.window import Window

_LOOKED_BACK = 6  # results: the last of them may still lack what is made after the descriptor
_PARTS = ("segmentation", "restored/hand_mask", "restored/object_mask", "restored/camera_info", "restored/depth")
Read = Callable[[Any], Any]
"""A stored message -> its fields."""


@dataclass(frozen=True)
class Grasps:
    """All grasps of a frame, the nearest first."""

    positions: Floats  # (N, 3) metres; NaN: not known
    descriptors: Floats  # (N, K)
    shifts: Floats  # (N, 2) pixels of the colour image
    confidences: Floats  # (N,)
    angles: Floats  # (N,) radians; NaN: not known, or the model finds none


@dataclass
class Moment:
    """What is known of one moment; what is None did not come."""

    stamp_ns: int
    color: Picture | None = None
    depth_m: Floats | None = None
    k: NDArray[np.float64] | None = None  # (3, 3) of the colour image
    labels: Labels | None = None
    grasps: Grasps | None = None
    restored_masks: Floats | None = None  # (2, S, S), lying on the input
    restored_depth_m: Floats | None = None  # (S, S), NaN: nothing
    restored_k: NDArray[np.float64] | None = None  # (3, 3) of the window
    window: Window | None = None
    name: str = ""
    faults: list[str] = field(default_factory=list)


def assemble(
    recent: Messages, inputs: Mapping[str, str], outputs: str, read: Read, depth_unit_m: float
) -> Moment | None:
    """The newest moment that is as whole as it gets; None when nothing has come.

    Args:
        inputs: colour, depth, camera info -> their topics.
        outputs: the node's name, below which its topics are.
    """
    color_topic = inputs.get("colour", "")
    stamps = [one.stamp_ns for one in recent.backwards(f"{outputs}/grasps")[:_LOOKED_BACK]]
    stamps = [stamp for stamp in stamps if recent.at(color_topic, stamp)]

    def parts(stamp: int) -> int:
        return sum(recent.at(f"{outputs}/{name}", stamp) is not None for name in _PARTS)

    newest = recent.newest(color_topic)
    if stamps:
        stamp_ns = max(stamps, key=parts)  # of equally whole ones the first, which is the newest
    elif newest is not None:
        stamp_ns = newest.stamp_ns
    else:
        return None
    moment = Moment(stamp_ns)
    _add_pictures(moment, recent, inputs, read, depth_unit_m)
    try:
        _add_results(moment, recent, outputs, read)
    except ImageError as error:
        moment.faults.append(str(error))
    if moment.grasps is not None and len(moment.grasps.confidences):
        moment.name = _name(recent, outputs, stamp_ns, read)
    return moment


def _add_results(moment: Moment, recent: Messages, outputs: str, read: Read) -> None:
    """What the node says. Raises ImageError: something else is published under its names, too."""

    def output(name: str) -> Any:
        stored = recent.at(f"{outputs}/{name}", moment.stamp_ns)
        return None if stored is None else read(stored)

    if (message := output("segmentation")) is not None:
        moment.labels = decode_message(message)
    if (message := output("grasps")) is not None:
        moment.grasps = read_grasps(message)
    masks = [output(f"restored/{name}_mask") for name in ("hand", "object")]
    if None not in masks:
        hand, thing = (decode_message(mask).astype(np.float32) / 255 for mask in masks)
        if hand.ndim != 2 or hand.shape != thing.shape:
            raise ImageError(f"restored masks have the shapes {hand.shape} and {thing.shape}; accepted is one, (S, S)")
        moment.restored_masks = np.stack([hand, thing])
    if (message := output("restored/depth")) is not None:
        moment.restored_depth_m = decode_message(message)
    if (message := output("restored/camera_info")) is not None:
        moment.restored_k = np.array(message.k, np.float64).reshape(3, 3)
        if moment.k is not None:
            moment.window = _window(moment.restored_k, moment.k, message.width, moment)


def _name(recent: Messages, outputs: str, stamp_ns: int, read: Read) -> str:
    """A name has no stamp: it is the first that came after its grasp."""
    grasps = recent.at(f"{outputs}/grasps", stamp_ns)
    names = recent.backwards(f"{outputs}/grasp_label")
    later = [one for one in names if grasps is not None and one.time_ns >= grasps.time_ns]
    return str(read(later[-1]).data) if later else ""


def _add_pictures(moment: Moment, recent: Messages, inputs: Mapping[str, str], read: Read, depth_unit_m: float) -> None:
    color, depth = (recent.at(inputs.get(name, ""), moment.stamp_ns) for name in ("colour", "depth"))
    info = recent.newest(inputs.get("camera info", ""))
    depth = depth or recent.newest(inputs.get("depth", ""))  # paired by nearness, not by its stamp
    frame_id, shape = "", (0, 0)
    try:
        if color is not None:
            message = read(color)
            frame_id = message.header.frame_id
            moment.color, shape = color_of(message)
        if depth is not None and shape != (0, 0):
            moment.depth_m = resize_depth_to(depth_of(read(depth), depth_unit_m), shape)
    except ImageError as error:
        moment.faults.append(str(error))
    if info is not None and shape != (0, 0):
        camera = camera_of_picture(read(info), frame_id, shape, rectified=is_rectified(inputs.get("colour", "")))
        moment.k = camera.k
        if camera.k is None:
            moment.faults.append(camera.unknown)


def _window(window_k: NDArray[np.float64], k: NDArray[np.float64], size: int, moment: Moment) -> Window:
    """The window in the colour image: both cameras see along the same rays."""
    scale = k[0, 0] / window_k[0, 0]
    middle = (size - 1) / 2
    center = k[:2, 2] - (window_k[:2, 2] - middle) * scale
    depth_m = 1.0  # not published; where it matters, it is that of the grasp
    if moment.grasps is not None and len(moment.grasps.positions) and np.isfinite(moment.grasps.positions[0, 2]):
        depth_m = max(float(moment.grasps.positions[0, 2]), 1e-3)
    return Window(float(center[0]), float(center[1]), float(scale * size), depth_m)


def read_grasps(message: Any) -> Grasps:
    """The fields of ~/grasps (sensor_msgs/PointCloud2, in words of 4 bytes). Raises ImageError for other points."""
    missing = {"x", "y", "z", "descriptor", "shift", "confidence"} - {one.name for one in message.fields}
    if missing or message.point_step % 4 or len(message.data) != message.width * message.point_step:
        raise ImageError(f"grasps lack {', '.join(sorted(missing)) or 'bytes'}; does another node publish them, too?")
    rows = np.frombuffer(bytes(message.data), "<f4").reshape(message.width, message.point_step // 4)
    at = {one.name: slice(one.offset // 4, one.offset // 4 + one.count) for one in message.fields}
    return Grasps(
        positions=np.concatenate([rows[:, at[axis]] for axis in "xyz"], axis=1),
        descriptors=rows[:, at["descriptor"]],
        shifts=rows[:, at["shift"]],
        confidences=rows[:, at["confidence"]][:, 0],
        angles=rows[:, at["angle"]][:, 0] if "angle" in at else np.full(len(rows), np.nan, np.float32),
    )
