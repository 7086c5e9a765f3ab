"""Windows from a recorded RGB-D bag, as arrays to train on. No labels are needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tiae_ros.errors import DataError, ParameterError
from tiae_ros.model.segmenter import METHODS, choose_segmentation
from tiae_ros.model.shipped import DEFAULT_SEGMENTATION_MODEL
from tiae_ros.streams.bags import Bag, RgbdFrame
from tiae_ros.streams.camera import focal_length_px
from tiae_ros.streams.depth_units import MILLIMETRE_M, question_unit
from tiae_ros.streams.recorded_joints import RecordedJoints
from tiae_ros.streams.recorded_pairs import RecordedPairs
from tiae_ros.vision.cut_windows import cut_depth, cut_masks
from tiae_ros.vision.detail import cut_stored
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import Segmentation
from tiae_ros.vision.window import Window, has_reading
from tiae_training.data.arrays import check_window_size

_DEPTH_MAX_M = SegmentationSettings().depth_max_m
# what to extract -> the channels of `images`, named as in a model's manifest
CHANNELS: dict[str, tuple[str, ...]] = {
    "masks": ("hand_mask", "object_mask"),
    "depth": ("depth",),
    "masks+depth": ("hand_mask", "object_mask", "depth"),
}
_BOTH = "masks+depth"  # what a hand pose model reads, and a detail beside it


@dataclass(frozen=True)
class ExtractionSettings:
    """How windows are cut; the defaults are those of the node."""

    channels: str = "masks"
    label: str | None = None  # what every window is called; None: no labels
    from_s: float = 0.0  # only frames of this part of the bag, counted from its first one
    to_s: float = math.inf
    window_size: int = 32
    metric_size_m: float = 0.30
    range_m: float = 0.30
    focal_px: float | None = None  # None: from the bag's camera info
    every_hand: bool = False  # False: the nearest hand of each frame
    use_color: bool = True
    segmentation_method: str = "auto"
    segmentation_model: str = DEFAULT_SEGMENTATION_MODEL
    slop_s: float = 0.02  # largest difference of stamps between colour and depth
    joints_slop_s: float = 0.05  # and between these and the robot's joints
    depth_unit_m: float = MILLIMETRE_M  # one step of 16-bit depth

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise ParameterError(f"channels {self.channels!r} are unknown; accepted are {', '.join(CHANNELS)}")
        if self.segmentation_method not in METHODS:
            raise ParameterError(
                f"segmentation {self.segmentation_method!r} is unknown; accepted are {', '.join(METHODS)}"
            )
        check_window_size(self.window_size)
        for name in ("metric_size_m", "range_m"):
            if not 0.05 <= getattr(self, name) <= 2.0:
                raise ParameterError(f"{name} {getattr(self, name)} is not within 0.05 to 2.0")
        if not 0 <= self.from_s < self.to_s:
            raise ParameterError(f"the part from {self.from_s} to {self.to_s} s is empty; accepted is 0 <= from < to")
        if self.label is not None and not (self.label.isprintable() and 0 < len(self.label.strip()) <= 100):
            raise ParameterError(f"label {self.label!r} cannot be used; accepted are 1 to 100 printable characters")
        for name, slop_s in (("slop", self.slop_s), ("joints slop", self.joints_slop_s)):
            if not 0 <= slop_s <= 10:
                raise ParameterError(f"{name} {slop_s} s is not within 0 to 10")
        if not 1e-5 <= self.depth_unit_m <= 0.1:
            raise ParameterError(f"depth unit {self.depth_unit_m} m is not within 0.00001 to 0.1")
        if self.focal_px is not None and not 1 <= self.focal_px <= 1e5:
            raise ParameterError(f"focal length {self.focal_px} px is not within 1 to 100000")


@dataclass(frozen=True)
class Extraction:
    """What was cut out of a bag."""

    arrays: dict[str, np.ndarray]
    frames: int
    frames_without_hand: int
    segmentation: str
    """"classical", or "network" and its model id."""
    remarks: tuple[str, ...] = ()
    """One line about each thing that was left out or looks wrong."""
    topics: str = ""
    """Which of the bag's topics were taken, and why."""


