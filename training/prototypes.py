"""Labelled prototypes: a few typical descriptors per class, so that a model can name what it sees or say "unknown".

The auto-encoder itself is trained without labels; where the data has some, this is the only place they are used.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from tiae_ros.core.model import TransformInvariantAutoencoder
from tiae_training.arrays import ImageArrays
from tiae_training.measures import ShiftedViews

PER_CLASS = 8
_NEAR_QUANTILE = 0.95  # of the labelled windows lie within the radius of their class's nearest prototype


def add_prototypes(
    model: TransformInvariantAutoencoder, arrays: ImageArrays, *, per_class: int = PER_CLASS, seed: int = 0
) -> TransformInvariantAutoencoder:
    """A copy of the model with prototypes: k-means centres of each class's descriptors under random shifts.

    Needs labels and label_names in the data; without them the model is returned as it is.
    """
    if arrays.labels is None or not arrays.label_names:
        return model
    from sklearn.cluster import KMeans

    shown = ShiftedViews.draw(arrays, model.manifest.shift_radius, seed, views=1).images[0]
    descriptors = model.encode(shown).cpu().numpy()
    names: list[str] = []
    centres: list[np.ndarray] = []
    distances: list[np.ndarray] = []
    for label, name in enumerate(arrays.label_names):
        own = descriptors[arrays.labels == label]
        if not len(own):
            continue
        found = KMeans(min(per_class, len(own)), n_init=3, random_state=seed).fit(own)
        names += [name] * len(found.cluster_centers_)
        centres.append(found.cluster_centers_)
        distances.append(found.transform(own).min(1))
    manifest = dataclasses.replace(
        model.manifest,
        prototype_names=tuple(names),
        prototype_radius=float(np.quantile(np.concatenate(distances), _NEAR_QUANTILE)),
    )
    labelled = TransformInvariantAutoencoder(manifest=manifest).to(model.device)
    labelled.network = model.network
    labelled.prototypes = torch.as_tensor(np.concatenate(centres), dtype=torch.float32).to(model.device)
    return labelled
