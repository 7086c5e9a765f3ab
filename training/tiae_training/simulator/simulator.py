"""Rendered hands that hold things: samples with their ground truth, the same for the same seed.

A *scene* is one hand of one subject with one thing in one grasp; it is seen several times (`views_per_scene`), each
time with another camera, room, light and wrist. Scene `n` of seed `s` depends on nothing but `s`, `n` and the settings,
so scenes can be made by several processes without changing a byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ParameterError
from tiae_ros.vision.labels import HAND, OBJECT

from . import room, sensor_noise
from .grasping import HeldThing, Stage, grasp_thing, joint_angles
from .grasps import BY_NAME, GRASP_NAMES, Placement, draw_bystander, tilt
from .hand import FINGERS, JOINT_NAMES, KEYPOINTS, MIDDLE_X, MIDDLE_Z_M, HandWriter, Subject, draw_subject
from .objects import draw_colours
from .photographs import hang_photograph
from .rendering import View, import_mujoco

VIEWS = ("desk", "any")
FREE = "free"  # what a pose is called that is no grasp
_TRIES, _OVERLAP_M = 12, 0.004
_PINCH_SHARE = 0.25  # of free poses
_UNSEEN_GROUP = 4  # of geoms that are not drawn


@dataclass(frozen=True)
class PalmPose:
    """Where a hand is, in the camera's axes (x right, y down, z ahead)."""

    axes: NDArray[np.float64]  # (3, 3) columns: to the fingertips, to the thumb (of a left hand from it), from the back
    wrist_m: NDArray[np.float64]  # (3,)
    tips_m: NDArray[np.float64]  # (5, 3) thumb to little, from the wrist in those axes
    length_m: float  # wrist to the tip of the middle finger
    left: bool
    keypoints_m: NDArray[np.float64]  # (21, 3) `hand.KEYPOINTS`, in the camera's axes

    @property
    def middle_m(self) -> NDArray[np.float64]:
        """(3,) in the camera's axes: between knuckles and wrist, where the palm is."""
        return self.wrist_m + self.axes @ [MIDDLE_X * self.length_m, 0.0, MIDDLE_Z_M]

    @property
    def tips_mm(self) -> NDArray[np.float64]:
        """(5, 3) thumb to little, from the wrist in the palm's axes; of a left hand its mirror image."""
        return 1000 * self.tips_m * self._mirror

    @property
    def view(self) -> NDArray[np.float64]:
        """(3,) unit vector from the hand to the camera in the palm's axes; of a left hand its mirror image."""
        eye = (-self.middle_m @ self.axes) * self._mirror
        return np.asarray(eye / np.linalg.norm(eye))

    def keypoints_px(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        """(21, 3) x, y in pixels of a camera with intrinsics (3, 3), and the distance along its axis in metres."""
        x, y, z = self.keypoints_m.T
        z = np.maximum(z, 1e-3)
        return np.stack([k[0, 0] * x / z + k[0, 2], k[1, 1] * y / z + k[1, 2], z], axis=1)

    @property
    def _mirror(self) -> NDArray[np.float64]:
        return np.array([1.0, -1.0 if self.left else 1.0, 1.0])


@dataclass(frozen=True)
class Sample:
    """One picture with its ground truth."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    depth_m: NDArray[np.float32]  # (H, W) as the sensor gives it, NaN nothing
    clean_depth_m: NDArray[np.float32]  # (H, W)
    labels: NDArray[np.uint8]  # (H, W) 0 none, 1 hand with forearm and sleeve, 2 held thing
    joints: NDArray[np.float32]  # (25,) rad, see JOINT_NAMES
    grasp: str
    subject: int
    left: bool
    k: NDArray[np.float64]  # (3, 3) intrinsics, pixel centres at integers
    sensor: str
    palm: PalmPose


@dataclass(frozen=True)
class SimulatorSettings:
    """What is drawn; every value is part of what makes the bytes."""

    seed: int = 0
    width: int = 160
    height: int = 120
    grasps: tuple[str, ...] = GRASP_NAMES
    subjects: tuple[int, int] = (0, 1000)  # first, one past the last
    views_per_scene: int = 3
    view: str = "desk"  # "desk": from where people watch the grasp; "any": from everywhere above
    view_spread_deg: float = 30.0
    sensor: str = "random"  # or one of SENSORS, or "none"
    max_depth_m: float = 6.0  # the depth sensor's reach
    colour_noise: float = 1.0  # a factor
    # What makes finding the hand harder. Shares are of the pictures.
    bystanders: int = 0  # things that stand about, at most
    empty_share: float = 0.0  # no hand at all
    reaching_share: float = 0.0  # the thing is near the hand, not in it
    occluder_share: float = 0.0  # something stands before the hand
    # And how hands are shown that hold a thing, or nothing, in another way than its grasp.
    free_share: float = 0.0  # the hand alone, in any pose
    closing_share: float = 0.0  # fingers somewhere on their way to the thing
    glove_share: float = 0.04  # of scenes whose hand wears a glove of the sleeve's cloth
    smooth_skin: bool = False  # hands drawn with one smooth surface: nearer to people, and slower
    photographs: str = ""  # folder of pictures that replace the walls of every second picture

    def __post_init__(self) -> None:
        if not (16 <= self.width <= 1280 and 16 <= self.height <= 960):
            raise ParameterError(f"picture size {self.width}x{self.height} is not within 16x16 to 1280x960")
        unknown = [name for name in self.grasps if name not in BY_NAME]
        if unknown or not self.grasps:
            raise ParameterError(
                f"unknown grasp {', '.join(unknown) or '(none given)'}; accepted: {', '.join(GRASP_NAMES)}"
            )
        if not 0 <= self.subjects[0] < self.subjects[1]:
            raise ParameterError(
                f"subjects {self.subjects[0]}:{self.subjects[1]} is empty; give FIRST:END with END > FIRST >= 0"
            )
        if self.view not in VIEWS:
            raise ParameterError(f"unknown view {self.view!r}; accepted: {', '.join(VIEWS)}")
        if self.sensor not in ("random", "none", *sensor_noise.SENSORS):
            raise ParameterError(
                f"unknown sensor {self.sensor!r}; accepted: random, none, {', '.join(sensor_noise.SENSORS)}"
            )
        if not 0 <= self.view_spread_deg <= 180:
            raise ParameterError(f"view_spread_deg is {self.view_spread_deg}; accepted is 0 to 180 degrees")
        if self.views_per_scene < 1:
            raise ParameterError(f"views_per_scene is {self.views_per_scene}; it must be at least 1")
        if self.seed < 0:
            raise ParameterError(f"seed is {self.seed}; it must not be negative")
        if not self.max_depth_m > 0.3:
            raise ParameterError(f"max_depth_m is {self.max_depth_m} m; it must be above 0.3 m")
        for name in ("empty_share", "reaching_share", "occluder_share", "free_share", "closing_share", "glove_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be within 0 to 1")
        if not 0 <= self.bystanders <= 6:
            raise ParameterError(f"bystanders is {self.bystanders}; it must be within 0 to 6")
        if not 0 <= self.colour_noise <= 10:
            raise ParameterError(f"colour_noise is {self.colour_noise}; it must be within 0 to 10")


class Simulator:
    """Draws samples one after another: `Simulator(seed=1).sample()`.

    Keyword arguments are those of SimulatorSettings.
    """

    def __init__(self, seed: int = 0, **settings: object) -> None:
        known = {field.name for field in fields(SimulatorSettings)}
        wrong = sorted(set(settings) - known)
        if wrong:
            raise ParameterError(f"unknown simulator setting {', '.join(wrong)}; accepted: {', '.join(sorted(known))}")
        self.settings = SimulatorSettings(seed=seed, **settings)  # type: ignore[arg-type]
        self._coming: Iterator[Sample] = iter(())
        self._next_scene = 0
        self._next_sequence = 0

    def sample(self) -> Sample:
        """The next sample of this seed."""
        for sample in self._coming:
            return sample
        self._coming = iter(render_scene(self.settings, self._next_scene))
        self._next_scene += 1
        return next(self._coming)

    def sequence(
        self,
        frames: int,
        *,
        grasps: Sequence[str] | None = None,
        arm_length_m: float = 0.46,
        margin_px: tuple[int, int] = (0, 0),
    ) -> Iterator[Sample]:
        """Motion: one hand approaches, grasps, lifts, turns and puts down one thing after another.

        Each call gives another sequence of this seed. Hand and held thing keep `margin_px` (x, y) from the border,
        and so does an arm of at most 0.2 m.
        """
        from .sequence import render_sequence

        number = self._next_sequence
        self._next_sequence += 1
        return render_sequence(
            self.settings, frames, grasps=grasps, arm_length_m=arm_length_m, margin_px=margin_px, number=number
        )


def render_scene(settings: SimulatorSettings, number: int) -> list[Sample]:
    """All views of scene `number`."""
    rng = np.random.default_rng([settings.seed, number, 11])
    grasp = BY_NAME[settings.grasps[number % len(settings.grasps)]]
    subject = draw_subject(int(rng.integers(*settings.subjects)))
    left = bool(rng.random() < 0.5)
    sleeve = str(rng.choice(["none", "sleeve", "no_forearm"], p=[0.4, 0.48, 0.12]))
    cuff = float(rng.uniform(0.02, 0.16))
    others = _draw_bystanders(settings, subject, rng)
    writer = HandWriter(subject, left, sleeve, cuff, smooth=settings.smooth_skin)
    held = grasp_thing(grasp, writer, rng, bystanders=others)
    colours, cloth = [draw_colours(rng) for _ in [*held.stage.things, *others]], rng.random(3)
    room.dress(held.stage, colours, cloth, rng, settings.glove_share)
    view = View(held.stage.model, held.stage.data, settings.width, settings.height)
    try:
        return [_picture(settings, held, view, rng) for _ in range(settings.views_per_scene)]
    finally:
        view.close()


def _picture(settings: SimulatorSettings, held: HeldThing, view: View, rng: np.random.Generator) -> Sample:
    model, data = held.stage.model, held.stage.data
    data.qpos[:] = held.closed
    data.joint("wrist_flexion").qpos[0] = np.clip(rng.normal(0.0, 0.25), -0.6, 0.6)
    data.joint("wrist_deviation").qpos[0] = np.clip(rng.normal(0.0, 0.12), -0.35, 0.3)
    import_mujoco().mj_kinematics(model, data)
    kind = _situation(settings, rng)
    pose = _pose(settings, held, rng)
    resting = model.body_pos.copy()
    if kind == "reaching":
        _open_hand_near_thing(held, rng)
    focal = aim(settings, held, rng, occluders=int(rng.integers(1, 3)) if kind == "occluded" else 0)
    for texture in room.paint_room(held.stage, rng):
        view.upload_texture(texture)
    room.light(model, rng)
    hand_and_things = np.concatenate([held.stage.hand_geoms, held.stage.thing_geoms])
    groups = model.geom_group[hand_and_things].copy()
    if kind == "empty":
        model.geom_group[hand_and_things] = _UNSEEN_GROUP
        model.skin_group[:] = _UNSEEN_GROUP
    elif pose == FREE:
        model.geom_group[held.stage.thing_geoms] = _UNSEEN_GROUP
    in_hand = held.stage.thing_geoms if kind in ("held", "occluded") and pose != FREE else np.zeros(0, int)
    name = (pose or held.grasp.name) if kind in ("held", "occluded") else "none"
    sample = take_picture(settings, held.stage, name, view, focal, in_hand, rng)
    model.geom_group[hand_and_things] = groups
    model.skin_group[:] = 0
    model.body_pos[:] = resting
    return sample


def _draw_bystanders(settings: SimulatorSettings, subject: Subject, rng: np.random.Generator) -> list[Placement]:
    if settings.bystanders == 0:
        return []
    return [draw_bystander(subject, rng) for _ in range(int(rng.integers(settings.bystanders + 1)))]


def _situation(settings: SimulatorSettings, rng: np.random.Generator) -> str:
    """held, occluded, reaching or empty."""
    shares = {
        "empty": settings.empty_share,
        "reaching": settings.reaching_share,
        "occluded": settings.occluder_share,
    }
    if not any(shares.values()):
        return "held"
    draw = rng.random()
    for kind, share in shares.items():
        if draw < share:
            return kind
        draw -= share
    return "held"


def _pose(settings: SimulatorSettings, held: HeldThing, rng: np.random.Generator) -> str:
    """Bring the fingers into another pose than the grasp's; FREE where the hand is then shown alone, else ""."""
    if not settings.free_share and not settings.closing_share:
        return ""
    draw = rng.random()
    if draw < settings.free_share:
        _draw_free_pose(held, rng, settings.grasps)
        return FREE
    if draw < settings.free_share + settings.closing_share:
        _show(held, dict(zip(JOINT_NAMES, held.closing.joints[rng.integers(len(held.closing.joints))], strict=True)))
    return ""


def _draw_free_pose(held: HeldThing, rng: np.random.Generator, grasps: tuple[str, ...]) -> None:
    """Any pose in which fingers hardly pass through each other."""
    from tiae_training.world.hand_poses import as_row, begin_pinch, draw_any_pose, draw_plain_pose

    from .pinching import tips_together

    mujoco, model, data = import_mujoco(), held.stage.model, held.stage.data
    if rng.random() < _PINCH_SHARE:
        pose, finger = begin_pinch(rng, grasps)
        joints = tips_together(held.stage, as_row(pose), finger, gap_m=float(rng.uniform(0.001, 0.016)))
        _show(held, dict(zip(JOINT_NAMES, joints, strict=True)))
        return
    for _ in range(_TRIES):
        _show(held, draw_any_pose(rng, grasps))
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        of_hand = np.isin(data.contact.geom[: data.ncon], held.stage.hand_geoms).all(axis=1)
        if not (data.contact.dist[: data.ncon][of_hand] < -_OVERLAP_M).any():
            return
    _show(held, draw_plain_pose(rng))


def _show(held: HeldThing, angles: Mapping[str, float]) -> None:
    """Bring fingers and thumb to these angles; the wrist stays as it is."""
    for name in JOINT_NAMES:
        if not name.startswith("wrist"):
            held.stage.data.joint(name).qpos[0] = angles.get(name, 0.0)
    import_mujoco().mj_kinematics(held.stage.model, held.stage.data)


def _open_hand_near_thing(held: HeldThing, rng: np.random.Generator) -> None:
    """Fingers partly closed on nothing, the thing a little away from them."""
    model, data = held.stage.model, held.stage.data
    last = len(held.closing.joints) // 3
    for name, angle in zip(JOINT_NAMES, held.closing.joints[int(rng.integers(last))], strict=True):
        if not name.startswith("wrist"):
            data.joint(name).qpos[0] = angle
    if held.placement is not None:
        away = rng.normal(0.0, 0.02, 3) - np.array([-0.03, 0.0, rng.uniform(0.07, 0.16)])
        model.body_pos[model.body("thing0").id] += away * [1, -1 if held.stage.left else 1, 1]
    import_mujoco().mj_kinematics(model, data)


def take_picture(
    settings: SimulatorSettings,
    stage: Stage,
    grasp: str,
    view: View,
    focal: float,
    held_geoms: np.ndarray,
    rng: np.random.Generator,
    *,
    sensor: str | None = None,
    colour: sensor_noise.ColourCamera | None = None,
) -> Sample:
    """Render what the camera sees now and add the sensor's noise."""
    model, data = stage.model, stage.data
    mujoco = import_mujoco()
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)
    rgb, clean, geoms = view.render()
    if settings.photographs and rng.random() < 0.5:
        rgb = hang_photograph(rgb, np.isin(geoms, room.wall_geoms(model)) | (geoms < 0), settings.photographs, rng)
    if settings.sensor == "none":
        colour = None
    elif colour is None:
        colour = sensor_noise.draw_colour_camera(rgb, rng, noise=settings.colour_noise)
    table = np.zeros(model.ngeom + 2, np.uint8)
    table[stage.hand_geoms] = table[model.ngeom] = HAND
    table[held_geoms] = OBJECT
    labels = table[geoms]  # geom -1 (nothing) reads the last entry, 0
    sensor = sensor_noise.drawn_sensor(sensor or settings.sensor, rng)
    if sensor == "none":
        noisy = clean.copy()
    else:
        dark = cv2.blur(rgb.max(axis=2), (5, 5)) < 25
        noisy = sensor_noise.add_depth_noise(clean, focal, sensor, rng, dark=dark, max_depth_m=settings.max_depth_m)
    return Sample(
        rgb=np.ascontiguousarray(rgb) if colour is None else colour.picture(rgb, rng),
        depth_m=noisy,
        clean_depth_m=np.ascontiguousarray(clean),
        labels=np.ascontiguousarray(labels),
        joints=joint_angles(model, data.qpos),
        grasp=grasp,
        subject=stage.subject.number,
        left=stage.left,
        k=np.array([[focal, 0, (settings.width - 1) / 2], [0, focal, (settings.height - 1) / 2], [0, 0, 1.0]]),
        sensor=sensor,
        palm=_palm_pose(stage),
    )


