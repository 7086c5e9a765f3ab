"""One frame -> everything that is published: decode, segment, window, networks, position. No ROS.

The images of a `Frame` are anything with the fields of sensor_msgs/Image (or CompressedImage). Conventions are
those of `tiae_ros.vision`: pixel centres at integer coordinates, x right, y down, metres, NaN = nothing.

The *shift* of a grasp is where its pattern lies in the colour image, relative to the image's centre, in pixels:

    (window centre + shift within the window, scaled to image pixels) - ((W - 1) / 2, (H - 1) / 2)

so moving the picture by (dx, dy) changes it by exactly (dx, dy).

What is waited for comes first, and what fails later leaves what came before as it is:

    describe       messages -> descriptors (decode, segment, window, encoder)
    restore        what else the grasp model knows: restored masks, confidence, label, shift and position
    restore_depth  restored depth; by a depth model of its own, if there is one
    draw           the debug picture
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tiae_ros.core.model import Description, Inference, TransformInvariantAutoencoder
from tiae_ros.errors import ImageError, ModelError
from tiae_ros.node.compressed_images import decode_compressed_color, decode_compressed_depth
from tiae_ros.node.drawn_frame import drawn_images
from tiae_ros.node.other_encodings import decode_by_cv_bridge, is_other_color
from tiae_ros.node.parameters import Settings
from tiae_ros.vision.image_decoding import decode_message, resize_depth_to, to_depth_m, to_rgb
from tiae_ros.vision.position import focal_length_px, metric_position
from tiae_ros.vision.segmentation import SegmentationSettings
from tiae_ros.vision.segmentation_choice import CLASSICAL, Segmentation
from tiae_ros.vision.window import (
    HAND,
    OBJECT,
    Window,
    cut_depth,
    cut_grasp,
    cut_masks,
    depth_from_window,
    find_windows,
    surface_values,
    window_camera,
    window_to_image,
)

Floats = NDArray[np.float32]
Part = TypeVar("Part", Description, Inference)
ERROR = "error"
WARN = "warn"
NON_FINITE = "non-finite network output"


class FrameDropped(Exception):
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
class Frame:
    """The images of one moment, not decoded yet."""

    color: Any
    depth: Any
    hand_mask: Any = None
    object_mask: Any = None
    camera_info: Any = None
    """The latest one; anything with the fields of sensor_msgs/CameraInfo."""


@dataclass(frozen=True)
class Wanted:
    """What somebody looks at; the rest is not made."""

    segmentation: bool = False
    debug_image: bool = False


@dataclass(frozen=True)
class Scene:
    """What a frame shows, decoded and segmented."""

    color: NDArray[np.uint8] | None  # (H, W, 3); None: nobody needed it
    depth_m: Floats  # (H, W)
    labels: NDArray[np.uint8]  # (H, W)
    masks: Floats  # (N, 2, S, S) of hand and object, a row per grasp


@dataclass(frozen=True)
class Described:
    """A frame as far as the encoder. Rows are grasps, the nearest (the main one) first."""

    scene: Scene
    windows: list[Window]
    seen: Floats  # (N, C, S, S), what the grasp model was shown
    description: Description  # descriptors (N, K); shifts still in window pixels
    k: NDArray[np.float64] | None  # (3, 3) camera matrix of the colour image; None: unknown
    wanted: Wanted
    warnings: dict[str, str]
    """Reason -> message, about what will be withheld."""
    timings_s: dict[str, float]

    @property
    def descriptors(self) -> Floats:
        """(N, K)."""
        descriptors: Floats = self.description.descriptor
        return descriptors


@dataclass
class Result:
    """What one frame yields. Rows are grasps, the nearest (the main one) first."""

    scene: Scene

    descriptors: Floats  # (N, K)
    shifts: Floats  # (N, 2) pixels of the colour image
    positions: Floats  # (N, 3) metres, optical frame; NaN where it cannot be known
    confidences: Floats  # (N,) 0..1, how much of the input the restored pattern explains
    windows: list[Window]
    restored_masks: Floats | None = None  # (2, S, S) of the main grasp, lying on the input
    restored_k: NDArray[np.float64] | None = None  # (3, 3) camera matrix of the main grasp's window
    placed_depth: Floats | None = None  # (S, S) of the main grasp, 0..1 as in `cut_depth`, by a joint model
    label: str | None = None  # of the main grasp; None: the model has no labels
    restored_depth_m: Floats | None = None  # (S, S) of the main grasp, lying on the input; by `restore_depth`
    segmentation: NDArray[np.uint8] | None = None  # (H, W), when wanted
    debug_image: NDArray[np.uint8] | None = None  # (H, W', 3); by `draw`
    warnings: dict[str, str] = field(default_factory=dict)
    """Reason -> message, about what was withheld."""
    timings_s: dict[str, float] = field(default_factory=dict)


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
        grasp_model: TransformInvariantAutoencoder,
        depth_model: TransformInvariantAutoencoder | None,
        segmentation: Segmentation = CLASSICAL,
    ) -> None:
        self.grasp_model = grasp_model
        self.depth_model = depth_model
        self.segmentation = segmentation
        self.joint = len(grasp_model.manifest.channels) == 3
        self._size = grasp_model.manifest.window_size
        self._metric_size_m = float(grasp_model.manifest.preprocessing.get("metric_size_m", 0.30))
        self._joint_range_m = float(grasp_model.manifest.preprocessing.get("range_m", 0.30))
        self._range_m = self._joint_range_m
        if depth_model is not None:
            self._range_m = float(depth_model.manifest.preprocessing.get("range_m", 0.30))
            if depth_model.manifest.window_size != self._size:
                raise ModelError(
                    f"depth model {depth_model.manifest.model_id} has windows of {depth_model.manifest.window_size} "
                    f"pixels, but model {grasp_model.manifest.model_id} has {self._size}; they must be of one size"
                )

    @property
    def depth_model_id(self) -> str:
        """Of the model that restores depth; "" when none does."""
        restoring = self.depth_model or (self.grasp_model if self.joint else None)
        return restoring.manifest.model_id if restoring else ""

    def warm_up(self, settings: Settings) -> None:
        """First passes are slow and take memory for good (buffers, kernels, modules); they are made here.

        A drawn frame goes all the way, so that the first frame of the camera finds everything in its place. What is
        there then stays, so the garbage collector need not walk through it in the middle of a frame; what an earlier
        warm-up set aside is looked at again, lest the models of earlier configurations stay for ever.
        """
        for model in (self.grasp_model, self.depth_model):
            if model is not None:
                shape = (len(model.manifest.channels), model.manifest.window_size, model.manifest.window_size)
                for count in sorted({1, settings.max_grasps}):
                    for _ in range(3):
                        model.infer(np.zeros((count, *shape), np.float32))
        frame = Frame(**drawn_images())
        if not self._passes(frame, settings):  # the segmentation network need not take the drawn hand for one
            self._passes(frame, dataclasses.replace(settings, mask_source="topics"))
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _passes(self, frame: Frame, settings: Settings) -> bool:
        """Send a frame all the way three times; whether a grasp was in it."""
        seen = False
        for _ in range(3):
            with contextlib.suppress(FrameDropped):  # a fault that lasts is told of with the first real frame
                result = self.process(frame, settings, Wanted(segmentation=True, debug_image=True))
                seen = bool(result.windows)
                self.restore_depth(result, settings)
                self.draw(result)
        return seen

    def process(self, frame: Frame, settings: Settings, wanted: Wanted | None = None) -> Result:
        """All that one frame yields but restored depth and debug picture: `describe` and `restore` at once.

        Raises:
            FrameDropped: the frame cannot be used; the reason says why.
        """
        return self.restore(self.describe(frame, settings, wanted))

    def describe(self, frame: Frame, settings: Settings, wanted: Wanted | None = None) -> Described:
        """From messages to descriptors, all of which are finite.

        Raises:
            FrameDropped: the frame cannot be used; the reason says why.
        """
        wanted = wanted or Wanted()
        watch = Stopwatch()
        need_color = settings.mask_source == "segmentation" or wanted.debug_image
        color, shape = _color(frame.color, need_color)
        depth_m = _depth(frame.depth, shape, settings)
        watch.lap("decode")
        k, warnings = _camera_matrix(frame, shape)
        focal_px = focal_length_px(k) if k is not None else None
        if focal_px is None:
            focal_px = shape[1] / 2 / math.tan(math.radians(settings.assumed_fov_deg) / 2)
        labels = self._labels(frame, color, depth_m, settings, focal_px)
        watch.lap("segment")
        windows = find_windows(labels, depth_m, focal_px, self._metric_size_m)[: settings.max_grasps]
        seen = self._seen(labels, depth_m, windows)
        watch.lap("window")
        if windows:
            description = _finite(self.grasp_model, self.grasp_model.describe, seen)
        else:
            none = np.zeros((0, self.grasp_model.manifest.descriptor_size), np.float32)
            description = Description(none, np.zeros((0, 2), np.float32))
        watch.lap("network")
        scene = Scene(color, depth_m, labels, seen[:, :2])
        return Described(scene, windows, seen, description, k, wanted, warnings, watch.timings_s)

    def restore(self, described: Described) -> Result:
        """What the grasp model knows beside the descriptor.

        Raises:
            FrameDropped: the model failed; what was described stays as it was.
        """
        watch = Stopwatch()
        count = len(described.windows)
        result = Result(
            described.scene,
            descriptors=described.descriptors,
            shifts=np.zeros((count, 2), np.float32),
            positions=np.full((count, 3), np.nan, np.float32),
            confidences=np.zeros(count, np.float32),
            windows=described.windows,
            segmentation=described.scene.labels if described.wanted.segmentation else None,
            warnings=described.warnings,
        )
        if described.windows:
            self._decode(result, described)
            self._locate(result, described)
        watch.lap("restoration")
        result.timings_s = {**described.timings_s, **watch.timings_s}
        return result

    def restore_depth(self, result: Result, settings: Settings) -> None:
        """Add the restored depth of the main grasp, where there is a grasp and a depth model.

        Raises:
            FrameDropped: the depth model failed; the result stays as it was.
        """
        if not result.windows or result.restored_masks is None:
            return
        scene, window, range_m = result.scene, result.windows[0], self._range_m
        values = result.placed_depth
        if self.depth_model is not None:
            main = cut_depth(scene.depth_m, scene.labels, window, self._size, range_m)  # (1, S, S)
            values = _finite(self.depth_model, self.depth_model.infer, main[None]).placed[0, 0]
        if values is not None:
            placed = surface_values(values, result.restored_masks.sum(0))  # outlines are soft
            result.restored_depth_m = depth_from_window(placed, window, range_m, settings.restored_threshold)

    def draw(self, result: Result) -> None:
        """Add the debug picture, where the frame's colours were decoded."""
        if result.scene.color is not None:
            from tiae_ros.node.drawing import draw

            result.debug_image = draw(result.scene.color, result.scene.labels, result.scene.masks, result)

    def _seen(self, labels: NDArray[np.uint8], depth_m: Floats, windows: list[Window]) -> Floats:
        """What the grasp model sees: masks (N, 2, S, S), or masks and depth (N, 3, S, S)."""
        seen = np.empty((len(windows), 3 if self.joint else 2, self._size, self._size), np.float32)
        for row, window in zip(seen, windows, strict=True):
            if self.joint:
                row[:] = cut_grasp(depth_m, labels, window, self._size, self._joint_range_m)
            else:
                row[:] = cut_masks(labels, window, self._size)
        return seen

    def _labels(
        self, frame: Frame, color: NDArray[np.uint8] | None, depth_m: Floats, settings: Settings, focal_px: float
    ) -> NDArray[np.uint8]:
        """By our own segmentation, or from the masks that came."""
        if settings.mask_source != "segmentation":
            return _labels_of_masks(frame, depth_m, settings)
        limits = segmentation_settings(settings)
        try:
            with _enough_memory("cpu"):
                return self.segmentation.segment(color, depth_m, limits, focal_px=focal_px)
        except ModelError as error:
            raise FrameDropped(NON_FINITE, f"{error}; the result is withheld") from error

    def _decode(self, result: Result, described: Described) -> None:
        """Restored masks, and depth of a joint model, of the main grasp; how well they explain what was seen; label."""
        seen = described.seen
        placed = _finite(self.grasp_model, self.grasp_model.restore_described, described.description).placed
        energy = np.maximum((seen**2).sum(axis=(1, 2, 3)), 1e-6)
        unexplained = ((placed - seen) ** 2).sum(axis=(1, 2, 3)) / energy
        result.confidences = np.clip(1 - unexplained, 0, 1).astype(np.float32)
        result.restored_masks = np.clip(placed[0, :2], 0, 1)
        result.placed_depth = placed[0, 2] if self.joint else None
        if self.grasp_model.manifest.prototype_names:
            result.label = self.grasp_model.label(result.descriptors[0])

    def _locate(self, result: Result, described: Described) -> None:
        """Window pixels -> pixels of the colour image relative to its centre, and metres."""
        height, width = described.scene.labels.shape
        k, middle = described.k, (self._size - 1) / 2
        shifts = described.description.parameters[:, :2]
        for index, (window, (dx, dy)) in enumerate(zip(result.windows, shifts, strict=True)):
            x, y = window_to_image(middle + float(dx), middle + float(dy), window, self._size)
            result.shifts[index] = x - (width - 1) / 2, y - (height - 1) / 2
            position = metric_position(x, y, window.depth_m, k) if k is not None else None
            if position is not None:
                result.positions[index] = position
        if k is not None:
            result.restored_k = window_camera(k, result.windows[0], self._size)


