"""What the page knows of the node's model: the map of its named grasps, and the pattern that a descriptor restores.

The map is the plane in which the names differ most: principal component analysis (Pearson 1901) of the mean descriptor
of each name, since prototypes of one name differ from each other, too. A descriptor's place on it is its projection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiae_ros.model.autoencoder import Autoencoder, load_model
from tiae_ros.vision.labels import Floats


@dataclass(frozen=True)
class Projection:
    """(…, K) -> (…, 2)."""

    mean: Floats  # (K,)
    axes: Floats  # (K, 2), orthonormal

    def __call__(self, descriptors: Floats) -> Floats:
        places: Floats = ((descriptors - self.mean) @ self.axes).astype(np.float32)
        return places


def principal_plane(descriptors: Floats) -> Projection:
    """The plane of largest variance of (P, K) descriptors; signs are such that the largest entry of an axis is > 0."""
    mean = descriptors.mean(axis=0)
    _, _, rows = np.linalg.svd(descriptors - mean, full_matrices=False)
    axes = np.zeros((descriptors.shape[1], 2), np.float32)
    for column, row in enumerate(rows[:2]):
        axes[:, column] = row * np.sign(row[np.abs(row).argmax()])
    return Projection(mean.astype(np.float32), axes)


class KnownGrasps:
    """The model of the node, as far as it is on this machine.

    Attributes:
        names: one per name, sorted.
        places: (P, 2) of the prototypes on the map; kinds: (P,) index into names.
    """

    def __init__(self, model: Autoencoder) -> None:
        self.model = model
        prototypes = model.prototypes
        self.names = sorted(set(model.manifest.prototype_names))
        self.kinds = np.array([self.names.index(name) for name in model.manifest.prototype_names], int)
        means = [prototypes[self.kinds == kind].mean(axis=0) for kind in range(len(self.names))]
        apart = np.stack(means) if len(means) > 2 else prototypes
        self.project = principal_plane(apart) if len(apart) > 2 else None
        self.places = self.project(prototypes) if self.project else np.zeros((0, 2), np.float32)

    def restored(self, descriptor: Floats) -> Floats | None:
        """(K,) -> the pattern at its own place, (C, S, S); None for a descriptor of another size."""
        if descriptor.shape != (self.model.manifest.descriptor_size,):
            return None
        window: Floats = self.model.decode(descriptor[None])[0]
        return window

    def place(self, descriptor: Floats) -> Floats | None:
        """(K,) -> (2,) on the map."""
        if self.project is None or descriptor.shape != self.project.mean.shape:
            return None
        return self.project(descriptor)


def load_known_grasps(name: str) -> KnownGrasps:
    """Of a model by its name or folder. Raises ModelError when it is not on this machine."""
    return KnownGrasps(load_model(name, "cpu", threads=1))
