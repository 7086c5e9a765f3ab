"""The door for arrays: numpy arrays and torch tensors of any layout are checked once, here, and read some rows at a
time, so that memory stays bounded for any number of them; results are of the kind that went in.

Refused, each with a DataError in one line: other types, masked arrays, sparse, nested or data-less tensors, other
dtypes, other shapes, floats outside 0..1 where pixels are meant, numbers that are not finite.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError

Floats = NDArray[np.float32]

_SLACK = 0.01  # averages and interpolation may leave 0..1 by rounding
_MOST_ROWS = 512  # that a pass takes at most
_MOST_NUMBERS = _MOST_ROWS * 3 * 32 * 32  # of its windows, however large they are


def pixel_batches(images: Any, channels: Sequence[str], size: int) -> Iterator[Floats]:
    """Windows (N, C, S, S), uint8 0–255 or float 0–1, as contiguous float32 0..1, some at a time.

    What can be said without reading them is said at once, the rest as they are read. Raises DataError.
    """
    given = _Given(images, "images")
    expected = (len(channels), size, size)
    if len(given.shape) != 4 or given.shape[1:] != expected:
        raise DataError(
            f"images have shape {given.shape}; this model takes (N, {', '.join(map(str, expected))}): "
            f"channels {', '.join(channels)}, windows of {size}×{size} pixels"
        )
    if given.dtype != np.uint8 and given.dtype.kind != "f":
        raise DataError(f"images are {given.dtype_name}; accepted are uint8 (0–255) and float (0–1)")
    step = max(1, min(_MOST_ROWS, _MOST_NUMBERS // (len(channels) * size * size)))
    return (_unit(given.rows(start, start + step)) for start in range(0, given.shape[0], step))


def number_rows(values: Any, what: str, size: int, *, finite: bool = True) -> Floats:
    """Numbers (N, size) as contiguous float32. Raises DataError for anything else.

    finite: refuse others; a model's own may be infinite, which shows in what is made of them.
    """
    return _numbers(values, what, (-1, size), f"(N, {size})", finite)


def number_row(values: Any, what: str, size: int) -> Floats:
    """Finite numbers (size,) as contiguous float32. Raises DataError for anything else."""
    return _numbers(values, what, (size,), f"({size},)", True)


def split_rows(rows: Floats) -> Iterator[Floats]:
    """Rows as a pass takes them."""
    return (rows[start : start + _MOST_ROWS] for start in range(0, len(rows), _MOST_ROWS))


def row_count(values: Any) -> int:
    """N of an array or tensor that has passed the door."""
    return int(values.shape[0])


def joined(passes: Iterator[list[Floats]], count: int, shapes: Sequence[tuple[int, ...]]) -> list[Floats]:
    """The outputs of some passes, output by output, `count` rows in all of these shapes; never held twice."""
    results: list[Floats] = []
    done = 0
    for outputs in passes:
        if len(outputs[0]) == count:  # live use: nothing to copy
            return outputs
        results = results or [np.empty((count, *shape), np.float32) for shape in shapes]
        for result, output in zip(results, outputs, strict=True):
            result[done : done + len(output)] = output
        done += len(outputs[0])
    return results or [np.zeros((0, *shape), np.float32) for shape in shapes]


def alike(result: Floats, given: Any) -> Any:
    """The result as what was given: a numpy array, or a tensor on the same device."""
    return sys.modules["torch"].from_numpy(result).to(given.device) if _is_tensor(given) else result


class _Given:
    """What somebody gave, an array or a tensor, of which rows can be had as numpy."""

    def __init__(self, values: Any, what: str) -> None:
        self._values = values
        if _is_tensor(values):
            plain = values.layout is sys.modules["torch"].strided and not values.is_nested
            if not plain or values.is_quantized or values.is_meta:
                raise DataError(f"{what} are a sparse, nested, quantized or meta tensor; accepted are plain ones")
            self._values = values.detach()
            self.dtype_name = str(values.dtype)
            floating = np.dtype(np.float32)
            named = self.dtype_name.partition(".")[2]
            self.dtype = floating if values.is_floating_point() else np.dtype(named if hasattr(np, named) else "V1")
        elif isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray):
            self._values = np.asarray(values)
            self.dtype, self.dtype_name = values.dtype, str(values.dtype)
        else:
            raise DataError(f"{what} are a {type(values).__name__}; accepted are numpy arrays and torch tensors")
        self.shape = tuple(map(int, self._values.shape))

    def rows(self, start: int | None = None, stop: int | None = None) -> NDArray[Any]:
        """Some rows, or all, of a plain dtype."""
        part = self._values[start:stop]
        if isinstance(part, np.ndarray):
            return part
        part = (part.float() if part.is_floating_point() else part).cpu()
        array: NDArray[Any] = part.resolve_conj().resolve_neg().numpy()
        return array


def _is_tensor(values: Any) -> bool:
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    return torch is not None and isinstance(values, torch.Tensor)


def _numbers(values: Any, what: str, shape: tuple[int, ...], accepted: str, finite: bool) -> Floats:
    given = _Given(values, what)
    fits = len(given.shape) == len(shape) and given.shape[-1] == shape[-1]
    if not fits or given.dtype.kind not in "fiu":
        raise DataError(f"{what}: shape {given.shape}, type {given.dtype_name}; accepted are numbers {accepted}")
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(given.rows(), np.float32)
    if finite and not np.isfinite(numbers).all():
        raise DataError(f"{what}: some numbers are not finite as float32; accepted are finite ones")
    return numbers


def _unit(images: NDArray[Any]) -> Floats:
    """A batch as contiguous float32 0..1; DataError for floats that are no pixels."""
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    low, high = float(images.min()), float(images.max())
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # also when one is NaN
        raise DataError(
            f"images lie between {low:g} and {high:g}; accepted are floats from 0 to 1 without NaN, or uint8 0–255"
        )
    return np.ascontiguousarray(images, np.float32)
