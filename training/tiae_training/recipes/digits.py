"""Digits anywhere in the window: one descriptor and one restored picture per shape, and where it is."""

from __future__ import annotations

from typing import Any

from tiae_training.baselines import fit_baseline
from tiae_training.measures import measure_model, shifted_views
from tiae_training.recipes.recipe import Recipe, Workplace, at_least, at_most, draw_rows, side_by_side

RADIUS = 8
SHOWN = 6  # digits in the picture, each twice
SETTINGS: dict[str, Any] = {
    "transforms": "shift",
    "shift_radius_px": RADIUS,
    "epochs": 40,
    "learning_rate": 6e-3,
    "contrastive_weight": 3.0,  # at this temperature similar shapes form clusters; at 0.1 each keeps to itself
    "contrastive_temperature": 0.3,
    "invariance_weight": 0.9,
    "deformation": 0.8,  # a little less than by default: what is restored are the digits as they are
}


def run(workplace: Workplace) -> dict[str, Any]:
    """Shift-invariant against ordinary auto-encoder on held-out digits under shifts of ±8 px."""
    training, test = workplace.digits()
    model = workplace.train("model", training, **SETTINGS)
    ordinary = fit_baseline(
        "ordinary-ae", training, radius_px=RADIUS, epochs=workplace.epochs or 20, seed=workplace.seed
    )
    shown = side_by_side(shifted_views(test, RADIUS, workplace.seed + 5, views=2).images[:, :SHOWN])
    draw_rows(
        workplace.out / "digits.png",
        [
            ("input", shown),
            ("ordinary, restored", ordinary.restore(shown)),
            ("invariant, restored", model.restore(shown)),
            ("… moved by its shift", model.place(shown)),
        ],
        "Each digit at two places: the invariant auto-encoder restores one picture, and says where it was",
    )
    measures: dict[str, Any] = measure_model(model, test, training, shift_radius_px=RADIUS, seed=workplace.seed)
    plain = measure_model(ordinary, test, training, shift_radius_px=RADIUS, seed=workplace.seed)
    kept = ("dispersion", "knn_accuracy", "nmi", "restoration_error")
    measures |= {f"ordinary_{name}": plain[name] for name in kept if name in plain}
    return {"windows": len(training), **measures}


DIGITS = Recipe(
    "digits",
    "shift invariance against an ordinary auto-encoder; shifts estimated",
    run,
    (
        at_most("dispersion", 0.010),
        at_least("knn_accuracy", 0.96),
        at_least("nmi", 0.78),
        at_most("restoration_error", 0.09),
        at_most("shift_error", 0.15),
    ),
)
