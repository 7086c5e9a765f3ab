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
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import BagError, ImageError, MissingExtraError
from tiae_ros.streams.bag_files import BagFiles
from tiae_ros.streams.image_decoding import COLOR_ENCODINGS, DEPTH_ENCODINGS, resize_depth_to
from tiae_ros.streams.other_encodings import is_other_color
from tiae_ros.streams.pairing import Pairer
from tiae_ros.streams.pictures import GREY_ENCODINGS, color_of, depth_of, encoding_of, is_depth
from tiae_ros.streams.stored import CDR, RawMessage

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
_IMAGE_TYPES = (IMAGE_TYPE, COMPRESSED_IMAGE_TYPE)
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

    def add(self, what: str, fault: str) -> None:
        """Count one more of these."""
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
    k: NDArray[np.float64] | None  # (3, 3); None without camera info


class Bag:
    """A recorded bag: a rosbag2 folder, a folder of .mcap or .db3 files, or one such file.

    Args:
        strict: what cannot be used is an error; else it is left out and counted in `skipped`.

    Attributes:
        topics: what there is, by name.
        skipped: what was left out while messages or frames were last gone through.

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
        self.skipped = Skipped()
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
            if message.type not in self._types.fielddefs:
                raise BagError(f"topic {message.topic} of bag {self.path} is {message.type}, which cannot be decoded")
            try:
                fields = self._types.deserialize_cdr(message.data, message.type)
            except Exception as error:  # the library's have many types
                reason = " ".join(str(error).split()) or type(error).__name__
                self._skip(
                    f"of the messages of {message.topic}",
                    BagError(f"{_place(message)} of bag {self.path} is truncated or damaged ({reason})"),
                )
                continue
            yield message, fields

    def rgbd_frames(
        self, color: str | None = None, depth: str | None = None, camera_info: str | None = None
    ) -> Iterator[RgbdFrame]:
        """Colour and depth of one moment, in order; topics that are not named are found by their content.

        Raises:
            BagError: a topic is missing, of another type, or cannot be told from others.
            ImageError: an image cannot be decoded.
        """
        color, depth, camera_info = self.find_rgbd_topics(color, depth, camera_info)
        pairer: Pairer[Any] = Pairer(("color", "depth"))
        slots = {color: "color", depth: "depth"}
        k: NDArray[np.float64] | None = None
        wanted = [color, depth] + ([camera_info] if camera_info else [])
        for message, fields in self.decoded(wanted):
            if message.topic == camera_info:
                k = np.asarray(fields.k, dtype=np.float64).reshape(3, 3)
                continue
            stamp_ns = fields.header.stamp.sec * 1_000_000_000 + fields.header.stamp.nanosec
            for pair in pairer.push(slots[message.topic], stamp_ns, fields).pairs:
                frame = self._frame(pair.items["color"], pair.items["depth"], pair.stamp_ns, k, (color, depth))
                if frame is not None:
                    yield frame

    def _frame(
        self, color: Any, depth: Any, stamp_ns: int, k: NDArray[np.float64] | None, topics: tuple[str, str]
    ) -> RgbdFrame | None:
        """The pictures of a pair of messages, or None when one of them cannot be used."""
        what = topics[0]
        try:
            pixels, shape = color_of(color)
            what = topics[1]
            depth_m = resize_depth_to(depth_of(depth), shape)
        except ImageError as error:
            fault = f"the image of {what} at {stamp_ns * 1e-9:.3f} s: {error}"
            self._skip(f"of the frames for their image of {what}", ImageError(fault))
            return None
        assert pixels is not None  # they were asked for
        return RgbdFrame(stamp_ns, color.header.frame_id, pixels, depth_m, k)

    def find_rgbd_topics(
        self, color: str | None = None, depth: str | None = None, camera_info: str | None = None
    ) -> tuple[str, str, str | None]:
        """Names of the colour, depth and camera info topics; those given are checked, others are found."""
        for name in (color, depth):
            if name is not None:
                self.require(name, *_IMAGE_TYPES)
        if camera_info is not None:
            self.require(camera_info, CAMERA_INFO_TYPE)
        encodings = self._encodings() if color is None or depth is None else {}
        if color is None:
            color = self._only_color({name: of for name, of in encodings.items() if name != depth})
        if depth is None:
            depth = self._only_depth({name: of for name, of in encodings.items() if name != color})
        if camera_info is None:
            infos = [t.name for t in self.topics.values() if t.type == CAMERA_INFO_TYPE and t.count]
            place = color.removesuffix("/compressed").rpartition("/")[0]
            beside_color = [name for name in infos if name.rpartition("/")[0] == place]
            camera_info = next(iter(beside_color or infos), None)
        return color, depth, camera_info

    def _encodings(self) -> dict[str, str]:
        """Encoding (or format) of each image topic: of the first of its messages that could be an image at all."""
        looked_at = dict.fromkeys((t.name for t in self.topics.values() if t.type in _IMAGE_TYPES and t.count), 0)
        found: dict[str, str] = {}
        for message, fields in self.decoded(list(looked_at)) if looked_at else ():
            name, encoding = message.topic, encoding_of(fields)
            looked_at[name] += 1
            usable = bool(encoding) if message.type == IMAGE_TYPE else len(fields.data) > 0
            if name not in found and (usable or looked_at[name] == _FIRST_MESSAGES):
                found[name] = encoding
            if len(found) == len(looked_at):
                break
        return {name: found.get(name, "") for name, number in looked_at.items() if number}

    def _only_color(self, encodings: Mapping[str, str]) -> str:
        """The one topic of colour. Raw ones go before compressed ones; masks are mono8 too, so colours before grey."""
        ranks = {
            name: (self.topics[name].type == IMAGE_TYPE, encoding.partition(";")[0].strip() not in GREY_ENCODINGS)
            for name, encoding in encodings.items()
            if _is_color(self.topics[name].type, encoding)
        }
        return self._only("colour", ranks, encodings, (*COLOR_ENCODINGS, "compressed jpeg or png"))

    def _only_depth(self, encodings: Mapping[str, str]) -> str:
        """The one topic of depth; raw ones go before compressed ones."""
        ranks = {
            name: (self.topics[name].type == IMAGE_TYPE,) for name, encoding in encodings.items() if is_depth(encoding)
        }
        return self._only("depth", ranks, encodings, (*DEPTH_ENCODINGS, "compressedDepth png"))

    def _only(
        self,
        meaning: str,
        ranks: Mapping[str, tuple[bool, ...]],
        encodings: Mapping[str, str],
        accepted: Collection[str],
    ) -> str:
        best = [name for name, rank in ranks.items() if rank == max(ranks.values())]
        if len(best) == 1:
            return best[0]
        if best:
            raise BagError(
                f"bag {self.path} has several {meaning} topics ({', '.join(best)}); name the topic"
                f"{self._contents('; it contains ')}"
            )
        there = ", ".join(f"{name} is {encoding!r}" for name, encoding in encodings.items())
        raise BagError(
            f"bag {self.path} has no {meaning} image; accepted are {', '.join(accepted)}"
            f"{f'; of its other image topics {there}' if there else ''}{self._contents('; it contains ')}"
            f"{''.join(f'; {line}' for line in self.skipped.lines())}"
        )

    def _messages(self, files: BagFiles, topics: set[str]) -> Iterator[RawMessage]:
        """Of all files, one after the other where their times allow."""

        def on_damage(part: str) -> None:
            self._skip("damaged parts", BagError(f"bag {self.path} is damaged: {part}"))

        opened = [file for file in files.opened if any(t.count and t.name in topics for t in file.topics)]
        overlap = any(one.end_ns > other.start_ns for one, other in itertools.pairwise(opened))
        streams = [file.messages(topics, on_damage) for file in opened]
        if overlap:
            yield from heapq.merge(*streams, key=lambda message: message.time_ns)
        else:
            for stream in streams:
                yield from stream

    def _skip(self, what: str, fault: BagError | ImageError) -> None:
        if self._strict:
            raise fault
        self.skipped.add(what, str(fault))

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


def _place(message: RawMessage) -> str:
    return f"the message of {message.topic} at {message.time_ns * 1e-9:.3f} s"


def _is_color(kind: str, encoding: str) -> bool:
    if kind == COMPRESSED_IMAGE_TYPE:
        return not is_depth(encoding)
    return encoding in COLOR_ENCODINGS or is_other_color(encoding)


def _typestore() -> Any:
    """Types of messages; the few that are decoded here are the same in every distribution."""
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        raise MissingExtraError(
            "reading bags needs the package `rosbags`; install it with: pip install 'tiae_ros[bags]'"
        ) from None
    return get_typestore(Stores.ROS2_HUMBLE)
