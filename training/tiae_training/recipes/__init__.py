"""The experiments of the slides, each by one command: ``tiae recipe NAME --out DIR``.

A recipe loads its data, trains, measures on held-out data and writes NAME.png and NAME.json (and its models) to DIR.
One file per experiment; `RECIPES` lists them.
"""

from __future__ import annotations

from tiae_training.recipes import blur, clutter, cut_off, digits, document, foreground, leaflet, poses
from tiae_training.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        digits.DIGITS,
        foreground.NOISE,
        foreground.INDOOR,
        foreground.SHIFT_AND_BACKGROUND,
        poses.ROTATION,
        poses.SCALE,
        poses.POSE,
        poses.AFFNIST,
        poses.ALL,
        poses.PHOTOGRAPHS,
        poses.TURNED_GRASPS,
        clutter.CLUTTER,
        cut_off.CUT_OFF,
        document.DOCUMENT,
        leaflet.LEAFLET,
        blur.BLUR,
    )
}
