"""The road from the pictures of one moment to its grasps, in steps: what is waited for comes first, and what fails
later leaves what came before as it is.

    describe       pictures -> descriptors (segment, window, encoder)
    estimate_hands the operator's joints, if there is a hand pose model
    restore        what else the grasp model knows: restored masks, confidence, label, shift and position
    restore_depth  restored depth; by a depth model of its own, if there is one

Conventions are those of `tiae_ros.perception`.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ModelError, TiaeError
from tiae_ros.model.autoencoder import Autoencoder, Description, Inference, load_model
from tiae_ros.model.devices import on_device
from tiae_ros.model.hand_pose import HandPose, HandPoseEstimate, check_belongs, load_hand_pose
from tiae_ros.model.pattern_poses import PatternPoses, pattern_poses
from tiae_ros.model.segmenter import choose_segmentation
from tiae_ros.model.shipped import DEFAULT_HAND_POSE_MODEL
from tiae_ros.parameters import Settings
from tiae_ros.streams.camera import focal_length_px
from tiae_ros.streams.distortion import Distortion, camera_at
from tiae_ros.vision.cut_windows import cut_depth, cut_grasp, cut_masks
from tiae_ros.vision.detail import cut_details
from tiae_ros.vision.labels import Floats, Labels, Picture, check_one_size
from tiae_ros.vision.position import metric_position
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import FOLLOWED, FoundHand, Segmentation, Sight, sight_of_labels
from tiae_ros.vision.window import Window, depth_from_window, surface_values, window_camera, window_to_image

Part = TypeVar("Part", Description, Inference)
ERROR = "error"
WARN = "warn"
_DARK = 6.0  # of 255; a picture of that mean shows no hand
_FOLLOWED_OVER_S = 0.5  # between two pictures; after a longer pause the whole picture is looked at
NON_FINITE = "non-finite network output"
MASKS = ("hand_mask", "object_mask")
GRASP_CHANNELS = (MASKS, (*MASKS, "depth"))
DEPTH_CHANNELS = (("depth",),)


class FrameDropped(TiaeError):
    """A frame, or what was still to be made of it, that cannot be used.

    Attributes:
        reason: a few words, the same for all that is dropped for this reason.
        level: ERROR when somebody has to change something, WARN when it may pass.
    """

    def __init__(self, reason: str, message: str, level: str = ERROR) -> None:
        super().__init__(message)
        self.reason = reason
        self.level = level


@dataclass(frozen=True)
class Images:
    """The pictures of one moment."""

    color: Picture | None  # (H, W, 3); None: by depth alone, or nobody needs it
    depth_m: Floats  # (H, W)
    k: NDArray[np.float64] | None = None  # (3, 3) camera matrix of the colour picture; None: unknown
    labels: Labels | None = None  # (H, W), when they come from somewhere else than our own segmentation
    distortion: Distortion | None = None  # of the lens, which k leaves out
    stamp_s: float | None = None  # hands are not followed over a pause; None: there are no pauses


@dataclass(frozen=True)
class Described:
    """Pictures as far as the encoder. Rows are grasps, the nearest (the main one) first."""

    images: Images
    labels: Labels  # (H, W)
    windows: list[Window]
    seen: Floats  # (N, C, S, S), what the grasp model was shown
    description: Description  # descriptors (N, K); shifts still in window pixels
    timings_s: dict[str, float]
    hands: list[FoundHand] = field(default_factory=list)
    road: str = ""  # how the hands were found (`vision.sight`)

    @property
    def descriptors(self) -> Floats:
        """(N, K)."""
        descriptors: Floats = self.description.descriptor
        return descriptors


@dataclass
class Result:
    """What one frame yields. Rows are grasps, the nearest (the main one) first."""

    images: Images
    labels: Labels  # (H, W)
    windows: list[Window]
    seen: Floats  # (N, C, S, S), what the grasp model was shown
    descriptors: Floats  # (N, K)
    placed: Floats  # (N, C, S, S), what was restored, lying on the input
    shifts: Floats  # (N, 2) pixels of the colour picture
    positions: Floats  # (N, 3) metres, optical frame; NaN where it cannot be known
    confidences: Floats  # (N,) 0..1, that it is a hand; without our detector, how much of the input is explained
    names: list[str] | None = None  # "" is unknown; None: the model has no labels
    restored_k: NDArray[np.float64] | None = None  # (3, 3) camera matrix of the main grasp's window
    pattern_poses: PatternPoses | None = None  # None: the model finds shifts alone
    hands: list[FoundHand] = field(default_factory=list)
    road: str = ""  # how the hands were found (`vision.sight`)
    timings_s: dict[str, float] = field(default_factory=dict)
    pose: HandPoseEstimate | None = None  # of the hands, where it was asked for

    @property
    def restored_masks(self) -> Floats | None:
        """Hand and object of the main grasp, lying on the input: (2, S, S)."""
        return self.placed[0, :2] if self.windows else None


def load_pipeline(settings: Settings) -> Pipeline:
    """The pipeline of some settings. Raises ModelError, or ParameterError for a device that is not there."""
    return on_device(settings.device, lambda device: _load_pipeline(settings, device))


def _load_pipeline(settings: Settings, device: str) -> Pipeline:
    grasp = load_checked(settings.model, GRASP_CHANNELS, device)
    depth = None
    if settings.depth_model not in ("", "none"):
        depth = load_checked(settings.depth_model, DEPTH_CHANNELS, device)
    segmentation = None
    if settings.mask_source == "segmentation":
        segmentation = choose_segmentation(settings.segmentation_method, settings.segmentation_model)
    return Pipeline(grasp, depth, segmentation, _load_hand_pose(settings, grasp))


def _load_hand_pose(settings: Settings, grasp: Autoencoder) -> HandPose | None:
    name = settings.hand_pose_model
    if name == "auto":
        name = DEFAULT_HAND_POSE_MODEL if settings.robot_hand else "none"
    if name in ("", "none"):
        return None
    hand_pose = load_hand_pose(name)
    check_belongs(hand_pose, grasp)
    return hand_pose


def load_checked(name: str, accepted: Sequence[tuple[str, ...]], device: str) -> Autoencoder:
    """Load a model by name and check that it is for one of these lists of channels.

    Raises:
        ModelError: absent, damaged, or for other channels.
    """
    model = load_model(name, device, threads=1)
    if model.manifest.channels not in accepted:
        raise ModelError(
            f"model {name} is for the channels {', '.join(model.manifest.channels)}; "
            f"accepted here: {' | '.join(', '.join(channels) for channels in accepted)}"
        )
    return model


class Stopwatch:
    """Names the time since the last call."""

    def __init__(self) -> None:
        self.timings_s: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.timings_s[name] = self.timings_s.get(name, 0.0) + now - self._last
        self._last = now


class Pipeline:
    """Segmentation, the models, and the road through them.

    The grasp model sees hand and object masks, or these and depth (a joint model): then one inference yields the
    restored depth too, unless there is a depth model of its own for it.
    """

    def __init__(
        self,
        grasp_model: Autoencoder,
        depth_model: Autoencoder | None = None,
        segmentation: Segmentation | None = None,
        hand_pose: HandPose | None = None,
    ) -> None:
        """segmentation: None where labels come with the pictures. Raises ModelError for models that do not fit."""
        self.grasp_model = grasp_model
        self.depth_model = depth_model
        self.segmentation = segmentation
        self.hand_pose = hand_pose
        manifest = grasp_model.manifest
        self.joint = len(manifest.channels) == 3
        self._size = manifest.window_size
        self._metric_size_m = float(manifest.preprocessing.get("metric_size_m", 0.30))
        self._joint_range_m = float(manifest.preprocessing.get("range_m", 0.30))
        self._range_m = self._joint_range_m
        self._followed: list[FoundHand] = []
        self._since_whole = 0
        self._last_stamp_s = 0.0
        if depth_model is not None:
            self._range_m = float(depth_model.manifest.preprocessing.get("range_m", 0.30))
            if depth_model.manifest.window_size != self._size:
                raise ModelError(
                    f"depth model {depth_model.manifest.model_id} has windows of {depth_model.manifest.window_size} "
                    f"pixels, but model {manifest.model_id} has {self._size}; they must be of one size"
                )

    @property
    def depth_model_id(self) -> str:
        """Of the model that restores depth; "" when none does."""
        restoring = self.depth_model or (self.grasp_model if self.joint else None)
        return restoring.manifest.model_id if restoring else ""

    def describe(self, images: Images, settings: Settings) -> Described:
        """From pictures to descriptors, all of which are finite.

        Raises:
            FrameDropped: the frame cannot be used; the reason says why.
        """
        watch = Stopwatch()
        focal_px = focal_length_px(images.k) if images.k is not None else None
        if focal_px is None:
            focal_px = assumed_focal_px(images.depth_m.shape, settings)
        sight = self._sight(images, settings, focal_px)
        watch.lap("segment")
        labels, hands = sight.labels, sight.hands[: settings.max_grasps]
        windows = [hand.window for hand in hands]
        seen = self._seen(labels, images.depth_m, windows)
        watch.lap("window")
        description = _finite(self.grasp_model, self.grasp_model.describe, seen)
        watch.lap("network")
        return Described(images, labels, windows, seen, description, watch.timings_s, hands, sight.road)

    def estimate_hands(self, described: Described, most: int | None = None) -> HandPoseEstimate | None:
        """The operator's joints in the first grasps, at most ``most``; None without a hand pose model.

        Raises:
            FrameDropped: the model failed; what was described stays as it was.
        """
        if self.hand_pose is None:
            return None
        description = described.description
        details = None
        if "detail" in self.hand_pose.inputs:
            details = cut_details(
                described.images.depth_m,
                described.labels,
                described.windows[:most],
                described.seen[:most],
                description.parameters[:most, :2],
                self._joint_range_m,
            )
        try:
            return self.hand_pose.estimate(described.seen[:most], description.descriptor[:most], details)
        except ModelError as error:
            raise FrameDropped(NON_FINITE, f"{error}; the result is withheld") from error

    def restore(self, described: Described) -> Result:
        """What the grasp model knows beside the descriptor.

        Raises:
            FrameDropped: the model failed; what was described stays as it was.
        """
        watch = Stopwatch()
        seen, model = described.seen, self.grasp_model
        placed = _finite(model, model.restore_described, described.description).placed
        energy = np.maximum((seen**2).sum(axis=(1, 2, 3)), 1e-6)
        unexplained = ((placed - seen) ** 2).sum(axis=(1, 2, 3)) / energy
        result = Result(
            images=described.images,
            labels=described.labels,
            windows=described.windows,
            seen=seen,
            descriptors=described.descriptors,
            placed=placed,
            shifts=np.zeros((len(seen), 2), np.float32),
            positions=np.full((len(seen), 3), np.nan, np.float32),
            confidences=np.clip(1 - unexplained, 0, 1).astype(np.float32),
            names=[model.label(one) for one in described.descriptors] if model.manifest.prototype_names else None,
            hands=described.hands,
            road=described.road,
            # Windows lie upright in the picture, and are square: an angle in one is that in the picture.
            pattern_poses=pattern_poses(described.description.parameters, described.description.angle_confidence),
        )
        for index, hand in enumerate(described.hands):
            if hand.confidence is not None:  # the detector's own is calibrated
                result.confidences[index] = hand.confidence
        self._locate(result, described.description.parameters[:, :2])
        watch.lap("restoration")
        result.timings_s = {**described.timings_s, **watch.timings_s}
        return result

    def restore_depth(self, result: Result, settings: Settings, index: int = 0) -> Floats | None:
        """The restored depth of a grasp, lying on the input: (S, S) metres; None where no model restores depth.

        Raises:
            FrameDropped: the depth model failed; the result stays as it was.
        """
        if index >= len(result.windows):
            return None
        window, placed = result.windows[index], result.placed[index]
        if self.depth_model is not None:
            depth = cut_depth(result.images.depth_m, result.labels, window, self._size, self._range_m)  # (1, S, S)
            values = _finite(self.depth_model, self.depth_model.infer, depth[None]).placed[0, 0]
        elif self.joint:
            values = placed[2]
        else:
            return None
        surface = surface_values(values, placed[:2].sum(0))  # outlines are soft
        return depth_from_window(surface, window, self._range_m, settings.restored_threshold)

    def _seen(self, labels: Labels, depth_m: Floats, windows: list[Window]) -> Floats:
        """What the grasp model sees: masks (N, 2, S, S), or masks and depth (N, 3, S, S)."""
        seen = np.empty((len(windows), 3 if self.joint else 2, self._size, self._size), np.float32)
        for row, window in zip(seen, windows, strict=True):
            if self.joint:
                row[:] = cut_grasp(depth_m, labels, window, self._size, self._joint_range_m)
            else:
                row[:] = cut_masks(labels, window, self._size)
        return seen

    def _sight(self, images: Images, settings: Settings, focal_px: float) -> Sight:
        """Labels that came with the pictures and their windows, or what our own segmentation sees.

        Hands of the picture before are followed; every so often, and where one is lost, the whole picture is looked at.
        """
        if images.labels is not None:
            check_one_size("labels", images.labels.shape, images.depth_m)
            return sight_of_labels(images.labels, images.depth_m, focal_px, self._metric_size_m)
        if self.segmentation is None:
            raise ModelError("this pipeline has no segmentation; give it one, or labels with the pictures")
        self._follow_only_the_next(images.stamp_s)
        before = self._followed if settings.follow_frames else []
        try:
            with _enough_memory("cpu"):
                sight = self.segmentation.see(
                    images.color if _uses_color(images.color, settings.use_color) else None,
                    images.depth_m,
                    segmentation_settings(settings),
                    focal_px=focal_px,
                    metric_size_m=self._metric_size_m,
                    before=before,
                    redetect=self._since_whole >= settings.follow_frames,
                )
        except ModelError as error:
            raise FrameDropped(NON_FINITE, f"{error}; the result is withheld") from error
        self._followed = sight.hands
        self._since_whole = self._since_whole + 1 if sight.road == FOLLOWED else 0
        return sight

    def _follow_only_the_next(self, stamp_s: float | None) -> None:
        """Hands are not followed over a pause, nor back in time."""
        if stamp_s is None:
            return
        if not 0 <= stamp_s - self._last_stamp_s <= _FOLLOWED_OVER_S:
            self.forget()
        self._last_stamp_s = stamp_s

    def forget(self) -> None:
        """Follow nothing from the next picture on: it is not the next of the same camera."""
        self._followed, self._since_whole = [], 0

    def _locate(self, result: Result, shifts: Floats) -> None:
        """Window pixels -> pixels of the colour picture relative to its centre, and metres."""
        height, width = result.labels.shape
        images, middle = result.images, (self._size - 1) / 2
        for index, (window, (dx, dy)) in enumerate(zip(result.windows, shifts, strict=True)):
            x, y = window_to_image(middle + float(dx), middle + float(dy), window, self._size)
            result.shifts[index] = x - (width - 1) / 2, y - (height - 1) / 2
            if images.k is None:
                continue
            k = camera_at(images.k, images.distortion, x, y)
            position = metric_position(x, y, window.depth_m, k)
            if position is not None:
                result.positions[index] = position
                if index == 0:
                    result.restored_k = window_camera(k, window, self._size)


def _uses_color(color: Picture | None, use_color: str) -> bool:
    """Whether hands are looked for by colour; "auto": unless it is dark, or without any colour."""
    if color is None or use_color != "auto":
        return use_color != "false"
    some = color[::16, ::16].reshape(-1, 3).astype(np.int16)
    return bool(some.mean() >= _DARK and (np.ptp(some, axis=1) > 2).any())


def assumed_focal_px(shape: tuple[int, ...], settings: Settings) -> float:
    """The focal length of a picture (H, W) whose camera is not known."""
    return shape[1] / 2 / math.tan(math.radians(settings.assumed_fov_deg) / 2)


def segmentation_settings(settings: Settings) -> SegmentationSettings:
    """The part of the settings that segmentation knows."""
    return SegmentationSettings(
        grid_long_side=settings.segmentation_grid,
        depth_max_m=settings.depth_max_m,
        skin_min=settings.skin_min,
        skin_max=settings.skin_max,
        hand_confidence_min=settings.hand_confidence_min,
        hand_views=settings.hand_views,
    )


def _finite(model: Autoencoder, half: Callable[[Any], Part], given: Any) -> Part:
    """What a model's pass, or half of it, makes of what it is given; FrameDropped where that cannot be used."""
    with _enough_memory(model.device):
        made = half(given)
    if not all(np.isfinite(part).all() for part in vars(made).values() if part is not None):
        raise FrameDropped(
            NON_FINITE, f"model {model.manifest.model_id} gave a number that is not finite; the result is withheld"
        )
    return made


@contextlib.contextmanager
def _enough_memory(device: str) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise FrameDropped("out of memory", f"out of memory on {device}: {error}") from error
