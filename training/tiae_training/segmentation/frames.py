"""Labelled frames to learn a segmentation from, as `tiae simulate --channels frames` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError
from tiae_ros.vision.labels import HAND, OBJECT
from tiae_training.data.arrays import read_npz, save_arrays


@dataclass(frozen=True)
class FrameArrays:
    """Frames as `tiae simulate --channels frames` writes them."""

    color: NDArray[np.uint8]  # (N, H, W, 3)
    depth_mm: NDArray[np.uint16]  # (N, H, W), 0 nothing
    labels: NDArray[np.uint8]  # (N, H, W)
    focal_px: NDArray[np.float64]  # (N,)

    def __len__(self) -> int:
        return len(self.color)

    def depth_m(self, index: int) -> NDArray[np.float32]:
        """Metres of one frame (H, W), 0 nothing."""
        return self.depth_mm[index].astype(np.float32) / np.float32(1000)


def load_frames(paths: Sequence[Path]) -> FrameArrays:
    """Read and join frame files. Raises DataError."""
    parts = []
    for path in paths:
        try:
            file = read_npz(path)
            parts.append((file["color"], file["depth_mm"], file["segmentation"], file["k"][:, 0, 0]))
        except (DataError, KeyError, IndexError) as error:
            raise DataError(
                f"{path} cannot be used ({error}); give what `tiae simulate --channels frames` writes"
            ) from None
        color, depth, labels, focal = parts[-1]
        if (
            (depth.ndim, color.shape, labels.shape) != (3, (*depth.shape, 3), depth.shape)
            or focal.shape != depth.shape[:1]
            or depth.shape[1:] != parts[0][1].shape[1:]
            or [part.dtype.kind for part in parts[-1]] != ["u", "u", "u", "f"]
            or color.dtype != np.uint8
        ):
            raise DataError(
                f"{path}: shapes do not fit: color {color.shape}, depth {depth.shape}, labels {labels.shape}; give "
                "what `tiae simulate --channels frames` writes, of one size"
            )
    color, depth, labels, focal = (np.concatenate(column) for column in zip(*parts, strict=True))
    return FrameArrays(color, depth, labels, focal)


def empty_hands(frames: FrameArrays) -> NDArray[np.int64]:
    """Frames whose hand holds nothing. Raises DataError where there are none."""
    cells = frames.labels.reshape(len(frames), -1)
    bare = np.flatnonzero([bool((one == HAND).any()) and not bool((one == OBJECT).any()) for one in cells])
    if not len(bare):
        raise DataError(
            f"empty_hand_share: none of {len(frames)} frames shows a hand that holds nothing; leave it at 0"
        )
    return bare


def save_frames(path: Path, frames: FrameArrays, chosen: NDArray[np.int64], *, overwrite: bool = False) -> None:
    """Write some of the frames as `load_frames` reads them. Raises OutputError."""
    k = np.zeros((len(chosen), 3, 3))
    k[:, 0, 0] = k[:, 1, 1] = frames.focal_px[chosen]
    content: dict[str, NDArray] = {"color": frames.color, "depth_mm": frames.depth_mm, "segmentation": frames.labels}
    save_arrays(path, {**{name: a[chosen] for name, a in content.items()}, "k": k}, overwrite=overwrite)
