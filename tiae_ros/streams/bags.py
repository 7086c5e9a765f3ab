"""Reading recorded bags (rosbag2: mcap or sqlite3) without a ROS installation.

    with Bag(path) as bag:
        bag.topics                        # {"/camera/color/image": Topic(type=..., count=...)}
        for message in bag.raw():         # stored CDR bytes, in order of recording
            ...
        for frame in bag.rgbd_frames():   # colour, depth in metres and camera matrix of one moment
            ...
        print(*bag.skipped.lines())       # what could not be used, and why

Whatever is wrong with a bag is a BagError of one line that says what the bag does contain. What is wrong with a part
of it, a damaged chunk or an image that cannot be decoded, costs that part: it is left out and counted in `skipped`.
"""

from __future__ import annotations

import heapq
import itertools
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import BagError, ImageError, MissingExtraError, TopicError, install_hint
from tiae_ros.streams.bag_files import BagFiles
from tiae_ros.streams.camera import Camera, is_rectified
from tiae_ros.streams.camera_topics import (
    CAMERA_INFO_TYPE,
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TYPES,
    CameraTopics,
    SeenTopic,
    find_camera_topics,
)
from tiae_ros.streams.decoded_frame import COLOR_PART, FrameFault, decode_pair
from tiae_ros.streams.depth_units import MILLIMETRE_M
from tiae_ros.streams.pictures import encoding_of
from tiae_ros.streams.recorded_messages import RecordedMessages, header_stamp_ns
from tiae_ros.streams.recorded_pairs import Moment, RecordedPairs, pair_recorded
from tiae_ros.streams.stored import CDR, RawMessage

_STAMP_ENDS = 12  # bytes of a stored message until the end of its header's stamp
_MOST_CAMERA_INFOS = 10_000
_MOST_PLACES = 1_000_000
_FIRST_MESSAGES = 30  # of an image topic that are looked at to find out what it is


@dataclass(frozen=True)
class Topic:
    """What a bag holds of one topic."""

    name: str
    type: str
    count: int
    qos: str = ""
    """The profiles that were offered while it was recorded, as rosbag2 writes them (YAML); "" when unknown."""
    serialization: str = CDR

    def __str__(self) -> str:
        return f"{self.name} ({self.type}, {self.count})"


class Skipped:
    """Parts of a bag that could not be used: how many of each kind, and the first one's fault."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}
        self._places: set[tuple[str, object]] = set()

    def add(self, what: str, place: object, fault: str) -> None:
        """Count one more of these, once for each place: a bag is gone through more than once."""
        if (what, place) in self._places:
            return
        if len(self._places) < _MOST_PLACES:
            self._places.add((what, place))
        count, first = self._found.get(what, (0, fault))
        self._found[what] = count + 1, first

    def lines(self) -> list[str]:
        """One per kind."""
        return [f"skipped {count} {what}; the first: {fault}" for what, (count, fault) in self._found.items()]


@dataclass(frozen=True)
class RgbdFrame:
    """Colour and depth of one moment."""

    stamp_ns: int
    frame_id: str
    color: NDArray[np.uint8]  # (H, W, 3)
    depth_m: NDArray[np.float32]  # (H, W), NaN = nothing
    camera: Camera  # of the colour's pixels
    depth_encoding: str = "32FC1"
    warnings: Mapping[str, str] = field(default_factory=dict)
    """By reason, what looks wrong."""

    @property
    def k(self) -> NDArray[np.float64] | None:
        """(3, 3) of the colour's pixels."""
        return self.camera.k

    @property
    def k_unknown(self) -> str:
        """Why there is no k."""
        return self.camera.unknown


