"""Arrays -> the pictures of the page, (H, W, 3) uint8 red, green, blue. No ROS, no browser."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from tiae_ros import palette
from tiae_ros.drawing import depth_picture, mark_place, masks_picture, with_masks
from tiae_ros.view.known_grasps import KnownGrasps
from tiae_ros.view.moment import Moment
from tiae_ros.vision.cut_windows import cut_masks
from tiae_ros.vision.labels import Floats, Picture

CAMERA_WIDTH = 480
TILE = 118
STRIP = (460, 96)  # width, height
MAP = (460, 330)
_BACKGROUND = 28
_TEXT = (225, 225, 225)
_QUIET = (140, 140, 140)
_LINE, _WORD = 12, 70  # pixels of the map that a name takes
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def camera_picture(moment: Moment) -> Picture:
    """The colour picture with its masks, the main grasp's window and centre."""
    if moment.color is None:
        return _said((CAMERA_WIDTH, CAMERA_WIDTH * 3 // 4), "no colour picture")
    height, width = moment.color.shape[:2]
    labels = moment.labels
    fits = labels is not None and labels.shape == moment.color.shape[:2]
    tinted = with_masks(moment.color, labels) if labels is not None and fits else moment.color
    scale = CAMERA_WIDTH / width
    size = (CAMERA_WIDTH, max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = np.ascontiguousarray(cv2.resize(tinted, size, interpolation=how), np.uint8)
    if moment.window is not None:
        window = moment.window
        corners = [
            tuple(round(scale * (at + sign * window.side_px / 2)) for at in (window.center_x, window.center_y))
            for sign in (-1, 1)
        ]
        cv2.rectangle(
            picture, (corners[0][0], corners[0][1]), (corners[1][0], corners[1][1]), palette.WINDOW, 1, cv2.LINE_AA
        )
    if moment.grasps is not None:
        for number, (dx, dy) in enumerate(moment.grasps.shifts):
            at = (round(scale * (dx + (width - 1) / 2)), round(scale * (dy + (height - 1) / 2)))
            mark_place(picture, at, palette.WINDOW if number == 0 else _QUIET, float(moment.grasps.angles[number]))
    return picture


def windows_picture(moment: Moment, restored: Floats | None) -> Picture:
    """Side by side: input, restored at its own place, placed on the input (with its outline), and its depth.

    restored: (C, S, S), as `KnownGrasps.restored` gives it.
    """
    seen = None
    if moment.window is not None and moment.labels is not None and moment.restored_masks is not None:
        seen = cut_masks(moment.labels, moment.window, moment.restored_masks.shape[-1])
    tiles = (
        ("input", masks_picture(seen) if seen is not None else None),
        ("restored", masks_picture(restored[:2]) if restored is not None and len(restored) > 1 else None),
        ("placed", masks_picture(moment.restored_masks) if moment.restored_masks is not None else None),
        ("restored depth", depth_picture(moment.restored_depth_m) if moment.restored_depth_m is not None else None),
    )
    columns = []
    for title, pixels in tiles:
        tile = np.full((TILE + 18, TILE + 2, 3), _BACKGROUND, np.uint8)
        cv2.putText(tile, title, (2, 13), _FONT, 0.4, _TEXT, 1, cv2.LINE_AA)
        if pixels is not None:
            tile[18:, 1:-1] = cv2.resize(pixels, (TILE, TILE), interpolation=cv2.INTER_NEAREST)
            if title == "placed" and seen is not None:
                _outline(tile[18:, 1:-1], seen.sum(0))
        columns.append(tile)
    return np.concatenate(columns, axis=1)


def _outline(tile: Picture, cover: Floats) -> None:
    whole = cv2.resize(np.clip(cover, 0, 1), (tile.shape[1], tile.shape[0]), interpolation=cv2.INTER_LINEAR)
    contours, _ = cv2.findContours((whole > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    drawn = tile.copy()
    cv2.drawContours(drawn, contours, -1, (255, 255, 255), 1)
    tile[:] = drawn


def strip_picture(strip: Floats) -> Picture:
    """The descriptor over time, (K, T): a row per number, blue below zero, red above, the newest on the right."""
    width, height = STRIP
    if not strip.size:
        return _said(STRIP, "no grasp yet")
    known = np.isfinite(strip)
    values = np.where(known, strip, 0)
    largest = float(np.quantile(np.abs(values[known]), 0.99)) if known.any() else 1.0
    share = np.clip(np.abs(values) / max(largest, 1e-6), 0, 1)[..., None]
    end = np.where(values[..., None] > 0, np.array((235, 80, 60)), np.array((70, 130, 240)))
    picture = (_BACKGROUND + share * (end - _BACKGROUND)).astype(np.uint8)
    picture[~known] = 0
    shown = np.ascontiguousarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    cv2.putText(shown, "descriptor over time", (4, 12), _FONT, 0.38, _TEXT, 1, cv2.LINE_AA)
    return shown


class Map:
    """The known grasps on a plane, and the current one that moves on it."""

    def __init__(self, known: KnownGrasps) -> None:
        self._known = known
        width, height = MAP
        places = known.places
        low, high = (
            (np.quantile(places, 0.01, axis=0), np.quantile(places, 0.99, axis=0))
            if len(places)
            else (np.zeros(2), np.ones(2))
        )
        margin = np.array([44, 24])
        self._scale = (np.array(MAP) - 2 * margin) / np.maximum(high - low, 1e-6)
        self._offset = margin - low * self._scale
        self._empty = np.full((height, width, 3), _BACKGROUND, np.uint8)
        colors = distinct_colors(len(known.names))
        for place, kind in zip(self._pixels(places), known.kinds, strict=True):
            cv2.circle(self._empty, place, 2, colors[kind], -1, cv2.LINE_AA)
        middles = [places[known.kinds == kind].mean(axis=0) for kind in range(len(known.names))]
        spots = self._pixels(np.stack(middles)) if middles else []
        taken: list[tuple[int, int]] = []
        for kind in sorted(range(len(spots)), key=lambda kind: spots[kind][1]):
            x, y = spots[kind]
            while any(abs(y - other) < _LINE and abs(x - beside) < _WORD for beside, other in taken):
                y += 1  # below what stands there already
            taken.append((x, y))
            _label(self._empty, known.names[kind], (x, y), colors[kind])

    def draw(self, track: Sequence[Floats], name: str) -> Picture:
        """With the last descriptors, the newest last, and the name of that one."""
        picture = self._empty.copy()
        found = [place for place in map(self._known.place, track) if place is not None]
        if not found:
            return picture
        pixels = self._pixels(np.stack(found))
        for before, after in pairwise(pixels):
            cv2.line(picture, before, after, _QUIET, 1, cv2.LINE_AA)
        cv2.circle(picture, pixels[-1], 7, (255, 255, 255), 2, cv2.LINE_AA)
        if name:
            _label(picture, name, (pixels[-1][0], pixels[-1][1] - 14), (255, 255, 255), size=0.5)
        return picture

    def _pixels(self, places: Floats) -> list[tuple[int, int]]:
        spots = np.clip(places * self._scale + self._offset, -1e4, 1e4).round().astype(int)
        return [(int(x), MAP[1] - 1 - int(y)) for x, y in spots]


def no_map(reason: str) -> Picture:
    """What stands in the map's place."""
    return _said(MAP, reason)


def distinct_colors(count: int) -> list[tuple[int, int, int]]:
    """Colours that are far from each other."""
    shades = (colorsys.hls_to_rgb((number * 0.618) % 1.0, 0.62, 0.7) for number in range(count))
    return [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in shades]


def _label(picture: Picture, text: str, at: tuple[int, int], color: tuple[int, int, int], size: float = 0.38) -> None:
    (width, height), _ = cv2.getTextSize(text, _FONT, size, 1)
    x = min(max(at[0] - width // 2, 2), picture.shape[1] - width - 2)
    y = min(max(at[1] + height // 2, height + 2), picture.shape[0] - 4)
    cv2.putText(picture, text, (x, y), _FONT, size, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, text, (x, y), _FONT, size, color, 1, cv2.LINE_AA)


def _said(size: tuple[int, int], text: str) -> Picture:
    picture = np.full((size[1], size[0], 3), _BACKGROUND, np.uint8)
    words, line, lines = text.split(), "", []
    for word in words:
        if len(line) + len(word) > 52:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    for number, said in enumerate([*lines, line]):
        cv2.putText(picture, said, (10, 28 + 20 * number), _FONT, 0.45, _QUIET, 1, cv2.LINE_AA)
    return picture
