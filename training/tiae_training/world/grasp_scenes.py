"""Frames of the other simulator (`tiae_training.simulator`: MuJoCo, hands of capsules or one smooth skin) with the
truth that frames of people have, so that a detector sees more than one kind of hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tiae_training.simulator.frame_set import VARIED
from tiae_training.simulator.simulator import PalmPose, Sample, SimulatorSettings, render_scene

from .clothes import ARM
from .scene import LEAST_SHOWN_PX, MIDDLE_X, MIDDLE_Z_M, Frame, HandTruth, WorldSettings

_SUBJECTS_PER_PERSON = 10  # numbered people of the world are spread over so many of the simulator's
_WRIST_X_M = -0.005  # what lies behind this plane of the palm's axes is arm


def frames_of_grasp_scene(settings: WorldSettings, number: int) -> Iterator[Frame]:
    """All views of scene `number`; depends on nothing but the settings and the number."""
    rng = np.random.default_rng([settings.seed, number, 33])
    first, end = (value // _SUBJECTS_PER_PERSON for value in settings.people)
    simulator = SimulatorSettings(
        seed=settings.seed,
        width=settings.width,
        height=settings.height,
        grasps=settings.grasps,
        subjects=(first, max(end, first + 1)),
        views_per_scene=settings.views,
        view="desk" if rng.random() < 0.5 else "any",
        smooth_skin=bool(rng.random() < 0.5),
        sensor="none" if settings.clean else "random",
        **{name: value for name, value in VARIED.items() if name != "view"},  # type: ignore[arg-type]
    )
    for sample in render_scene(simulator, number):
        yield _frame(sample)


def _frame(sample: Sample) -> Frame:
    labels, owner = sample.labels.copy(), (sample.labels > 0).astype(np.uint8)
    hands: tuple[HandTruth, ...] = ()
    palm, focal = sample.palm, float(sample.k[0, 0])
    if palm is not None and owner.any():
        labels[(labels == 1) & (_palm_x(sample, palm) < _WRIST_X_M)] = ARM
        truth = _truth(sample, palm, focal, int((labels == 1).sum()))
        hands = (truth,) if truth.shown_px >= LEAST_SHOWN_PX else ()
    return Frame(
        sample.rgb, sample.depth_m, sample.clean_depth_m, labels, owner, hands, sample.k, sample.sensor, (0, 0)
    )


def _palm_x(sample: Sample, palm: PalmPose) -> NDArray[np.float64]:
    """(H, W): how far the surface in each pixel lies from the wrist towards the fingers, metres."""
    height, width = sample.labels.shape
    ys, xs = np.mgrid[0:height, 0:width]
    focal, (cx, cy) = sample.k[0, 0], sample.k[:2, 2]
    rays = np.stack([(xs - cx) / focal, (ys - cy) / focal, np.ones_like(xs)], axis=-1)
    places = rays * sample.clean_depth_m[..., None]
    return np.asarray((places - palm.wrist_m) @ palm.axes[:, 0])


def _truth(sample: Sample, palm: PalmPose, focal: float, shown: int) -> HandTruth:
    mirror = np.array([1.0, -1.0 if sample.left else 1.0, 1.0])
    size = palm.length_m
    places = palm.wrist_m + np.array([[MIDDLE_X * size, 0, MIDDLE_Z_M], [-0.10, 0, 0]]) @ palm.axes.T
    pixels = focal * places[:, :2] / places[:, 2:] + sample.k[:2, 2]
    arm = pixels[1] - pixels[0]
    arm = arm / max(float(np.linalg.norm(arm)), 1e-9)
    eye = (-places[0] @ palm.axes) * mirror
    return HandTruth(
        number=0,
        left=sample.left,
        joints=sample.joints.astype(float),
        tips_mm=1000 * palm.tips_m * mirror,
        view=eye / np.linalg.norm(eye),
        size_m=size,
        grasp=sample.grasp if sample.grasp != "none" else "free",
        holds=bool((sample.labels == 2).any()),
        person=-1,
        thing=-1,
        middle_px=(float(pixels[0, 0]), float(pixels[0, 1])),
        arm_px=(float(arm[0]), float(arm[1])),
        distance_m=float(places[0, 2]),
        shown_px=shown,
    )
