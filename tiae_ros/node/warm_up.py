"""First passes, before any camera is there: by a drawn frame of a hand in front of a wall that holds a thing."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from tiae_ros.drawing import draw
from tiae_ros.node.frames import Frame, decode_frame
from tiae_ros.parameters import Settings
from tiae_ros.perception import FrameDropped, Pipeline
from tiae_ros.streams.depth_units import MILLIMETRE_M

WIDTH, HEIGHT, FOCAL_PX = 640, 480, 525.0
_HAND_MM, _THING_MM, _WALL_MM = 500, 510, 900
_SKIN, _THING, _WALL = (205, 140, 110), (40, 70, 160), (150, 150, 145)


def warm_up(pipeline: Pipeline, settings: Settings) -> None:
    """First passes are slow and take memory for good (buffers, kernels, modules); they are made here.

    A drawn frame goes all the way, so that the first frame of the camera finds everything in its place. What is
    there then stays, so the garbage collector need not walk through it in the middle of a frame; what an earlier
    warm-up set aside is looked at again, lest the models of earlier configurations stay for ever.
    """
    for model in filter(None, (pipeline.grasp_model, pipeline.depth_model)):
        shape = (len(model.manifest.channels), model.manifest.window_size, model.manifest.window_size)
        for count in sorted({1, settings.max_grasps}):
            for _ in range(3):
                model.infer(np.zeros((count, *shape), np.float32))
    frame = Frame(**drawn_images(), rectified=False)
    settings = dataclasses.replace(settings, depth_unit_m=MILLIMETRE_M)  # the drawn hand's
    if not _passes(pipeline, frame, settings):  # the model need not take the drawn hand for one
        _passes(pipeline, frame, dataclasses.replace(settings, mask_source="topics"))
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _passes(pipeline: Pipeline, frame: Frame, settings: Settings) -> bool:
    """Send a frame all the way three times; whether a grasp was in it."""
    seen = False
    for _ in range(3):
        with contextlib.suppress(FrameDropped):  # a fault that lasts is told of with the first real frame
            images, _ = decode_frame(frame, settings)
            result = pipeline.restore(pipeline.describe(images, settings))
            seen = bool(result.windows)
            depth_m = pipeline.restore_depth(result, settings)
            if images.color is not None:
                draw(images.color, result, depth_m)
    return seen


def drawn_images() -> dict[str, SimpleNamespace]:
    """Messages by the names of `Frame`'s fields: colour, depth, masks, camera info; as sensor_msgs has them."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    hand = ((columns - 320) / 70) ** 2 + ((rows - 250) / 55) ** 2 <= 1
    hand |= (np.abs(columns - 320) < 30) & (rows >= 250)  # the arm comes from below
    thing = (np.abs(columns - 320) < 35) & (rows > 120) & (rows < 220) & ~hand
    color = np.full((HEIGHT, WIDTH, 3), _WALL, np.uint8)
    depth_mm = np.full((HEIGHT, WIDTH), _WALL_MM, np.uint16)
    for mask, shade, millimetres in ((hand, _SKIN, _HAND_MM), (thing, _THING, _THING_MM)):
        color[mask], depth_mm[mask] = shade, millimetres
    depth_mm[::7, ::11] = 0  # no camera reads everywhere
    return {
        "color": _message(color, "rgb8"),
        "depth": _message(depth_mm, "16UC1"),
        "hand_mask": _message(hand * np.uint8(255), "mono8"),
        "object_mask": _message(thing * np.uint8(255), "mono8"),
        "camera_info": SimpleNamespace(
            header=SimpleNamespace(frame_id=""),
            width=WIDTH,
            height=HEIGHT,
            k=[FOCAL_PX, 0, (WIDTH - 1) / 2, 0, FOCAL_PX, (HEIGHT - 1) / 2, 0, 0, 1],
        ),
    }


def _message(pixels: NDArray[np.uint8] | NDArray[np.uint16], encoding: str) -> SimpleNamespace:
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=""),
        encoding=encoding,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=pixels[0].nbytes,
        is_bigendian=0,
        data=pixels.tobytes(),
    )
