"""Small synthetic camera scenes, and bags of them: a skin-coloured hand with a blue box before a grey wall."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT, FOCAL = 320, 240, 300.0
FRAME_ID = "camera_color_optical_frame"
TOPICS = {
    "color": "/camera/color/image",
    "depth": "/camera/depth/image",
    "info": "/camera/color/camera_info",
}


@dataclass
class Scene:
    """Colour (H, W, 3) uint8 and depth (H, W) uint16 millimetres."""

    color: np.ndarray
    depth_mm: np.ndarray


def make_scene(
    x: float = 160, y: float = 120, *, scale: float = 1.0, hand: bool = True, seed: int = 0, **size: int
) -> Scene:
    """A hand around (x, y), or the empty wall."""
    width, height = size.get("width", WIDTH), size.get("height", HEIGHT)
    chance = np.random.default_rng(seed)
    color = np.full((height, width, 3), 120, np.uint8)
    depth = np.full((height, width), 1000, np.uint16)
    if hand:
        add_hand(color, depth, x, y, scale)
    noise = chance.integers(-4, 5, (height, width, 1))
    return Scene(np.clip(color.astype(int) + noise, 0, 255).astype(np.uint8), depth)


def add_hand(color: np.ndarray, depth: np.ndarray, x: float, y: float, scale: float = 1.0) -> None:
    """Draw a palm with fingers around a box, half a metre away."""

    def at(dx: float, dy: float) -> tuple[int, int]:
        return round(x + scale * dx), round(y + scale * dy)

    mask = np.zeros(depth.shape, np.uint8)
    cv2.ellipse(mask, at(0, 10), (round(28 * scale), round(34 * scale)), 0, 0, 360, 1, -1)
    for finger, length in ((-20, 34), (-7, 42), (7, 40), (20, 30)):
        cv2.line(mask, at(finger, -10), at(1.2 * finger, -10 - length), 1, max(1, round(9 * scale)))
    held = np.zeros(depth.shape, np.uint8)
    cv2.rectangle(held, at(26, -30), at(56, 20), 1, -1)
    held[mask > 0] = 0
    color[held > 0], depth[held > 0] = (40, 70, 190), 505
    color[mask > 0], depth[mask > 0] = (205, 140, 110), 495


def moved(scene: Scene, dx: int, dy: int) -> Scene:
    """Colour and depth moved by whole pixels; what comes in is wall without noise, or no reading."""
    color = np.full_like(scene.color, 120)
    depth = np.zeros_like(scene.depth_mm)
    height, width = depth.shape
    to = (slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0)))
    source = (slice(max(-dy, 0), height + min(-dy, 0)), slice(max(-dx, 0), width + min(-dx, 0)))
    color[to], depth[to] = scene.color[source], scene.depth_mm[source]
    return Scene(color, depth)


def write_bag(
    path: Path,
    scenes: Iterable[Scene],
    *,
    rate_hz: float = 15.0,
    start_ns: int = 1_700_000_000_000_000_000,
    k: tuple[float, ...] | None = None,
    storage: str = "mcap",
    leave_out: tuple[str, ...] = (),
    metres: Sequence[int] = (),
) -> list[int]:
    """A rosbag2 with colour, depth and camera info; returns the stamps (ns).

    The depth of the frames numbered by ``metres`` is stored as 32FC1, the others' as 16UC1.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    kinds = {"color": "sensor_msgs/msg/Image", "depth": "sensor_msgs/msg/Image", "info": "sensor_msgs/msg/CameraInfo"}
    stamps = []
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        connections = {
            name: writer.add_connection(TOPICS[name], kind, typestore=store)
            for name, kind in kinds.items()
            if name not in leave_out
        }
        for index, scene in enumerate(scenes):
            stamp = start_ns + round(index * 1e9 / rate_hz)
            stamps.append(stamp)
            depth, encoding = scene.depth_mm, "16UC1"
            if index in metres:
                depth, encoding = (scene.depth_mm * 1e-3).astype("<f4"), "32FC1"
            fields = {
                "color": _image(store, stamp, scene.color, "rgb8"),
                "depth": _image(store, stamp, depth, encoding),
                "info": _camera_info(store, stamp, scene.depth_mm.shape, k),
            }
            for name, connection in connections.items():
                writer.write(connection, stamp, store.serialize_cdr(fields[name], kinds[name]))
    return stamps


def _header(store: Any, stamp_ns: int) -> Any:
    time = store.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return store.types["std_msgs/msg/Header"](stamp=time, frame_id=FRAME_ID)


def _image(store: Any, stamp_ns: int, pixels: np.ndarray, encoding: str) -> Any:
    return store.types["sensor_msgs/msg/Image"](
        header=_header(store, stamp_ns),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels[0].nbytes,
        data=np.ascontiguousarray(pixels).view(np.uint8).ravel(),
    )


def _camera_info(store: Any, stamp_ns: int, shape: tuple[int, ...], k: tuple[float, ...] | None) -> Any:
    height, width = shape
    matrix = k or (FOCAL, 0, (width - 1) / 2, 0, FOCAL, (height - 1) / 2, 0, 0, 1)
    matrix = np.asarray(matrix, dtype=np.float64)
    projection = np.concatenate([matrix.reshape(3, 3), np.zeros((3, 1))], axis=1).ravel()
    return store.types["sensor_msgs/msg/CameraInfo"](
        header=_header(store, stamp_ns),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=matrix,
        r=np.eye(3).ravel(),
        p=projection,
        binning_x=0,
        binning_y=0,
        roi=store.types["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )
