"""The node's road as one Python call, without ROS."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ImageError, ParameterError
from tiae_ros.model.ambiguity import Ambiguity
from tiae_ros.model.hand_pose import HandPoseEstimate
from tiae_ros.model.pattern_poses import PatternPoses
from tiae_ros.parameters import Settings
from tiae_ros.perception.pipeline import (
    MASKS,
    Images,
    Pipeline,
    Result,
    assumed_focal_px,
    load_checked,
    load_pipeline,
    segmentation_settings,
)
from tiae_ros.streams.camera import is_camera_matrix
from tiae_ros.streams.distortion import Distortion
from tiae_ros.vision.labels import Floats, Picture, check_images
from tiae_ros.vision.segmentation.classical.by_color import hands_by_color
from tiae_ros.vision.window import Window

MASKS_MODEL = "grasp"  # the shipped model that sees masks alone
_NO_ROOM_M = 100.0  # a picture of a hand is not mostly farther away


@dataclass(frozen=True)
class Hand:
    """The hand of a grasp; joints and fingers as `tiae_ros.imitation.human_hand` names them."""

    joints: Floats  # (25,) radians
    joint_spread: Floats  # (25,) radians, how far off they may be
    tips_mm: Floats  # (5, 3) palm frame; of a left hand its mirror image
    left: float  # 0..1, that it is a left hand
    length_mm: float  # wrist to tip of the middle finger
    known: bool  # False: unlike anything the model has learnt
    pinch: Floats  # (4,) 0..1, how surely the thumb touches the index … the little finger


@dataclass(frozen=True)
class Pose:
    """How a grasp's restored pattern is turned, scaled and mirrored in the picture."""

    angle_rad: float  # from x (right) towards y (down); NaN unless `ambiguity` is NONE
    scale: float  # how large it is, 1 as it is restored
    mirrored: bool | None  # None: not sure, or the model cannot tell
    confidence: float  # 0..1, that the angle is right
    ambiguity: Ambiguity  # which other angles it looks the same at


@dataclass(frozen=True)
class Grasp:
    """One hand and what it holds."""

    descriptor: Floats  # (K,)
    shift_px: tuple[float, float]  # from the picture's centre, x right, y down
    position_m: Floats  # (3,) optical frame; NaN without a camera matrix
    label: str  # "" is unknown
    confidence: float  # 0..1
    window: Window
    masks: Floats  # (2, S, S) restored hand and object, lying on the input
    depth_m: Floats | None  # (S, S) restored, NaN = nothing; None: no model restores depth
    hand: Hand | None = None  # None: no hand pose model
    pose: Pose | None = None  # None: the model finds shifts alone


class Perception:
    """The node's road as one Python call."""

    def __init__(self, settings: Settings | None = None, **parameters: Any) -> None:
        """Load the models.

        Args:
            settings: parameters of the node (docs/reference/parameters.md), all of them.
            **parameters: those that differ, a keyword for each, e.g. ``model="grasp"``.

        Raises:
            ModelError, ParameterError: a model or a parameter that cannot be used.
        """
        paths = {name: Path(value) for name, value in parameters.items() if isinstance(value, os.PathLike)}
        # A folder here, whatever ships under its name.
        texts = {name: os.fspath(path.absolute() if path.exists() else path) for name, path in paths.items()}
        alone = Settings(follow_frames=0)  # pictures need not be of one camera, one after the other
        self.settings = (settings or alone).with_changes({**parameters, **texts})
        self.pipeline = load_pipeline(self.settings)
        self._of_masks: Pipeline | None = None

    def frame(
        self, color: Picture | None, depth_m: Floats | None = None, k: Any = None, *, stamp_s: float | None = None
    ) -> list[Grasp]:
        """The grasps of one frame, the nearest first.

        Args:
            color: (H, W, 3) uint8 red, green, blue; None: by depth alone.
            depth_m: (H, W) float32 metres registered to the colour, NaN or 0 where there is none; None: by the colour
                of skin alone, see `look`.
            k: 3x3 camera matrix of the colour picture; None: positions are NaN, sizes by `assumed_fov_deg`.
            stamp_s: when it was seen, for `follow_frames`.

        Raises:
            ImageError: the pictures are none, do not fit together, or depth is in millimetres. ParameterError: k is
            no camera matrix. FrameDropped: a model failed.
        """
        result = self.look(color, depth_m, k, stamp_s=stamp_s)
        if depth_m is not None:
            _refuse_millimetres(result.images.depth_m)
        return self.grasps(result)

    def look(
        self,
        color: Picture | None,
        depth_m: Floats | None = None,
        k: Any = None,
        *,
        distortion: Distortion | None = None,
        stamp_s: float | None = None,
    ) -> Result:
        """All that one frame yields, as the node has it; arguments and errors as of `frame`.

        Without depth, hands are what has the colour of skin, with no model of a hand behind it; what they hold is not
        seen, positions are NaN, no depth is restored, and names are those of the shipped model of masks alone, as far
        as a hand's own outline tells them.

        distortion: of the lens, which k leaves out.
        """
        if depth_m is None:
            return self._by_color(color)
        color, depth_m = _pictures(color, depth_m)
        images = Images(color, depth_m, _matrix(k), distortion=distortion, stamp_s=stamp_s)
        described = self.pipeline.describe(images, self.settings)
        result = self.pipeline.restore(described)
        result.pose = self.pipeline.estimate_hands(described)
        return result

    def grasps(self, result: Result) -> list[Grasp]:
        """A frame's grasps one by one."""
        pipeline = self.pipeline if result.images.labels is None else self._masks_alone()
        return [
            Grasp(
                descriptor=result.descriptors[index],
                shift_px=(float(result.shifts[index, 0]), float(result.shifts[index, 1])),
                position_m=result.positions[index],
                label=result.names[index] if result.names else "",
                confidence=float(result.confidences[index]),
                window=window,
                masks=result.placed[index, :2],
                depth_m=pipeline.restore_depth(result, self.settings, index),
                hand=None if result.pose is None else _hand(result.pose, index),
                pose=None if result.pattern_poses is None else _pose(result.pattern_poses, index),
            )
            for index, window in enumerate(result.windows)
        ]

    def _by_color(self, color: Picture | None) -> Result:
        if color is None:
            raise ImageError("there is neither colour nor depth; give one of them")
        _pictures(color, np.zeros(np.shape(color)[:2], np.float32))  # checks colour
        color = np.asarray(color)
        focal_px = assumed_focal_px(color.shape, self.settings)
        labels, depth_m = hands_by_color(color, segmentation_settings(self.settings), focal_px)
        pipeline = self._masks_alone()
        return pipeline.restore(pipeline.describe(Images(color, depth_m, labels=labels), self.settings))

    def _masks_alone(self) -> Pipeline:
        """What needs no depth: the model of the settings if it sees masks alone, else the shipped one that does."""
        if self._of_masks is None:
            model = self.pipeline.grasp_model
            if model.manifest.channels != MASKS:
                model = load_checked(MASKS_MODEL, (MASKS,), "cpu")
            self._of_masks = Pipeline(model)
        return self._of_masks


