"""The Shadow hand in MuJoCo: bodies, meshes and contacts of Gymnasium-Robotics, moved by a position motor per joint.

Its model couples the outer joints of each finger and drives 20 joints; a driver of the real hand takes all 24, and
`config/hands/shadow.yaml` keeps their order (`not_above`). So tendons and motors are taken out, joints get the file's
limits, and each its own motor. Tips of the model and of the file agree to 2 mm.

The model is a right hand. A left one is its mirror image: the same angles under the left names, pictures turned round.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from tiae_ros.errors import HandError, MissingExtraError, install_hint
from tiae_ros.imitation.human_hand import FINGERS
from tiae_ros.imitation.robot_hand import RobotHand

from ..simulator.rendering import View, import_mujoco

STIFFNESS = {"FF": 5.0, "MF": 5.0, "RF": 5.0, "LF": 5.0, "TH": 8.0, "WR": 60.0}  # N m / rad
_TORQUE_SHARE = 0.4  # N m of the most a motor gives, per N m / rad
_OTHER_SIGN = ("FFJ4", "MFJ4", "THJ1", "THJ2")  # the model's axes point the other way
_TIPS = dict(zip(FINGERS, ("th", "ff", "mf", "rf", "lf"), strict=True))
_BACKDROP = [0.93, 0.94, 0.96], [0.80, 0.82, 0.86]
_HINT = f"install it with: {install_hint('imitate')}"


class SimulatedShadow:
    """One hand, from its rest pose on.

    Args:
        hand: `load_hand("shadow")` of either side.
        width, height: of `picture`, pixels.
    """

    def __init__(self, hand: RobotHand, width: int = 320, height: int = 240) -> None:
        """Raises HandError for another hand, MissingExtraError without MuJoCo or the hand's model."""
        if hand.name != "shadow":
            raise HandError(f"robot hand {hand.name} cannot be simulated; accepted is shadow")
        mujoco = self._mujoco = import_mujoco()
        self.hand = hand
        self.model = _compiled(mujoco, hand)
        self.data = mujoco.MjData(self.model)
        self._places = np.array([self.model.joint(_joint(name)).qposadr[0] for name in hand.names])
        self._signs = np.array([-1.0 if name[3:] in _OTHER_SIGN else 1.0 for name in hand.names])
        self._size = width, height
        self._view: View | None = None
        self.place(hand.rest)

    def place(self, angles: np.ndarray) -> None:
        """Put the hand there at once, (A,) radians, at rest."""
        self.data.qpos[self._places] = self._signs * angles
        self.data.qvel[:] = 0.0
        self.aim(angles)
        self._mujoco.mj_forward(self.model, self.data)

    def aim(self, angles: np.ndarray) -> None:
        """What the motors pull to from now on, (A,) radians."""
        self.data.ctrl[:] = self._signs * angles

    def step(self, seconds: float) -> None:
        """Go on by so much time."""
        for _ in range(round(seconds / self.model.opt.timestep)):
            self._mujoco.mj_step(self.model, self.data)

    @property
    def angles(self) -> np.ndarray:
        """(A,) radians, in the order of the hand's `names`."""
        now: np.ndarray = self._signs * self.data.qpos[self._places]
        return now

    def tips_mm(self) -> np.ndarray:
        """(5, 3) fingertips, thumb to little, as `imitation.fingertips` gives them."""
        palm = self.data.body("robot0:palm")
        tips = np.array([self.data.site(f"robot0:S_{name}tip").xpos for name in _TIPS.values()])
        found: np.ndarray = 1000 * (tips - palm.xpos) @ palm.xmat.reshape(3, 3) @ self.hand.palm
        return found

    def gaps_mm(self) -> np.ndarray:
        """(4,) between the surfaces of the thumb's end and those of index to little finger; below 0 they press."""
        thumb, *others = (self.model.geom(f"robot0:C_{name}distal").id for name in _TIPS.values())
        found = [self._mujoco.mj_geomDistance(self.model, self.data, thumb, other, 0.2, None) for other in others]
        return 1000 * np.array(found)

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8, from the side of the palm."""
        if self._view is None:
            self._view = View(self.model, self.data, *self._size)
            self._view.options.geomgroup[:] = [1, 1, 0, 0, 0, 0]
        rgb, _, _ = self._view.render()
        return np.ascontiguousarray(rgb[:, ::-1] if self.hand.side == "left" else rgb)

    def close(self) -> None:
        """Free the renderer."""
        if self._view is not None:
            self._view.close()
            self._view = None


def _joint(name: str) -> str:
    """rh_FFJ1 -> robot0:FFJ0."""
    return f"robot0:{name[3:6]}{int(name[6:]) - 1}"


def _compiled(mujoco: Any, hand: RobotHand) -> Any:
    spec = mujoco.MjSpec.from_file(str(_model_file()))
    for kind in (spec.actuators, spec.tendons, spec.sensors):
        for one in list(kind):
            spec.delete(one)
    for name in ("floor0", "light0"):
        for one in [*spec.bodies, *spec.geoms, *spec.lights]:
            if one.name == name:
                spec.delete(one)
    for joint in hand.active:
        sign = -1.0 if joint.name[3:] in _OTHER_SIGN else 1.0
        limits = sorted((sign * joint.lower, sign * joint.upper))
        hinge = spec.joint(_joint(joint.name))
        hinge.range = limits
        stiffness = STIFFNESS[joint.name[3:5]]
        motor = spec.add_actuator(name=joint.name, target=hinge.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        motor.set_to_position(kp=stiffness)
        motor.ctrllimited, motor.ctrlrange = 1, limits
        most = _TORQUE_SHARE * stiffness
        motor.forcelimited, motor.forcerange = 1, [-most, most]
    for texture in spec.textures:
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            texture.rgb1, texture.rgb2 = _BACKDROP
    forearm = spec.body("robot0:forearm")  # z to the fingertips, x to the thumb, y out of the back of the hand
    forearm.add_camera(name="palm", pos=[0.09, -0.52, 0.39], xyaxes=[0.98, 0.19, 0, 0, 0, 1], fovy=30)
    for place, strength in (([0.5, -0.8, 1.2], 0.35), ([-0.6, -0.6, 0.8], 0.15)):
        forearm.add_light(
            type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
            pos=place, dir=[-x for x in place], diffuse=[strength] * 3, specular=[0.2] * 3, castshadow=False,
        )  # fmt: skip
    return spec.compile()


def _model_file() -> Path:
    # The package itself is not imported: only its files are used.
    found = importlib.util.find_spec("gymnasium_robotics")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / "envs" / "assets" / "hand" / "reach.xml"
        if path.is_file():
            return path
    raise MissingExtraError(f"the simulated Shadow hand needs gymnasium-robotics; {_HINT}")
