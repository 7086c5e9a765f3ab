"""A second look at what the segmentation network takes for a hand, close up: is it one?

    region of hand cells -> what lies around it, 40 cm across at its own depth -> 48 x 48 cells -> probability

The network judges each cell, and a region of cells it is half sure of may be a fingerless blob of furniture as well as
a hand of which the sensor saw little. Seen as a whole and always at the same size the two differ. It is trained after
the network (`python -m tiae_training.second_look`) on what that finds in rooms with and without hands, and stored with
it.
"""

from __future__ import annotations

import cv2
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
_LEAST_DOUBT = 0.01


class SecondLook(nn.Module):
    """(N, 12, 48, 48) as `close_up` makes them, (N,) mean probabilities of the cells -> (N,) log odds of being a hand.

    What it sees is added to what the cells say.
    """

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

    def forward(self, views: Tensor, certainty: Tensor) -> Tensor:
        odds: Tensor = self.judge(self.eyes(views))[:, 0] + torch.logit(certainty, eps=_LEAST_DOUBT)
        return odds

    @torch.inference_mode()
    def probability(self, view: Floats, certainty: float) -> float:
        """Of one view (12, 48, 48); NaN in, NaN out."""
        return float(torch.sigmoid(self(torch.from_numpy(view)[None], torch.tensor([certainty])))[0])


def close_up(planes: Floats, depth: Floats, shares: Floats, region: NDArray[np.bool_], focal_cells: float) -> Floats:
    """What is seen of a region and around it: (12, 48, 48); 0 beyond the picture.

    Args:
        planes: the network's input, (9, H, W).
        depth: metres, (H, W), 0 where there is none.
        shares: probabilities of hand and of held thing, (2, H, W).
        region: its cells (H, W), at least one of them with depth.
        focal_cells: focal length in cells.
    """
    left, top, columns, rows = cv2.boundingRect(region.view(np.uint8))
    box = region[top : top + rows, left : left + columns]
    of_region = depth[top : top + rows, left : left + columns][box]
    middle_m = float(np.median(of_region[of_region > 0]))
    cells = np.count_nonzero(box)
    row = top + float(box.sum(axis=1) @ np.arange(rows)) / cells
    column = left + float(box.sum(axis=0) @ np.arange(columns)) / cells
    step = SIDE_M / SIDE_CELLS * focal_cells / middle_m  # cells of the picture per cell of the view
    offsets = (np.arange(SIDE_CELLS) - (SIDE_CELLS - 1) / 2) * step
    y, rows_of_view = _within(np.rint(row + offsets), depth.shape[0])
    x, columns_of_view = _within(np.rint(column + offsets), depth.shape[1])
    places = y[:, None] * depth.shape[1] + x  # flat: the quickest way to pick
    view = np.zeros((CHANNELS, SIDE_CELLS, SIDE_CELLS), np.float32)
    part = view[:, rows_of_view, columns_of_view]
    for channel, plane in enumerate((*(planes[plane] for plane in _SEEN), depth, *shares, region)):
        part[channel] = plane.take(places)
    near = part[7]
    known = near > 0
    near -= np.float32(middle_m)
    near *= known / np.float32(_RELATIVE_M)
    np.clip(near, -_RELATIVE_MAX, _RELATIVE_MAX, out=near)
    part[11] = 1.0
    return view


def _within(places: NDArray[np.float64], length: int) -> tuple[NDArray[np.intp], slice]:
    """Of ascending places those from 0 to length - 1, and where among all they are."""
    first, last = np.searchsorted(places, (0, length))
    return places[first:last].astype(np.intp), slice(int(first), int(last))
