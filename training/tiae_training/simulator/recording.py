"""A simulated sequence as a recorded bag: rosbag2 version 8, mcap with compressed storage.

Colour, depth and camera info carry the same stamp. Depth is in millimetres, 0 = nothing, as cameras write it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tiae_ros.errors import MissingExtraError, OutputError

from .simulator import Sample

COLOR_TOPIC = "/camera/color/image"
DEPTH_TOPIC = "/camera/depth/image"
INFO_TOPIC = "/camera/color/camera_info"
FRAME_ID = "camera_color_optical_frame"
FIRST_STAMP_NS = 1_700_000_000_000_000_000


def write_bag(
    samples: Iterable[Sample], path: Path, *, rate_hz: float = 15.0, overwrite: bool = False
) -> dict[str, np.ndarray]:
    """Write the samples as a bag folder, whole or not at all; returns the truth of each frame as arrays."""
    try:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MissingExtraError(f"writing bags needs the package rosbags ({error}): pip install rosbags") from None
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; give another name, or --overwrite to replace it")
    store = get_typestore(Stores.ROS2_HUMBLE)
    # The storage file carries the folder's name, inside too: the folder already has its name where it is staged.
    staging = path.with_name(f".{path.name}.{os.getpid()}.new")
    staged = staging / path.name
    shutil.rmtree(staging, ignore_errors=True)
    truth: list[Sample] = []
    try:
        staging.mkdir(parents=True, exist_ok=True)
        writer = Writer(staged, version=8, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        with writer:
            topics = {
                name: writer.add_connection(name, kind, typestore=store)
                for name, kind in (
                    (COLOR_TOPIC, "sensor_msgs/msg/Image"),
                    (DEPTH_TOPIC, "sensor_msgs/msg/Image"),
                    (INFO_TOPIC, "sensor_msgs/msg/CameraInfo"),
                )
            }
            for number, sample in enumerate(samples):
                stamp = FIRST_STAMP_NS + round(number * 1e9 / rate_hz)
                for name, message in _messages(store, sample, stamp).items():
                    connection = topics[name]
                    writer.write(connection, stamp, store.serialize_cdr(message, connection.msgtype))
                truth.append(sample)
        if overwrite:
            shutil.rmtree(path, ignore_errors=True)
        os.replace(staged, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return truth_arrays(truth, rate_hz)


def _messages(store: Any, sample: Sample, stamp_ns: int) -> dict[str, Any]:
    types = store.types
    time = types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    header = types["std_msgs/msg/Header"](stamp=time, frame_id=FRAME_ID)
    height, width = sample.labels.shape
    image = types["sensor_msgs/msg/Image"]
    millimetres = np.nan_to_num(np.round(sample.depth_m * 1000.0), nan=0.0)
    depth = np.clip(millimetres, 0, 65534).astype("<u2")

    def picture(encoding: str, pixels: np.ndarray) -> Any:
        data = np.frombuffer(np.ascontiguousarray(pixels).tobytes(), np.uint8)
        return image(
            header=header,
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=len(data) // height,
            data=data,
        )

    k = sample.k.reshape(9)
    info = types["sensor_msgs/msg/CameraInfo"](
        header=header,
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k,
        r=np.eye(3).reshape(9),
        p=np.hstack([sample.k, np.zeros((3, 1))]).reshape(12),
        binning_x=0,
        binning_y=0,
        roi=types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
    )
    return {INFO_TOPIC: info, COLOR_TOPIC: picture("rgb8", sample.rgb), DEPTH_TOPIC: picture("16UC1", depth)}


def truth_arrays(samples: list[Sample], rate_hz: float) -> dict[str, np.ndarray]:
    """labels (F, H, W) uint8, joints (F, J), grasp (F,), stamp_ns (F,), k (3, 3)."""
    from .hand import JOINT_NAMES

    return {
        "labels": np.stack([sample.labels for sample in samples]),
        "joints": np.stack([sample.joints for sample in samples]),
        "joint_names": np.array(JOINT_NAMES),
        "grasp": np.array([sample.grasp for sample in samples]),
        "stamp_ns": np.array([FIRST_STAMP_NS + round(n * 1e9 / rate_hz) for n in range(len(samples))], np.int64),
        "k": samples[0].k,
        "subject": np.array(samples[0].subject),
        "left_hand": np.array(samples[0].left),
    }