def _finite(model: TransformInvariantAutoencoder, half: Callable[[Any], Part], given: Any) -> Part:
    """What a model's pass, or half of it, makes of what it is given; FrameDropped where that cannot be used."""
    with _enough_memory(str(model.device)):
        made = half(given)
    if not all(np.isfinite(part).all() for part in vars(made).values()):
        raise FrameDropped(
            NON_FINITE, f"model {model.manifest.model_id} gave a number that is not finite; the result is withheld"
        )
    return made


@contextlib.contextmanager
def _enough_memory(device: str) -> Iterator[None]:
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        first_line = str(error).partition("\n")[0]
        raise FrameDropped("out of memory", f"out of memory on {device}: {first_line}") from error


def _color(image: Any, need_pixels: bool) -> tuple[NDArray[np.uint8] | None, tuple[int, int]]:
    """Pixels (H, W, 3) or None when nobody needs them, and (H, W)."""
    try:
        if not hasattr(image, "encoding"):
            pixels = decode_compressed_color(image.data)
            return pixels, pixels.shape[:2]
        if is_other_color(image.encoding):
            pixels = decode_by_cv_bridge(image)
            return pixels, pixels.shape[:2]
        pixels = decode_message(image)
        return (to_rgb(pixels, image.encoding) if need_pixels else None), pixels.shape[:2]
    except ImageError as error:
        raise FrameDropped("colour image", f"colour: {error}") from error


