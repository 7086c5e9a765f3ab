"""Frames on disk, in shards: the same files whoever renders them, on one machine or on a hundred.

Shard `s` holds scenes ``n s … n s + n - 1`` of one seed, where n is `WorldSettings.scenes`. `render_shards` renders
those whose number leaves the remainder `i` by a number of parts; a file is there whole or not at all, so that a job
that was stopped goes on. Colour is kept as JPEG, depth as it is read and as it is (both at half the size, in whole
millimetres) and labels as PNG: some 200 kB a frame.
"""

from __future__ import annotations

import io
import json
import os
import socket
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError, OutputError
from tiae_ros.model.folder import write_durably
from tiae_training.data.arrays import read_npz
from tiae_training.workers import each_in_order

from .renderer import Renderer
from .scene import Frame, HandTruth, WorldSettings, frames_of_scene, pieces_of_photographs

_QUALITY = 93
_PICTURES = ("color", "depth", "clean_depth", "labels")
_ARRAYS = ("focal_px", *_PICTURES, *(f"{name}_end" for name in _PICTURES))


@dataclass(frozen=True)
class StoredFrame:
    """One frame as it was stored."""

    color: NDArray[np.uint8]  # (H, W, 3)
    depth_m: NDArray[np.float32]  # (H, W), NaN nothing
    clean_depth_m: NDArray[np.float32] | None  # (H, W) without the sensor's faults; unknown of a real frame
    labels: NDArray[np.uint8]  # (H, W) 0 other, 1 hand, 2 held, 3 arm or sleeve
    owner: NDArray[np.uint8]  # (H, W) number + 1 of the hand
    focal_px: float
    hands: dict[str, NDArray[np.generic]]  # columns of the truth, a row for each hand


def shard_numbers(count: int, part: tuple[int, int]) -> range:
    """Which of `count` shards part (i, n) renders."""
    first, of = part
    if not 0 <= first < of:
        raise DataError(f"shard {first}/{of} is none; give i/n with 0 <= i < n")
    return range(first, count, of)


def render_shards(folder: Path, settings: WorldSettings, count: int, part: tuple[int, int] = (0, 1)) -> Iterator[Path]:
    """Render the shards of a part that are not there yet; yields each file."""
    _check_settings(folder, settings)
    os.environ.setdefault("LP_NUM_THREADS", "1")  # of software rendering: processes share the cores
    renderer: Renderer | None = None
    try:
        for number in shard_numbers(count, part):
            path = folder / f"frames-{number:05d}.npz"
            if not path.exists():
                renderer = renderer or Renderer(settings.width, settings.height, pieces_of_photographs())
                _write(path, settings, number, renderer)
            yield path
    finally:
        if renderer is not None:
            renderer.close()


def render_in_processes(
    folder: Path, settings: WorldSettings, count: int, part: tuple[int, int], workers: int
) -> Iterator[Path]:
    """As `render_shards`, by several processes; files come in their order."""
    numbers = shard_numbers(count, part)
    if workers <= 1 or len(numbers) < 2:
        yield from render_shards(folder, settings, count, part)
        return
    _check_settings(folder, settings)
    jobs = [(folder, settings, count, (number, count)) for number in numbers]
    for paths in each_in_order(_rendered, jobs, workers):
        yield from paths


def _rendered(job: tuple[Path, WorldSettings, int, tuple[int, int]]) -> list[Path]:
    return list(render_shards(*job))


