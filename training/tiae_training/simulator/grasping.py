"""Puts a thing into a hand: builds the MuJoCo model, brings the thing up to the palm, closes the fingers by contact.

The palm is fixed in the world; room and cameras move around it. The thing hangs on stiff springs at the palm, so that
it gives way a little to the fingers, as a held thing does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .grasps import Grasp, Landmarks, Placement
from .hand import JOINT_LIMITS, JOINT_NAMES, HandWriter, Subject, draw_subject
from .objects import Piece
from .rendering import import_mujoco
from .room import ROOM_MJCF_ASSETS, ROOM_MJCF_WORLD
from .skin import skins_of

_STEP_S = 0.004
_CLOSING_STEPS, _HOLDING_STEPS, _RECORD_EVERY = 70, 45, 5
_ASIDE_M = (0.0, 0.008, -0.008, 0.016, -0.016)
_BEYOND_M, _NEAR_ENOUGH_M = -0.012, 0.015  # of the nominal place
_MOVABLE = tuple(name for name in JOINT_NAMES if not name.startswith("wrist"))
# Torques in N m that the servos may use, by the joint's part of the finger.
_TORQUES = (("mcp_flexion", 0.30), ("pip", 0.22), ("dip", 0.12), ("thumb_cmc", 0.30), ("ip_flexion", 0.12))


@dataclass(frozen=True)
class Closing:
    """How the fingers closed on a thing: one row per recorded moment, from open to held."""

    joints: np.ndarray  # (S, 25) rad, order of JOINT_NAMES
    thing_pose: np.ndarray  # (S, 7) position and quaternion of the thing in the palm frame
    touching: np.ndarray  # (S,) bool


@dataclass
class Stage:
    """A hand model with things, ready to be seen from anywhere."""

    model: Any
    data: Any
    subject: Subject
    left: bool
    hand_geoms: np.ndarray  # numbers
    things: list[np.ndarray]  # numbers of the geoms of each thing
    bystanders: list[np.ndarray]  # and of each thing that only stands about

    @property
    def thing_geoms(self) -> np.ndarray:
        """Numbers of the geoms of all things."""
        return np.concatenate([np.zeros(0, int), *self.things])


@dataclass
class HeldThing:
    """One grasp after closing."""

    stage: Stage
    grasp: Grasp
    placement: Placement | None
    closed: np.ndarray  # (nq,)
    closing: Closing


def make_stage(
    writer: HandWriter,
    placements: Sequence[Placement],
    *,
    movable_things: bool = False,
    bystanders: Sequence[Placement] = (),
) -> Stage:
    """Compile the model of a hand with these things and the room; bystanders are things nobody holds."""
    mujoco = import_mujoco()
    skins = skins_of(writer) if writer.smooth else {}
    text = scene_mjcf(
        writer, placements, with_room=True, movable_things=movable_things, bystanders=bystanders, skins=skins
    )
    model = mujoco.MjModel.from_xml_string(text, {f"{name}.skn": skin for name, skin in skins.items()})
    names = [model.geom(number).name for number in range(model.ngeom)]
    hand = np.array([number for number, name in enumerate(names) if name.startswith("hand_")])

    def parts(name: str, count: int) -> list[np.ndarray]:
        return [
            np.array([number for number, geom in enumerate(names) if geom.startswith(f"{name}{thing}_")], int)
            for thing in range(count)
        ]

    return Stage(
        model,
        mujoco.MjData(model),
        writer.subject,
        writer.left,
        hand,
        parts("thing", len(placements)),
        parts("bystander", len(bystanders)),
    )


def _torque(joint: str) -> float:
    return next((torque for part, torque in _TORQUES if part in joint), 0.2)


def _actuators() -> str:
    servos = []
    for name in _MOVABLE:
        torque = _torque(name)
        low, high = JOINT_LIMITS[name]
        servos.append(
            f'<position name="{name}" joint="{name}" kp="{4 * torque:.3g}" kv="{0.16 * torque:.3g}" '
            f'forcerange="-{torque} {torque}" ctrlrange="{low} {high}"/>'
        )
    return "".join(servos)


def _excludes() -> str:
    pairs = []
    bases = {
        "index": "index_proximal",
        "middle": "middle_proximal",
        "ring": "ring_metacarpal",
        "little": "little_metacarpal",
    }
    bodies = ["palm", "thumb_metacarpal", "thumb_proximal", *bases.values(), "ring_proximal", "little_proximal"]
    for first in range(len(bodies)):
        for second in range(first):
            pairs.append((bodies[first], bodies[second]))
    return "".join(f'<exclude body1="{a}" body2="{b}"/>' for a, b in pairs)


def _mirrored(left: bool, vector: np.ndarray) -> str:
    x, y, z = vector
    return f"{x:.6g} {-y if left else y:.6g} {z:.6g}"


def _quaternion(rotation: np.ndarray, left: bool) -> str:
    mujoco = import_mujoco()
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(rotation).reshape(9))
    w, x, y, z = quaternion
    return f"{w:.6g} {-x if left else x:.6g} {y:.6g} {-z if left else z:.6g}"


def _piece_mjcf(name: str, piece: Piece, rotation: np.ndarray, left: bool, *, solid: bool) -> str:
    size = " ".join(f"{value:.6g}" for value in piece.size)
    head = f'<geom name="{name}" class="thing{piece.paint}" type="{piece.kind}" size="{size}" '
    if not solid:
        head += 'contype="0" conaffinity="0" '
    if piece.ends is not None:
        start, end = (_mirrored(left, rotation @ point) for point in piece.ends)
        return head + f'fromto="{start} {end}"/>'
    place = _mirrored(left, rotation @ piece.centre)
    return head + f'pos="{place}" quat="{_quaternion(rotation @ piece.rotation, left)}"/>'


def _thing_mjcf(name: str, placement: Placement, left: bool, *, movable: bool) -> str:
    """A thing on springs at its place in the hand or, `movable`, one that is put where it is wanted."""
    pieces = "".join(
        _piece_mjcf(f"{name}_{part}", piece, placement.rotation, left, solid=not movable)
        for part, piece in enumerate(placement.pieces)
    )
    place = _mirrored(left, placement.position)
    if movable:
        return f'<body name="{name}" mocap="true" pos="{place}">{pieces}</body>'
    give = 1.0 / max(placement.yielding, 0.05)
    slide = f'type="slide" stiffness="{400 * give:.4g}" damping="10"'
    hinge = f'type="hinge" stiffness="{0.6 * give:.4g}" damping="0.02"'
    joints = "".join(
        f'<joint name="{name}_{kind}{axis}" class="thing_joint" {what} axis="{vector}"/>'
        for kind, what in (("move_", slide), ("turn_", hinge))
        for axis, vector in (("x", "1 0 0"), ("y", "0 1 0"), ("z", "0 0 1"))
    )
    inertia = '<inertial pos="0 0 0" mass="0.15" diaginertia="0.0003 0.0003 0.0003"/>'
    return f'<body name="{name}" pos="{place}">{joints}{inertia}{pieces}</body>'


def scene_mjcf(
    writer: HandWriter,
    placements: Sequence[Placement],
    *,
    with_room: bool,
    movable_things: bool = False,
    bystanders: Sequence[Placement] = (),
    skins: Collection[str] = (),
) -> str:
    """The whole MuJoCo model as text."""
    skin = " ".join(f"{value:.4g}" for value in (*writer.subject.skin, 1.0))
    nail = " ".join(f"{value:.4g}" for value in (*writer.subject.nail, 1.0))
    thing = "".join(
        _thing_mjcf(f"thing{number}", placement, writer.left, movable=movable_things)
        for number, placement in enumerate(placements)
    )
    thing += "".join(
        _thing_mjcf(f"bystander{number}", placement, writer.left, movable=True)
        for number, placement in enumerate(bystanders)
    )
    assets, world = (ROOM_MJCF_ASSETS, ROOM_MJCF_WORLD) if with_room else ("", "")
    material = 'material="skin"' if with_room else ""
    sleeve = 'material="cloth"' if with_room else ""
    things = "".join(
        f'<default class="thing{paint}"><geom contype="2" conaffinity="1" solref="0.008 1" friction="0.8" '
        + (f'material="thing{paint}"' if with_room else "")
        + "/></default>"
        for paint in range(3)
    )
    soft = 'solref="0.008 1" friction="0.8"'
    hidden = 'group="4"' if skins else ""
    surface = "".join(
        f'<skin name="{name}" file="{name}.skn" material="{"cloth" if name == "sleeve" else "skin"}"/>'
        for name in skins
    )
    return f"""
    <mujoco model="grasp">
      <compiler angle="radian" autolimits="true" balanceinertia="true" boundmass="0.002" boundinertia="1e-6"/>
      <option timestep="{_STEP_S}" gravity="0 0 0" integrator="implicitfast" iterations="12" ls_iterations="8"/>
      <size njmax="1500" nconmax="400"/>
      <statistic extent="1" center="0.09 0 0"/>
      <visual>
        <global offwidth="1280" offheight="960"/>
        <quality offsamples="0" shadowsize="1" numslices="20" numstacks="12"/>
        <map znear="0.05" zfar="12"/>
        <headlight ambient="0.3 0.3 0.3" diffuse="0.3 0.3 0.3" specular="0 0 0"/>
      </visual>
      <default>
        <joint armature="0.0004" damping="0.006"/>
        <geom rgba="{skin}" mass="0.01"/>
        <default class="thing_joint"><joint armature="0.001"/></default>
        <default class="skin"><geom contype="1" conaffinity="3" {soft} {material} {hidden}/></default>
        <default class="flesh"><geom contype="0" conaffinity="2" {soft} {material} {hidden}/></default>
        <default class="web"><geom contype="0" conaffinity="0" {material} {hidden}/></default>
        <default class="forearm"><geom contype="0" conaffinity="0" {material} {hidden}/></default>
        <default class="sleeve"><geom contype="0" conaffinity="0" rgba="1 1 1 1" {sleeve} {hidden}/></default>
        <default class="nail"><geom contype="0" conaffinity="0" rgba="{nail}"/></default>
        <default class="hidden"><geom contype="0" conaffinity="0" group="4" rgba="0 0 0 0"/></default>
        {things}
      </default>
      <asset>{assets}</asset>
      <deformable>{surface}</deformable>
      <worldbody>{world}{writer.mjcf()}{thing}</worldbody>
      <contact>{_excludes()}</contact>
      <actuator>{_actuators()}</actuator>
    </mujoco>"""


@lru_cache(maxsize=8)
def bare_hand(number: int, left: bool = False) -> tuple[Any, Any]:
    """A hand of this subject with nothing else, to find landmarks with."""
    mujoco = import_mujoco()
    model = mujoco.MjModel.from_xml_string(scene_mjcf(HandWriter(draw_subject(number), left), [], with_room=False))
    return model, mujoco.MjData(model)


def landmarks(subject: Subject, opening: dict[str, float]) -> Landmarks:
    """Places on a right hand in this posture, in the palm frame."""
    mujoco = import_mujoco()
    model, data = bare_hand(subject.number)
    data.qpos[:] = 0.0
    for name, angle in opening.items():
        data.joint(name).qpos[0] = angle
    mujoco.mj_kinematics(model, data)
    marks = {model.site(number).name: data.site_xpos[number].copy() for number in range(model.nsite)}
    for name, start, end, share in (
        ("thumb_ring", "thumb_distal", "thumb_tip", 0.25),
        ("middle_ring", "middle_middle", "middle_middle_centre", 0.9),
    ):
        base, tip = data.body(start).xpos.copy(), marks[end]
        marks[name] = base + share * (tip - base)
        marks[f"{name}_axis"] = (tip - base) / np.linalg.norm(tip - base)
    return marks


def grasp_thing(
    grasp: Grasp, writer: HandWriter, rng: np.random.Generator, *, bystanders: Sequence[Placement] = ()
) -> HeldThing:
    """Build the model of this hand with a new thing of this grasp and close the hand on it."""
    opening = _varied(grasp.opening, 0.03, rng)
    closing = _varied(grasp.closing, 0.06, rng)
    placement = grasp.place(writer.subject, landmarks(writer.subject, opening), rng) if grasp.place else None
    stage = make_stage(writer, [placement] if placement else [], bystanders=bystanders)
    model, data = stage.model, stage.data
    for name, angle in opening.items():
        data.joint(name).qpos[0] = angle
    if placement is not None and placement.approach is not None:
        _bring_to_contact(model, data, placement, writer.left)
    recorded = _close(model, data, opening, closing, has_thing=placement is not None)
    return HeldThing(stage, grasp, placement, data.qpos.copy(), recorded)


def _varied(angles: dict[str, float], deviation: float, rng: np.random.Generator) -> dict[str, float]:
    return {
        name: float(np.clip(angle + rng.normal(0, deviation), *JOINT_LIMITS[name])) for name, angle in angles.items()
    }


def _bring_to_contact(model: Any, data: Any, placement: Placement, left: bool) -> None:
    """Move the thing along its way until it touches the hand; a little beside when a finger is in the way."""
    mujoco = import_mujoco()
    body = model.body("thing0").id
    direction = np.array(placement.approach, float) * [1, -1 if left else 1, 1]
    nominal = model.body_pos[body].copy()

    def touches(aside: float, distance: float) -> bool:
        model.body_pos[body] = nominal - direction * distance + np.array([aside, 0.0, 0.0])
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        owners = model.geom_bodyid[data.contact.geom[: data.ncon]]
        return bool(((owners == body).any(axis=1) & (data.contact.dist[: data.ncon] < 0)).any())

    reached: list[tuple[float, float]] = []  # distance left to the nominal place, and how far aside
    for aside in _ASIDE_M:
        far, near = 0.16, _BEYOND_M
        if not touches(aside, near):
            far = near
        for _ in range(9 if far > near else 0):
            middle = 0.5 * (far + near)
            if touches(aside, middle):
                near = middle
            else:
                far = middle
        reached.append((far, aside))
        if far < _NEAR_ENOUGH_M:
            break
    distance, aside = min(reached)
    touches(aside, distance)


def _close(model: Any, data: Any, opening: dict[str, float], closing: dict[str, float], *, has_thing: bool) -> Closing:
    mujoco = import_mujoco()
    start = np.array([opening.get(name, 0.0) for name in _MOVABLE])
    goal = np.array([closing.get(name, opening.get(name, 0.0)) for name in _MOVABLE])
    # The palm hollows as ring and little finger flex.
    goal[_MOVABLE.index("ring_cmc_flexion")] = 0.12 * closing.get("ring_mcp_flexion", 0.0) / 1.5
    goal[_MOVABLE.index("little_cmc_flexion")] = 0.25 * closing.get("little_mcp_flexion", 0.0) / 1.5
    body = model.body("thing0").id if has_thing else -1
    rows: list[tuple[np.ndarray, np.ndarray, bool]] = []
    for step in range(_CLOSING_STEPS + _HOLDING_STEPS + 1):
        if step % _RECORD_EVERY == 0:
            rows.append(_moment(model, data, body))
        share = min(1.0, step / _CLOSING_STEPS)
        data.ctrl[:] = start + share * (goal - start)
        mujoco.mj_step(model, data)
    # What the limits give way under load is not shown to anybody.
    low, high = model.jnt_range[:, 0], model.jnt_range[:, 1]
    limited = model.jnt_limited.astype(bool)
    data.qpos[limited] = np.clip(data.qpos[limited], low[limited], high[limited])
    rows.append(_moment(model, data, body))
    joints, poses, touching = zip(*rows, strict=True)
    return Closing(np.stack(joints), np.stack(poses), np.array(touching))


def _moment(model: Any, data: Any, body: int) -> tuple[np.ndarray, np.ndarray, bool]:
    mujoco = import_mujoco()
    mujoco.mj_kinematics(model, data)
    joints = joint_angles(model, data.qpos)
    limits = np.array([JOINT_LIMITS[name] for name in JOINT_NAMES], np.float32)
    joints = np.clip(joints, limits[:, 0], limits[:, 1])
    if body < 0:
        return joints, np.zeros(7), False
    touching = bool((model.geom_bodyid[data.contact.geom[: data.ncon]] == body).any()) if data.ncon else False
    return joints, np.concatenate([data.xpos[body], data.xquat[body]]), touching


def joint_angles(model: Any, qpos: np.ndarray) -> np.ndarray:
    """(25,) angles in the order of JOINT_NAMES."""
    return np.array([qpos[model.joint(name).qposadr[0]] for name in JOINT_NAMES], np.float32)
