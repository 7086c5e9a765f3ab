"""Bags message by message, as recorders write them and as nobody should: whatever a test wants to find in a file."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

IMAGE = "sensor_msgs/msg/Image"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
FRAME = "camera_color_optical_frame"
START_NS = 1_700_000_000_000_000_000
MAGIC = b"\x89MCAP0\r\n"


def store() -> Any:
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_HUMBLE)


STORE = store()


def cdr(kind: str, *, frame_id: str = FRAME, **fields: Any) -> bytes:
    """A message as it is stored; a header is given as `stamp_ns`."""
    types = STORE.types
    if "stamp_ns" in fields:
        seconds, nanoseconds = divmod(fields.pop("stamp_ns"), 10**9)
        stamp = types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
        fields["header"] = types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)
    return bytes(STORE.serialize_cdr(types[kind](**fields), kind))


def image(stamp_ns: int, pixels: np.ndarray, encoding: str, **changes: Any) -> bytes:
    height, width = pixels.shape[:2]
    fields = {
        "height": height,
        "width": width,
        "encoding": encoding,
        "is_bigendian": 0,
        "step": pixels[0].nbytes,
        "data": np.ascontiguousarray(pixels).view(np.uint8).ravel(),
    }
    return cdr(IMAGE, stamp_ns=stamp_ns, **fields | changes)


def empty_image(stamp_ns: int, encoding: str = "") -> bytes:
    nothing = np.zeros(0, np.uint8)
    return image(stamp_ns, np.zeros((1, 1), np.uint8), encoding, height=0, width=0, step=0, data=nothing)


def camera_info(stamp_ns: int, width: int, height: int, focal: float, **changes: Any) -> bytes:
    fields = {
        "width": width,
        "height": height,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": np.array([focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1]),
        "r": np.eye(3).ravel(),
        "p": np.zeros(12),
        "binning_x": 0,
        "binning_y": 0,
        "roi": STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
    }
    return cdr(CAMERA_INFO, stamp_ns=stamp_ns, **fields | changes)


def compressed(stamp_ns: int, picture: np.ndarray, message_format: str) -> bytes:
    """Lossless, as image_transport's plugins write it; rgb or 16-bit depth."""
    depth = picture.dtype == np.uint16
    png = cv2.imencode(".png", picture if depth else picture[..., ::-1])[1].tobytes()
    data = (bytes(12) if "compressedDepth" in message_format else b"") + png
    return cdr(COMPRESSED, stamp_ns=stamp_ns, format=message_format, data=np.frombuffer(data, np.uint8))


def write_messages(
    path: Path,
    messages: Iterable[tuple[str, str, int, bytes]],
    *,
    storage: str = "mcap",
    qos: Mapping[str, Sequence[Any]] | None = None,
    compression: str = "",
) -> Path:
    """A rosbag2 of (topic, type, time in ns, CDR); types that are not known get an empty definition."""
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    writer = Writer(path, version=8, storage_plugin=plugin)
    if compression:
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    connections: dict[str, Any] = {}
    with writer:
        for topic, kind, time_ns, data in messages:
            if topic not in connections:
                known = {"typestore": STORE} if kind in STORE.fielddefs else {"msgdef": " ", "rihs01": "RIHS01_0"}
                profiles = (qos or {}).get(topic, ())
                connections[topic] = writer.add_connection(topic, kind, offered_qos_profiles=profiles, **known)
            writer.write(connections[topic], time_ns, data)
    return path


def record(kind: int, data: bytes) -> bytes:
    """A record of an .mcap file."""
    return struct.pack("<BQ", kind, len(data)) + data


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(data)) + data


def schema(number: int, name: str, encoding: str, definition: str) -> bytes:
    return record(3, struct.pack("<H", number) + text(name) + text(encoding) + text(definition))


def channel(number: int, schema_number: int, topic: str) -> bytes:
    return record(4, struct.pack("<HH", number, schema_number) + text(topic) + text("cdr") + text(b""))


def message(number: int, time_ns: int, data: bytes) -> bytes:
    return record(5, struct.pack("<HIQQ", number, 0, time_ns, time_ns) + data)


def chunk(content: bytes, compression: str = "", *, claimed: int | None = None) -> bytes:
    """`content` is already compressed; `claimed` is how many bytes it is said to become."""
    size = len(content) if claimed is None else claimed
    start = struct.pack("<QQQI", 0, 0, size, 0)
    return record(6, start + text(compression) + struct.pack("<Q", len(content)) + content)


def write_mcap(path: Path, *records: bytes) -> Path:
    """A whole file without a summary."""
    header, footer = record(1, text("ros2") + text("test")), record(2, struct.pack("<QQI", 0, 0, 0))
    path.write_bytes(MAGIC + header + b"".join(records) + footer + MAGIC)
    return path
