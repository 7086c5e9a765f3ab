"""A word of the command line -> where frames come from: pictures, a folder, a video, a bag, a camera.

with contextlib.closing(open_source("my_bag")) as source:
    for frame in source:              # name, colour, depth in metres or None, camera
        ...
    print(*source.lost)               # what could not be used
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tiae_ros.errors import DataError, ParameterError
from tiae_ros.streams.bags import Bag
from tiae_ros.streams.camera_topics import CameraTopics
from tiae_ros.streams.depth_units import MILLIMETRE_M
from tiae_ros.streams.picture_files import PICTURES, Pictures
from tiae_ros.streams.realsense_camera import RealSense
from tiae_ros.streams.source_frame import FrameSource, SourceFrame
from tiae_ros.streams.video_files import VIDEOS, Video, WebCamera

REALSENSE = "realsense"
_BAG_ENDS = (".mcap", ".db3", ".zstd")
ACCEPTED = (
    f"a picture ({', '.join(PICTURES)}), a folder of pictures, a video ({', '.join(VIDEOS)}), a recorded bag "
    f"(a folder, .mcap or .db3), a camera (0, /dev/video0) or {REALSENSE}"
)


@dataclass(frozen=True)
class SourceOptions:
    """How a source is read; each kind takes what concerns it."""

    depth: Path | None = None
    """Of a picture or video: its depth. None: what lies beside it."""
    color_topic: str | None = None
    depth_topic: str | None = None
    camera_info_topic: str | None = None
    depth_unit_m: float = MILLIMETRE_M
    strict: bool = False
    """What cannot be used is an error; else it is left out and told in `lost`."""

    def __post_init__(self) -> None:
        if not 1e-5 <= self.depth_unit_m <= 0.1:
            raise ParameterError(f"depth unit {self.depth_unit_m:g} m is not within 0.00001 to 0.1")


class RecordedBag:
    """A recorded bag; as `FrameSource`."""

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """Raises BagError, or MissingExtraError where bags cannot be read at all."""
        self._bag = Bag(path, strict=options.strict)
        self._bag.__enter__()
        self._unit_m = options.depth_unit_m
        try:
            self._topics = self._found(options)
            self._pairs = self._bag.pair_images(self._topics.color, self._topics.depth)
        except BaseException:
            self.close()
            raise
        self.told = f"bag {path}: {self._topics.told}"
        seconds = self._bag.duration_s
        self.rate_hz = len(self._pairs.sets) / seconds if seconds > 0 and self._pairs.sets else 30.0
        self.lost: list[str] = [self._topics.doubt] if self._topics.doubt else []

    def __iter__(self) -> Iterator[SourceFrame]:
        number = -1
        for number, frame in enumerate(
            self._bag.rgbd_frames(self._topics, pairs=self._pairs, depth_unit_m=self._unit_m)
        ):
            yield SourceFrame(
                f"frame_{number:06d}",
                frame.color,
                frame.depth_m,
                frame.camera,
                frame.stamp_ns,
                frame.depth_encoding,
                frame.warnings,
            )
        told = [*self._pairs.told(), *self._bag.skipped.lines()]
        if number < 0:
            raise DataError(f"bag {self._bag.path} holds no pair of colour and depth{''.join(f'; {t}' for t in told)}")
        self.lost += told

    def close(self) -> None:
        """Let go of the files."""
        self._bag.close()

    def _found(self, options: SourceOptions) -> CameraTopics:
        return self._bag.camera_topics(options.color_topic, options.depth_topic, options.camera_info_topic)


def open_source(word: str, options: SourceOptions | None = None) -> FrameSource:
    """The source that a word means.

    Raises:
        DataError, BagError: it is not there, or cannot be used.
        MissingExtraError: a package that it needs is not installed.
    """
    options = options or SourceOptions()
    path = Path(word)
    try:
        path.exists()
    except (OSError, ValueError) as error:  # too long a name
        raise DataError(f"{word[:60]!r} cannot be a source: {getattr(error, 'strerror', None) or error}") from None
    if word.partition(":")[0] == REALSENSE and not path.exists():
        return RealSense(word.partition(":")[2])
    if (word.isdecimal() and not path.exists()) or path.is_char_device():
        return WebCamera(word)
    if path.is_dir():
        is_bag = (path / "metadata.yaml").exists() or any(file.suffix in _BAG_ENDS for file in path.iterdir())
        if is_bag:
            return RecordedBag(path, options)
        return Pictures(path, depth_unit_m=options.depth_unit_m, strict=options.strict)
    ending = path.suffix.lower()
    if ending in _BAG_ENDS:
        return RecordedBag(path, options)
    if ending in VIDEOS:
        return Video(path, options.depth, depth_unit_m=options.depth_unit_m, strict=options.strict)
    if ending in PICTURES:
        return Pictures(path, options.depth, depth_unit_m=options.depth_unit_m)
    reason = "is none of what can be read" if path.exists() else "does not exist"
    raise DataError(f"{word} {reason}; accepted is {ACCEPTED}")
