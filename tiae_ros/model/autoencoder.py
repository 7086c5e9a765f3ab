"""A trained auto-encoder behind the doors people use: encode, decode, restore, estimate_shift, place, label."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tiae_ros.errors import DataError, ModelError, ParameterError
from tiae_ros.model.arrays import (
    Floats,
    alike,
    joined,
    number_row,
    number_rows,
    pixel_batches,
    row_count,
    split_rows,
)
from tiae_ros.model.devices import on_device, open_engine
from tiae_ros.model.engines.engine import Engine, probe
from tiae_ros.model.folder import DECODER, ENCODER, PROTOTYPES, ModelFolder, read_folder
from tiae_ros.model.manifest import AUTOENCODER
from tiae_ros.model.naming import NONE, numbered, voted_labels
from tiae_ros.model.shifts import best_shifts_subpixel
from tiae_ros.model.shipped import find_model
from tiae_ros.model.trial import try_graphs

Array = TypeVar("Array")  # a numpy array or a torch tensor


@dataclass(frozen=True)
class Description:
    """What the encoder alone says of N windows, the first half of a pass; arrays of the kind that went in.

    descriptor (N, K); parameters (N, 2), the shift in pixels (dx right, dy down), or (N, 4), the pose: dx, dy, the
    angle in radians from x towards y, and the logarithm of the scale, or (N, 5): these and whether the pattern is
    mirrored, 0 or 1. angle_confidence (N, 2), None for a shift alone: how likely the angle is right, and how likely
    it is half a turn off, 0 to 1 (`tiae_ros.model.ambiguity`).
    """

    descriptor: Any
    parameters: Any
    angle_confidence: Any = None


@dataclass(frozen=True)
class Inference:
    """Everything one pass yields for N windows; arrays of the kind that went in.

    descriptor (N, K); restored (N, C, S, S); shift (N, 2) pixels, dx right, dy down;
    placed (N, C, S, S): the restored pattern moved by the shift, lying on the input. parameters and angle_confidence:
    as in `Description`.
    """

    descriptor: Any
    restored: Any
    shift: Any
    placed: Any
    parameters: Any = None
    angle_confidence: Any = None


class Autoencoder:
    """Encoder and decoder of a model folder, and the manifest that says what they are for.

    Inputs are windows (N, C, S, S), numpy arrays (mapped from a file, too) or torch tensors: uint8 0–255 or float 0–1.
    They are read some at a time: beside the inputs and results memory does not grow with N. Results are of the same
    kind, float32, a tensor's on the tensor's device, and may go into a training, but nothing here computes gradients
    of the model: for that there is `tiae_training.load_network`.

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
        self._names, self._prototype_labels = numbered(self.manifest.prototype_names)
        self._check_graphs(folder)

    def encode(self, images: Array) -> Array:
        """E: (N, C, S, S) -> descriptors (N, K)."""
        return self._map(images, lambda batch: self._encoder(batch)[0], (self.manifest.descriptor_size,))

    def decode(self, descriptors: Array) -> Array:
        """D: (N, K) -> restored windows (N, C, S, S), 0..1."""
        rows = number_rows(descriptors, "descriptors", self.manifest.descriptor_size)
        passes = ([self._restored(part)] for part in split_rows(rows))
        restored: Array = alike(joined(passes, len(rows), [self._window])[0], descriptors)
        return restored

    def restore(self, images: Array) -> Array:
        """D(E(I)): the typical pattern, at its own standard position: (N, C, S, S) -> (N, C, S, S)."""
        return self._map(images, lambda batch: self._restored(self._encoder(batch)[0]), self._window)

    def estimate_shift(self, images: Array, *, compare: bool = False) -> Array:
        """The shift that moves the restored pattern onto the input: (N, C, S, S) -> (N, 2) pixels (dx right, dy down).

        By the regressor R in one pass of the encoder; with `compare=True` by comparing input and restored pattern
        under every whole shift and refining below a pixel, which costs a decoding and a correlation more.
        """
        shifts = self._compared if compare else lambda batch: self._encoder(batch)[1]
        return self._map(images, lambda batch: shifts(batch)[:, :2], (2,))

    def estimate_parameters(self, images: Array, *, compare: bool = False) -> Array:
        """The pose that moves the restored pattern onto the input: (N, C, S, S) -> (N, 4), or (N, 5).

        Columns are dx, dy (pixels), angle (radians, from x towards y) and the logarithm of the scale; angle and log
        scale are 0 where the network was not trained to find them. The fifth is there where it was trained on mirrored
        patterns too: 1 where this one is. `compare=True` finds dx and dy by comparing.
        """
        columns = max(4, self._parameters)

        def poses(batch: Floats) -> Floats:
            found = self._compared(batch) if compare else self._encoder(batch)[1]
            return np.pad(found, ((0, 0), (0, columns - found.shape[1])))

        return self._map(images, poses, (columns,))

    def angle_confidence(self, images: Array) -> Array:
        """How sure the angle is: (N, C, S, S) -> (N, 2), see `Description`. Raises ModelError where it is not told."""
        if not self.tells_confidence:
            lacks = "finds no angles" if self._parameters == 2 else "does not say how sure its angles are"
            raise ModelError(f"model {self.manifest.model_id} {lacks}; train one with --transforms shift,rotation")
        return self._map(images, lambda batch: self._encoder(batch)[2], (2,))

    def place(self, images: Array) -> Array:
        """The restored pattern moved by the estimated shift: it lies on the input. (N, C, S, S) -> the same."""
        return self._map(images, lambda batch: self._decoder(*self._encoder(batch)[:2])[1], self._window)

    def restore_in_pose(self, images: Array) -> Array:
        """The restored pattern turned, scaled and mirrored as estimated, but not shifted. (N, C, S, S) -> the same."""

        def turned(batch: Floats) -> Floats:
            descriptors, parameters = self._encoder(batch)[:2]
            return self._decoder(descriptors, _unmoved(parameters))[1]

        return self._map(images, turned, self._window)

    def infer(self, images: Array) -> Inference:
        """Descriptor, restored, shift and placed in one pass."""
        return self.restore_described(self.describe(images))

    def describe(self, images: Array) -> Description:
        """The first half of `infer`, for those who wait for the descriptor; `restore_described` is the second."""
        passes = map(self._encoder, self._batches(images))
        shapes = [(self.manifest.descriptor_size,), (self._parameters,), *([(2,)] if self.tells_confidence else [])]
        return Description(*(alike(column, images) for column in joined(passes, row_count(images), shapes)))

    def restore_described(self, description: Description) -> Inference:
        """The second half of `infer`, from the first."""
        if not isinstance(description, Description):
            raise DataError(f"a {type(description).__name__} is no Description; give what `describe` has made")
        given = description.descriptor
        descriptors = number_rows(given, "descriptors", self.manifest.descriptor_size, finite=False)
        parameters = number_rows(description.parameters, "parameters", self._parameters, finite=False)
        if len(descriptors) != len(parameters):
            raise DataError(f"{len(descriptors)} descriptors and {len(parameters)} parameters; accepted are as many")
        pairs = zip(split_rows(descriptors), split_rows(parameters), strict=True)
        passes = (self._decoder(*pair) for pair in pairs)
        restored, placed = joined(passes, len(descriptors), [self._window] * 2)
        whole = description.parameters
        return Inference(
            given, alike(restored, given), whole[:, :2], alike(placed, given), whole, description.angle_confidence
        )

    def label(self, descriptor: Any) -> str:
        """The name of the prototypes around one descriptor (K,); "" when none is near or two are about as likely."""
        one = number_row(descriptor, "a descriptor", self.manifest.descriptor_size)
        distances = np.linalg.norm(self.prototypes - one[None, :], axis=1)
        found = int(voted_labels(distances[None], self._prototype_labels, self.manifest.prototype_radius)[0])
        return "" if found == NONE else self._names[found]

    def _restored(self, descriptors: Floats) -> Floats:
        return self._decoder(descriptors, np.zeros((len(descriptors), self._parameters), np.float32))[0]

    def _compared(self, windows: Floats) -> Floats:
        """Parameters (N, 2, 4 or 5) whose shift was found by comparing; all others are the regressor's."""
        descriptors, parameters = self._encoder(windows)[:2]
        turned = self._decoder(descriptors, _unmoved(parameters))[1]
        shifts = best_shifts_subpixel(turned, windows, self.manifest.window_size // 2)
        return np.concatenate((shifts, parameters[:, 2:]), 1)

    def _map(self, images: Array, function: Callable[[Floats], Floats], shape: tuple[int, ...]) -> Array:
        """Apply a function of a batch to any number of windows, a row of that shape of each; of the input's kind."""
        passes = ([function(batch)] for batch in self._batches(images))
        result: Array = alike(joined(passes, row_count(images), [shape])[0], images)
        return result

    def _batches(self, images: Any) -> Iterator[Floats]:
        return pixel_batches(images, self.manifest.channels, self.manifest.window_size)

    @property
    def _window(self) -> tuple[int, int, int]:
        size = self.manifest.window_size
        return len(self.manifest.channels), size, size

    def _check_graphs(self, folder: ModelFolder) -> None:
        """Raise ModelError unless the graphs take and give what the manifest says. A first pass, too."""
        channels, size, numbers = len(self.manifest.channels), self.manifest.window_size, self.manifest.descriptor_size
        window = np.zeros((1, channels, size, size), np.float32)
        try:
            told = [part.shape for part in probe(self._encoder, window)]
            accepted = [[(1, numbers), (1, columns)] for columns in (2, 4, 5)]  # 4: of releases before angles were sure
            accepted += [[(1, numbers), (1, columns), (1, 2)] for columns in (4, 5)]
            if told not in accepted:
                raise ModelError(f"gives {told}; its manifest says {' or '.join(map(str, accepted))}")
            self._parameters, self.tells_confidence = told[1][1], len(told) == 3
            pair = np.zeros(told[0], np.float32), np.zeros(told[1], np.float32)
            shown = [part.shape for part in probe(self._decoder, *pair)]
            if shown != [window.shape] * 2:
                raise ModelError(f"restores {shown}; its manifest says {[window.shape] * 2}")
        except ModelError as error:
            raise ModelError(f"the network of {folder.path} {error}; copy the model folder again") from None


def _unmoved(parameters: Floats) -> Floats:
    """Parameters without their shift."""
    unmoved = parameters.copy()
    unmoved[:, :2] = 0
    return unmoved


def load_model(folder: str | os.PathLike[str], device: str = "cpu", *, threads: int = 0) -> Autoencoder:
    """Read a model folder, or a shipped model by its name, ready for inference on a device.

    Args:
        folder: a path, or the name of a shipped model.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
        threads: of the CPU; 0: OMP_NUM_THREADS, or as many as this process may run on.

    Raises ModelError, in one line: what is wrong, where, what to do.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise ModelError(f"model is {folder!r:.60}; accepted is a folder's path or the name of a shipped model")
    content = read_folder(find_model(folder), AUTOENCODER)
    size = content.manifest.window_size
    try_graphs(content, (ENCODER, DECODER), (1, len(content.manifest.channels), size, size))
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
