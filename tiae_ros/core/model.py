"""`TransformInvariantAutoencoder`: a trained (or fresh) network behind the five doors people use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.core.inference import FastPass
from tiae_ros.core.manifest import Manifest
from tiae_ros.core.networks import DEFAULT_NETWORK, NETWORKS, Network
from tiae_ros.core.shifts import best_shifts_subpixel
from tiae_ros.core.transforms import Similarity
from tiae_ros.errors import DataError, ModelError

_SLACK = 0.01  # averages and interpolation may leave 0..1 by rounding

Array = TypeVar("Array", np.ndarray[Any, Any], Tensor)
Part = TypeVar("Part", "Description", "Inference")
_BATCH = 512  # images a forward pass takes at most, so that memory stays bounded for any N


@dataclass(frozen=True)
class Description:
    """What the encoder alone says of N windows, the first half of a pass; arrays of the kind that went in.

    descriptor (N, K); parameters (N, 2), the shift in pixels (dx right, dy down), or (N, 4), the pose, as in
    `tiae_ros.core.poses`.
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


class TransformInvariantAutoencoder(nn.Module):
    """Encoder, decoder and shift regressor, with the manifest that says what they are for.

    Inputs are windows (N, C, S, S), numpy or torch: uint8 0–255 or float 0–1. Results are of the same kind:
    numpy in, numpy out; a tensor in, a tensor on the model's device out. Nothing here computes gradients;
    training works on `network` directly.

    Raises DataError when an input has another shape or type than the model takes.
    """

    def __init__(
        self,
        channels: int | tuple[str, ...] = 1,
        *,
        window_size: int = 32,
        descriptor_size: int = 30,
        network: str = DEFAULT_NETWORK,
        manifest: Manifest | None = None,
    ) -> None:
        super().__init__()
        if manifest is None:
            names = channels if isinstance(channels, tuple) else tuple(f"channel_{i}" for i in range(channels))
            manifest = Manifest(
                model_id="untrained",
                network=network,
                channels=names,
                window_size=window_size,
                descriptor_size=descriptor_size,
            )
        self.manifest = manifest
        try:
            self.network: Network = NETWORKS[manifest.network](
                len(manifest.channels), manifest.window_size, manifest.descriptor_size
            )
        except ValueError as error:
            raise ModelError(f"network {manifest.network!r} cannot be built: {error}") from None
        self.register_buffer("prototypes", torch.zeros(len(manifest.prototype_names), manifest.descriptor_size))
        self._fast_pass = FastPass()
        self.eval()  # the doors infer; training switches `network` to training by itself

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        prototypes = self.prototypes  # always there, and found sooner than the first of the network's parameters
        assert isinstance(prototypes, Tensor)
        return prototypes.device

    def encode(self, images: Array) -> Array:
        """E: (N, C, S, S) -> descriptors (N, K)."""
        return self._in_batches(images, lambda batch: self.network.forward_encoder(batch)[0])

    def decode(self, descriptors: Array) -> Array:
        """D: (N, K) -> restored windows (N, C, S, S), 0..1."""
        expected = self.manifest.descriptor_size
        if descriptors.ndim != 2 or descriptors.shape[1] != expected:
            raise DataError(f"descriptors have shape {tuple(descriptors.shape)}; accepted is (N, {expected})")
        return self._in_batches(descriptors, self._decode, check=False)

    def restore(self, images: Array) -> Array:
        """D(E(I)): the typical pattern, at its own standard position: (N, C, S, S) -> (N, C, S, S)."""
        return self._in_batches(images, lambda batch: self._decode(self.network.forward_encoder(batch)[0]))

    def estimate_shift(self, images: Array, *, compare: bool = False) -> Array:
        """The shift that moves the restored pattern onto the input: (N, C, S, S) -> (N, 2) pixels (dx right, dy down).

        By the regressor R in one pass of the encoder; with `compare=True` by comparing input and restored pattern
        under every whole shift and refining below a pixel, which costs a decoding and a correlation more.
        """
        if not compare:
            return self._in_batches(images, lambda batch: self.network.forward_encoder(batch)[1][:, :2])
        return self._in_batches(images, lambda batch: self._compared(batch)[:, :2])

    def estimate_parameters(self, images: Array, *, compare: bool = False) -> Array:
        """The pose that moves the restored pattern onto the input: (N, C, S, S) -> (N, 4).

        Columns are dx, dy (pixels), angle (radians, from x towards y) and the logarithm of the scale, as in
        `tiae_ros.core.poses`; angle and log scale are 0 where the network was not trained to find them.
        """
        if not compare:
            return self._in_batches(images, lambda batch: _as_poses(self.network.forward_encoder(batch)[1]))
        return self._in_batches(images, lambda batch: _as_poses(self._compared(batch)))

    def place(self, images: Array) -> Array:
        """The restored pattern moved by the estimated shift: it lies on the input. (N, C, S, S) -> the same."""
        return self._in_batches(images, lambda batch: self._infer(batch).placed)

    def infer(self, images: Array) -> Inference:
        """Descriptor, restored, shift and placed in one pass."""
        with torch.inference_mode():
            result = self._infer(self._windows(images))
        return result if isinstance(images, Tensor) else _as_numpy(result)

    def describe(self, images: Array) -> Description:
        """The first half of `infer`, for those who wait for the descriptor; `restore_described` is the second."""
        with torch.inference_mode():
            result = Description(*self._fast_pass.encode(self.network, self._windows(images)))
        return result if isinstance(images, Tensor) else _as_numpy(result)

    def restore_described(self, description: Description) -> Inference:
        """The second half of `infer`, from the first."""
        given = description.descriptor
        with torch.inference_mode():
            descriptors, parameters = (
                torch.as_tensor(part, device=self.device) for part in (given, description.parameters)
            )
            restored, placed = self._fast_pass.restore(self.network, descriptors, parameters)
            result = Inference(descriptors, restored, parameters[:, :2], placed)
        return result if isinstance(given, Tensor) else _as_numpy(result)

    def label(self, descriptor: np.ndarray[Any, Any]) -> str:
        """The name of the nearest labelled prototype of one descriptor (K,); "" when none is near or there are none."""
        prototypes = self.prototypes
        assert isinstance(prototypes, Tensor)
        if not len(prototypes):
            return ""
        distances = np.linalg.norm(prototypes.cpu().numpy() - np.asarray(descriptor)[None, :], axis=1)
        nearest = int(distances.argmin())
        return self.manifest.prototype_names[nearest] if distances[nearest] <= self.manifest.prototype_radius else ""

    def _infer(self, windows: Tensor) -> Inference:
        return Inference(*self._fast_pass(self.network, windows))

    def _decode(self, descriptors: Tensor) -> Tensor:
        return self.network.decode(descriptors).clamp(0.0, 1.0)

    def _compared(self, windows: Tensor) -> Tensor:
        """Shifts (N, 2), or poses (N, 4) where the network has them, found by comparing."""
        descriptors, estimate = self.network.forward_encoder(windows)
        restored, radius = self._decode(descriptors), self.manifest.window_size // 2
        if estimate.shape[1] == 2:
            return best_shifts_subpixel(restored, windows, radius)
        similarity = self._similarity()
        _, poses = similarity.nearest(restored, windows, windows, estimate)
        return similarity.refine(restored, windows, poses)

    def _similarity(self) -> Similarity:
        """The poses the manifest speaks of."""
        ranges = self.manifest.transforms
        return Similarity(
            self.manifest.shift_radius,
            math.radians(ranges.get("rotation", {}).get("degrees", 0.0)),
            ranges.get("scale", {}).get("factor", 1.0),
        )

    def _in_batches(self, values: Array, function: Any, *, check: bool = True) -> Array:
        """Apply a function of a batch to any number of rows; the result is of the input's kind."""
        with torch.inference_mode():
            if check:
                rows = self._windows(values)
            else:
                rows = torch.as_tensor(values, dtype=torch.float32, device=self.device)
            parts = [function(batch) for batch in torch.split(rows, _BATCH)] if len(rows) else [function(rows)]
            joined = torch.cat(parts)
        return joined if isinstance(values, Tensor) else joined.cpu().numpy()

    def _windows(self, images: Any) -> Tensor:
        """Checked windows as float32 0..1 on the model's device: (N, C, S, S)."""
        size = self.manifest.window_size
        expected = (len(self.manifest.channels), size, size)
        if not isinstance(images, (np.ndarray, Tensor)):
            raise DataError(f"images are a {type(images).__name__}; accepted are numpy arrays and torch tensors")
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise DataError(
                f"images have shape {tuple(images.shape)}; this model takes (N, {', '.join(map(str, expected))}): "
                f"channels {', '.join(self.manifest.channels)}, windows of {size}×{size} pixels"
            )
        if not isinstance(images, Tensor):
            images = torch.from_numpy(_ordinary(images))
        if images.dtype == torch.uint8:
            return torch.div(images.to(self.device, torch.float32), 255.0)
        if not images.is_floating_point():
            raise DataError(f"images are {images.dtype}; accepted are uint8 (0–255) and float (0–1)")
        floats: Tensor = images.to(self.device, torch.float32)
        return floats


def _as_numpy(tensors: Part) -> Part:
    """The same, with numpy arrays in the place of tensors."""
    return type(tensors)(*(part.cpu().numpy() for part in vars(tensors).values()))


def _as_poses(parameters: Tensor) -> Tensor:
    """Shifts (N, 2) as poses (N, 4); poses as they are."""
    return F.pad(parameters, (0, 4 - parameters.shape[1]))


def _ordinary(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array as torch takes it: native byte order, contiguous, writable; DataError for values that are no pixels."""
    if images.dtype.kind == "f" and images.size:
        low, high = float(images.min()), float(images.max())
        if not (low >= -_SLACK and high <= 1 + _SLACK):  # also when one is NaN
            raise DataError(
                f"images lie between {low:g} and {high:g}; accepted are floats from 0 to 1 without NaN, or uint8 0–255"
            )
    native = images.dtype.newbyteorder("=")
    if images.dtype == native and images.flags.c_contiguous and images.flags.writeable:
        return images
    return np.array(images, dtype=native, order="C")
