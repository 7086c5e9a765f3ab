"""Whole pictures with their labels, to train and test segmentation on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .scenes import rows_of_scenes
from .simulator import Sample, SimulatorSettings, render_scene

# What makes segmentation hard: hands from everywhere, things beside, nothing at all, things in front.
VARIED = {"view": "any", "bystanders": 2, "empty_share": 0.12, "reaching_share": 0.12, "occluder_share": 0.25}


def frames(settings: SimulatorSettings, workers: int = 1) -> Iterator[Sample]:
    """Samples without end; the number of workers changes the speed, not the bytes."""
    return rows_of_scenes(_samples_of_scene, settings, None, workers)


def _samples_of_scene(job: tuple[SimulatorSettings, int, None]) -> list[Sample]:
    settings, number, _ = job
    return render_scene(settings, number)


def arrays(samples: list[Sample], settings: SimulatorSettings) -> dict[str, np.ndarray]:
    """color (N, H, W, 3), depth_mm (N, H, W) 0 nothing, segmentation (N, H, W) 0 none 1 hand 2 held, and what is known.

    labels are -1 where no hand holds anything it was made for (empty or reaching).
    """
    names = {name: number for number, name in enumerate(settings.grasps)}

    def millimetres(depth_m: np.ndarray) -> np.ndarray:
        return np.clip(np.nan_to_num(np.round(depth_m * 1000), nan=0.0), 0, 65534).astype(np.uint16)

    return {
        "color": np.stack([sample.rgb for sample in samples]),
        "depth_mm": np.stack([millimetres(sample.depth_m) for sample in samples]),
        "clean_depth_mm": np.stack([millimetres(sample.clean_depth_m) for sample in samples]),
        "segmentation": np.stack([sample.labels for sample in samples]),
        "labels": np.array([names.get(sample.grasp, -1) for sample in samples], np.int64),
        "label_names": np.array(settings.grasps),
        "subjects": np.array([sample.subject for sample in samples], np.int64),
        "left_hand": np.array([sample.left for sample in samples]),
        "k": np.stack([sample.k for sample in samples]),
    }
