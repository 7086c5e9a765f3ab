"""Handwriting on leaflets: digits written across printed text and pictures are restored without them.

Trained before leaflets in one typeface with some photographs; tested before leaflets in another typeface with other
photographs, and before the scanned page and the handwritten note that come with scikit-image.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tiae_training.data.arrays import ImageArrays
from tiae_training.data.backgrounds import TEST_PHOTOGRAPHS, indoor_pictures
from tiae_training.data.documents import SERIF, leaflet_pictures, scanned_pictures
from tiae_training.recipes.foreground import EPOCHS, SHOWN, STATIC, in_front, measure, with_pool
from tiae_training.recipes.recipe import Recipe, Workplace, draw_rows

LEAFLETS = 60
_SEED_OF_TEST = 1_003


def run(workplace: Workplace) -> dict[str, Any]:
    """Trained before some leaflets, tested before others and before scanned pages."""
    training, test = workplace.digits()
    pool = alike(leaflet_pictures(LEAFLETS, workplace.seed, indoor_pictures().numpy()), training)
    model = workplace.train("model", with_pool(training, pool), epochs=EPOCHS, **STATIC)
    others = leaflet_pictures(LEAFLETS, _SEED_OF_TEST, indoor_pictures(TEST_PHOTOGRAPHS).numpy(), font_name=SERIF)
    seen, true = in_front(test, alike(others, test), workplace.seed)
    scanned, true_there = in_front(test, alike(scanned_pictures(), test), workplace.seed)
    half = SHOWN // 2
    shown = torch.cat((seen[:half], scanned[half:SHOWN]))
    draw_rows(
        workplace.out / "leaflet.png",
        [
            ("input", shown),
            ("restored", model.restore(shown)),
            ("true handwriting", torch.cat((true[:half], true_there[half:SHOWN]))),
        ],
        f"Handwriting on leaflets not trained on ({half} left), on scanned pages (right)",
    )
    there = measure(model, scanned, true_there, placed=False)
    return {
        "windows": len(training),
        **measure(model, seen, true, placed=False),
        **{f"{name}_on_scans": value for name, value in there.items()},
        "error_of_input": float(((seen - true).square().sum((1, 2, 3)) / true.square().sum((1, 2, 3))).mean()),
    }


def alike(pictures: Tensor | Any, like: ImageArrays) -> Tensor:
    """The pictures (M, 1, H, W), alike in each of the windows' channels."""
    return torch.as_tensor(pictures).repeat(1, like.images.shape[1], 1, 1)


LEAFLET = Recipe("leaflet", "handwriting restored from leaflets with print and pictures", run)
