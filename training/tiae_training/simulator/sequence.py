"""Motion: one hand takes several things in turn, lifts, turns and puts them down, before a camera that stands still.

Room frame: z up, the camera on the side of positive x. The model keeps the palm at the origin, so room, camera, lamps
and things are moved around it; what is not in the hand stays where it was put. Fingers follow the recorded closing of
each grasp, forwards to take a thing and backwards to let it go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tiae_ros.errors import ParameterError

from . import room, sensor_noise
from .grasping import HeldThing, Stage, grasp_thing, make_stage
from .grasps import BY_NAME
from .hand import JOINT_NAMES, HandWriter, draw_subject
from .objects import draw_colours
from .rendering import View, import_mujoco
from .simulator import (
    Sample,
    SimulatorSettings,
    bounding_spheres,
    grasp_geoms,
    palm_direction,
    quaternion_of,
    set_camera,
    take_picture,
)


@dataclass(frozen=True)
class Pose:
    """Place and axes of one frame in another."""

    rotation: np.ndarray  # (3, 3)
    place: np.ndarray  # (3,)

    def __matmul__(self, other: Pose) -> Pose:
        return Pose(self.rotation @ other.rotation, self.rotation @ other.place + self.place)

    def inverse(self) -> Pose:
        """The other frame in this one."""
        return Pose(self.rotation.T, -self.rotation.T @ self.place)


@dataclass(frozen=True)
class Moment:
    """One frame of the motion."""

    palm: Pose  # in the room
    joints: np.ndarray  # (25,)
    grasp: int  # number of the thing that is taken now
    progress: float  # of its closing, 0 open to 1 held
    carried: bool  # the thing moves with the palm


# One turn with a thing, in shares of its time: when, which station, how far closed.
_STATIONS = (
    (0.00, "before", 0.0),
    (0.20, "at_thing", 0.0),
    (0.38, "at_thing", 1.0),
    (0.56, "lifted", 1.0),
    (0.74, "turned", 1.0),
    (0.86, "at_thing", 1.0),
    (0.95, "at_thing", 0.0),
    (1.00, "before", 0.0),
)
ARM_LENGTH_M = 0.46
_WHOLE_IN_VIEW_M = 0.2  # an arm not longer than this keeps the margins as the hand does


def render_sequence(
    settings: SimulatorSettings,
    frames: int,
    *,
    grasps: Sequence[str] | None = None,
    arm_length_m: float = ARM_LENGTH_M,
    margin_px: tuple[int, int] = (0, 0),
    number: int = 0,
) -> Iterator[Sample]:
    """`frames` pictures of sequence `number`. The grasp (arm left out) keeps `margin_px` (x, y) from the border."""
    unknown = [name for name in grasps or () if name not in BY_NAME]
    if unknown:
        raise ParameterError(f"unknown grasp {', '.join(unknown)}; accepted: {', '.join(BY_NAME)}")
    if frames < 1:
        raise ParameterError(f"a sequence of {frames} frames cannot be made; it needs at least 1")
    rng = np.random.default_rng([settings.seed, number, 12])
    settings = replace(settings, photographs="")  # a backdrop that changes with every frame is none
    names = tuple(grasps) if grasps else _draw_grasps(settings, frames, rng)
    subject = draw_subject(int(rng.integers(*settings.subjects)))
    left = bool(rng.random() < 0.5)
    sleeve = str(rng.choice(["none", "sleeve"]))
    writer = HandWriter(subject, left, sleeve, float(rng.uniform(0.03, 0.10)), arm_length_m, settings.smooth_skin)
    held = [grasp_thing(BY_NAME[name], writer, rng) for name in names]
    withs = [thing for thing in held if thing.placement is not None]
    stage = make_stage(writer, [thing.placement for thing in withs if thing.placement], movable_things=True)
    palms = [_resting_palm(thing, place, rng) for thing, place in zip(held, _places(len(held), rng), strict=True)]
    moments = [_moment(held, palms, frame, frames) for frame in range(frames)]
    swept = _swept_spheres(stage, held, palms, moments, arm_length_m)
    focal, camera, target = _stand_camera(settings, swept, margin_px, rng)
    everything = np.concatenate([centres for centres, _, _ in swept]), np.concatenate([r for _, r, _ in swept])
    room.furnish(stage, everything, camera, target, rng, table_gap_m=0.004)
    room.dress(stage, [draw_colours(rng) for _ in stage.things], rng.random(3), rng, settings.glove_share)
    room.paint_room(stage, rng)
    view = View(stage.model, stage.data, settings.width, settings.height)
    room.light(stage.model, rng)
    lamps = stage.model.light_dir.copy()
    sensor = sensor_noise.drawn_sensor(settings.sensor, rng)
    colour: sensor_noise.ColourCamera | None = None
    try:
        for moment in moments:
            _show(stage, held, palms, moment)
            to_palm = moment.palm.inverse()
            world_camera, world_target = (to_palm.rotation @ point + to_palm.place for point in (camera, target))
            set_camera(settings, stage.model, world_camera, world_target, to_palm.rotation[:, 2], 0.0, focal)
            stage.model.light_dir[:] = lamps @ to_palm.rotation.T
            if colour is None and sensor != "none":
                colour = sensor_noise.draw_colour_camera(
                    _preview(stage, view), rng, steady=True, noise=settings.colour_noise
                )
            name, geoms = _in_hand(stage, held, moment)
            yield take_picture(settings, stage, name, view, focal, geoms, rng, sensor=sensor, colour=colour)
    finally:
        view.close()


def _draw_grasps(settings: SimulatorSettings, frames: int, rng: np.random.Generator) -> tuple[str, ...]:
    count = int(np.clip(round(frames / 22), 1, 4))
    return tuple(str(name) for name in rng.choice(settings.grasps, count, replace=count > len(settings.grasps)))


def _places(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Where the things stand on the table, in two staggered rows."""
    half = min(0.2, 0.075 * (count - 1))
    across = np.linspace(-half, half, count)
    order = rng.permutation(count)
    return [np.array([0.10 * (number % 2) - 0.05, across[number], 0.0]) for number in order]