def _palm_pose(stage: Stage) -> PalmPose:
    data = stage.data
    camera = data.cam_xmat[0].reshape(3, 3) * [1, -1, -1]  # MuJoCo's cameras look backwards, y up
    axes, wrist = data.body("palm").xmat.reshape(3, 3), data.body("palm").xpos
    tips = [data.site("thumb_tip").xpos, *(data.site(f"{finger}_distal_tip").xpos for finger in FINGERS)]
    return PalmPose(
        camera.T @ axes,
        camera.T @ (wrist - data.cam_xpos[0]),
        (np.array(tips) - wrist) @ axes,
        stage.subject.length_m,
        stage.left,
        np.array([_place(data, name) - data.cam_xpos[0] for name in KEYPOINTS]) @ camera,
    )


def _place(data: Any, keypoint: str) -> np.ndarray:
    """Of a body, or of a site where there is none of that name."""
    place = data.site(keypoint).xpos if keypoint.endswith("_tip") else data.body(keypoint).xpos
    return np.asarray(place)


def quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """(4,) w x y z of a rotation matrix."""
    quaternion = np.zeros(4)
    import_mujoco().mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).reshape(9))
    return quaternion


def palm_direction(vector: tuple[float, float, float], left: bool) -> np.ndarray:
    x, y, z = vector
    out = np.array([x, -y if left else y, z], float)
    return out / np.linalg.norm(out)