class Bag:
    """A recorded bag: a rosbag2 folder, a folder of .mcap or .db3 files, or one such file.

    Args:
        strict: what cannot be used is an error; else it is left out and counted in `skipped`.

    Attributes:
        topics: what there is, by name.
        skipped: what was left out until now.

    Raises:
        BagError: absent, truncated, empty or not a bag.
        MissingExtraError: the package `rosbags` is not installed.
    """

    def __init__(self, path: Path | str, *, strict: bool = False) -> None:
        self.path = Path(path)
        self.topics: Mapping[str, Topic] = {}
        self.duration_s = 0.0
        self.skipped = Skipped()
        self._strict = strict
        self._files: BagFiles | None = None
        self._types: Any = None

    def __enter__(self) -> Bag:
        self._types = _typestore()
        with self._faults_as_bag_errors():
            self._files = BagFiles(self.path)
        opened = self._files.opened
        topics: dict[str, Topic] = {}
        for stored in (topic for file in opened for topic in file.topics):
            known = topics.get(stored.name)
            if known is None:
                topics[stored.name] = Topic(
                    stored.name, stored.type, stored.count, stored.qos, stored.serialization or CDR
                )
            else:
                topics[stored.name] = replace(
                    known,
                    type=known.type if stored.type == known.type else "several types",
                    count=known.count + stored.count,
                    qos="\n".join(dict.fromkeys(filter(None, (known.qos, stored.qos)))),
                )
        self.topics = dict(sorted(topics.items()))
        count = sum(topic.count for topic in self.topics.values())
        if not count:
            self.close()
            raise BagError(f"bag {self.path} holds no message{self._contents(', only the topics ')}")
        filled = [file for file in opened if any(topic.count for topic in file.topics)]
        self.duration_s = max(0, max(f.end_ns for f in filled) - min(f.start_ns for f in filled)) * 1e-9
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; the topics stay readable."""
        files, self._files = self._files, None
        if files is not None:
            files.close()

    def require(self, name: str, *kinds: str) -> Topic:
        """The named topic, or a BagError that says what there is instead."""
        topic = self.topics.get(name)
        if topic is None:
            raise BagError(f"bag {self.path} has no topic {name}{self._contents('; it contains ')}")
        if kinds and topic.type not in kinds:
            raise BagError(
                f"topic {name} of bag {self.path} is {topic.type}, but {kinds[0]} is needed"
                f"{''.join(f' (or {kind})' for kind in kinds[1:])}"
                f"{self._contents('; the bag contains ')}"
            )
        if topic.count == 0:
            raise BagError(f"topic {name} of bag {self.path} has no message{self._contents('; the bag contains ')}")
        return topic

    def raw(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """Stored messages in order of recording; of these topics, or of all."""
        if self._files is None:
            raise RuntimeError("the bag is not open; use `with Bag(path) as bag`")
        for name in topics or ():
            self.require(name)
        messages = self._messages(self._files, set(self.topics if topics is None else topics))
        while True:
            with self._faults_as_bag_errors():
                message = next(messages, None)
            if message is None:
                return
            yield message

    def decoded(self, topics: Collection[str] | None = None) -> Iterator[tuple[RawMessage, Any]]:
        """Stored messages together with their fields; those that cannot be read are left out."""
        for message in self.raw(topics):
            fields = self.fields(message)
            if fields is not None:
                yield message, fields

    def fields(self, message: RawMessage) -> Any:
        """The fields of a stored message; None when it cannot be read."""
        if message.type not in self._types.fielddefs:
            raise BagError(f"topic {message.topic} of bag {self.path} is {message.type}, which cannot be decoded")
        try:
            return self._types.deserialize_cdr(message.data, message.type)
        except Exception as error:  # the library's have many types
            reason = " ".join(str(error).split()) or type(error).__name__
            place = f"the message of {message.topic} at {message.time_ns * 1e-9:.3f} s"
            fault = BagError(f"{place} of bag {self.path} is truncated or damaged ({reason})")
            self._skip(f"of the messages of {message.topic}", message.time_ns, fault)
            return None

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
        topics: CameraTopics | None = None,
        *,
        pairs: RecordedPairs | None = None,
        depth_unit_m: float = MILLIMETRE_M,
    ) -> Iterator[RgbdFrame]:
        """Colour and depth of one moment, in order.

        Args:
            topics: from `camera_topics`; None: found here.
            pairs: from `pair_images`; None: made here.
            depth_unit_m: one step of 16-bit depth.

        Raises:
            BagError: a topic is missing, of another type, or cannot be told from others.
            ImageError: an image cannot be decoded.
        """
        topics = topics or self.camera_topics()
        pairs = pairs or self.pair_images(topics.color, topics.depth)
        infos = self._camera_infos(topics.camera_info)
        # Each stream is gone through by itself, since their places in the file may be far from each other.
        colors = RecordedMessages(self.raw([topics.color]), (numbers["color"] for numbers in pairs.sets))
        depths = RecordedMessages(self.raw([topics.depth]), (numbers["depth"] for numbers in pairs.sets))
        for numbers, moment_ns in zip(pairs.sets, pairs.moments_ns, strict=True):
            stored_color, stored_depth = colors.take(numbers["color"]), depths.take(numbers["depth"])
            if stored_color is None or stored_depth is None:
                pairs.too_far_apart += 1
                continue
            info = infos.at(stored_color.time_ns)
            frame = self._frame(stored_color, stored_depth, info, moment_ns, depth_unit_m)
            if frame is not None:
                yield frame

    def _frame(
        self, color: RawMessage, depth: RawMessage, camera_info: Any, stamp_ns: int, depth_unit_m: float
    ) -> RgbdFrame | None:
        """A pair of messages, or None when one of them cannot be used."""
        color_image, depth_image = self.fields(color), self.fields(depth)
        if color_image is None or depth_image is None:
            return None
        try:
            seen = decode_pair(
                color_image, depth_image, camera_info, rectified=is_rectified(color.topic), depth_unit_m=depth_unit_m
            )
        except FrameFault as error:
            what = color.topic if error.part == COLOR_PART else depth.topic
            fault = f"the image of {what} at {stamp_ns * 1e-9:.3f} s: {error}"
            self._skip(f"of the frames for their image of {what}", stamp_ns, ImageError(fault))
            return None
        assert seen.color is not None  # it was asked for
        frame_id = color_image.header.frame_id
        return RgbdFrame(stamp_ns, frame_id, seen.color, seen.depth_m, seen.camera, seen.depth_encoding, seen.warnings)

    def _camera_infos(self, topic: str | None) -> _CameraInfos:
        infos = _CameraInfos()
        if topic is not None:
            last = b""
            for message in self.raw([topic]):
                content = message.data[_STAMP_ENDS:]
                if content != last:
                    last = content
                    fields = self.fields(message)
                    if fields is not None:
                        infos.add(message.time_ns, fields)
        return infos

    def camera_topics(
        self,
        color: str | None = None,
        depth: str | None = None,
        camera_info: str | None = None,
        *,
        one_transport: bool = False,
    ) -> CameraTopics:
        """Colour, depth and camera info; those given are checked, others are found (`find_camera_topics`).

        Raises:
            BagError: a topic is missing, of another type, or cannot be told from others.
        """
        for name in (color, depth):
            if name is not None:
                self.require(name, *IMAGE_TYPES)
        if camera_info is not None:
            self.require(camera_info, CAMERA_INFO_TYPE)
        try:
            return find_camera_topics(
                self._seen_topics(), color=color, depth=depth, camera_info=camera_info, one_transport=one_transport
            )
        except TopicError as error:
            noticed = "".join(f"; {line}" for line in self.skipped.lines())
            raise BagError(f"bag {self.path} has {error}{self._contents('; it contains ')}{noticed}") from None

    def _seen_topics(self) -> list[SeenTopic]:
        """What pictures and camera infos are: by the first of their messages that could be one at all."""
        kinds = {t.name: t.type for t in self.topics.values() if t.type in (*IMAGE_TYPES, CAMERA_INFO_TYPE) and t.count}
        looked_at = dict.fromkeys(kinds, 0)
        found: dict[str, SeenTopic] = {}
        for message, fields in self.decoded(list(kinds)) if kinds else ():
            name, kind = message.topic, message.type
            looked_at[name] += 1
            encoding = encoding_of(fields) if kind in IMAGE_TYPES else None
            usable = len(fields.data) > 0 if kind == COMPRESSED_IMAGE_TYPE else encoding != ""
            if name not in found and (usable or looked_at[name] == _FIRST_MESSAGES):
                found[name] = SeenTopic(name, kind, encoding, fields.header.frame_id)
            if len(found) == len(kinds):
                break
        unread = (
            SeenTopic(name, kinds[name], "") for name, number in looked_at.items() if number and name not in found
        )
        return [*found.values(), *unread]

    def _messages(self, files: BagFiles, topics: set[str]) -> Iterator[RawMessage]:
        """Of all files, one after the other where their times allow."""

        def on_damage(part: str) -> None:
            self._skip("damaged parts", part, BagError(f"bag {self.path} is damaged: {part}"))

        opened = [file for file in files.opened if any(t.count and t.name in topics for t in file.topics)]
        overlap = any(one.end_ns > other.start_ns for one, other in itertools.pairwise(opened))
        streams = [file.messages(topics, on_damage) for file in opened]
        if overlap:
            yield from heapq.merge(*streams, key=lambda message: message.time_ns)
        else:
            for stream in streams:
                yield from stream

    def _skip(self, what: str, place: object, fault: BagError | ImageError) -> None:
        if self._strict:
            raise fault
        self.skipped.add(what, place, str(fault))

    def contents(self) -> str:
        """The topics, for people."""
        return ", ".join(str(topic) for topic in self.topics.values())

    def _contents(self, lead: str) -> str:
        return lead + self.contents() if self.topics else ""

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


def _typestore() -> Any:
    """Types of messages; the few that are decoded here are the same in every distribution."""
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        raise MissingExtraError(
            f"reading bags needs the package `rosbags`; install it with: {install_hint('bags')}"
        ) from None
    return get_typestore(Stores.ROS2_HUMBLE)
