"""Frames on disk, in shards: the same files whoever renders them, on one machine or on a hundred.

Shard `s` holds scenes ``64 s … 64 s + 63`` of one seed. `render_shards` renders those whose number leaves the remainder
`i` by `n`; a file is there whole or not at all, so that a job that was stopped goes on. Colour is kept as JPEG, depth
(made at half the size) and labels as PNG: some 150 kB a frame.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError

from .scene import Frame, WorldSettings, frames_of_scene, pieces_of_photographs

SCENES_PER_SHARD = 64
_QUALITY = 93


@dataclass(frozen=True)
class StoredFrame:
    """One frame as it was stored."""

    color: NDArray[np.uint8]  # (H, W, 3)
    depth_m: NDArray[np.float32]  # (H, W), NaN nothing
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
    from .renderer import Renderer

    folder.mkdir(parents=True, exist_ok=True)
    _check_settings(folder, settings)
    os.environ.setdefault("LP_NUM_THREADS", "1")  # of software rendering: processes share the cores
    renderer: Renderer | None = None
    for number in shard_numbers(count, part):
        path = folder / f"frames-{number:05d}.npz"
        if not path.exists():
            renderer = renderer or Renderer(settings.width, settings.height, pieces_of_photographs())
            _write(path, settings, number, renderer)
        yield path
    if renderer is not None:
        renderer.close()


def render_in_processes(
    folder: Path, settings: WorldSettings, count: int, part: tuple[int, int], workers: int
) -> Iterator[Path]:
    """As `render_shards`, by several processes; files come as they are ready."""
    numbers = shard_numbers(count, part)
    if workers <= 1 or len(numbers) < 2:
        yield from render_shards(folder, settings, count, part)
        return
    folder.mkdir(parents=True, exist_ok=True)
    _check_settings(folder, settings)
    # A new interpreter for each: an OpenGL context does not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers, _one_thread) as pool:
        jobs = [(folder, settings, count, (number, count)) for number in numbers]
        for paths in pool.imap(_rendered, jobs):
            yield from paths


def _one_thread() -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupts are the parent's
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _rendered(job: tuple[Path, WorldSettings, int, tuple[int, int]]) -> list[Path]:
    return list(render_shards(*job))


def _check_settings(folder: Path, settings: WorldSettings) -> None:
    """One folder, one world."""
    path = folder / "settings.json"
    text = json.dumps(asdict(settings), indent=1)
    if path.exists():
        if json.loads(path.read_text()) != json.loads(text):
            raise DataError(f"{folder} holds frames of other settings ({path}); choose another folder")
        return
    _whole(path, text.encode())


def _whole(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
        file.write(content)
    os.replace(file.name, path)


def _write(path: Path, settings: WorldSettings, number: int, renderer: object) -> None:
    colors, depths, labels, rows, focals = [], [], [], [], []
    for scene in range(SCENES_PER_SHARD * number, SCENES_PER_SHARD * (number + 1)):
        for frame in frames_of_scene(settings, scene, renderer):  # type: ignore[arg-type]
            rows += [_hand_row(len(colors), hand, settings) for hand in frame.hands]
            focals.append(frame.k[0, 0])
            colors.append(_encoded(frame.rgb[..., ::-1], ".jpg", [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]))
            half = frame.depth_m[::2, ::2]
            depths.append(
                _encoded(np.clip(np.nan_to_num(np.round(half * 1000)), 0, 65534).astype(np.uint16), ".png", [])
            )
            labels.append(_encoded(_packed(frame), ".png", []))
    content: dict[str, NDArray[np.generic]] = {"focal_px": np.array(focals, np.float32)}
    for name, parts in (("color", colors), ("depth", depths), ("labels", labels)):
        content[name] = np.concatenate(parts)
        content[f"{name}_end"] = np.cumsum([len(part) for part in parts])
    names = rows[0].keys() if rows else ()
    content |= {f"hand_{name}": np.array([row[name] for row in rows]) for name in names}
    memory = io.BytesIO()
    np.savez(memory, **content)
    _whole(path, memory.getvalue())


def _packed(frame: Frame) -> NDArray[np.uint8]:
    return (frame.labels + 4 * np.minimum(frame.owner, 15)).astype(np.uint8)


def _encoded(picture: NDArray[np.generic], suffix: str, options: list[int]) -> NDArray[np.uint8]:
    good, content = cv2.imencode(suffix, picture, options)
    assert good
    return content.ravel()


def _hand_row(frame: int, hand: object, settings: WorldSettings) -> dict[str, object]:
    row = {name: getattr(hand, name) for name in hand.__dataclass_fields__}  # type: ignore[attr-defined]
    return {"frame": frame, **row}


def stored_frames(path: Path) -> Iterator[StoredFrame]:
    """The frames of a shard, one after another. Raises DataError for a file that is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be read as a shard of frames: {error}") from None
    hands = {name[5:]: values for name, values in content.items() if name.startswith("hand_")}
    for number, focal in enumerate(content["focal_px"]):
        color, depth, packed = (_decoded(content, name, number) for name in ("color", "depth", "labels"))
        metres = np.where(depth > 0, depth.astype(np.float32) / 1000, np.nan).astype(np.float32)
        own = hands["frame"] == number if hands else np.zeros(0, bool)
        yield StoredFrame(
            np.ascontiguousarray(color[..., ::-1]),
            cv2.resize(metres, packed.shape[::-1], interpolation=cv2.INTER_NEAREST),
            packed % 4,
            packed // 4,
            float(focal),
            {name: values[own] for name, values in hands.items()},
        )


def _decoded(content: dict[str, NDArray[np.generic]], name: str, number: int) -> NDArray[np.uint8]:
    ends = content[f"{name}_end"]
    start = int(ends[number - 1]) if number else 0
    picture = cv2.imdecode(content[name][start : int(ends[number])], cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise DataError(f"frame {number} of a shard is damaged; render the shard again")
    return picture
