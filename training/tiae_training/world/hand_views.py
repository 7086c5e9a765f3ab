"""Hands alone, near and from all around, to learn joints from: no room, no torso, so many a second.

A hand with its arm shows a free pose, a grasp, or fingers that stopped anywhere on their way to one; its thing hides
what it hides. Sensors have their faults. Masks are as rough as a segmentation's (`rough_labels`), or the true ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ParameterError
from tiae_ros.vision.labels import HAND, OBJECT
from tiae_training.simulator.hand import JOINT_NAMES, MIDDLE_X, MIDDLE_Z_M

from . import cameras
from .clothes import ARM, arm_mesh, draw_outfit, dressed_arm
from .hand_poses import ALL_GRASPS, as_row, draw_free_pose, draw_pinch
from .people import Person, draw_person
from .renderer import Camera, Light, Renderer, Solid, joined, look_at
from .scene import Body, HandTruth, PosedHand, check_drawn_from, draw_held, draw_light, thing_in_hand, truth_of
from .skeleton import ArmPose, Skeleton, hand_rest

PICTURE_PX = 240
_METRIC_M = 0.30  # what nearly fits into a picture
_LEAST_SHOWN = 0.09  # of a square of the hand's length: less is a hand behind its own arm


@dataclass(frozen=True)
class HandViewSettings:
    """What is drawn; every value is part of what makes the bytes."""

    seed: int = 0
    people: tuple[int, int] = (0, 90_000)  # first, one past the last
    things: tuple[int, int] = (0, 90_000)
    grasps: tuple[str, ...] = ALL_GRASPS
    views: int = 8  # of each person drawn, each of another pose
    free_share: float = 0.5  # of hands that are to hold nothing; some of the others find nothing to hold
    pinch_share: float = 0.25  # of these, whose thumb and finger touch
    rough_share: float = 0.6  # of pictures whose masks are as rough as a segmentation's
    hidden_share: float = 0.12  # of pictures in which something stands before the hand

    def __post_init__(self) -> None:
        check_drawn_from(self.people, self.things, self.grasps)
        for name in ("free_share", "pinch_share", "rough_share", "hidden_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be within 0 to 1")
        if self.views < 1 or self.seed < 0:
            raise ParameterError(f"views is {self.views}, seed {self.seed}; accepted are 1 and more, 0 and more")


@dataclass(frozen=True)
class HandView:
    """One picture of a hand, with its truth."""

    labels: NDArray[np.uint8]  # (H, W) 0 none, 1 hand with arm, 2 what it holds: as they are found
    true_labels: NDArray[np.uint8]  # (H, W) as they are
    depth_m: NDArray[np.float32]  # (H, W) as the sensor reads it, NaN nothing
    clean_depth_m: NDArray[np.float32]  # (H, W)
    focal_px: float
    hand: HandTruth


def hand_views(settings: HandViewSettings, number: int, renderer: Renderer) -> Iterator[HandView]:
    """Pictures of the hands of one person; depend on nothing but the settings and the number.

    renderer: of `PICTURE_PX` by as many.
    """
    rng = np.random.default_rng([settings.seed, number, 61])
    person = draw_person(int(rng.integers(*settings.people)))
    for _ in range(settings.views):
        view = _view(settings, rng, person, renderer)
        if view is not None:
            yield view


def _view(settings: HandViewSettings, rng: np.random.Generator, person: Person, renderer: Renderer) -> HandView | None:
    hand, solids = _posed(settings, rng, person)
    renderer.put(joined(solids))
    camera, middle = _camera(rng, hand)
    light = draw_light(rng)
    light = Light(light.ambient, light.sky, light.toward, light.strength, shade=0.0)  # a shadow costs as much again
    rgb, clean, codes = renderer.draw(camera, light, middle)
    labels = (codes % 10).astype(np.uint8)
    shown = int((labels == HAND).sum())
    truth = truth_of(hand, camera, shown)
    if truth is None or shown < _LEAST_SHOWN * (truth.size_m * camera.focal_px / truth.distance_m) ** 2:
        return None
    labels[labels == ARM] = HAND
    clean = _before_a_wall(clean, labels, truth.distance_m, rng)
    if rng.random() < settings.hidden_share:
        _hide(labels, clean, truth, rng)
    family = cameras.FAMILIES[int(rng.integers(len(cameras.FAMILIES)))]
    read = cameras.depth_picture(clean, rgb, camera.focal_px, family, rng)
    found = labels
    if rng.random() < settings.rough_share:
        found = rough_labels(labels, camera.focal_px / truth.distance_m, rng)
    return HandView(found, labels, read, clean, camera.focal_px, truth)


def _posed(settings: HandViewSettings, rng: np.random.Generator, person: Person) -> tuple[PosedHand, list[Solid]]:
    """A hand in a pose, its arm's skin and sleeve, and what it holds."""
    side = "R" if rng.random() < 0.5 else "L"
    held, grasp, thing = None, "free", -1
    if rng.random() >= settings.free_share:
        held, grasp, thing = draw_held(rng, person, side, settings.grasps, settings.things)
    rest = hand_rest(person, side)
    if held is not None:
        row = as_row(held.pose)
    else:
        draw = draw_pinch if rng.random() < settings.pinch_share else draw_free_pose
        row = as_row(draw(rng, rest, settings.grasps))
    pose = {name: float(angle) for name, angle in zip(JOINT_NAMES, row, strict=True)}
    pose["wrist_flexion"] = float(np.clip(rng.normal(0, 0.35), -1.0, 1.0))
    pose["wrist_deviation"] = float(np.clip(rng.normal(0, 0.15), -0.45, 0.35))
    skeleton = Skeleton.at_rest(person)
    shoulder = skeleton.heads[person.rig.number("upperarm01.R")]
    reach = float(np.linalg.norm(person.heads[person.rig.number("wrist.R")] - shoulder))
    ahead = shoulder + reach * np.array([rng.uniform(-0.3, 0.3), -rng.uniform(0.4, 0.9), rng.uniform(-0.4, 0.3)])
    arm = ArmPose(ahead, rng.normal(0.4, 0.4), rng.uniform(-1.0, 1.0), pose["wrist_flexion"], pose["wrist_deviation"])
    skeleton.reach(side, arm, pose)
    body = Body(person, skeleton, np.zeros(3), np.eye(3))
    vertices, normals = skeleton.skin(arm_mesh(person, side).rows)
    solids = [dressed_arm(person, draw_outfit(rng), side, vertices, normals)]
    if held is not None and held.thing.parts:
        solids.append(thing_in_hand(rng, body, side, held, 10 + OBJECT if held.touching else 0.0))
    return PosedHand(0, body, side, as_row(pose), held, grasp, thing), solids


