"""The scene of the page: camera, what it sees as points, the restored hand among them, and the robot hand beside.

Metres in the colour camera's optical frame: x right, y down, z ahead.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros import palette
from tiae_ros.drawing import masks_picture, with_masks
from tiae_ros.view.moment import Moment
from tiae_ros.view.robot_hand import Bones
from tiae_ros.vision.labels import Floats, Picture

_MOST_POINTS = 16_000
_FARTHEST_M = 4.0
_ROBOT_AT = (0.30, 0.06, 0.55)
# Seen from behind the camera its palm looks here and its fingers point up: columns are x, y, z of the human palm.
_ROBOT_TURN = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def rays(k: NDArray[np.float64], xs: NDArray[Any], ys: NDArray[Any]) -> Floats:
    """Pixels (M,) -> (M, 3) directions with z = 1."""
    directions = np.stack([(xs - k[0, 2]) / k[0, 0], (ys - k[1, 2]) / k[1, 1], np.ones(len(xs))], axis=1)
    return directions.astype(np.float32)


def seen_points(moment: Moment, farthest_m: float = _FARTHEST_M) -> tuple[Floats, Picture] | None:
    """Places (M, 3) and colours (M, 3) of an even share of the pixels that have depth; None without camera info."""
    if moment.depth_m is None or moment.color is None or moment.k is None:
        return None
    height, width = moment.depth_m.shape
    step = max(1, math.ceil(math.sqrt(height * width / _MOST_POINTS)))
    depth = moment.depth_m[::step, ::step]
    color = moment.color[::step, ::step]
    if moment.labels is not None and moment.labels.shape == moment.depth_m.shape:
        color = with_masks(color, moment.labels[::step, ::step])
    rows, columns = np.nonzero((depth > 0) & (depth < farthest_m))  # comparisons with NaN are false
    points = rays(moment.k, columns * step, rows * step) * depth[rows, columns, None]
    return points, np.ascontiguousarray(color[rows, columns])


def restored_points(moment: Moment) -> tuple[Floats, Picture] | None:
    """Places and colours of the restored hand and object; None when nothing is restored."""
    if moment.restored_depth_m is None or moment.restored_k is None or moment.restored_masks is None:
        return None
    depth = moment.restored_depth_m
    rows, columns = np.nonzero(np.isfinite(depth))
    points = rays(moment.restored_k, columns, rows) * depth[rows, columns, None]
    bright = moment.restored_masks / np.maximum(moment.restored_masks.sum(0), 1e-3)
    return points.astype(np.float32), masks_picture(bright)[rows, columns]


class Scene:
    """The elements of viser's scene."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._camera: tuple[float, float] | None = None
        scene = server.scene
        scene.set_up_direction("-y")
        scene.world_axes.visible = False
        scene.configure_default_lights(cast_shadow=False)  # points have none, and a browser may have no GPU
        server.initial_camera.position = (0.3, -0.22, -0.28)
        server.initial_camera.look_at = (0.06, 0.04, 0.62)
        server.initial_camera.up = (0.0, -1.0, 0.0)
        nothing = np.zeros((0, 3), np.float32)
        none = np.zeros((0, 3), np.uint8)
        self._seen = scene.add_point_cloud("/seen", nothing, none, point_size=0.004, point_shading="flat")
        self._restored = scene.add_point_cloud("/restored", nothing, none, point_size=0.008, point_shading="flat")
        self._grasp = scene.add_icosphere("/grasp", 0.008, palette.WINDOW, subdivisions=1, visible=False)
        self._name = scene.add_label("/grasp/name", "", position=(0.0, -0.05, 0.0), visible=False)
        wxyz = _quaternion(_ROBOT_TURN)
        scene.add_frame("/robot", show_axes=False, wxyz=wxyz, position=_ROBOT_AT)
        self._bones: Any = None
        self._joints = scene.add_point_cloud(
            "/robot/joints", nothing, none, point_size=0.008, point_shape="circle", visible=False
        )
        self._robot_name = scene.add_label("/robot/name", "", position=(-0.03, 0.0, 0.0), visible=False)

    def draw(self, moment: Moment, bones: Bones | None) -> None:
        """What is not known is hidden, or stays where it was."""
        if moment.k is not None and moment.color is not None:
            self._draw_camera(moment.color, moment.k)
        for cloud, found in ((self._seen, seen_points(moment)), (self._restored, restored_points(moment))):
            cloud.visible = found is not None and len(found[0]) > 0
            if found is not None and len(found[0]):
                cloud.points, cloud.colors = found
        at = moment.grasps.positions[0] if moment.grasps is not None and len(moment.grasps.positions) else None
        known = at is not None and bool(np.isfinite(at).all())
        self._grasp.visible = known
        self._name.visible = known and bool(moment.name)
        if at is not None and known:
            self._grasp.position = tuple(map(float, at))
            self._name.text = moment.name
        self._draw_robot(bones)

    def _draw_camera(self, color: Picture, k: NDArray[np.float64]) -> None:
        height, width = color.shape[:2]
        shape = 2 * math.atan(height / 2 / k[1, 1]), width / height
        if self._camera != shape:
            self._camera = shape
            self._server.scene.add_camera_frustum("/camera", *shape, scale=0.12, thickness=0.002, color=palette.WINDOW)

    def _draw_robot(self, bones: Bones | None) -> None:
        there = bones is not None
        for element in (self._robot_name, self._joints, self._bones):
            if element is not None and element.visible != there:
                element.visible = there
        if bones is None:
            return
        segments = bones.segments.astype(np.float32)
        if self._bones is None or len(self._bones.points) != len(segments):
            self._bones = self._server.scene.add_line_segments("/robot/bones", segments, palette.ROBOT, thickness=0.006)
        else:
            self._bones.points = segments
        self._joints.points = bones.joints.astype(np.float32)
        self._joints.colors = np.tile(np.array(palette.ROBOT, np.uint8), (len(bones.joints), 1))
        self._robot_name.text = bones.title


def _quaternion(turn: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(3, 3) -> w, x, y, z; for turns by less than half a circle."""
    w = math.sqrt(1 + np.trace(turn)) / 2
    x, y, z = ((turn[j, i] - turn[i, j]) / (4 * w) for i, j in ((1, 2), (2, 0), (0, 1)))
    return w, x, y, z
