"""Thumb and finger of the simulator's own hand, brought together."""

from __future__ import annotations

import numpy as np

from .grasping import Stage
from .hand import JOINT_LIMITS, JOINT_NAMES
from .rendering import import_mujoco


def tips_together(stage: Stage, joints: np.ndarray, finger: str, gap_m: float) -> np.ndarray:
    """The nearest pose (25,) in which the tips of thumb and finger are so near each other: damped least squares."""
    mujoco, model, data = import_mujoco(), stage.model, stage.data
    places = np.array([model.joint(name).qposadr[0] for name in JOINT_NAMES])
    columns = np.array([model.joint(name).dofadr[0] for name in JOINT_NAMES])
    limits = np.array([JOINT_LIMITS[name] for name in JOINT_NAMES])
    free = np.array([name.startswith(("thumb", finger)) for name in JOINT_NAMES], float)
    thumb, other = (model.site(name).id for name in ("thumb_tip", f"{finger}_distal_tip"))
    slopes = np.zeros((2, 3, model.nv))
    start = joints.copy()
    for _ in range(200):
        data.qpos[places] = joints
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        apart = data.site_xpos[other] - data.site_xpos[thumb]
        if np.linalg.norm(apart) < gap_m:
            break
        for slope, site in zip(slopes, (thumb, other), strict=True):
            mujoco.mj_jacSite(model, data, slope, None, site)
        slope = (slopes[0] - slopes[1])[:, columns] * free
        step = slope.T @ np.linalg.solve(slope @ slope.T + 1e-4 * np.eye(3), apart)
        joints = np.clip(joints + 0.5 * step + 0.01 * (start - joints), limits[:, 0], limits[:, 1])
    return joints
