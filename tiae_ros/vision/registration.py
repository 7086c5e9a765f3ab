"""Whether depth lies on colour: where depth steps, colour has edges, unless the two pictures are not registered.

Of every picture that is looked at, depth's steps are laid over colour's edges in every place within reach; what adds up
over some pictures is the offset.
"""

from __future__ import annotations

import cv2
import numpy as np

from tiae_ros.vision.labels import Floats, Mask, Picture
from tiae_ros.vision.window import has_reading

EVERY = 30  # pictures
_CELLS = 160  # along the longer side
_REACH = 14  # cells
_STEP = 0.08  # of the logarithm of the depth: 4 cm at half a metre
_LEAST_EDGES = 60  # cells
_KEEP = 0.8  # of what earlier pictures said
_LEAST_PICTURES = 3
_LEAST_OFFSET = 2.5  # cells; nearer than that is a depth camera's usual error
_LEAST_GAIN = 2.5  # deviations by which the offset fits better than none


class RegistrationCheck:
    """Add pictures of one camera now and then; `offset_px` says how far depth lies beside colour."""

    def __init__(self) -> None:
        self._sum: Floats | None = None
        self._count = 0
        self._cell = 1.0

    def add(self, color: Picture, depth_m: Floats) -> None:
        """One pair: rgb (H, W, 3), depth (H, W) metres. Pairs that show too few edges say nothing."""
        self._cell = max(depth_m.shape) / _CELLS
        size = tuple(max(2 * _REACH + 2, round(side / self._cell)) for side in depth_m.shape[::-1])
        depth: Floats = cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST)
        gray = cv2.cvtColor(cv2.resize(color, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        steps = _steps(depth).astype(np.float32)
        if steps.sum() < _LEAST_EDGES:
            return
        edges = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
        edges = np.minimum(edges, 4 * float(edges.mean()) + 1e-3)  # no single edge decides
        fits = _correlation(steps, edges)
        fits = (fits - fits.mean()) / max(float(fits.std()), 1e-6)
        self._sum = fits if self._sum is None else _KEEP * self._sum + (1 - _KEEP) * fits
        self._count += 1

    @property
    def offset_px(self) -> tuple[float, float] | None:
        """Depth lies so far (x right, y down) beside colour, in pixels; None: it does not, or too little was seen."""
        if self._sum is None or self._count < _LEAST_PICTURES:
            return None
        row, column = np.unravel_index(int(self._sum.argmax()), self._sum.shape)
        dx, dy = int(column) - _REACH, int(row) - _REACH
        gain = float(self._sum[row, column] - self._sum[_REACH - 1 : _REACH + 2, _REACH - 1 : _REACH + 2].max())
        if np.hypot(dx, dy) < _LEAST_OFFSET or gain < _LEAST_GAIN / np.sqrt(self._count):
            return None
        return dx * self._cell, dy * self._cell


class RegistrationWatch:
    """Looks at every 30th picture of one camera."""

    def __init__(self) -> None:
        self._check = RegistrationCheck()
        self._seen = 0

    def looked_at(self, color: Picture | None, depth_m: Floats) -> bool:
        """Whether this picture was one of those."""
        self._seen += 1
        if color is None or self._seen % EVERY:
            return False
        self._check.add(color, depth_m)
        return True

    @property
    def offset_px(self) -> tuple[float, float] | None:
        """As of `RegistrationCheck`."""
        return self._check.offset_px

    @property
    def doubt(self) -> str:
        """One line when depth lies beside colour; "" when it does not, as far as is known."""
        offset = self.offset_px
        if offset is None:
            return ""
        return (
            f"depth lies about {offset[0]:.0f} px to the right of and {offset[1]:.0f} px below colour: it is not "
            "registered; switch the driver's registration on (align_depth.enable of realsense2_camera)"
        )


def _steps(depth: Floats) -> Mask:
    """Cells on the near side of a step in depth."""
    read = has_reading(depth)
    log = np.log(np.where(read, depth, np.float32(1)))
    found = np.zeros(depth.shape, np.bool_)
    for axis in (0, 1):
        both = np.diff(read.astype(np.int8), axis=axis) == 0
        step = np.diff(log, axis=axis)
        first, second = [slice(None)] * 2, [slice(None)] * 2
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        both &= read[tuple(first)]
        found[tuple(first)] |= both & (step > _STEP)
        found[tuple(second)] |= both & (step < -_STEP)
    return found


def _correlation(steps: Floats, edges: Floats) -> Floats:
    """(2 R + 1, 2 R + 1): mean strength of colour's edges under depth's steps moved back by each offset."""
    shape = tuple(side + 2 * _REACH for side in steps.shape)
    product = np.fft.rfft2(steps, shape) * np.conj(np.fft.rfft2(edges, shape))
    whole = np.fft.irfft2(product, shape) / steps.sum()
    result: Floats = np.roll(whole, (_REACH, _REACH), (0, 1))[: 2 * _REACH + 1, : 2 * _REACH + 1].astype(np.float32)
    return result