def bounding_spheres(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Bounding spheres of hand (with forearm) and thing: centres (S, 3), radii (S,)."""
    geoms = np.concatenate([stage.hand_geoms, stage.thing_geoms])
    return stage.data.geom_xpos[geoms].copy(), stage.model.geom_rbound[geoms].copy()


def grasp_geoms(stage: Stage) -> np.ndarray:
    """Numbers of the geoms of hand and things, arm and sleeve left out."""
    arm = ("hand_forearm", "hand_sleeve")
    hand = [number for number in stage.hand_geoms if not stage.model.geom(number).name.startswith(arm)]
    return np.concatenate([np.array(hand, int), stage.thing_geoms])


def aim(settings: SimulatorSettings, held: HeldThing, rng: np.random.Generator, *, occluders: int = 0) -> float:
    """Draw camera and room around the hand; returns the focal length in pixels."""
    stage = held.stage
    data = stage.data
    up = tilt(rng, 8) @ palm_direction(held.grasp.up, stage.left)
    look = palm_direction(held.grasp.look, stage.left)
    # Azimuth and elevation of the camera as seen from the hand, around `up`.
    level = look - up * (look @ up)
    level /= np.linalg.norm(level)
    side = np.cross(up, level)
    if settings.view == "desk":
        spread = np.radians(settings.view_spread_deg)
        azimuth = rng.uniform(-spread, spread)
        elevation = np.clip(np.arcsin(np.clip(look @ up, -1, 1)) + rng.uniform(-0.2, 0.9) * spread, -0.1, 1.2)
    else:
        azimuth = rng.uniform(-np.pi, np.pi)
        elevation = np.arcsin(rng.uniform(-0.15, 0.97))
    direction = np.cos(elevation) * (np.cos(azimuth) * level + np.sin(azimuth) * side) + np.sin(elevation) * up
    middles = data.geom_xpos[grasp_geoms(stage)]
    centre = 0.5 * (middles.min(axis=0) + middles.max(axis=0))
    focal, distance = _focal_and_distance(settings, rng)
    target = centre + rng.normal(0, 0.012, 3)
    camera = target + direction * distance
    roll = rng.normal(0, np.radians(6 if settings.view == "desk" else 15))
    set_camera(settings, stage.model, camera, target, up, roll, focal)
    turn = np.stack([level, side, up], axis=1)  # room axes in the world
    data.mocap_pos[0] = 0.0
    data.mocap_quat[0] = quaternion_of(turn)
    centres, radii = bounding_spheres(stage)
    room.furnish(stage, (centres @ turn, radii), camera @ turn, target @ turn, rng, occluders=occluders)
    return focal


def _focal_and_distance(settings: SimulatorSettings, rng: np.random.Generator) -> tuple[float, float]:
    """A focal length in pixels and a distance at which a 0.30 m window nearly fits into the picture."""
    for _ in range(100):
        focal = settings.width * rng.uniform(0.7, 1.3)
        distance = rng.uniform(0.35, 0.9)
        if focal / distance * 0.30 <= 1.02 * settings.height:
            break
    return float(focal), float(distance)


def set_camera(
    settings: SimulatorSettings,
    model: Any,
    camera: np.ndarray,
    target: np.ndarray,
    up: np.ndarray,
    roll: float,
    focal: float,
) -> None:
    """Put the model's camera at a place, looking at another."""
    back = (camera - target) / np.linalg.norm(camera - target)
    right = np.cross(up, back)
    right /= np.linalg.norm(right)
    above = np.cross(back, right)
    turned = np.cos(roll) * right + np.sin(roll) * above
    axes = np.stack([turned, np.cross(back, turned), back], axis=1)
    model.cam_pos[0], model.cam_quat[0] = camera, quaternion_of(axes)
    model.cam_fovy[0] = np.degrees(2 * np.arctan(settings.height / (2 * focal)))