def _depth(image: Any, shape: tuple[int, int], settings: Settings) -> Floats:
    """Metres at the colour image's size, NaN = nothing."""
    try:
        if not hasattr(image, "encoding"):
            depth_m = decode_compressed_depth(image.data, image.format)
        else:
            depth_m = to_depth_m(decode_message(image), image.encoding)
    except ImageError as error:
        raise FrameDropped("depth image", f"depth: {error}") from error
    readings = np.count_nonzero(depth_m == depth_m)  # NaN is not equal to itself
    if readings < settings.min_valid_fraction * depth_m.size:
        share = readings / depth_m.size
        raise FrameDropped(
            "too few depth readings",
            f"only {share:.1%} of the depth image are readings; at least {settings.min_valid_fraction:.1%} "
            "are needed (min_valid_fraction)",
            WARN,
        )
    try:
        return resize_depth_to(depth_m, shape)
    except ImageError as error:
        raise FrameDropped("sizes", str(error)) from error


def _labels_of_masks(frame: Frame, depth_m: Floats, settings: Settings) -> NDArray[np.uint8]:
    labels = np.zeros(depth_m.shape, np.uint8)
    for image, value, name in ((frame.object_mask, OBJECT, "object"), (frame.hand_mask, HAND, "hand")):
        try:
            mask = decode_message(image)
            if image.encoding not in ("mono8", "8UC1"):
                raise ImageError(f"encoding {image.encoding!r} cannot be a mask; accepted are mono8, 8UC1")
        except ImageError as error:
            raise FrameDropped("mask image", f"{name} mask: {error}") from error
        if mask.shape != labels.shape:
            raise FrameDropped(
                "sizes",
                f"{name} mask is {mask.shape[1]}x{mask.shape[0]} but colour is "
                f"{labels.shape[1]}x{labels.shape[0]}; they must be of one size",
            )
        labels[mask > 127] = value
    with np.errstate(invalid="ignore"):
        labels[depth_m > settings.depth_max_m] = 0
    return labels


