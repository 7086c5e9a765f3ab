"""Puts a thing into a hand: builds the MuJoCo model, brings the thing up to the palm, closes the fingers by contact.

The palm is fixed in the world; room and cameras move around it. The thing hangs on stiff springs at the palm, so that
it gives way a little to the fingers, as a held thing does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .grasps import Grasp, Landmarks, Placement
from .hand import FINGERS, JOINT_LIMITS, JOINT_NAMES, HandWriter, Subject, draw_subject
from .objects import Piece
from .rendering import import_mujoco
from .room import ROOM_MJCF_ASSETS, ROOM_MJCF_WORLD

_STEP_S = 0.004
_CLOSING_STEPS, _HOLDING_STEPS = 70, 45
_MOVABLE = tuple(name for name in JOINT_NAMES if not name.startswith("wrist"))
# Torques in N m that the servos may use, by the joint's part of the finger.
_TORQUES = (("mcp_flexion", 0.30), ("pip", 0.22), ("dip", 0.12), ("thumb_cmc", 0.30), ("ip_flexion", 0.12))


@dataclass
class HeldThing:
    """A hand model with the state after closing, ready to be seen from anywhere."""

    model: Any
    data: Any
    grasp: Grasp
    subject: Subject
    left: bool
    opened: np.ndarray  # (nq,) before closing
    closed: np.ndarray  # (nq,) after closing
    hand_geoms: np.ndarray  # numbers
    thing_geoms: np.ndarray


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


def _piece_mjcf(number: int, piece: Piece, rotation: np.ndarray, left: bool) -> str:
    size = " ".join(f"{value:.6g}" for value in piece.size)
    head = f'<geom name="thing_{number}" class="thing{piece.paint}" type="{piece.kind}" size="{size}" '
    if piece.ends is not None:
        start, end = (_mirrored(left, rotation @ point) for point in piece.ends)
        return head + f'fromto="{start} {end}"/>'
    place = _mirrored(left, rotation @ piece.centre)
    return head + f'pos="{place}" quat="{_quaternion(rotation @ piece.rotation, left)}"/>'


def _thing_mjcf(placement: Placement, left: bool) -> str:
    pieces = "".join(
        _piece_mjcf(number, piece, placement.rotation, left) for number, piece in enumerate(placement.pieces)
    )
    give = 1.0 / max(placement.yielding, 0.05)
    slide = f'type="slide" stiffness="{250 * give:.4g}" damping="8"'
    hinge = f'type="hinge" stiffness="{0.6 * give:.4g}" damping="0.02"'
    joints = "".join(
        f'<joint name="thing_{kind}{axis}" class="thing_joint" {what} axis="{vector}"/>'
        for kind, what in (("move_", slide), ("turn_", hinge))
        for axis, vector in (("x", "1 0 0"), ("y", "0 1 0"), ("z", "0 0 1"))
    )
    inertia = '<inertial pos="0 0 0" mass="0.15" diaginertia="0.0003 0.0003 0.0003"/>'
    place = _mirrored(left, placement.position)
    return f'<body name="thing" pos="{place}">{joints}{inertia}{pieces}</body>'


def scene_mjcf(writer: HandWriter, placement: Placement | None, *, with_room: bool) -> str:
    """The whole MuJoCo model as text."""
    skin = " ".join(f"{value:.4g}" for value in (*writer.subject.skin, 1.0))
    nail = " ".join(f"{value:.4g}" for value in (*writer.subject.nail, 1.0))
    thing = _thing_mjcf(placement, writer.left) if placement is not None else ""
    assets, world = (ROOM_MJCF_ASSETS, ROOM_MJCF_WORLD) if with_room else ("", "")
    material = 'material="skin"' if with_room else ""
    sleeve = 'material="cloth"' if with_room else ""
    things = "".join(
        f'<default class="thing{paint}"><geom contype="2" conaffinity="1" solref="0.008 1" friction="0.8" '
        + (f'material="thing{paint}"' if with_room else "")
        + "/></default>"
        for paint in range(3)
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
        <default class="skin"><geom contype="1" conaffinity="3" solref="0.008 1" friction="0.8" {material}/></default>
        <default class="flesh"><geom contype="0" conaffinity="2" solref="0.008 1" friction="0.8" {material}/></default>
        <default class="forearm"><geom contype="0" conaffinity="0" {material}/></default>
        <default class="sleeve"><geom contype="0" conaffinity="0" rgba="1 1 1 1" {sleeve}/></default>
        <default class="nail"><geom contype="0" conaffinity="0" rgba="{nail}"/></default>
        <default class="hidden"><geom contype="0" conaffinity="0" group="4" rgba="0 0 0 0"/></default>
        {things}
      </default>
      <asset>{assets}</asset>
      <worldbody>{world}{writer.mjcf()}{thing}</worldbody>
      <contact>{_excludes()}</contact>
      <actuator>{_actuators()}</actuator>
    </mujoco>"""