def _check_settings(folder: Path, settings: WorldSettings) -> None:
    """One folder, one world; the folder is made if absent. Raises DataError, OutputError."""
    path = folder / "settings.json"
    text = json.dumps(asdict(settings), indent=1)
    usual = json.loads(json.dumps(asdict(WorldSettings())))  # of what an older folder does not tell
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = {**usual, **json.loads(path.read_text())} if path.exists() else None
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error}; choose another folder") from None
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from None
    if held is None:
        _write_whole(path, text.encode())
    elif held != json.loads(text):
        raise DataError(f"{folder} holds frames of other settings ({path}); choose another folder")


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, while other jobs may be writing the same. Raises OutputError."""
    staged = path.with_name(f".{path.name}-{socket.gethostname()}-{os.getpid()}")
    try:
        write_durably(staged, content)
        os.replace(staged, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        staged.unlink(missing_ok=True)


def _write(path: Path, settings: WorldSettings, number: int, renderer: Renderer) -> None:
    colors: list[NDArray[np.uint8]] = []
    depths: list[NDArray[np.uint8]] = []
    clean: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.uint8]] = []
    rows: list[dict[str, object]] = []
    focals: list[float] = []
    for scene in range(settings.scenes * number, settings.scenes * (number + 1)):
        for frame in _frames(settings, scene, renderer):
            rows += [_hand_row(len(colors), hand) for hand in frame.hands]
            focals.append(frame.k[0, 0])
            colors.append(_encoded(frame.rgb[..., ::-1], ".jpg", [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]))
            depths.append(_millimetres(frame.depth_m))
            clean.append(_millimetres(frame.clean_depth_m))
            labels.append(_encoded(_packed(frame), ".png", []))
    content: dict[str, NDArray[np.generic]] = {"focal_px": np.array(focals, np.float32)}
    for name, parts in zip(_PICTURES, (colors, depths, clean, labels), strict=True):
        content[name] = np.concatenate([*parts, np.zeros(0, np.uint8)])  # of a shard without any, too
        content[f"{name}_end"] = np.cumsum([len(part) for part in parts])
    for name in rows[0] if rows else ():
        content[f"hand_{name}"] = np.array([row[name] for row in rows])
    memory = io.BytesIO()
    np.savez(memory, **content)
    _write_whole(path, memory.getvalue())


def _frames(settings: WorldSettings, scene: int, renderer: Renderer) -> Iterator[Frame]:
    if settings.mujoco_share and np.random.default_rng([settings.seed, scene, 32]).random() < settings.mujoco_share:
        from .grasp_scenes import frames_of_grasp_scene

        return frames_of_grasp_scene(settings, scene)
    return frames_of_scene(settings, scene, renderer)


def _packed(frame: Frame) -> NDArray[np.uint8]:
    return (frame.labels + 4 * np.minimum(frame.owner, 15)).astype(np.uint8)


def _millimetres(depth_m: NDArray[np.float32]) -> NDArray[np.uint8]:
    half = np.nan_to_num(np.round(depth_m[::2, ::2] * 1000))
    return _encoded(np.clip(half, 0, 65534).astype(np.uint16), ".png", [])


def _metres(depth_mm: NDArray[Any], size: tuple[int, ...]) -> NDArray[np.float32]:
    metres = np.where(depth_mm > 0, depth_mm.astype(np.float32) / 1000, np.nan).astype(np.float32)
    return cv2.resize(metres, size[::-1], interpolation=cv2.INTER_NEAREST).astype(np.float32, copy=False)


def _encoded(picture: NDArray[np.generic], suffix: str, options: list[int]) -> NDArray[np.uint8]:
    good, content = cv2.imencode(suffix, picture, options)
    assert good
    return content.ravel()


def _hand_row(frame: int, hand: HandTruth) -> dict[str, object]:
    return {"frame": frame, **{field.name: getattr(hand, field.name) for field in fields(hand)}}


def frame_count(path: Path) -> int:
    """How many frames a shard holds. Raises DataError for a file that is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return len(file["focal_px"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as a shard of frames: {error}") from None


def _content(path: Path) -> dict[str, NDArray[np.generic]]:
    content = read_npz(path)
    lacking = [name for name in _ARRAYS if name not in content]
    if lacking:
        raise DataError(
            f"{path} is no shard of frames: it lacks {', '.join(lacking)}; `tiae simulate people` makes them"
        )
    return content


def stored_frames(path: Path) -> Iterator[StoredFrame]:
    """The frames of a shard, one after another. Raises DataError for a file that is none."""
    content = _content(path)
    hands = {name[5:]: values for name, values in content.items() if name.startswith("hand_")}
    for number, focal in enumerate(content["focal_px"]):
        color, depth, clean, packed = (_decoded(path, content, name, number) for name in _PICTURES)
        own = hands["frame"] == number if hands else np.zeros(0, bool)
        yield StoredFrame(
            np.ascontiguousarray(color[..., ::-1]),
            _metres(depth, packed.shape),
            _metres(clean, packed.shape),
            packed % 4,
            packed // 4,
            float(focal),
            {name: values[own] for name, values in hands.items()},
        )


def _decoded(path: Path, content: dict[str, NDArray[np.generic]], name: str, number: int) -> NDArray[np.uint8]:
    ends = content[f"{name}_end"]
    start = int(ends[number - 1]) if number else 0
    picture = cv2.imdecode(content[name][start : int(ends[number])], cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise DataError(f"{name} of frame {number} of {path} is damaged; delete the file and render it again")
    return picture