def _resting_palm(held: HeldThing, place: np.ndarray, rng: np.random.Generator) -> Pose:
    """The palm in the room while it takes the thing: upright as people do it, the lowest point on the table."""
    grasp, stage = held.grasp, held.stage
    up, look = palm_direction(grasp.up, stage.left), palm_direction(grasp.look, stage.left)
    level = look - up * (look @ up)
    level /= np.linalg.norm(level)
    axes = np.stack([level, np.cross(up, level), up], axis=1)  # of the room, in the palm frame
    turn = rng.uniform(-0.35, 0.35)
    yaw = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    rotation = yaw @ axes.T
    stage.data.qpos[:] = held.closed
    import_mujoco().mj_kinematics(stage.model, stage.data)
    geoms = grasp_geoms(stage)
    centres = stage.data.geom_xpos[geoms] @ rotation.T
    lowest = float((centres[:, 2] - stage.model.geom_rbound[geoms]).min())
    middle = 0.5 * (centres.min(axis=0) + centres.max(axis=0))
    return Pose(rotation, np.array([place[0] - middle[0], place[1] - middle[1], -lowest]))


def _station(name: str, held: HeldThing, palm: Pose, number: int) -> Pose:
    sign = 1.0 if number % 2 else -1.0
    if name == "at_thing":
        return palm
    if name == "before":
        back = np.array([-0.045, 0.0, 0.05])  # along the arm and out of the palm's way
        return Pose(palm.rotation, palm.place + palm.rotation @ back + np.array([0.0, 0.0, 0.01]))
    height, turn, lean = (0.045, 0.25 * sign, 0.1) if name == "lifted" else (0.06, -0.3 * sign, -0.15)
    yaw = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    roll = np.array([[1.0, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]])
    return Pose(roll @ yaw @ palm.rotation, palm.place + np.array([0.0, 0.02 * sign, height]))


