"""A second look at what the segmentation network takes for a hand, close up: is it one?

    region of hand cells -> what lies around it, 40 cm across at its own depth -> 48 x 48 cells -> probability

The network judges each cell, and a region of cells it is half sure of may be a fingerless blob of furniture as well as
a hand of which the sensor saw little. Seen as a whole and always at the same size the two differ. It is trained after
the network (`python -m tiae_training.second_look`) on what that finds in rooms with and without hands, and stored with
it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tiae_ros.vision.layers import convolution

Floats = NDArray[np.float32]

SIDE_CELLS = 48
SIDE_M = 0.4
CHANNELS = 12
_SEEN = (0, 1, 2, 3, 4, 6, 7)  # of the network's planes: colour, there is colour, there is depth, relief at two sizes
_RELATIVE_M = 0.1  # unit of depth against the region's
_RELATIVE_MAX = 2.0


class SecondLook(nn.Module):
    """(N, 12, 48, 48) as `close_up` makes them -> (N,) log odds that a region is a hand."""

    def __init__(self) -> None:
        super().__init__()
        self.eyes = nn.Sequential(
            convolution(CHANNELS, 24, stride=2),
            convolution(24, 32, stride=2),
            convolution(32, 48, stride=2),
            convolution(48, 48),
            nn.Flatten(),
        )
        self.judge = nn.Sequential(nn.Linear(48 * 36, 48), nn.ReLU(), nn.Dropout(0.3), nn.Linear(48, 1))

    def forward(self, views: Tensor) -> Tensor:
        odds: Tensor = self.judge(self.eyes(views))[:, 0]
        return odds

    @torch.inference_mode()
    def probability(self, view: Floats) -> float:
        """Of one view (12, 48, 48); NaN in, NaN out."""
        return float(torch.sigmoid(self(torch.from_numpy(view)[None]))[0])


def close_up(planes: Floats, depth: Floats, shares: Floats, region: NDArray[np.bool_], focal_cells: float) -> Floats:
    """What is seen of a region and around it: (12, 48, 48); 0 beyond the picture.

    Args:
        planes: the network's input, (9, H, W).
        depth: metres, (H, W), 0 where there is none.
        shares: probabilities of hand and of held thing, (2, H, W).
        region: its cells (H, W), at least one of them with depth.
        focal_cells: focal length in cells.
    """
    rows, columns = np.nonzero(region)
    of_region = depth[rows, columns]
    middle_m = float(np.median(of_region[of_region > 0]))
    step = SIDE_M / SIDE_CELLS * focal_cells / middle_m  # cells of the picture per cell of the view
    offsets = (np.arange(SIDE_CELLS) - (SIDE_CELLS - 1) / 2) * step
    height, width = depth.shape
    y, x = np.rint(rows.mean() + offsets).astype(np.intp), np.rint(columns.mean() + offsets).astype(np.intp)
    inside_y, inside_x = (y >= 0) & (y < height), (x >= 0) & (x < width)
    places = np.ix_(y[inside_y], x[inside_x])
    top, left = int(np.argmax(inside_y)), int(np.argmax(inside_x))
    part = slice(top, top + int(inside_y.sum())), slice(left, left + int(inside_x.sum()))
    view = np.zeros((CHANNELS, SIDE_CELLS, SIDE_CELLS), np.float32)
    for channel, plane in enumerate(_SEEN):
        view[channel][part] = planes[plane][places]
    near = depth[places]
    relative = np.clip((near - np.float32(middle_m)) / np.float32(_RELATIVE_M), -_RELATIVE_MAX, _RELATIVE_MAX)
    view[7][part] = relative * (near > 0)
    view[8][part], view[9][part] = shares[0][places], shares[1][places]
    view[10][part] = region[places]
    view[11][part] = 1.0
    return view
