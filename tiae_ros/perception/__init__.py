"""A colour picture and its registered depth -> grasps: segment, find windows, describe, restore, locate. No ROS.

    perception = Perception()                    # the shipped models; parameters of the node as keywords
    for grasp in perception.frame(color, depth_m, k):
        print(grasp.label, grasp.shift_px, grasp.position_m)

Conventions are those of `tiae_ros.vision`: pixel centres at integer coordinates, x right, y down, metres, NaN nothing.
The *shift* of a grasp is where its pattern lies in the colour picture, relative to the picture's centre, in pixels:

    (window centre + shift within the window, scaled to image pixels) - ((W - 1) / 2, (H - 1) / 2)

so moving the picture by (dx, dy) changes it by exactly (dx, dy).

`call` has the one call, `pipeline` the same road in steps, for the node.
"""

from tiae_ros.perception.call import Grasp, Hand, Perception, Pose
from tiae_ros.perception.pipeline import (
    DEPTH_CHANNELS,
    ERROR,
    GRASP_CHANNELS,
    WARN,
    Described,
    FrameDropped,
    Images,
    Pipeline,
    Result,
    load_checked,
    load_pipeline,
    segmentation_settings,
)

__all__ = [
    "DEPTH_CHANNELS",
    "ERROR",
    "GRASP_CHANNELS",
    "WARN",
    "Described",
    "FrameDropped",
    "Grasp",
    "Hand",
    "Images",
    "Perception",
    "Pipeline",
    "Pose",
    "Result",
    "load_checked",
    "load_pipeline",
    "segmentation_settings",
]
