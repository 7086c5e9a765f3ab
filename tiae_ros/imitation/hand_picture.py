"""Joints of a robot hand -> a picture of it, from its chains alone: no model of its shape, no renderer.

Links are round bars, the palm is bars from the base link to the fingers' roots; seen from the side of the palm with the
fingers up, as you see your own hand.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tiae_ros.imitation.fingertips import Fingertips
from tiae_ros.imitation.robot_hand import RobotHand

BACKDROP, PALM, LINK, TIP = (30, 33, 40), (120, 128, 142), (215, 219, 228), (255, 176, 72)  # rgb
_PALM_MM, _LINK_MM = 10.0, 8.0  # radii
_STEP_MM = 1.5  # between the balls that make a bar
_LEAN, _TURN = 0.3, 0.45  # radians, to show depth
_LAMP = np.array([0.45, 0.45, -0.77])  # right, up, away from who looks


class HandPicture:
    """Draws one hand, always at the same scale.

    Args:
        hand: the robot hand; its file must have fingers.
        size: of the picture, pixels.
    """

    def __init__(self, hand: RobotHand, size: int = 240) -> None:
        self._hand, self._size, self._tips = hand, size, Fingertips(hand)
        self._view = _seen_from_the_palm()
        places = self._seen(np.concatenate(self._tips.bones(hand.rest)))
        corners = np.concatenate([places, self._seen(np.zeros((1, 3)))])[:, :2]
        low, high = corners.min(0) - 2 * _PALM_MM, corners.max(0) + 2 * _PALM_MM
        self._scale = 0.96 * size / float((high - low).max())  # pixels per millimetre
        self._middle = 0.5 * (low + high)

    def draw(self, angles: np.ndarray) -> NDArray[np.uint8]:
        """(A,) radians -> (S, S, 3) rgb."""
        picture = np.full((self._size, self._size, 3), BACKDROP, np.uint8)
        nearest = np.full((self._size, self._size), np.inf)
        chains = self._tips.bones(angles)
        roots = [chain[0] for chain in chains]
        base = np.zeros(3)
        for start, end in [*((base, root) for root in roots), *pairwise(roots[1:])]:
            self._bar(picture, nearest, start, end, _PALM_MM, PALM)
        for chain in chains:
            for start, end in pairwise(chain):
                self._bar(picture, nearest, start, end, _LINK_MM, LINK)
            self._bar(picture, nearest, chain[-1], chain[-1], 1.05 * _LINK_MM, TIP)
        return np.ascontiguousarray(picture[:, ::-1] if self._hand.side == "left" else picture)

    def _seen(self, places_mm: np.ndarray) -> np.ndarray:
        """(…, 3) palm's axes -> right, up, away from who looks."""
        seen: np.ndarray = places_mm @ self._view.T
        return seen

    def _bar(
        self,
        picture: NDArray[np.uint8],
        nearest: np.ndarray,
        start: np.ndarray,
        end: np.ndarray,
        radius_mm: float,
        colour: tuple[int, int, int],
    ) -> None:
        """Balls from start to end, where nothing nearer is drawn yet."""
        count = 1 + int(np.linalg.norm(end - start) / _STEP_MM)
        radius = radius_mm * self._scale
        reach = np.arange(-int(radius) - 1, int(radius) + 2)
        right, up = np.meshgrid(reach, -reach)  # rows go down
        inside = right**2 + up**2 <= radius**2
        towards = np.sqrt(np.maximum(radius**2 - right**2 - up**2, 0.0))
        normal = np.stack([right, up, -towards], -1) / radius
        light = 0.35 + 0.65 * np.clip(normal @ _LAMP, 0.0, 1.0)
        painted = np.clip(light[..., None] * colour, 0, 255).astype(np.uint8)
        for place in self._seen(np.linspace(start, end, count)):
            x, y = (place[:2] - self._middle) * self._scale
            column, row = round(self._size / 2 + x), round(self._size / 2 - y)
            rows, columns = row + reach, column + reach
            rows_in = (rows >= 0) & (rows < self._size)
            columns_in = (columns >= 0) & (columns < self._size)
            if not (rows_in.any() and columns_in.any()):
                continue
            there = np.ix_(rows[rows_in], columns[columns_in])
            here = np.ix_(rows_in, columns_in)
            depth = place[2] * self._scale - towards[here]
            seen = inside[here] & (depth < nearest[there])
            nearest[there] = np.where(seen, depth, nearest[there])
            picture[there] = np.where(seen[..., None], painted[here], picture[there])


def _seen_from_the_palm() -> np.ndarray:
    """(3, 3), rows are right, up and away from who looks, in the palm's axes (fingertips, thumb side, back)."""
    plain = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turn = np.array([[np.cos(_TURN), 0, np.sin(_TURN)], [0, 1, 0], [-np.sin(_TURN), 0, np.cos(_TURN)]])
    lean = np.array([[1, 0, 0], [0, np.cos(_LEAN), -np.sin(_LEAN)], [0, np.sin(_LEAN), np.cos(_LEAN)]])
    view: np.ndarray = lean @ turn @ plain
    return view