def _camera(rng: np.random.Generator, hand: PosedHand) -> tuple[Camera, NDArray[np.float64]]:
    """From anywhere around the hand, in any roll; the hand in the middle, more or less."""
    axes, wrist = hand.body.skeleton.palms[hand.side]
    size = hand.body.person.hand_length_m
    mirror = np.array([-1.0 if hand.side == "L" else 1.0, 1, 1])
    middle = (axes @ np.array([MIDDLE_X * size, 0, MIDDLE_Z_M]) + wrist) * mirror
    way = rng.normal(0, 1, 3)
    distance = rng.uniform(0.28, 1.1)
    eye = middle + distance * way / np.linalg.norm(way)
    target = middle + rng.normal(0, 0.015, 3)
    focal = distance * PICTURE_PX / _METRIC_M * rng.uniform(0.6, 1.0)
    return Camera(look_at(eye, target, rng.uniform(-np.pi, np.pi)), eye, focal, PICTURE_PX, PICTURE_PX), middle


def _before_a_wall(
    depth_m: NDArray[np.float32], labels: NDArray[np.uint8], distance_m: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Behind the hand a plane that leans, near or far: what a sensor mixes into outlines."""
    y, x = (np.mgrid[: depth_m.shape[0], : depth_m.shape[1]] / depth_m.shape[0] - 0.5).astype(np.float32)
    behind = distance_m + 0.02 + rng.exponential(0.25) + rng.normal(0, 0.15) * x + rng.normal(0, 0.15) * y
    nothing = (labels == 0) & (depth_m >= 11.0)
    seen = depth_m[~nothing].max() if (~nothing).any() else distance_m
    return np.where(nothing, np.maximum(behind, seen), depth_m).astype(np.float32)


def _hide(labels: NDArray[np.uint8], depth_m: NDArray[np.float32], truth: HandTruth, rng: np.random.Generator) -> None:
    """Something stands before up to a third of the hand: an edge that comes in from one side."""
    height, width = labels.shape
    y, x = np.mgrid[:height, :width]
    turn = rng.uniform(0, 2 * np.pi)
    along = (x - width / 2) * np.cos(turn) + (y - height / 2) * np.sin(turn)
    of_hand = along[labels == HAND]
    covered = along > np.quantile(of_hand, 1 - rng.uniform(0.05, 0.33))
    labels[covered] = 0
    depth_m[covered] = max(0.15, truth.distance_m - rng.uniform(0.06, 0.2))


def rough_labels(labels: NDArray[np.uint8], px_per_m: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Labels as a segmentation network gives them: in cells of millimetres, blurred, wrong by patches."""
    height, width = labels.shape
    cell = px_per_m * rng.uniform(0.002, 0.008)
    grid = (max(8, round(width / cell)), max(8, round(height / cell)))
    blur, noise = rng.uniform(0.4, 1.5), rng.uniform(0.1, 0.8)
    scores = [np.full((height, width), 0.5 + rng.normal(0, 0.1), np.float32)]
    for label in (HAND, OBJECT):
        share = cv2.resize((labels == label).astype(np.float32), grid, interpolation=cv2.INTER_AREA)
        share = cv2.GaussianBlur(share, (0, 0), blur)
        patches = rng.standard_normal((grid[1] // 4 + 2, grid[0] // 4 + 2), dtype=np.float32)
        share += noise * cv2.resize(patches, grid, interpolation=cv2.INTER_LINEAR) * (share > 0.02)
        scores.append(cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR))
    return np.argmax(scores, axis=0).astype(np.uint8)
