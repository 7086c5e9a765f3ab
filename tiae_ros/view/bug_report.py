"""The last seconds of a node's inputs and outputs, its parameters and all versions -> one folder to send around.

tiae_report_20261129_224501/
    metadata.yaml, *.mcap    a rosbag2: `tiae play`, `tiae extract` and `ros2 bag` take the folder
    parameters.yaml          of the node, ready for --params-file
    versions.yaml            of the packages, and what the node said of itself
    picture.jpg              what the page showed
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import yaml

from tiae_ros import __version__
from tiae_ros.errors import MissingExtraError, OutputError, install_hint
from tiae_ros.view.recent import Arrived
from tiae_ros.vision.labels import Picture

_ONE_AT_A_TIME = threading.Lock()  # two browsers may press in one second, which is what a report is called by
_PACKAGES = (
    "rclpy",
    "ros-rclpy",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "onnxruntime",
    "viser",
    "rosbags",
)


def save_report(
    folder: Path,
    messages: Sequence[Arrived],
    parameters: Mapping[str, Any],
    status: Mapping[str, str],
    picture: Picture | None,
) -> Path:
    """Write a new folder below this one, whole or not at all; its path.

    Raises:
        OutputError: there is nothing to save yet, or it cannot be written.
        MissingExtraError: the package rosbags is not installed.
    """
    if not messages:
        raise OutputError("nothing has come yet, so there is nothing to save; wait for the first picture")
    with _ONE_AT_A_TIME:
        path = _new_name(folder)
        # The storage file carries the folder's name, inside too: the folder already has its name where it is staged.
        try:
            staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=folder))
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
        staged = staging / path.name
        try:
            _write_bag(staged, messages)
            named = {"/**": {"ros__parameters": dict(parameters)}}
            (staged / "parameters.yaml").write_text(yaml.safe_dump(named, sort_keys=True), "utf-8")
            told = {"versions": versions(), "node": dict(status)}
            (staged / "versions.yaml").write_text(yaml.safe_dump(told, sort_keys=False, allow_unicode=True), "utf-8")
            if picture is not None:
                _, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
                (staged / "picture.jpg").write_bytes(encoded.tobytes())
            os.rename(staged, path)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return path


def versions() -> dict[str, str]:
    """What somebody has to know to see the same."""
    found = {
        "tiae_ros": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "ros": os.environ.get("ROS_DISTRO") or "from packages, or not sourced",
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _write_bag(path: Path, messages: Sequence[Arrived]) -> None:
    try:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MissingExtraError(f"a report is a bag ({error}); install the extra: {install_hint('bags')}") from None
    store = get_typestore(Stores.ROS2_HUMBLE)
    writer = Writer(path, version=8, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        topics: dict[str, Any] = {}
        for one in messages:
            if one.topic not in topics:
                topics[one.topic] = writer.add_connection(one.topic, one.kind, typestore=store)
            writer.write(topics[one.topic], one.time_ns, one.data)


def _new_name(folder: Path) -> Path:
    """Of this second; a number is added when there is one already."""
    name = time.strftime("tiae_report_%Y%m%d_%H%M%S")
    paths = (folder / (name if number == 0 else f"{name}_{number}") for number in range(1000))
    return next(path for path in paths if not path.exists())
