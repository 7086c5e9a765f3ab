"""Arrays -> ROS messages. Every message gets the header of the colour image it came from."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PointStamped, Vector3Stamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2, PointField
from std_msgs.msg import Header, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tiae_ros.model.pattern_poses import PatternPoses

_ENCODINGS = {("uint8", 2): "mono8", ("uint8", 3): "rgb8", ("float32", 2): "32FC1"}


def fill(pixels: NDArray[Any]) -> array.array[int]:
    """Values as the kind of buffer that message fields take fast on every distribution."""
    buffer = array.array("B")
    contiguous = np.ascontiguousarray(pixels)
    if contiguous.size:
        buffer.frombytes(contiguous.data.cast("B"))
    return buffer


def image(header: Header, pixels: NDArray[Any]) -> Image:
    """(H, W) uint8 -> mono8, (H, W, 3) uint8 -> rgb8, (H, W) float32 -> 32FC1."""
    message = Image(header=header)
    message.height, message.width = pixels.shape[:2]
    message.encoding = _ENCODINGS[pixels.dtype.name, pixels.ndim]
    message.step = pixels.strides[0] if pixels.flags.c_contiguous else pixels[0].nbytes
    message.is_bigendian = 0
    message.data = fill(pixels)
    return message


def mask(header: Header, values: NDArray[np.float32]) -> Image:
    """(H, W) 0..1 -> mono8."""
    return image(header, np.rint(values * 255).astype(np.uint8))


def shift(header: Header, pixels: NDArray[np.float32], angle: float = 0.0) -> Vector3Stamped:
    """(dx, dy) pixels of the colour image from its centre; z the turn about that axis, radians, NaN if not known."""
    message = Vector3Stamped(header=header)
    message.vector.x, message.vector.y, message.vector.z = float(pixels[0]), float(pixels[1]), float(angle)
    return message


def position(header: Header, metres: NDArray[np.float32]) -> PointStamped:
    """(3,) metres in the optical frame."""
    message = PointStamped(header=header)
    message.point.x, message.point.y, message.point.z = (float(value) for value in metres)
    return message


def camera_info(header: Header, k: NDArray[np.float64], width: int, height: int) -> CameraInfo:
    """A camera without distortion."""
    message = CameraInfo(header=header, height=height, width=width, distortion_model="plumb_bob")
    message.d = [0.0] * 5
    message.k = [float(value) for value in k.ravel()]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [float(value) for row in k for value in (*row, 0.0)]
    return message


def grasps(
    header: Header,
    positions: NDArray[np.float32],
    descriptors: NDArray[np.float32],
    shifts: NDArray[np.float32],
    confidences: NDArray[np.float32],
    poses: PatternPoses | None = None,
) -> PointCloud2:
    """One point per grasp: x y z, descriptor (K), shift (2), confidence; all float32. No grasp: no point.

    Of models that find poses also angle, scale, mirrored (where the model tells), pose_confidence, all float32, and
    ambiguity, uint8 in a word of its own: all of a point can be read as float32.
    """
    count = len(descriptors)
    columns = {"x": positions[:, :1], "y": positions[:, 1:2], "z": positions[:, 2:], "descriptor": descriptors}
    columns |= {"shift": shifts, "confidence": confidences[:, None]}
    if poses is not None:
        columns |= {"angle": poses.angles[:, None], "scale": poses.scales[:, None]}
        columns |= {} if poses.mirrored is None else {"mirrored": poses.mirrored[:, None]}
        columns["pose_confidence"] = poses.confidences[:, None]
    message = PointCloud2(header=header, height=1, width=count, is_bigendian=False, is_dense=False)
    offset = 0
    for name, values in columns.items():
        number = values.shape[1]
        message.fields.append(PointField(name=name, offset=offset, datatype=PointField.FLOAT32, count=number))
        offset += 4 * number
    table = np.concatenate(list(columns.values()), axis=1).astype("<f4")
    if poses is not None:
        message.fields.append(PointField(name="ambiguity", offset=offset, datatype=PointField.UINT8, count=1))
        offset += 4
        table = np.concatenate([table, poses.codes.astype("<u4").view("<f4")[:, None]], axis=1)
    message.point_step = offset
    message.row_step = offset * count
    message.data = fill(table)
    return message


def text(value: str) -> String:
    """A plain string."""
    return String(data=value)


def joint_state(header: Header, names: Sequence[str], radians: NDArray[Any]) -> JointState:
    """Positions by name; joints that are not known (NaN) are left out."""
    known = np.isfinite(radians)
    message = JointState(header=header)
    message.name = [name for name, there in zip(names, known.tolist(), strict=True) if there]
    message.position = array.array("d", np.asarray(radians, float)[known].tolist())
    return message


def joint_trajectory(header: Header, names: Sequence[str], radians: NDArray[Any], reached_s: float) -> JointTrajectory:
    """One point, to be reached so long after the header's stamp."""
    point = JointTrajectoryPoint(positions=array.array("d", np.asarray(radians, float).tolist()))
    nanoseconds = round(reached_s * 1e9)
    point.time_from_start = Duration(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
    return JointTrajectory(header=header, joint_names=list(names), points=[point])


_IMITATION_LEVELS = {
    "following": DiagnosticStatus.OK,
    "disabled": DiagnosticStatus.OK,
    "holding": DiagnosticStatus.OK,
    "unsure": DiagnosticStatus.WARN,
    "stale": DiagnosticStatus.STALE,
}


def imitation_state(header: Header, name: str, state: str, reason: str) -> DiagnosticArray:
    """The state, and one line about it; both in one, since no standard message of text has a stamp."""
    status = DiagnosticStatus(level=_IMITATION_LEVELS[state], name=name, message=reason or state)
    status.values = [KeyValue(key="state", value=state), KeyValue(key="reason", value=reason)]
    return DiagnosticArray(header=header, status=[status])