def _blend(first: Pose, second: Pose, share: float) -> Pose:
    """Between two poses: straight line, shortest turn."""
    mujoco = import_mujoco()
    velocity = np.zeros(3)
    start, turn = quaternion_of(first.rotation), quaternion_of(first.rotation.T @ second.rotation)
    mujoco.mju_quat2Vel(velocity, turn, 1.0)
    result, matrix = start.copy(), np.zeros(9)
    mujoco.mju_quatIntegrate(result, velocity, share)
    mujoco.mju_quat2Mat(matrix, result)
    return Pose(matrix.reshape(3, 3), first.place + share * (second.place - first.place))


def _moment(held: list[HeldThing], palms: list[Pose], frame: int, frames: int) -> Moment:
    per_thing = frames / len(held)
    number = min(int(frame / per_thing), len(held) - 1)
    time = frame / per_thing - number
    span = next(n for n in range(len(_STATIONS) - 1) if time <= _STATIONS[n + 1][0])
    (start, here, closed_here), (end, there, closed_there) = _STATIONS[span], _STATIONS[span + 1]
    share = (time - start) / (end - start)
    share = share * share * (3 - 2 * share)  # starts and stops softly
    palm = _blend(
        _station(here, held[number], palms[number], number), _station(there, held[number], palms[number], number), share
    )
    progress = closed_here + share * (closed_there - closed_here)
    joints = _at(held[number].closing.joints, progress)
    # From one thing to the next: the last moments of one blend into the first of the other.
    if time < 0.12 and number > 0:
        mix = 0.5 + 0.5 * time / 0.12
        before = _station("before", held[number - 1], palms[number - 1], number - 1)
        palm, joints = _blend(before, palm, mix), (1 - mix) * held[number - 1].closing.joints[0] + mix * joints
    if time > 0.94 and number + 1 < len(held):
        mix = 0.5 * (time - 0.94) / 0.06
        after = _station("before", held[number + 1], palms[number + 1], number + 1)
        palm, joints = _blend(palm, after, mix), (1 - mix) * joints + mix * held[number + 1].closing.joints[0]
    carried = here in ("lifted", "turned") or there in ("lifted", "turned")
    return Moment(palm, joints.astype(np.float32), number, float(progress), carried)


def _at(rows: np.ndarray, progress: float) -> np.ndarray:
    place = progress * (len(rows) - 1)
    low = int(np.clip(np.floor(place), 0, len(rows) - 2))
    return rows[low] + (place - low) * (rows[low + 1] - rows[low])


def _thing_in_palm(held: HeldThing, progress: float) -> Pose:
    row = _at(held.closing.thing_pose, progress)
    matrix = np.zeros(9)
    import_mujoco().mju_quat2Mat(matrix, row[3:] / np.linalg.norm(row[3:]))
    return Pose(matrix.reshape(3, 3), row[:3])


def _show(stage: Stage, held: list[HeldThing], palms: list[Pose], moment: Moment) -> None:
    """Put hand, room and things where this moment has them."""
    model, data = stage.model, stage.data
    for name, angle in zip(JOINT_NAMES, moment.joints, strict=True):
        data.qpos[model.joint(name).qposadr[0]] = angle
    to_palm = moment.palm.inverse()
    _put(stage, "room", to_palm)
    item = 0
    for number, thing in enumerate(held):
        if thing.placement is None:
            continue
        if number == moment.grasp and (moment.carried or moment.progress > 0):
            # While the fingers close it gives way to them where it stands, then goes along with the palm.
            in_palm = _thing_in_palm(thing, moment.progress)
        else:
            in_palm = to_palm @ palms[number] @ _thing_in_palm(thing, 0.0)
        _put(stage, f"thing{item}", in_palm)
        item += 1
    import_mujoco().mj_kinematics(model, data)


