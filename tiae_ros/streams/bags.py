"""Reading recorded bags (rosbag2: mcap or sqlite3) without a ROS installation.

    with Bag(path) as bag:
        bag.topics                        # {"/camera/color/image": Topic(type=..., count=...)}
        for message in bag.raw():         # stored CDR bytes, in order of recording
            ...
        for frame in bag.rgbd_frames():   # colour, depth in metres and camera matrix of one moment
            ...

Whatever is wrong with a bag is a BagError of one line that says what the bag does contain.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import BagError, ImageError, MissingExtraError
from tiae_ros.streams.camera import camera_of_picture, is_rectified, other_frames
from tiae_ros.streams.depth_units import MILLIMETRE_M
from tiae_ros.streams.image_decoding import (
    COLOR_ENCODINGS,
    DEPTH_ENCODINGS,
    decode_message,
    resize_depth_to,
    to_depth_m,
    to_rgb,
)
from tiae_ros.streams.recorded_messages import RecordedMessages, header_stamp_ns
from tiae_ros.streams.recorded_pairs import Moment, RecordedPairs, pair_recorded

IMAGE_TYPE = "sensor_msgs/msg/Image"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"

_STAMP_ENDS = 12  # bytes of a stored message until the end of its header's stamp
_MOST_CAMERA_INFOS = 10_000


@dataclass(frozen=True)
class Topic:
    """What a bag holds of one topic."""

    name: str
    type: str
    count: int

    def __str__(self) -> str:
        return f"{self.name} ({self.type}, {self.count})"


@dataclass(frozen=True)
class RawMessage:
    """One message as it was stored."""

    topic: str
    type: str
    time_ns: int
    data: bytes


@dataclass(frozen=True)
class RgbdFrame:
    """Colour and depth of one moment."""

    stamp_ns: int
    frame_id: str
    color: NDArray[np.uint8]  # (H, W, 3)
    depth_m: NDArray[np.float32]  # (H, W), NaN = nothing
    k: NDArray[np.float64] | None  # (3, 3) of the colour's pixels
    k_unknown: str = ""
    """Why there is no k."""
    depth_encoding: str = "32FC1"
    warnings: Mapping[str, str] = field(default_factory=dict)
    """By reason, what looks wrong."""


class Bag:
    """A recorded bag: a rosbag2 folder, or one .mcap or .db3 file.

    Raises:
        BagError: absent, truncated, empty or not a bag.
        MissingExtraError: the package `rosbags` is not installed.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.topics: Mapping[str, Topic] = {}
        self.duration_s = 0.0
        self._reader: Any = None

    def __enter__(self) -> Bag:
        reader_class, typestore = _rosbags()
        if not self.path.exists():
            raise BagError(f"bag {self.path} does not exist; give a rosbag2 folder, or an .mcap or .db3 file")
        if self.path.is_dir() and not (self.path / "metadata.yaml").exists():
            raise BagError(f"bag {self.path} has no metadata.yaml, so it is no rosbag2 folder")
        if self.path.is_file() and self.path.suffix not in (".mcap", ".db3"):
            raise BagError(f"bag {self.path} is neither a rosbag2 folder nor an .mcap or .db3 file")
        with self._faults_as_bag_errors():
            reader = reader_class([self.path], default_typestore=typestore)
            reader.open()
        self._reader = reader
        with self._faults_as_bag_errors():
            self.topics = {
                name: Topic(name, info.msgtype or "several types", info.msgcount)
                for name, info in sorted(reader.topics.items())
            }
            count = reader.message_count
            self.duration_s = max(0, reader.duration) * 1e-9 if count else 0.0
        if not count:
            self.close()
            raise BagError(f"bag {self.path} holds no message{self._contents(', only the topics ')}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; the topics stay readable."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def require(self, name: str, kind: str | None = None) -> Topic:
        """The named topic, or a BagError that says what there is instead."""
        topic = self.topics.get(name)
        if topic is None:
            raise BagError(f"bag {self.path} has no topic {name}{self._contents('; it contains ')}")
        if kind is not None and topic.type != kind:
            raise BagError(
                f"topic {name} of bag {self.path} is {topic.type}, but {kind} is needed"
                f"{self._contents('; the bag contains ')}"
            )
        if topic.count == 0:
            raise BagError(f"topic {name} of bag {self.path} has no message{self._contents('; the bag contains ')}")
        return topic

    def raw(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Stored messages in order of recording; of these topics, or of all."""
        connections = self._connections(topics)
        messages = self._reader.messages(connections=connections)
        while True:
            with self._faults_as_bag_errors():
                try:
                    connection, time_ns, data = next(messages)
                except StopIteration:
                    return
            yield RawMessage(connection.topic, connection.msgtype, time_ns, bytes(data))

    def decoded(self, topics: Collection[str] | None = None) -> Iterator[tuple[RawMessage, Any]]:
        """Stored messages together with their fields."""
        for message in self.raw(topics):
            yield message, self.fields(message)

    def fields(self, message: RawMessage) -> Any:
        """The fields of a stored message."""
        with self._faults_as_bag_errors():
            return self._reader.deserialize(message.data, message.type)

    def pair_images(self, color: str, depth: str, slop_s: float = 0.02) -> RecordedPairs:
        """Which colour and depth images belong to one moment, by the stamps of the whole bag."""
        topics = {"color": color, "depth": depth}
        moments: dict[str, list[Moment]] = {slot: [] for slot in topics}
        slots = {topic: slot for slot, topic in topics.items()}
        for message in self.raw([color, depth]):
            stamp_ns = header_stamp_ns(message.data)
            moments[slots[message.topic]].append((stamp_ns, message.time_ns))
        return pair_recorded(moments, slop_s)

    def rgbd_frames(
        self,
        color: str | None = None,
        depth: str | None = None,
        camera_info: str | None = None,
        *,
        pairs: RecordedPairs | None = None,
        depth_unit_m: float = MILLIMETRE_M,
    ) -> Iterator[RgbdFrame]:
        """Colour and depth of one moment, in order; topics that are not named are found by their content.

        Args:
            pairs: from `pair_images`; None: made here.
            depth_unit_m: one step of 16-bit depth.

        Raises:
            BagError: a topic is missing, of another type, or cannot be told from others.
            ImageError: an image cannot be decoded.
        """
        color, depth, camera_info = self.find_rgbd_topics(color, depth, camera_info)
        pairs = pairs or self.pair_images(color, depth)
        infos = self._camera_infos(camera_info)
        rectified = is_rectified(color)
        # Each stream has a reader of its own, since their places in the file may be far from each other.
        with Bag(self.path) as other:
            colors = RecordedMessages(self.raw([color]), (numbers["color"] for numbers in pairs.sets))
            depths = RecordedMessages(other.raw([depth]), (numbers["depth"] for numbers in pairs.sets))
            for numbers, moment_ns in zip(pairs.sets, pairs.moments_ns, strict=True):
                stored_color, stored_depth = colors.take(numbers["color"]), depths.take(numbers["depth"])
                if stored_color is None or stored_depth is None:
                    pairs.too_far_apart += 1
                    continue
                info = infos.at(stored_color.time_ns)
                color_image, depth_image = self.fields(stored_color), other.fields(stored_depth)
                yield _rgbd_frame(color_image, depth_image, moment_ns, info, rectified, depth_unit_m)

    def _camera_infos(self, topic: str | None) -> _CameraInfos:
        infos = _CameraInfos()
        if topic is not None:
            last = b""
            for message in self.raw([topic]):
                content = message.data[_STAMP_ENDS:]
                if content != last:
                    infos.add(message.time_ns, self.fields(message))
                    last = content
        return infos

    def find_rgbd_topics(
        self, color: str | None = None, depth: str | None = None, camera_info: str | None = None
    ) -> tuple[str, str, str | None]:
        """Names of the colour, depth and camera info topics; those given are checked, others are found."""
        for name in (color, depth):
            if name is not None:
                self.require(name, IMAGE_TYPE)
        if camera_info is not None:
            self.require(camera_info, CAMERA_INFO_TYPE)
        if color is None:
            color = self._only("colour", COLOR_ENCODINGS, besides=depth)
        if depth is None:
            depth = self._only("depth", DEPTH_ENCODINGS, besides=color)
        if camera_info is None:
            camera_info = self._camera_info_of(color)
        return color, depth, camera_info

    def _camera_info_of(self, color: str) -> str | None:
        """The camera info of the colour's frame and beside it, or else what comes nearest to that."""
        infos = [t.name for t in self.topics.values() if t.type == CAMERA_INFO_TYPE and t.count]
        if len(infos) < 2:
            return next(iter(infos), None)
        folder = color.removesuffix("/compressed").rpartition("/")[0]
        frames = {name: next(self.decoded([name]))[1].header.frame_id for name in (color, *infos)}
        return min(infos, key=lambda name: (frames[name] != frames[color], name.rpartition("/")[0] != folder))

    def _only(self, meaning: str, encodings: Collection[str], besides: str | None) -> str:
        """The one image topic with such an encoding."""
        found = []
        for topic in self.topics.values():
            if topic.type == IMAGE_TYPE and topic.count and topic.name != besides:
                _, first = next(self.decoded([topic.name]))
                # Masks are mono8 too; a picture in colours is meant when there is one.
                if first.encoding in encodings:
                    found.append((first.encoding not in ("mono8", "8UC1"), topic.name))
        best = [name for in_color, name in found if in_color == max(found)[0]]
        if len(best) != 1:
            fault = f"has several {meaning} topics ({', '.join(best)})" if best else f"has no {meaning} image"
            raise BagError(f"bag {self.path} {fault}; name the topic{self._contents('; it contains ')}")
        return best[0]

    def _connections(self, topics: Collection[str] | None) -> list[Any]:
        if self._reader is None:
            raise RuntimeError("the bag is not open; use `with Bag(path) as bag`")
        for name in topics or ():
            self.require(name)
        return [c for c in self._reader.connections if topics is None or c.topic in topics]

    def _contents(self, lead: str) -> str:
        return lead + ", ".join(str(topic) for topic in self.topics.values()) if self.topics else ""

    @contextmanager
    def _faults_as_bag_errors(self) -> Iterator[None]:
        """What a damaged file raises inside the reading libraries has many types; here it becomes one."""
        try:
            yield
        except (BagError, OSError, MemoryError) as error:
            if isinstance(error, BagError):
                raise
            raise BagError(f"bag {self.path} cannot be read: {error or type(error).__name__}") from error
        except Exception as error:
            raise BagError(
                f"bag {self.path} is truncated or damaged ({type(error).__name__}: {error})"
                f"{self._contents('; it lists ')}"
            ) from error


class _CameraInfos:
    """The camera infos of a bag that differ from those before them."""

    def __init__(self) -> None:
        self._times_ns: list[int] = []
        self._infos: list[Any] = []

    def add(self, time_ns: int, info: Any) -> None:
        if len(self._infos) < _MOST_CAMERA_INFOS:
            self._times_ns.append(time_ns)
            self._infos.append(info)

    def at(self, time_ns: int) -> Any:
        """The last one until then, or the first one: it may be recorded after the first pictures."""
        if not self._infos:
            return None
        return self._infos[max(0, bisect_right(self._times_ns, time_ns) - 1)]


def _rgbd_frame(color: Any, depth: Any, stamp_ns: int, info: Any, rectified: bool, depth_unit_m: float) -> RgbdFrame:
    color_pixels = to_rgb(decode_message(color), color.encoding)
    depth_m = to_depth_m(decode_message(depth), depth.encoding, depth_unit_m)
    try:
        depth_m = resize_depth_to(depth_m, color_pixels.shape)
    except ImageError as error:
        raise ImageError(f"frame at {stamp_ns} ns: {error}") from None
    frame_id, height, width = color.header.frame_id, *color_pixels.shape[:2]
    camera = camera_of_picture(info, frame_id, (height, width), rectified=rectified)
    warnings = other_frames(frame_id, {"depth": depth.header.frame_id})
    return RgbdFrame(stamp_ns, frame_id, color_pixels, depth_m, camera.k, camera.unknown, depth.encoding, warnings)


def _rosbags() -> tuple[Any, Any]:
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        raise MissingExtraError(
            "reading bags needs the package `rosbags`; install it with: pip install 'tiae_ros[bags]'"
        ) from None
    return AnyReader, get_typestore(Stores.ROS2_HUMBLE)
