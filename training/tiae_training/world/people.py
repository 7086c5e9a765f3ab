"""People of all ages and builds: the parametric body of `anny` at rest, one person for a number.

Axes of a body at rest: x to its left, y to its back, z up, metres; the origin lies near the hips. Bones are those of
anny's rig; of a hand: ``wrist``, ``metacarpal1..4``, ``finger1-1 … finger5-3`` (finger1 is the thumb).

Source: R. Brégier et al., "Human Mesh Modeling for Anny Body", 2025 (code Apache-2.0; shapes of MakeHuman, CC0).
Skin colours: E. Monk, "Monk Skin Tone Scale", 2019.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import MissingExtraError, install_hint

Floats = NDArray[np.float32]

_MONK = ["f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420"]
MONK_SKIN_TONES = np.array([[int(tone[i : i + 2], 16) for i in (0, 2, 4)] for tone in _MONK], np.float32) / 255


@dataclass(frozen=True, eq=False)
class Rig:
    """What all bodies share."""

    bones: tuple[str, ...]
    parents: tuple[int, ...]
    faces: NDArray[np.int32]  # (F, 3)
    weights: Floats  # (V, B), rows sum to 1
    main_bone: NDArray[np.int32]  # (V,) the bone with the largest weight

    def number(self, bone: str) -> int:
        return self.bones.index(bone)

    def vertices_of(self, *starts: str, side: str = "") -> NDArray[np.bool_]:
        """(V,) which vertices belong most to a bone whose name starts so (and ends in ``.R`` or ``.L``)."""
        chosen = [name.startswith(starts) and name.endswith(side) for name in self.bones]
        return np.array(chosen)[self.main_bone]


@dataclass(frozen=True, eq=False)
class Person:
    """One body at rest, and the colours that stay."""

    number: int
    rig: Rig
    vertices: Floats  # (V, 3)
    normals: Floats  # (V, 3)
    heads: Floats  # (B, 3) where each bone begins
    skin: Floats  # (3,) rgb 0..1
    hand_length_m: float  # from the wrist to the tip of the middle finger


@functools.lru_cache(maxsize=1)
def load_rig() -> tuple[object, Rig]:
    """anny's model and its rig. Raises MissingExtraError without the package."""
    try:
        import anny
    except ImportError:
        raise MissingExtraError(f"people come with the package anny; install it: {install_hint('sim')}") from None
    model = anny.Anny(skinning_method="lbs")
    count = model.template_vertices.shape[0]
    weights = np.zeros((count, len(model.bone_labels)), np.float32)
    np.add.at(
        weights, (np.arange(count)[:, None], model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy()
    )
    weights /= weights.sum(axis=1, keepdims=True)
    faces = model.faces.numpy().astype(np.int32)
    rig = Rig(
        tuple(model.bone_labels), tuple(model.bone_parents), faces, weights, weights.argmax(axis=1).astype(np.int32)
    )
    return model, rig


@functools.lru_cache(maxsize=4)
def draw_person(number: int) -> Person:
    """The person with this number; always the same one. Four of five are grown up."""
    import torch

    model, rig = load_rig()
    rng = np.random.default_rng([number, 20261])
    grown = rng.random() < 0.8
    shape = {
        "gender": rng.random(),
        "age": rng.uniform(0.6, 1.0) if grown else rng.uniform(0.3, 0.6),
        "muscle": np.clip(rng.normal(0.5, 0.2), 0, 1),
        "weight": np.clip(rng.normal(0.5, 0.2), 0, 1),
        "height": np.clip(rng.normal(0.5, 0.17), 0, 1),
        "proportions": np.clip(rng.normal(0.5, 0.2), 0, 1),
    }
    with torch.no_grad():
        numbers = {name: torch.tensor([float(value)]) for name, value in shape.items()}
        rest = model.get_rest_model(model.get_phenotype_blendshape_coefficients(**numbers))  # type: ignore[attr-defined]
    vertices = rest["rest_vertices"][0].numpy().astype(np.float32)
    heads = rest["rest_bone_heads"][0].numpy().astype(np.float32)
    tip = vertices[rig.vertices_of("finger3-3.R")] - heads[rig.number("wrist.R")]
    tone = rng.uniform(0, len(MONK_SKIN_TONES) - 1)
    skin = MONK_SKIN_TONES[int(tone)] + (tone % 1) * (MONK_SKIN_TONES[int(tone) + 1] - MONK_SKIN_TONES[int(tone)])
    # The scale is of drawings; skin in light has a little more red in it.
    skin = skin * [1.0, rng.uniform(0.80, 0.95), rng.uniform(0.70, 0.92)] + rng.normal(0, 0.015, 3)
    skin[1] = min(skin[1], rng.uniform(0.72, 0.9) * skin[0])  # never green
    skin = np.clip(skin, 0.03, 1)
    return Person(
        number,
        rig,
        vertices,
        vertex_normals(vertices, rig.faces),
        heads,
        skin.astype(np.float32),
        float(np.linalg.norm(tip, axis=1).max()),
    )


def vertex_normals(vertices: Floats, faces: NDArray[np.int32]) -> Floats:
    """(V, 3) unit normals, of each vertex the mean of its faces' by their area."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(b - a, c - a)
    normals = np.stack(
        [
            sum(np.bincount(faces[:, corner], across[:, axis], len(vertices)) for corner in range(3))
            for axis in range(3)
        ],
        axis=1,
    )
    return (normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)).astype(np.float32)
