"""Frames of the other simulator (`tiae_training.simulator`: MuJoCo, hands of capsules or one smooth skin) with the
truth that frames of people have, so that a detector sees more than one kind of hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import HAND, OBJECT
from tiae_training.simulator.simulator import Sample, SimulatorSettings, render_scene

from .clothes import ARM
from .scene import LEAST_SHOWN_PX, Frame, HandTruth, WorldSettings

# What makes hands hard to find: things beside, nothing at all, hands that reach, things in front.
_VARIED = {"bystanders": 2, "reaching_share": 0.12, "occluder_share": 0.25}
_WRIST_X_M = -0.005  # what lies behind this plane of the palm's axes is arm


def frames_of_grasp_scene(settings: WorldSettings, number: int) -> Iterator[Frame]:
    """All views of scene `number`; depends on nothing but the settings and the number.

    People are the simulator's of the same numbers, things are its own, distances those of its views.
    """
    rng = np.random.default_rng([settings.seed, number, 33])
    simulator = SimulatorSettings(
        seed=settings.seed,
        width=settings.width,
        height=settings.height,
        grasps=settings.grasps,
        subjects=settings.people,
        views_per_scene=settings.views,
        view="desk" if rng.random() < 0.5 else "any",
        smooth_skin=bool(rng.random() < 0.5),
        sensor="none" if settings.clean else "random",
        empty_share=settings.empty_share,
        **_VARIED,  # type: ignore[arg-type]
    )
    for sample in render_scene(simulator, number):
        yield _frame(sample)


def _frame(sample: Sample) -> Frame:
    labels, owner = sample.labels.copy(), (sample.labels > 0).astype(np.uint8)
    hands: tuple[HandTruth, ...] = ()
    if owner.any():
        labels[(labels == HAND) & (_palm_x(sample) < _WRIST_X_M)] = ARM
        truth = _truth(sample, int((labels == HAND).sum()))
        hands = (truth,) if truth.shown_px >= LEAST_SHOWN_PX else ()
    return Frame(
        sample.rgb, sample.depth_m, sample.clean_depth_m, labels, owner, hands, sample.k, sample.sensor, (0, 0)
    )


def _palm_x(sample: Sample) -> NDArray[np.float64]:
    """(H, W): how far the surface in each pixel lies from the wrist towards the fingers, metres."""
    height, width = sample.labels.shape
    ys, xs = np.mgrid[0:height, 0:width]
    focal, (cx, cy) = sample.k[0, 0], sample.k[:2, 2]
    rays = np.stack([(xs - cx) / focal, (ys - cy) / focal, np.ones_like(xs)], axis=-1)
    places = rays * sample.clean_depth_m[..., None]
    return np.asarray((places - sample.palm.wrist_m) @ sample.palm.axes[:, 0])


def _truth(sample: Sample, shown: int) -> HandTruth:
    palm = sample.palm
    places = np.stack([palm.middle_m, palm.wrist_m - 0.10 * palm.axes[:, 0]])
    pixels = sample.k[0, 0] * places[:, :2] / places[:, 2:] + sample.k[:2, 2]
    arm = pixels[1] - pixels[0]
    arm = arm / max(float(np.linalg.norm(arm)), 1e-9)
    return HandTruth(
        number=0,
        left=sample.left,
        joints=sample.joints.astype(float),
        tips_mm=palm.tips_mm,
        view=palm.view,
        size_m=palm.length_m,
        grasp=sample.grasp if sample.grasp != "none" else "free",
        holds=bool((sample.labels == OBJECT).any()),
        person=sample.subject,
        thing=-1,
        middle_px=(float(pixels[0, 0]), float(pixels[0, 1])),
        arm_px=(float(arm[0]), float(arm[1])),
        distance_m=float(palm.middle_m[2]),
        shown_px=shown,
        keypoints=palm.keypoints_px(sample.k),
    )