def _hand(pose: HandPoseEstimate, index: int) -> Hand:
    return Hand(
        joints=pose.joints[index],
        joint_spread=pose.joint_spread[index],
        tips_mm=pose.tips_mm[index],
        left=float(pose.left[index]),
        length_mm=float(pose.length_mm[index]),
        known=bool(pose.known[index]),
        pinch=pose.pinch[index],
    )


def _pose(poses: PatternPoses, index: int) -> Pose:
    mirrored = np.nan if poses.mirrored is None else float(poses.mirrored[index])
    return Pose(
        angle_rad=float(poses.angles[index]),
        scale=float(poses.scales[index]),
        mirrored=None if np.isnan(mirrored) else bool(mirrored > 0.5),
        confidence=float(poses.confidences[index]),
        ambiguity=poses.ambiguities[index],
    )


def _pictures(color: Any, depth_m: Any) -> tuple[Picture | None, Floats]:
    """Colour and depth as arrays. Raises ImageError."""
    if np.ma.isMaskedArray(color) or np.ma.isMaskedArray(depth_m):
        raise ImageError("masked arrays would lose their mask; fill them first: depth.filled(0)")
    try:
        given = np.asarray(depth_m)
        depth_m = np.asarray(given.real if given.dtype.kind == "c" else given, np.float32)
        color = None if color is None else np.asarray(color)
    except (TypeError, ValueError) as error:
        raise ImageError(f"colour and depth must be arrays: {error}") from None
    kind = given.dtype.kind
    if kind in "iub":
        raise ImageError("depth is in whole numbers; it must be in metres, float32: of millimetres a thousandth")
    if kind in "cmM":
        raise ImageError(f"depth is {given.dtype}; it must be in metres, float32")
    check_images(color, depth_m)
    return color, depth_m


def _refuse_millimetres(depth_m: Floats) -> None:
    """They would look like a room without hands. Raises ImageError."""
    some = depth_m[::4, ::4]
    readings = some[np.isfinite(some) & (some > 0)]
    middle = float(np.median(readings)) if len(readings) else 0.0
    if middle > _NO_ROOM_M:
        raise ImageError(
            f"half of the depth is beyond {middle:.0f} m; it must be in metres, float32: of millimetres a thousandth"
        )


def _matrix(k: Any) -> NDArray[np.float64] | None:
    """A camera matrix (3, 3). Raises ParameterError."""
    try:
        matrix = None if k is None else np.asarray(k, np.float64).reshape(3, 3)
    except (TypeError, ValueError):
        raise ParameterError(f"k is {str(k)[:60]!r}; accepted are the 3x3 numbers of a camera matrix") from None
    if matrix is not None and not is_camera_matrix(matrix):
        raise ParameterError(
            f"k is {', '.join(f'{value:g}' for value in matrix.ravel())}; accepted are the 3x3 numbers of a camera "
            "matrix (fx, 0, cx, 0, fy, cy, 0, 0, 1), or None"
        )
    return matrix
