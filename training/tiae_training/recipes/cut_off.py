"""Grasps cut off by the window's edge, in two channels (hand mask, object mask).

The pictures are the simulator's windows of rendered hands that hold things; shifts of ±10 of their 32 pixels push a
good part of hand and object out of the window, where it is lost. So no standard position can be had from what is
seen, say by centroids: what is seen differs from view to view. Trained on some people's hands, tested on others'.

Training knows the whole windows, and holds what is restored of a view against them. So restored is also what the edge
cut off, as far as the rest tells it, which `restoration_error`, held against what is seen, counts as wrong:
`restoration_error_of_whole` is held against whole windows.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tiae_training.baselines import fit_baseline
from tiae_training.data.arrays import ImageArrays, load_arrays, save_arrays
from tiae_training.measures import measure_model, restoration_error, shifted_views
from tiae_training.recipes.recipe import Recipe, Workplace, at_most, draw_rows, side_by_side

RADIUS = 10
SHOWN = 5  # grasps in the picture, each twice
SETTINGS: dict[str, Any] = {
    "transforms": "shift",
    "shift_radius_px": RADIUS,
    "epochs": 48,
    "learning_rate": 6e-3,
    "invariance_weight": 1.5,  # more than strokes, what two views show of one grasp is to be said alike
    "whole_targets": True,
}
# windows, seed, first person and end: nobody is in both
TRAINING = (3000, 1, 0, 1000)
TEST = (600, 2, 1000, 1200)
_KEPT = ("dispersion", "knn_accuracy", "restoration_error", "restoration_error_of_whole", "shift_error")


def run(workplace: Workplace) -> dict[str, Any]:
    """The auto-encoder and principal components after centring, on windows that shifts cut off."""
    training, test = masks(workplace)
    model = workplace.train("model", training, **SETTINGS)
    measures: dict[str, Any] = measure_model(model, test, training, shift_radius_px=RADIUS, seed=workplace.seed)
    components = min(30, len(training))
    centred = fit_baseline("centroid-pca", training, radius_px=RADIUS, descriptor_size=components, seed=workplace.seed)
    baseline = measure_model(centred, test, training, shift_radius_px=RADIUS, seed=workplace.seed)
    views = shifted_views(test, RADIUS, workplace.seed + 5, views=2)
    whole = test.images
    for figures, restored in ((measures, model.restore(views.images[0])), (baseline, centred.restore(views.images[0]))):
        figures["restoration_error_of_whole"] = restoration_error(restored, whole)
    shown = side_by_side(views.images[:, :SHOWN])
    draw_rows(
        workplace.out / "cut-off.png",
        [
            ("input", shown),
            ("centroid + PCA, restored", centred.restore(shown)),
            ("invariant, restored", model.restore(shown)),
            ("… moved by its shift", model.place(shown)),
        ],
        "Each grasp at two places, cut off by the window's edge: hand mask orange, object mask blue",
    )
    return {
        "windows": len(training),
        **measures,
        **{f"centroid_pca_{name}": baseline[name] for name in _KEPT if name in baseline},
        "share_cut_off": cut_off(test, views.images[0]),
    }


def masks(workplace: Workplace) -> tuple[ImageArrays, ImageArrays]:
    """(training, test) windows of two masks, of other people; or a user's own windows."""
    if workplace.data is not None:
        return workplace.own_windows(workplace.data)
    training, test = (rendered_masks(workplace.windows or count, *who) for count, *who in (TRAINING, TEST))
    return training, test


def cut_off(whole: ImageArrays, seen: np.ndarray) -> float:
    """How much of the patterns the windows have lost, mean share of their pixels."""
    before = whole.images.sum((1, 2, 3))
    return float((1.0 - seen.sum((1, 2, 3))[before > 0] / before[before > 0]).mean())


def rendered_masks(count: int, seed: int, first_subject: int, end_subject: int) -> ImageArrays:
    """Simulated windows of two masks, rendered once (a minute or two) and kept in the user's cache.

    Raises MissingExtraError without the simulator.
    """
    from tiae_training.data.windows import WindowSize, window_arrays
    from tiae_training.simulator.rendering import import_mujoco
    from tiae_training.simulator.simulator import SimulatorSettings
    from tiae_training.simulator.window_set import window_rows

    file = cache_folder() / f"masks_{count}_seed{seed}.npz"
    if not file.is_file():
        import_mujoco()  # complain before workers start
        print(f"rendering {count} windows into {file}", flush=True)
        settings = SimulatorSettings(seed=seed, subjects=(first_subject, end_subject))
        stream = window_rows(settings, WindowSize(), workers=len(os.sched_getaffinity(0)))
        rows = list(islice(stream, count))
        stream.close()  # type: ignore[attr-defined]  # ends the workers
        save_arrays(file, window_arrays(rows, settings.grasps, "masks", WindowSize()), overwrite=True)
    return load_arrays(file)


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/tiae_ros``, by default in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tiae_ros"


CUT_OFF = Recipe(
    "cut-off",
    f"grasps as two masks, cut off by the window's edge under shifts of ±{RADIUS} px",
    run,
    (at_most("dispersion", 0.03), at_most("shift_error", 0.4)),
    of_digits=False,
)