def segmentation_settings(settings: Settings) -> SegmentationSettings:
    """The part of the node's settings that segmentation knows."""
    return SegmentationSettings(
        grid_long_side=settings.segmentation_grid,
        depth_max_m=settings.depth_max_m,
        skin_min=settings.skin_min,
        skin_max=settings.skin_max,
    )


def _camera_matrix(frame: Frame, shape: tuple[int, int]) -> tuple[NDArray[np.float64] | None, dict[str, str]]:
    """K of the colour image's pixels, or None and why there is no usable one."""
    info = frame.camera_info
    if info is None:
        return None, {"no camera info": "no camera info yet: positions in metres are withheld"}
    k = np.asarray(info.k, dtype=np.float64)
    if focal_length_px(k) is None:
        return None, {"camera info": f"camera info is not calibrated (fx = {k[0]:g}): positions are withheld"}
    k = k.reshape(3, 3)
    color_frame, info_frame = frame.color.header.frame_id, info.header.frame_id
    if info_frame and color_frame and info_frame != color_frame:
        return None, {
            "camera info": f"camera info is of frame {info_frame!r} but colour is of {color_frame!r}: "
            "positions are withheld"
        }
    height, width = shape
    if info.width and info.height and (info.width, info.height) != (width, height):
        if info.width * height != info.height * width:
            return None, {
                "camera info": f"camera info is for {info.width}x{info.height} but colour is {width}x{height}: "
                "positions are withheld"
            }
        scale = width / info.width
        # Pixel centres lie at integers, so the picture's corner is at -0.5.
        k = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]]) @ k
    return k, {}
