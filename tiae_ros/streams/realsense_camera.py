"""Frames of an Intel RealSense camera without ROS: colour, depth registered to it, and the camera's own calibration.

Needs the package pyrealsense2 (the extra `realsense`), and the system's libusb (Debian's libusb-1.0-0).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tiae_ros.errors import DataError, MissingExtraError, install_hint
from tiae_ros.streams.camera import Camera
from tiae_ros.streams.distortion import Distortion
from tiae_ros.streams.image_decoding import to_depth_m
from tiae_ros.streams.source_frame import SourceFrame

_RATE_HZ = 30
_SIZE = (640, 480)
_WAIT_MS = 5000
# RealSense's names of models -> those of ROS; its "inverse" of colour is what realsense2_camera calls plumb_bob, too.
_MODELS = {"brown_conrady": "plumb_bob", "inverse_brown_conrady": "plumb_bob", "modified_brown_conrady": "plumb_bob",
           "kannala_brandt4": "equidistant"}  # fmt: skip


class RealSense:
    """A camera, the only one or that of a serial number; as `FrameSource`. It never ends by itself."""

    rate_hz = float(_RATE_HZ)

    def __init__(self, serial: str = "") -> None:
        """Raises MissingExtraError without pyrealsense2, DataError without a camera."""
        self.lost: list[str] = []
        self._rs = realsense_library()
        self._pipeline = self._rs.pipeline()
        config = self._rs.config()
        if serial:
            config.enable_device(serial)
        config.enable_stream(self._rs.stream.color, *_SIZE, self._rs.format.rgb8, _RATE_HZ)
        config.enable_stream(self._rs.stream.depth, *_SIZE, self._rs.format.z16, _RATE_HZ)
        try:
            profile = self._pipeline.start(config)
        except RuntimeError as error:  # of the library
            there = [found.get_info(self._rs.camera_info.serial_number) for found in self._rs.context().query_devices()]
            wanted = f" {serial}" if serial else ""
            found_are = f"there is {', '.join(there)}" if there else "this machine has none"
            raise DataError(
                f"RealSense{wanted} cannot be started ({error}); {found_are}: plug it into USB 3, and see that "
                "its udev rules let you use it"
            ) from None
        self._unit_m = float(profile.get_device().first_depth_sensor().get_depth_scale())
        self._align = self._rs.align(self._rs.stream.color)
        self.told = f"RealSense {profile.get_device().get_info(self._rs.camera_info.serial_number)}"

    def __iter__(self) -> Iterator[SourceFrame]:
        number = 0
        while True:
            try:
                frames = self._pipeline.wait_for_frames(_WAIT_MS)
            except RuntimeError as error:
                raise DataError(
                    f"{self.told} gave nothing for {_WAIT_MS / 1000:g} s ({error}); plug it in again"
                ) from None
            frame = frame_of(self._align.process(frames), self._unit_m, f"realsense_{number:06d}")
            if frame is not None:
                number += 1
                yield frame

    def close(self) -> None:
        """Let go of the camera."""
        self._pipeline.stop()


def realsense_library() -> Any:
    """The module pyrealsense2. Raises MissingExtraError: what to install."""
    try:
        import pyrealsense2
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"a RealSense needs the package `pyrealsense2`; install it with: {install_hint('realsense')}"
        ) from None
    except ImportError as error:  # its wheel brings all but libusb
        raise MissingExtraError(
            f"pyrealsense2 cannot be loaded ({error}); install the system's libusb: apt install libusb-1.0-0"
        ) from None
    return pyrealsense2


def frame_of(aligned: Any, unit_m: float, name: str) -> SourceFrame | None:
    """A set of frames that `align` made; None where one of them is missing.

    unit_m: one step of depth.
    """
    color, depth = aligned.get_color_frame(), aligned.get_depth_frame()
    if not color or not depth:
        return None
    pixels = np.array(color.get_data(), np.uint8)  # a copy: the library takes its memory back
    depth_m = to_depth_m(np.asarray(depth.get_data()), "16UC1", unit_m)
    stamp_ns = round(color.get_timestamp() * 1e6)  # milliseconds
    return SourceFrame(name, pixels, depth_m, camera_of(color.get_profile().as_video_stream_profile()), stamp_ns)


def camera_of(profile: Any) -> Camera:
    """The camera of a colour stream."""
    lens = profile.get_intrinsics()
    k = np.array([[lens.fx, 0, lens.ppx], [0, lens.fy, lens.ppy], [0, 0, 1]], np.float64)
    coefficients = tuple(float(value) for value in lens.coeffs)
    model = _MODELS.get(str(lens.model).rpartition(".")[2])
    if not any(coefficients):
        return Camera(k)
    if model is None:
        return Camera(unknown=f"camera has the distortion model {lens.model}, which is not known here")
    return Camera(k, Distortion(model, coefficients[:4] if model == "equidistant" else coefficients))