def extract_windows(
    path: Path | str,
    settings: ExtractionSettings | None = None,
    *,
    color_topic: str | None = None,
    depth_topic: str | None = None,
    camera_info_topic: str | None = None,
    joints_topic: str | None = None,
    progress: Callable[[int], None] | None = None,
    strict: bool = False,
) -> Extraction:
    """Windows of every frame of a bag that shows a hand; ``progress`` is told the number of frames so far.

    With a topic of joint states, of frames that these go with, and their joints beside them. A part of the bag that
    cannot be used is left out and told in ``remarks``, or refused where ``strict``.

    Raises:
        BagError: the bag cannot be used; where ``strict`` also: a part of it.
        ImageError: where ``strict``: an image in it cannot be used.
        DataError: no frame shows a hand.
        ParameterError: the bag has no camera info that can be used and no focal length was given.
        ModelError: what finds hands cannot be used.
    """
    settings = settings or ExtractionSettings()
    segmentation = choose_segmentation(settings.segmentation_method, settings.segmentation_model)
    images, masks, details, windows, stamps = [], [], [], [], []
    frames = without = 0
    remarks = _Remarks()
    with Bag(path, strict=strict) as bag:
        topics = bag.camera_topics(color_topic, depth_topic, camera_info_topic)
        robot = _RobotJoints(bag, joints_topic, settings.joints_slop_s) if joints_topic is not None else None
        pairs = bag.pair_images(topics.color, topics.depth, settings.slop_s)
        first_ns = None
        for frame in bag.rgbd_frames(topics, pairs=pairs, depth_unit_m=settings.depth_unit_m):
            first_ns = frame.stamp_ns if first_ns is None else first_ns
            if not settings.from_s <= (frame.stamp_ns - first_ns) * 1e-9 < settings.to_s:
                continue
            frames += 1
            focal_px = settings.focal_px or (focal_length_px(frame.k) if frame.k is not None else None)
            remarks.of_frame(frame, settings, focal_px)
            if focal_px is None or (robot is not None and not robot.has(frame.stamp_ns)):
                continue
            found = False
            for window, image, mask, detail in _windows_of(frame, focal_px, settings, segmentation):
                found = True
                images.append(image)
                masks.append(mask)
                details += [] if detail is None else [detail]
                windows.append((window.center_x, window.center_y, window.side_px, window.depth_m))
                stamps.append(frame.stamp_ns)
                if robot is not None:
                    robot.keep()
            without += not found
            if progress is not None:
                progress(frames)
    told = (
        *filter(None, [topics.doubt]), *pairs.told(), *bag.skipped.lines(), *remarks.told(frames),
        *(robot.told(frames) if robot else ()),
    )  # fmt: skip
    if not images and first_ns is None:
        raise _no_frame(path, pairs, told)
    if not images:
        if robot is not None and frames and robot.without == frames:
            raise DataError(f"bag {path}: {robot.told(frames)[0]}; a larger --joints-slop takes stamps farther apart")
        raise _nothing_found(path, settings, frames, remarks, told)
    stacked = np.stack(images)
    arrays = {
        "images": stacked if "depth" in settings.channels else np.rint(stacked * 255).astype(np.uint8),
        "channels": np.array(CHANNELS[settings.channels]),
        "foreground_mask": np.rint(np.stack(masks) * 255).astype(np.uint8),
        "windows": np.array(windows, np.float64),  # center_x, center_y, side_px, depth_m
        "stamps_ns": np.array(stamps, np.int64),
        "metric_size_m": np.array(settings.metric_size_m),
        **_told_by(settings, len(images)),
        **(robot.arrays() if robot else {}),
    }
    if settings.channels == _BOTH:
        arrays["details"] = np.rint(np.stack(details) * 255).astype(np.uint8)
    return Extraction(arrays, frames, without, segmentation.name, told, topics.told)


class _RobotJoints:
    """The joints of a robot beside the windows."""

    def __init__(self, bag: Bag, topic: str, slop_s: float) -> None:
        self._joints, self._topic, self._slop_s = RecordedJoints(bag, topic), topic, slop_s
        self._now = np.zeros(0)
        self._kept: list[np.ndarray] = []
        self.without = 0

    def has(self, stamp_ns: int) -> bool:
        """Whether all joints are known at a moment."""
        self._now = self._joints.at(stamp_ns, self._slop_s)
        known = bool(np.isfinite(self._now).all())
        self.without += not known
        return known

    def keep(self) -> None:
        """Beside one more window, those of the moment that was asked for last."""
        self._kept.append(self._now)

    def told(self, frames: int) -> list[str]:
        """What was left out."""
        if not self.without:
            return []
        line = (
            f"no joint state of {self._topic} within {self._slop_s:g} s tells every joint ({len(self._joints.names)})"
        )
        return [f"{self.without} of {frames} frames: {line}"]

    def arrays(self) -> dict[str, np.ndarray]:
        return {"joints": np.stack(self._kept), "joint_names": np.array(self._joints.names)}


