"""A trained auto-encoder behind the doors people use: encode, decode, restore, estimate_shift, place, label."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError, ModelError, ParameterError
from tiae_ros.model.devices import on_device, open_engine
from tiae_ros.model.engines.engine import Engine, probe
from tiae_ros.model.folder import DECODER, ENCODER, PROTOTYPES, ModelFolder, read_folder
from tiae_ros.model.manifest import AUTOENCODER
from tiae_ros.model.shifts import Floats, best_shifts_subpixel
from tiae_ros.model.shipped import find_model

_SLACK = 0.01  # averages and interpolation may leave 0..1 by rounding
_BATCH = 512  # windows that a pass takes at most, so that memory stays bounded for any N

Array = TypeVar("Array")  # a numpy array or a torch tensor


@dataclass(frozen=True)
class Description:
    """What the encoder alone says of N windows, the first half of a pass; arrays of the kind that went in.

    descriptor (N, K); parameters (N, 2), the shift in pixels (dx right, dy down), or (N, 4), the pose: dx, dy, the
    angle in radians from x towards y, and the logarithm of the scale.
    """

    descriptor: Any
    parameters: Any


@dataclass(frozen=True)
class Inference:
    """Everything one pass yields for N windows; arrays of the kind that went in.

    descriptor (N, K); restored (N, C, S, S); shift (N, 2) pixels, dx right, dy down;
    placed (N, C, S, S): the restored pattern moved by the shift, lying on the input.
    """

    descriptor: Any
    restored: Any
    shift: Any
    placed: Any


class Autoencoder:
    """Encoder and decoder of a model folder, and the manifest that says what they are for.

    Inputs are windows (N, C, S, S), numpy arrays or torch tensors: uint8 0–255 or float 0–1. Results are of the same
    kind, a tensor's on the tensor's device. Nothing here computes gradients: for that there is
    `tiae_training.load_network`.

    Attributes:
        manifest: what the model says of itself.
        device, engine: where it computes, and by what.
        prototypes: (P, K) descriptors of the names it knows, in the order of the manifest's `prototype_names`.

    Raises DataError when an input has another shape, type or range than the model takes.
    """

    def __init__(self, folder: ModelFolder, engine: Engine) -> None:
        self.manifest = folder.manifest
        self.device, self.engine = engine.device, engine.name
        self._encoder, self._decoder = engine.open(folder, ENCODER), engine.open(folder, DECODER)
        self.prototypes = read_prototypes(folder)
        self._check_graphs(folder)

    def encode(self, images: Array) -> Array:
        """E: (N, C, S, S) -> descriptors (N, K)."""
        return self._map(images, lambda batch: self._encoder(batch)[0], self._no_descriptors)

    def decode(self, descriptors: Array) -> Array:
        """D: (N, K) -> restored windows (N, C, S, S), 0..1."""
        rows = _numbers(descriptors, "descriptors", self.manifest.descriptor_size)
        parts = [self._restored(part) for part in _split(rows)]
        restored: Array = _alike(np.concatenate([self._no_windows(), *parts]), descriptors)
        return restored

    def restore(self, images: Array) -> Array:
        """D(E(I)): the typical pattern, at its own standard position: (N, C, S, S) -> (N, C, S, S)."""
        return self._map(images, lambda batch: self._restored(self._encoder(batch)[0]), self._no_windows)

    def estimate_shift(self, images: Array, *, compare: bool = False) -> Array:
        """The shift that moves the restored pattern onto the input: (N, C, S, S) -> (N, 2) pixels (dx right, dy down).

        By the regressor R in one pass of the encoder; with `compare=True` by comparing input and restored pattern
        under every whole shift and refining below a pixel, which costs a decoding and a correlation more.
        """
        shifts = self._compared if compare else lambda batch: self._encoder(batch)[1]
        return self._map(images, lambda batch: shifts(batch)[:, :2], lambda: np.zeros((0, 2), np.float32))

    def estimate_parameters(self, images: Array, *, compare: bool = False) -> Array:
        """The pose that moves the restored pattern onto the input: (N, C, S, S) -> (N, 4).

        Columns are dx, dy (pixels), angle (radians, from x towards y) and the logarithm of the scale; angle and log
        scale are 0 where the network was not trained to find them. `compare=True` finds dx and dy by comparing.
        """

        def poses(batch: Floats) -> Floats:
            found = self._compared(batch) if compare else self._encoder(batch)[1]
            return np.pad(found, ((0, 0), (0, 4 - found.shape[1])))

        return self._map(images, poses, lambda: np.zeros((0, 4), np.float32))

    def place(self, images: Array) -> Array:
        """The restored pattern moved by the estimated shift: it lies on the input. (N, C, S, S) -> the same."""
        return self._map(images, lambda batch: self._decoder(*self._encoder(batch))[1], self._no_windows)

    def infer(self, images: Array) -> Inference:
        """Descriptor, restored, shift and placed in one pass."""
        return self.restore_described(self.describe(images))

    def describe(self, images: Array) -> Description:
        """The first half of `infer`, for those who wait for the descriptor; `restore_described` is the second."""
        passes = [self._encoder(batch) for batch in self._batches(images)]
        empty = [self._no_descriptors(), np.zeros((0, self._parameters), np.float32)]
        return Description(*(_alike(column, images) for column in _columns(passes, empty)))

    def restore_described(self, description: Description) -> Inference:
        """The second half of `infer`, from the first."""
        given = description.descriptor
        descriptors = _numbers(given, "descriptors", self.manifest.descriptor_size, finite=False)
        parameters = _numbers(description.parameters, "parameters", self._parameters, finite=False)
        pairs = zip(_split(descriptors), _split(parameters), strict=True)
        passes = [self._decoder(*pair) for pair in pairs]
        restored, placed = _columns(passes, [self._no_windows()] * 2)
        return Inference(given, _alike(restored, given), description.parameters[:, :2], _alike(placed, given))

    def label(self, descriptor: Any) -> str:
        """The name of the nearest labelled prototype of one descriptor (K,); "" when none is near or there are none."""
        one = _numbers(descriptor, "a descriptor", self.manifest.descriptor_size, rows=False)
        if not len(self.prototypes):
            return ""
        distances = np.linalg.norm(self.prototypes - one[None, :], axis=1)
        nearest = int(distances.argmin())
        return self.manifest.prototype_names[nearest] if distances[nearest] <= self.manifest.prototype_radius else ""

    def _restored(self, descriptors: Floats) -> Floats:
        return self._decoder(descriptors, np.zeros((len(descriptors), self._parameters), np.float32))[0]

    def _compared(self, windows: Floats) -> Floats:
        """Parameters (N, 2) or (N, 4) whose shift was found by comparing; angle and scale are the regressor's."""
        descriptors, parameters = self._encoder(windows)
        unmoved = parameters.copy()
        unmoved[:, :2] = 0
        turned = self._decoder(descriptors, unmoved)[1]
        shifts = best_shifts_subpixel(turned, windows, self.manifest.window_size // 2)
        return np.concatenate((shifts, parameters[:, 2:]), 1)

    def _map(self, images: Array, function: Callable[[Floats], Floats], empty: Callable[[], Floats]) -> Array:
        """Apply a function of a batch to any number of windows; the result is of the input's kind."""
        parts = [function(batch) for batch in self._batches(images)]
        joined: Array = _alike(np.concatenate([empty(), *parts]), images)
        return joined

    def _batches(self, images: Any) -> Iterator[Floats]:
        """Checked windows as float32 0..1, some at a time."""
        rows = _as_numpy(images, "images")
        size = self.manifest.window_size
        expected = (len(self.manifest.channels), size, size)
        if rows.ndim != 4 or rows.shape[1:] != expected:
            raise DataError(
                f"images have shape {rows.shape}; this model takes (N, {', '.join(map(str, expected))}): "
                f"channels {', '.join(self.manifest.channels)}, windows of {size}×{size} pixels"
            )
        if rows.dtype != np.uint8 and rows.dtype.kind != "f":
            raise DataError(f"images are {rows.dtype}; accepted are uint8 (0–255) and float (0–1)")
        return map(_unit, _split(rows))

    def _no_descriptors(self) -> Floats:
        return np.zeros((0, self.manifest.descriptor_size), np.float32)

    def _no_windows(self) -> Floats:
        size = self.manifest.window_size
        return np.zeros((0, len(self.manifest.channels), size, size), np.float32)

    def _check_graphs(self, folder: ModelFolder) -> None:
        """Raise ModelError unless the graphs take and give what the manifest says. A first pass, too."""
        channels, size, numbers = len(self.manifest.channels), self.manifest.window_size, self.manifest.descriptor_size
        window = np.zeros((1, channels, size, size), np.float32)
        try:
            told = [part.shape for part in probe(self._encoder, window)]
            if told not in ([(1, numbers), (1, 2)], [(1, numbers), (1, 4)]):
                raise ModelError(
                    f"gives {told}; its manifest says [(1, {numbers}), (1, 2)] or [(1, {numbers}), (1, 4)]"
                )
            self._parameters = told[1][1]
            pair = np.zeros(told[0], np.float32), np.zeros(told[1], np.float32)
            shown = [part.shape for part in probe(self._decoder, *pair)]
            if shown != [window.shape] * 2:
                raise ModelError(f"restores {shown}; its manifest says {[window.shape] * 2}")
        except ModelError as error:
            raise ModelError(f"the network of {folder.path} {error}; copy the model folder again") from None


def load_model(folder: str | os.PathLike[str], device: str = "cpu", *, threads: int = 0) -> Autoencoder:
    """Read a model folder, or a shipped model by its name, ready for inference on a device.

    Args:
        folder: a path, or the name of a shipped model.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
        threads: of the CPU; 0: OMP_NUM_THREADS, or as many as this process may run on.

    Raises ModelError, in one line: what is wrong, where, what to do.
    """
    content = read_folder(find_model(os.fspath(folder)), AUTOENCODER)
    try:
        return on_device(str(device), lambda name: Autoencoder(content, open_engine(name, threads=threads)))
    except ParameterError as error:
        raise ModelError(str(error)) from None


def read_prototypes(folder: ModelFolder) -> Floats:
    """(P, K) float32. Raises ModelError."""
    manifest = folder.manifest
    shape = (len(manifest.prototype_names), manifest.descriptor_size)
    if PROTOTYPES not in folder.files:
        stored = np.zeros((0, manifest.descriptor_size), np.float32)
    else:
        try:
            stored = np.load(io.BytesIO(folder.files[PROTOTYPES]), allow_pickle=False)
        except Exception as error:  # numpy reads the header as Python text: what it raises has no common base
            detail = " ".join(str(error).split())[:200]
            raise ModelError(
                f"{folder.path / PROTOTYPES} cannot be read: {detail}; copy the model folder again"
            ) from None
    if stored.shape != shape or stored.dtype.kind != "f":
        raise ModelError(
            f"{folder.path / PROTOTYPES} holds {stored.shape} {stored.dtype}; its manifest says {shape} numbers"
        )
    return stored.astype(np.float32)


def _as_numpy(values: Any, what: str) -> NDArray[Any]:
    """A numpy array as it is, the values of a tensor. Raises DataError for anything else."""
    if isinstance(values, np.ndarray):
        return values
    if _is_tensor(values):
        tensor = values.detach().cpu()
        if not tensor.is_floating_point() and str(tensor.dtype) != "torch.uint8":
            raise DataError(f"{what} are {tensor.dtype}; accepted are uint8 (0–255) and float (0–1)")
        array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        return array
    raise DataError(f"{what} are a {type(values).__name__}; accepted are numpy arrays and torch tensors")


def _numbers(values: Any, what: str, size: int, *, rows: bool = True, finite: bool = True) -> Floats:
    """Numbers (N, size), or (size,), as contiguous float32. Raises DataError for anything else.

    finite: refuse others; a model's own may be infinite, which shows in what is made of them.
    """
    array = _as_numpy(values, what)
    if array.ndim != 1 + rows or array.shape[-1] != size or array.dtype.kind not in "fiu":
        accepted = f"(N, {size})" if rows else f"({size},)"
        raise DataError(f"{what}: shape {array.shape}, type {array.dtype}; accepted are numbers {accepted}")
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, np.float32)
    if finite and not np.isfinite(numbers).all():
        raise DataError(f"{what}: some numbers are not finite as float32; accepted are finite ones")
    return numbers


def _is_tensor(values: Any) -> bool:
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    return torch is not None and isinstance(values, torch.Tensor)


def _alike(result: NDArray[Any], given: Any) -> Any:
    """The result as what was given: a numpy array, or a tensor on the same device."""
    return sys.modules["torch"].from_numpy(result).to(given.device) if _is_tensor(given) else result


def _split(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))


def _columns(passes: list[list[Floats]], empty: list[Floats]) -> list[Floats]:
    """The outputs of some passes joined, output by output."""
    if len(passes) == 1:  # live use: nothing to copy
        return passes[0]
    return [np.concatenate(parts) for parts in zip(*passes, strict=True)] if passes else empty


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
