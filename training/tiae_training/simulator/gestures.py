"""Motion without things: an empty hand opens, pinches with one finger after another, closes and leaves the picture.

A camera that stands still sees the inside of the hand. What the operator of a robot hand does: the truth of every
frame is known, and when the hand pinches or is hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tiae_ros.errors import ParameterError

from . import room, sensor_noise
from .grasping import Stage, make_stage
from .hand import FINGERS, JOINT_NAMES, HandWriter, draw_subject
from .pinching import tips_together
from .rendering import View, import_mujoco
from .sequence import Pose
from .simulator import Sample, SimulatorSettings, bounding_spheres, quaternion_of, set_camera, take_picture

OPEN, FIST, HIDDEN = "open", "fist", "hidden"
GESTURES = (
    OPEN, "index", OPEN, "middle", OPEN, FIST, OPEN, "ring", "index", HIDDEN, OPEN, "middle", "index", OPEN,
    "little", FIST, OPEN, "index", "middle", "ring", OPEN,
)  # fmt: skip
_MOVE_S, _REST_S, _HIDDEN_S = 0.7, 0.5, 1.0
_AWAY_M = 0.32  # how far a hidden hand is below the picture
_SWAY_M, _SWAY_S = 0.012, 3.1  # nobody holds the hand quite still
_TOUCH_M = 0.002  # between the tips in a pinch
_ROUND = {"mcp_flexion": 0.85, "pip_flexion": 0.95, "dip_flexion": 0.45}  # the pinching finger, to begin with
_OTHERS = {"mcp_flexion": 0.25, "pip_flexion": 0.3, "dip_flexion": 0.15}
_CLOSED = {"mcp_flexion": 1.4, "pip_flexion": 1.65, "dip_flexion": 0.9}
_OPEN = {"mcp_flexion": 0.05, "pip_flexion": 0.12, "dip_flexion": 0.05}
_THUMB = {
    OPEN: {"thumb_cmc_abduction": 0.3},
    FIST: {"thumb_cmc_abduction": 0.8, "thumb_cmc_flexion": 0.3, "thumb_mcp_flexion": 0.6, "thumb_ip_flexion": 0.7},
    "pinch": {
        "thumb_cmc_abduction": 0.9, "thumb_cmc_opposition": 0.3, "thumb_mcp_flexion": 0.3, "thumb_ip_flexion": 0.3,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Gesture:
    """One picture of the motion."""

    sample: Sample
    pinch: str  # the finger whose tip rests on the thumb's now, or ""
    hidden: bool  # the hand is out of sight, or on its way


@dataclass(frozen=True)
class _Moment:
    joints: np.ndarray  # (25,)
    away: float  # 0 in the picture, 1 below it
    pinch: str


def render_gestures(
    settings: SimulatorSettings,
    gestures: Sequence[str] = GESTURES,
    *,
    rate_hz: float = 15.0,
    left: bool = False,
    subject: int = 1100,
) -> Iterator[Gesture]:
    """The pictures of one motion; the same settings give the same bytes."""
    unknown = [name for name in gestures if name not in (OPEN, FIST, HIDDEN, *FINGERS)]
    if unknown or not gestures:
        accepted = ", ".join((OPEN, FIST, HIDDEN, *FINGERS))
        raise ParameterError(f"gesture {', '.join(unknown) or '(none given)'} is not known; accepted are {accepted}")
    rng = np.random.default_rng([settings.seed, subject, 13])
    settings = replace(settings, photographs="")
    writer = HandWriter(draw_subject(subject), left, "sleeve", 0.06, smooth=settings.smooth_skin)
    stage = make_stage(writer, [])
    poses = {name: pose_of(stage, name) for name in dict.fromkeys((OPEN, *gestures)) if name != HIDDEN}
    moments = list(_moments(gestures, poses, rate_hz))
    focal = 0.95 * settings.width
    # Room frame: z up, the fingers up, the palm towards the camera (positive x), turned a little to show the thumb.
    turn = -0.25 if left else 0.25
    yaw = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    upright = yaw @ np.array([[0, 0, -1.0], [0, 1.0, 0], [1.0, 0, 0]])
    middle = upright @ np.array([0.09, 0.0, 0.0])
    camera, target = middle + np.array([0.50, 0.0, 0.10]), middle
    _show(stage, moments[0].joints, Pose(upright, np.zeros(3)))
    centres, radii = bounding_spheres(stage)
    room.furnish(stage, (centres @ upright.T, radii), camera, target, rng)
    room.dress(stage, [], rng.random(3), rng, settings.glove_share)
    room.paint_room(stage, rng)
    view = View(stage.model, stage.data, settings.width, settings.height)
    room.light(stage.model, rng)
    lamps = stage.model.light_dir.copy()
    sensor = sensor_noise.drawn_sensor(settings.sensor, rng)
    colour: sensor_noise.ColourCamera | None = None
    try:
        for number, moment in enumerate(moments):
            phase = 2 * np.pi * number / rate_hz / _SWAY_S
            sway = _SWAY_M * np.array([0.5 * np.sin(0.7 * phase), np.sin(phase), 0.6 * np.sin(1.3 * phase)])
            palm = Pose(upright, sway - np.array([0.0, 0.0, moment.away * _AWAY_M]))
            _show(stage, moment.joints, palm)
            to_palm = palm.inverse()
            eye, looked_at = (to_palm.rotation @ point + to_palm.place for point in (camera, target))
            set_camera(settings, stage.model, eye, looked_at, to_palm.rotation[:, 2], 0.0, focal)
            stage.model.light_dir[:] = lamps @ to_palm.rotation.T
            if colour is None and sensor != "none":
                import_mujoco().mj_camlight(stage.model, stage.data)
                colour = sensor_noise.draw_colour_camera(
                    view.render()[0], rng, steady=True, noise=settings.colour_noise
                )
            name = moment.pinch or "free"
            nothing = np.zeros(0, int)
            sample = take_picture(settings, stage, name, view, focal, nothing, rng, sensor=sensor, colour=colour)
            yield Gesture(sample, moment.pinch, moment.away > 0.02)
    finally:
        view.close()


def _show(stage: Stage, joints: np.ndarray, palm: Pose) -> None:
    model, data = stage.model, stage.data
    for name, angle in zip(JOINT_NAMES, joints, strict=True):
        data.qpos[model.joint(name).qposadr[0]] = angle
    to_palm = palm.inverse()
    mocap = int(model.body("room").mocapid[0])
    data.mocap_pos[mocap], data.mocap_quat[mocap] = to_palm.place, quaternion_of(to_palm.rotation)
    import_mujoco().mj_kinematics(model, data)


def _moments(gestures: Sequence[str], poses: dict[str, np.ndarray], rate_hz: float) -> Iterator[_Moment]:
    before, away = poses[OPEN], 0.0
    for name in gestures:
        joints, there = (before, 1.0) if name == HIDDEN else (poses[name], 0.0)
        move, rest = round(_MOVE_S * rate_hz), round((_HIDDEN_S if name == HIDDEN else _REST_S) * rate_hz)
        for frame in range(move + rest):
            share = min(1.0, (frame + 1) / move)
            share = share * share * (3 - 2 * share)
            pinch = name if name in FINGERS and share == 1.0 else ""
            yield _Moment(before + share * (joints - before), away + share * (there - away), pinch)
        before, away = joints, there


def pose_of(stage: Stage, name: str) -> np.ndarray:
    """(25,) joints of a gesture of this person: open, fist, or the finger that meets the thumb."""
    pinching = name in FINGERS
    angles = dict.fromkeys(JOINT_NAMES, 0.0) | _THUMB["pinch" if pinching else name]
    for finger in FINGERS:
        bends = {OPEN: _OPEN, FIST: _CLOSED}.get(name) or (_ROUND if finger == name else _OTHERS)
        angles |= {f"{finger}_{joint}": angle for joint, angle in bends.items()}
    joints = np.array([angles[joint] for joint in JOINT_NAMES])
    return tips_together(stage, joints, name, _TOUCH_M) if pinching else joints


def write_gestures(bag: Path, truth: Path, settings: SimulatorSettings, **motion: Any) -> int:
    """A bag of the motion, and an npz of what is true; how many pictures. ``motion``: of `render_gestures`.

    Beside what `recording.truth_arrays` gives, the npz has tips_mm (F, 5, 3), length_mm (F,), pinch (F,), hidden (F,).
    """
    from ..data.arrays import save_arrays
    from .recording import write_bag

    seen: list[Gesture] = []

    def samples() -> Iterator[Sample]:
        for gesture in render_gestures(settings, **motion):
            seen.append(gesture)
            yield gesture.sample

    arrays = write_bag(samples(), bag, rate_hz=motion.get("rate_hz", 15.0), overwrite=True)
    arrays |= {
        "tips_mm": np.stack([one.sample.palm.tips_mm for one in seen]),
        "length_mm": np.array([1000 * one.sample.palm.length_m for one in seen]),
        "pinch": np.array([one.pinch for one in seen]),
        "hidden": np.array([one.hidden for one in seen]),
    }
    save_arrays(truth, arrays, overwrite=True)
    return len(seen)
