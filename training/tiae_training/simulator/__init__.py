"""Rendered hands that hold things, with their ground truth (needs the extra `sim`)."""

from .grasps import GRASP_NAMES, SLIDE_GRASPS
from .hand import JOINT_LIMITS, JOINT_NAMES
from .simulator import Sample, Simulator, SimulatorSettings

__all__ = [
    "GRASP_NAMES",
    "JOINT_LIMITS",
    "JOINT_NAMES",
    "SLIDE_GRASPS",
    "Sample",
    "Simulator",
    "SimulatorSettings",
]