@lru_cache(maxsize=8)
def _bare_hand(number: int) -> tuple[Any, Any]:
    """A right hand of this subject with nothing else, to find landmarks with."""
    mujoco = import_mujoco()
    model = mujoco.MjModel.from_xml_string(scene_mjcf(HandWriter(draw_subject(number), False), None, with_room=False))
    return model, mujoco.MjData(model)


def landmarks(subject: Subject, opening: dict[str, float]) -> Landmarks:
    """Places on a right hand in this posture, in the palm frame."""
    mujoco = import_mujoco()
    model, data = _bare_hand(subject.number)
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
    grasp: Grasp, subject: Subject, *, left: bool, sleeve: str, sleeve_start_m: float = 0.08, rng: np.random.Generator
) -> HeldThing:
    """Build the model of this hand with a new thing of this grasp and close the hand on it."""
    mujoco = import_mujoco()
    opening = {
        name: float(np.clip(angle + rng.normal(0, 0.03), *JOINT_LIMITS[name])) for name, angle in grasp.opening.items()
    }
    closing = {
        name: float(np.clip(angle + rng.normal(0, 0.06), *JOINT_LIMITS[name])) for name, angle in grasp.closing.items()
    }
    placement = grasp.place(subject, landmarks(subject, opening), rng) if grasp.place else None
    model = mujoco.MjModel.from_xml_string(
        scene_mjcf(HandWriter(subject, left, sleeve, sleeve_start_m), placement, with_room=True)
    )
    data = mujoco.MjData(model)
    for name, angle in opening.items():
        data.joint(name).qpos[0] = angle
    if placement is not None and placement.approach is not None:
        _bring_to_contact(model, data, placement, left)
    opened = data.qpos.copy()
    _close(model, data, opening, closing)
    names = [model.geom(number).name for number in range(model.ngeom)]
    hand = np.array([number for number, name in enumerate(names) if name.startswith("hand_")])
    thing = np.array([number for number, name in enumerate(names) if name.startswith("thing_")], int)
    return HeldThing(model, data, grasp, subject, left, opened, data.qpos.copy(), hand, thing)


def _bring_to_contact(model: Any, data: Any, placement: Placement, left: bool) -> None:
    """Move the thing along its way until it touches the hand, at most 25 mm beyond its nominal place."""
    mujoco = import_mujoco()
    body = model.body("thing").id
    direction = np.array(placement.approach, float)
    if left:
        direction[1] *= -1
    nominal = model.body_pos[body].copy()

    def touches(distance: float) -> bool:
        model.body_pos[body] = nominal - direction * distance
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        contacts = data.contact.geom[: data.ncon]
        owners = model.geom_bodyid[contacts]
        return bool(((owners == body).any(axis=1) & (data.contact.dist[: data.ncon] < 0)).any())

    far, near = 0.06, -0.012
    if not touches(near):
        return
    while touches(far) and far < 0.2:
        far += 0.02
    for _ in range(8):
        middle = 0.5 * (far + near)
        if touches(middle):
            near = middle
        else:
            far = middle
    touches(far)


def _close(model: Any, data: Any, opening: dict[str, float], closing: dict[str, float]) -> None:
    mujoco = import_mujoco()
    start = np.array([opening.get(name, 0.0) for name in _MOVABLE])
    goal = np.array([closing.get(name, opening.get(name, 0.0)) for name in _MOVABLE])
    goal[_MOVABLE.index("ring_cmc_flexion")] = 0.12 * closing.get("ring_mcp_flexion", 0.0) / 1.5
    goal[_MOVABLE.index("little_cmc_flexion")] = 0.25 * closing.get("little_mcp_flexion", 0.0) / 1.5
    for step in range(_CLOSING_STEPS + _HOLDING_STEPS):
        share = min(1.0, step / _CLOSING_STEPS)
        data.ctrl[:] = start + share * (goal - start)
        mujoco.mj_step(model, data)
    # What is left of the limits' softness is not shown to anybody.
    low, high = model.jnt_range[:, 0], model.jnt_range[:, 1]
    limited = model.jnt_limited.astype(bool)
    data.qpos[limited] = np.clip(data.qpos[limited], low[limited], high[limited])


def joint_angles(model: Any, qpos: np.ndarray) -> np.ndarray:
    """(25,) angles in the order of JOINT_NAMES."""
    return np.array([qpos[model.joint(name).qposadr[0]] for name in JOINT_NAMES], np.float32)


__all__ = ["FINGERS", "HeldThing", "grasp_thing", "joint_angles", "landmarks", "scene_mjcf"]
