"""What a person looks like: skin with palms, nails and hair, and clothes as cloth a little off the skin.

Codes of pixels are ``10 * (hand + 1) + label`` for a hand and what belongs to it, 0 for all else; labels are HAND,
OBJECT and ARM (forearm, upper arm, sleeve).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_ros.vision.labels import HAND, OBJECT
from tiae_training.simulator.hand import THUMB_ALONG

from .people import Floats, Person
from .renderer import CHECKER, GRAIN, PLAIN, STRIPES, Solid
from .skeleton import SIDES, hand_rest

ARM = 3
assert (HAND, OBJECT) == (1, 2)
_HAND_BONES = ("wrist", "metacarpal", "finger")
_ARM_BONES = ("lowerarm", "upperarm", "shoulder")


@dataclass(frozen=True)
class Outfit:
    """Sleeves by how far from the wrist they begin (metres; beyond the arm: none), gloves, socks, colours."""

    cuff_m: float
    glove: bool
    thickness_m: float
    cloth: Floats  # (3, 3) rgb of top, trousers, gloves
    pattern: tuple[float, float, float]  # kind, frequency, strength
    hair: Floats  # (3,)
    phase: float

    @property
    def barefoot(self) -> bool:
        """One in five (`phase` is 0 to 6). It goes by a number that is drawn anyway, so that other draws stay."""
        return self.phase < 1.2


def draw_outfit(rng: np.random.Generator) -> Outfit:
    kind = rng.random()
    if kind < 0.3:
        cuff = 1.0  # bare arms
    elif kind < 0.45:
        cuff = rng.uniform(0.12, 0.3)
    else:
        cuff = rng.uniform(-0.02, 0.09)
    cloth = rng.random((3, 3))
    for row in range(3):
        if rng.random() < 0.5:  # cloth is often grey, black, white
            cloth[row] = np.clip(rng.choice([0.04, 0.2, 0.5, 0.85]) + rng.normal(0, 0.05) + 0.05 * cloth[row], 0, 1)
        elif rng.random() < 0.15:  # or like skin
            cloth[row] = np.array([0.78, 0.58, 0.46]) * rng.uniform(0.4, 1.2)
    kind_of = float(rng.choice([PLAIN, GRAIN, CHECKER, STRIPES], p=[0.6, 0.1, 0.1, 0.2]))
    strength = float(rng.uniform(0.05, 0.3 if kind_of == PLAIN else 0.6))
    return Outfit(
        cuff,
        rng.random() < 0.08,
        rng.uniform(0.002, 0.012),
        np.clip(cloth, 0.02, 0.95).astype(np.float32),
        (kind_of, float(rng.uniform(15, 120)), strength),
        (rng.random() * np.array([0.5, 0.35, 0.2]) + 0.02).astype(np.float32),
        float(rng.uniform(0, 6)),
    )


@functools.lru_cache(maxsize=8)
def skin_colors(person: Person) -> Floats:
    """(V, 3): palms are lighter on dark skin, nails and knuckles differ."""
    rig = person.rig
    colors = np.tile(person.skin, (len(person.vertices), 1))
    pale = np.array([0.80, 0.60, 0.52], np.float32)
    for side in SIDES:
        rest = hand_rest(person, side)
        mirror = np.array([-1.0 if side == "L" else 1.0, 1, 1])
        hand = np.flatnonzero(rig.vertices_of(*_HAND_BONES, side=side))
        up = (person.normals[hand] * mirror) @ rest.axes[:, 2]
        of_palm = np.clip((-up - 0.1) * 2, 0, 1)[:, None] * (0.55 if person.skin.mean() < 0.5 else 0.25)
        colors[hand] = (1 - of_palm) * colors[hand] + of_palm * (0.5 * colors[hand] + 0.5 * pale)
        for finger in range(5):
            first = 5 + 3 * finger
            bone, head, tip = rest.bones[first + 2], rest.heads[first + 2], rest.tips[finger]
            own = np.flatnonzero(rig.main_bone == bone)
            local = (person.vertices[own] * mirror - rest.wrist) @ rest.axes - head
            along = local @ (tip - head) / ((tip - head) @ (tip - head))
            back = rest.to_zero[first + 2].T @ np.cross(
                THUMB_ALONG if finger == 0 else (1.0, 0.0, 0.0), rest.flexion[finger]
            )
            up = ((person.normals[own] * mirror) @ rest.axes) @ (back / np.linalg.norm(back))
            nail = own[(along > 0.5) & (along < 0.98) & (up > 0.75)]
            colors[nail] = 0.72 * colors[nail] + 0.28 * np.array([0.95, 0.72, 0.70])
    return np.clip(colors, 0.01, 1).astype(np.float32)


@functools.lru_cache(maxsize=16)
def _from_wrist(person: Person, side: str) -> Floats:
    """(V,) metres from the wrist up the arm at rest; NaN for what is no arm and no hand."""
    rig = person.rig
    wrist, elbow = (person.heads[rig.number(f"{name}.{side}")] for name in ("wrist", "lowerarm01"))
    way = (elbow - wrist) / np.linalg.norm(elbow - wrist)
    along = (person.vertices - wrist) @ way
    arm = rig.vertices_of(*_ARM_BONES, *_HAND_BONES, side=side)
    upper = rig.vertices_of("upperarm", "shoulder", side=side)
    along = np.where(upper, np.maximum(along, np.linalg.norm(elbow - wrist)), along)
    return np.where(arm, along, np.nan).astype(np.float32)


@dataclass(frozen=True, eq=False)
class ArmMesh:
    """The vertices of one hand and its arm, and the triangles between them."""

    rows: NDArray[np.int64]  # (V,) of the person's vertices
    triangles: NDArray[np.int32]  # (F, 3) of those rows
    codes: Floats  # (V,) of the first hand: 10 + HAND, 10 + ARM


@functools.lru_cache(maxsize=16)
def arm_mesh(person: Person, side: str) -> ArmMesh:
    """Of side "R" or "L"."""
    rig = person.rig
    hand, arm = (rig.vertices_of(*bones, side=side) for bones in (_HAND_BONES, _ARM_BONES))
    rows = np.flatnonzero(hand | arm)
    place = np.full(len(person.vertices), -1, np.int32)
    place[rows] = np.arange(len(rows))
    triangles = place[rig.faces]
    codes = np.where(hand[rows], 10 + HAND, 10 + ARM).astype(np.float32)
    return ArmMesh(rows, triangles[(triangles >= 0).all(axis=1)], codes)


def dressed_arm(person: Person, outfit: Outfit, side: str, vertices: Floats, normals: Floats) -> Solid:
    """Skin and sleeve of one arm in one surface; vertices and normals of the rows of its `arm_mesh`."""
    mesh = arm_mesh(person, side)
    along = _from_wrist(person, side)[mesh.rows]
    waves = np.sin(person.vertices[mesh.rows] @ np.array([71.0, 53, 97]) + outfit.phase)
    worn = np.nan_to_num(along, nan=-1.0) >= outfit.cuff_m
    off = np.where(worn, outfit.thickness_m + 0.0015 * waves, 0.0015 * outfit.glove)[:, None]
    color = np.where(worn[:, None], outfit.cloth[0], outfit.cloth[2] if outfit.glove else person.skin)
    codes = np.where(worn, 10.0 + ARM, mesh.codes)
    return Solid.of((vertices + off * normals).astype(np.float32), normals, mesh.triangles, color, codes)


def dressed(person: Person, outfit: Outfit, vertices: Floats, normals: Floats, hands: dict[str, int]) -> list[Solid]:
    """Skin and clothes of a posed body (world axes).

    hands: number of the hand by side ("R", "L"); a side that is left out has code 0.
    """
    rig = person.rig
    codes = np.zeros(len(vertices), np.float32)
    colors = skin_colors(person).copy()
    head = rig.vertices_of("head")
    top = person.vertices[head][:, 2].max()
    scalp = head & (
        (person.vertices[:, 2] > top - 0.06) | ((person.normals[:, 1] > 0.1) & (person.vertices[:, 2] > top - 0.2))
    )
    colors[scalp] = outfit.hair
    for side, number in hands.items():
        codes[rig.vertices_of(*_HAND_BONES, side=side)] = 10 * (number + 1) + HAND
        codes[rig.vertices_of(*_ARM_BONES, side=side)] = 10 * (number + 1) + ARM
    if outfit.glove:
        gloved = rig.vertices_of(*_HAND_BONES)
        colors[gloved] = outfit.cloth[2]
        vertices = vertices + np.where(gloved[:, None], 0.0015 * normals, 0).astype(np.float32)
    solids = [Solid.of(vertices, normals, rig.faces, colors, codes, (PLAIN, 350.0, 0.14, 0.06), person.vertices)]
    waves = np.sin(person.vertices @ np.array([71.0, 53, 97]) + outfit.phase) + np.sin(
        person.vertices @ np.array([23.0, 37, 29]) - outfit.phase
    )
    off = (outfit.thickness_m + 0.0015 * waves)[:, None].astype(np.float32)
    cloth = vertices + np.maximum(off, 0.001) * normals
    covered = () if outfit.barefoot else ("foot", "toe")  # toes that stick out of a sock look like fingers
    legs = rig.vertices_of("upperleg", "lowerleg", "pelvis", "root", *covered)
    torso = rig.vertices_of("spine", "clavicle", "shoulder", "neck01")
    sleeve_codes = codes.copy()
    worn = torso.copy()
    for side in SIDES:
        along = _from_wrist(person, side)
        with np.errstate(invalid="ignore"):
            sleeve = along >= outfit.cuff_m
        if outfit.cuff_m > 0.9:  # short sleeves
            sleeve = rig.vertices_of("upperarm01", "shoulder", side=side)
        worn |= sleeve
        if side in hands:
            sleeve_codes[sleeve & (codes > 0)] = 10 * (hands[side] + 1) + ARM
    for number, where in ((0, worn), (1, legs)):
        chosen = where[rig.faces].all(axis=1)
        material = (*outfit.pattern, 0.0) if number == 0 else (PLAIN, 60.0, 0.15, 0.0)
        solids.append(
            Solid.of(
                cloth.astype(np.float32),
                normals,
                rig.faces[chosen],
                outfit.cloth[number],
                sleeve_codes if number == 0 else 0.0,
                material,
                person.vertices,
            )
        )
    return solids