class _Remarks:
    """What was said of how many frames."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self.without_camera = 0

    def of_frame(self, frame: RgbdFrame, settings: ExtractionSettings, focal_px: float | None) -> None:
        found = dict(frame.warnings)
        if focal_px is None:
            self.without_camera += 1
            reason = frame.k_unknown.replace("no camera info yet", "there is no camera info")
            found["camera"] = f"{reason}; give the focal length with --focal-px"
        if not has_reading(frame.depth_m).any():
            found["depth"] = (
                "no depth reading at all, so that no hand can be found; is the sensor covered, or too near?"
            )
        unit = question_unit(
            frame.depth_m, frame.depth_encoding, depth_max_m=_DEPTH_MAX_M, unit_m=settings.depth_unit_m
        )
        if unit is not None:
            found["unit"] = unit
        for reason, text in found.items():
            self._counts[reason] = self._counts.get(reason, 0) + 1
            self._texts.setdefault(reason, text)

    def camera(self) -> str:
        """Why frames have no camera."""
        return self._texts["camera"]

    def told(self, frames: int) -> list[str]:
        return [f"{self._counts[reason]} of {frames} frames: {text}" for reason, text in self._texts.items()]


def _no_frame(path: Path | str, pairs: RecordedPairs, told: Sequence[str]) -> DataError:
    """Why there is no frame at all: images do not belong together, or cannot be read."""
    noticed = "".join(f"; {line}" for line in told)
    if pairs.sets:
        return DataError(f"none of the {len(pairs.sets)} pairs of colour and depth in bag {path} can be used{noticed}")
    hint = "; a larger --slop takes stamps that are farther apart" if pairs.missed is not None else ""
    return DataError(f"bag {path} holds no pair of colour and depth with stamps that agree{noticed}{hint}")


def _nothing_found(
    path: Path | str, settings: ExtractionSettings, frames: int, remarks: _Remarks, told: Sequence[str]
) -> DataError | ParameterError:
    """Why no frame gave a window, and what was noticed on the way."""
    if not frames:
        return DataError(f"bag {path} holds no frame within {settings.from_s:g} to {settings.to_s:g} s of its first")
    if remarks.without_camera == frames:
        return ParameterError(f"the focal length of bag {path} is not known: {remarks.camera()}")
    noticed = "".join(f"; {line}" for line in told)
    return DataError(
        f"no hand was found in the {frames} RGB-D frames of {path}; a hand within 0.2 to {_DEPTH_MAX_M:g} m is "
        f"needed{noticed}"
    )


def _told_by(settings: ExtractionSettings, count: int) -> dict[str, np.ndarray]:
    """Arrays that only some settings ask for."""
    arrays = {}
    if "depth" in settings.channels:
        arrays["range_m"] = np.array(settings.range_m)
    if settings.label is not None:
        arrays |= {"labels": np.zeros(count, np.int64), "label_names": np.array([settings.label])}
    return arrays


def _windows_of(
    frame: RgbdFrame, focal_px: float, settings: ExtractionSettings, segmentation: Segmentation
) -> Iterator[tuple[Window, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Each window of a frame, its image (C, S, S), what of it is hand or object (1, S, S), and its detail."""
    color = frame.color if settings.use_color else None
    sight = segmentation.see(color, frame.depth_m, focal_px=focal_px, metric_size_m=settings.metric_size_m)
    labels, windows = sight.labels, [hand.window for hand in sight.hands]
    for window in windows if settings.every_hand else windows[:1]:
        masks = cut_masks(labels, window, settings.window_size)
        parts = [masks] if "masks" in settings.channels else []
        if "depth" in settings.channels:
            parts.append(cut_depth(frame.depth_m, labels, window, settings.window_size, settings.range_m))
        detail = None
        if settings.channels == _BOTH:
            detail = cut_stored(
                frame.depth_m, labels, window, window_size=settings.window_size, range_m=settings.range_m
            )
        yield window, np.concatenate(parts), np.clip(masks.sum(axis=0, keepdims=True), 0, 1), detail
