"""From folders of frames to the examples of both looks; and the places that deceive the first look, for the second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from tiae_ros.errors import DataError
from tiae_ros.vision.detection import proposals
from tiae_ros.vision.detection.proposals import grid_of
from tiae_training.workers import each_in_order
from tiae_training.world.shards import StoredFrame, frame_count, stored_frames

from .examples import MOST_HANDS, Row, RowsWriter, crop_rows, grid_row, hands_of, is_apart, kept_crop

_DECEIVING_SCORE = 0.06
_DECEIVING_PER_FRAME = 3
_REAL_CROPS = 24


def shards_of(folders: Sequence[Path]) -> list[Path]:
    """All shards of some folders. Raises DataError when there are none."""
    found = [path for folder in folders for path in sorted(folder.glob("frames-*.npz"))]
    if not found:
        raise DataError(f"{', '.join(map(str, folders))} hold no shards of frames; `tiae simulate people` makes them")
    return found


def real_frames(folder: Path, pattern: str = "*_color.*", focal_share: float = 0.8203125) -> Iterator[StoredFrame]:
    """Frames of a camera without a hand: NAME_color.jpg (or png) beside NAME_depth_mm.png.

    focal_share: focal length over the picture's width (0.82 of a Kinect).
    """
    found = sorted(folder.glob(pattern))
    if not found:
        raise DataError(
            f"{folder} holds no pictures {pattern}; needed is NAME_color.jpg (png) beside NAME_depth_mm.png"
        )
    for path in found:
        beside = path.with_name(f"{path.stem.removesuffix('_color')}_depth_mm.png")
        color = cv2.imread(str(path), cv2.IMREAD_COLOR)
        depth = cv2.imread(str(beside), cv2.IMREAD_UNCHANGED)
        if color is None or depth is None:
            raise DataError(f"{path if color is None else beside} cannot be read as a picture")
        if depth.dtype != np.uint16 or depth.ndim != 2:
            raise DataError(f"{beside} is no depth in millimetres; needed is a png of 16 bits and one channel")
        size = (480, round(480 * color.shape[0] / color.shape[1]))  # as large as rendered frames are
        color = cv2.resize(color, size, interpolation=cv2.INTER_CUBIC)
        depth = cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST)
        metres = np.where(depth > 0, depth.astype(np.float32) / 1000, np.nan).astype(np.float32)
        nothing = np.zeros(size[::-1], np.uint8)
        rgb = np.ascontiguousarray(color[..., ::-1])
        yield StoredFrame(rgb, metres, None, nothing, nothing, focal_share * size[0], {})


def prepare(
    shards: Sequence[Path],
    real: Sequence[StoredFrame],
    out: Path,
    *,
    seed: int = 0,
    negatives: int = 2,
    workers: int = 1,
) -> None:
    """Write ``grids/`` and ``crops/`` of all frames; real ones come last (``real.npy`` of the grids lists them).

    The number of workers changes the speed, not the rows.
    """
    count = sum(map(frame_count, shards))
    grids = RowsWriter(out / "grids", count + len(real))
    crops = RowsWriter(out / "crops", (MOST_HANDS + negatives) * count + _REAL_CROPS * len(real))
    jobs = [(path, (seed, number, 41), negatives) for number, path in enumerate(shards)]
    for of_grids, of_crops in each_in_order(_rows_of_shard, jobs, workers):
        grids.add(of_grids)
        crops.add(of_crops)
    first_real = grids.count
    rng = np.random.default_rng([seed, 42])
    for frame in real:
        grids.add([grid_row(frame)])
        crops.add(crop_rows(frame, rng, _REAL_CROPS))
    grids.close()
    crops.close()
    np.save(out / "real.npy", np.arange(first_real, grids.count))


def _rows_of_shard(job: tuple[Path, tuple[int, ...], int]) -> tuple[list[Row], list[Row]]:
    path, seed, negatives = job
    rng = np.random.default_rng(seed)
    grids: list[Row] = []
    crops: list[Row] = []
    for frame in stored_frames(path):
        grids.append(grid_row(frame))
        crops += crop_rows(frame, rng, negatives)
    return grids, crops


def deceiving_crops(
    network: torch.nn.Module, frames: Iterable[StoredFrame], per_frame: int = _DECEIVING_PER_FRAME
) -> Iterator[dict[str, np.ndarray]]:
    """Crops at proposals of the first look that are no hands."""
    network.eval()
    for frame in frames:
        grid = grid_of(frame.color, frame.depth_m, frame.focal_px)
        with torch.no_grad():
            answers = network(torch.from_numpy(grid.padded))[0].numpy()
        hands = hands_of(frame)
        found = 0
        for proposal in proposals.proposals_of(answers, grid, _DECEIVING_SCORE, 8):
            if found == per_frame:
                break
            if is_apart(proposal.x, proposal.y, proposal.depth_m, frame.focal_px, hands):
                found += 1
                yield kept_crop(frame, np.array([proposal.x, proposal.y]), proposal.depth_m, None, hands)