def _put(stage: Stage, body: str, pose: Pose) -> None:
    mocap = int(stage.model.body(body).mocapid[0])
    stage.data.mocap_pos[mocap] = pose.place
    stage.data.mocap_quat[mocap] = quaternion_of(pose.rotation)


def _in_hand(stage: Stage, held: list[HeldThing], moment: Moment) -> tuple[str, np.ndarray]:
    """Name of the grasp and geoms of the thing, while the hand touches it."""
    thing = held[moment.grasp]
    nothing = np.zeros(0, int)
    if thing.placement is None or moment.progress == 0.0:
        return thing.grasp.name, nothing
    row = round(moment.progress * (len(thing.closing.touching) - 1))
    if not (moment.carried or thing.closing.touching[row]):
        return thing.grasp.name, nothing
    item = sum(other.placement is not None for other in held[: moment.grasp])
    return thing.grasp.name, stage.things[item]


_Swept = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def _swept_spheres(
    stage: Stage, held: list[HeldThing], palms: list[Pose], moments: list[Moment], arm_length_m: float
) -> _Swept:
    """For every third moment: centres (S, 3) in the room, radii (S,), and which belong to the grasp itself (S,)."""
    result: _Swept = []
    with_arm = arm_length_m <= _WHOLE_IN_VIEW_M
    kept = set((np.arange(stage.model.ngeom) if with_arm else grasp_geoms(stage)).tolist())
    for moment in moments[::3]:
        _show(stage, held, palms, moment)
        centres, radii = bounding_spheres(stage)
        geoms = np.concatenate([stage.hand_geoms, stage.thing_geoms])
        _, held_geoms = _in_hand(stage, held, moment)
        near = [g in kept and (g in stage.hand_geoms or g in held_geoms) for g in geoms]
        result.append((centres @ moment.palm.rotation.T + moment.palm.place, radii, np.array(near)))
    return result


def _stand_camera(
    settings: SimulatorSettings, swept: _Swept, margin_px: tuple[int, int], rng: np.random.Generator
) -> tuple[float, np.ndarray, np.ndarray]:
    """Focal length, camera and target in the room, the nearest camera that keeps the margins."""
    centres = np.concatenate([c[near] for c, _, near in swept])
    radii = np.concatenate([r[near] for _, r, near in swept])
    target = 0.5 * (centres.min(axis=0) + centres.max(axis=0))
    azimuth, elevation = rng.uniform(-0.25, 0.25), rng.uniform(0.3, 0.7)
    direction = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    focal = settings.width * float(rng.uniform(0.75, 1.0))
    nearest = float(rng.uniform(0.42, 0.6))
    camera = target + direction * nearest
    for distance in np.arange(nearest, 1.3, 0.02):
        camera = target + direction * distance
        if _inside(settings, centres, radii, camera, target, focal, margin_px):
            break
    else:
        if any(margin_px):
            raise ParameterError(
                f"margins of {margin_px[0]} and {margin_px[1]} px cannot be kept in a picture of "
                f"{settings.width}x{settings.height}: give smaller margins or fewer things"
            )
    return focal, camera, target


def _inside(
    settings: SimulatorSettings,
    centres: np.ndarray,
    radii: np.ndarray,
    camera: np.ndarray,
    target: np.ndarray,
    focal: float,
    margin_px: tuple[int, int],
) -> bool:
    back = (camera - target) / np.linalg.norm(camera - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    above = np.cross(back, right)
    seen = centres - camera
    depth = -seen @ back
    if (depth < 0.2).any():
        return False
    across, up = np.abs(seen @ right) + radii, np.abs(seen @ above) + radii
    room_x, room_y = settings.width / 2 - margin_px[0], settings.height / 2 - margin_px[1]
    return bool((focal * across / depth <= room_x).all() and (focal * up / depth <= room_y).all())


def _preview(stage: Stage, view: View) -> np.ndarray:
    import_mujoco().mj_camlight(stage.model, stage.data)
    rgb, _, _ = view.render()
    return rgb
