"""Hand, held thing or nothing, by a small network from colour and registered depth; the learned sibling of `segment`.

    reduce to a grid of cells -> 9 planes of colour, depth and scale -> U-Net -> class of each cell
    -> regions too small for a hand are dropped, and those that a second look finds to be none
    -> what touches the rest -> labels at full resolution

Nothing else in `tiae_ros.vision` needs torch, but for what it is made of: `layers`, `second_look`, and
`eight_bit_network`, by which it runs where that is quicker.
A network is a folder with ``model.safetensors`` and ``manifest.json``, as every other model;
`python -m tiae_training.segmentation` makes one.
`tiae_ros.vision.segmentation_choice` says when it is taken; benchmarks/segmentation.py compares the two.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.nn import functional as F

from tiae_ros.core.inference import folded
from tiae_ros.core.model_files import MANIFEST, WEIGHTS, packed, read_whole, rounded, write_durably
from tiae_ros.errors import ModelError, OutputError
from tiae_ros.vision.eight_bit_network import in_eight_bits, range_names
from tiae_ros.vision.layers import convolution
from tiae_ros.vision.plausible_cells import LENIENCE, Certainty, plausible_cells
from tiae_ros.vision.second_look import SecondLook, close_up
from tiae_ros.vision.segmentation import HAND, OBJECT, SegmentationSettings, check_images

Labels = NDArray[np.uint8]
Floats = NDArray[np.float32]

FORMAT = "tiae_segmentation"
FORMAT_VERSION = 1
INPUTS = 9
CLASSES = 3
STRIDE = 16  # cells; the grid is padded to a multiple of it
CLIP_M = 1.5  # depth beyond is as good as this
_USUAL_FOCAL = 0.8  # focal length over the longer side, when none is known
_LARGEST_WEIGHTS = 16 * 1024 * 1024
_LARGEST_MANIFEST = 1024 * 1024
_LEAST_RANGE, _LARGEST_ACTIVATION = 1e-6, 1e9
_SURFACE_RATIO = 1.06  # readings of a cell up to 6 % behind its nearest are on one surface
_NEAREST_BITS = np.float32(0.001).view(np.uint32) + np.uint32(1)  # of the first float above a millimetre
_FARTHEST_BITS = np.float32(100).view(np.uint32)  # metres
_FARTHEST_READING = np.nextafter(np.float32(100), np.float32(0))
_RELIEFS = ((7, 0.015), (31, 0.06))  # side of the neighbourhood in cells, unit in metres


@dataclass(frozen=True)
class SegmentationManifest:
    """What a segmentation network says of itself."""

    model_id: str = "segmentation"
    widths: tuple[int, ...] = (12, 32, 64, 128)
    """Channels at 1/2, 1/4, 1/8 and 1/16 of the grid."""
    blocks: tuple[int, ...] = (1, 1, 2, 3)
    """Convolutions at each of these after the one that halves."""
    training: Mapping[str, Any] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)
    activation_ranges: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Least and greatest number of each of `range_names`, by which 8 bits hold them; empty: 8 bits are not used."""
    second_look: bool = False
    """Whether a `SecondLook` is stored with it."""
    weights_sha256: str = ""
    format: str = FORMAT
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format != FORMAT or self.format_version != FORMAT_VERSION:
            raise ModelError(
                f"format is {self.format!r} version {self.format_version!r}; a segmentation network has "
                f"{FORMAT!r} version {FORMAT_VERSION}"
            )
        for name, low, high in (("widths", 1, 512), ("blocks", 0, 8)):
            values = getattr(self, name)
            right = isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 4
            if not right or not all(type(v) is int and low <= v <= high for v in values):
                raise ModelError(f"{name} is {values!r}; it must be four whole numbers from {low} to {high}")
            object.__setattr__(self, name, tuple(values))
        for name in ("training", "measures"):
            if not isinstance(getattr(self, name), Mapping):
                raise ModelError(f"{name} is {getattr(self, name)!r}; it must be an object")
        if type(self.second_look) is not bool:
            raise ModelError(f"second_look is {self.second_look!r}; it must be true or false")
        for name in ("model_id", "weights_sha256"):
            if not isinstance(getattr(self, name), str):
                raise ModelError(f"{name} is {getattr(self, name)!r}; it must be text")
        _check_ranges(self.activation_ranges, range_names(self.blocks))

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SegmentationManifest:
        """Raises ModelError: not JSON, not an object, unknown fields, or values out of range."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"not JSON ({error}); copy the model folder again") from None
        if not isinstance(content, dict):
            raise ModelError("not a JSON object; copy the model folder again")
        if content.get("format") != FORMAT:
            raise ModelError(f"format is {content.get('format')!r}; a segmentation network has {FORMAT!r}")
        unknown = sorted(set(content) - set(cls.__dataclass_fields__))
        if unknown:
            raise ModelError(f"unknown fields {', '.join(unknown)[:200]}; install the release that wrote it")
        return cls(**content)


class SegmentationNetwork(nn.Module):
    """A U-Net whose finest level is half the grid: (B, 9, H, W) -> class scores (B, 3, H, W); H, W multiples of 16."""

    def __init__(self, manifest: SegmentationManifest | None = None) -> None:
        super().__init__()
        self.manifest = manifest or SegmentationManifest()
        widths, blocks = self.manifest.widths, self.manifest.blocks
        self.down = nn.ModuleList()
        inputs = INPUTS
        for width, block in zip(widths, blocks, strict=True):
            rest = [convolution(width, width) for _ in range(block)]
            self.down.append(nn.Sequential(convolution(inputs, width, stride=2), *rest))
            inputs = width
        self.across = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in itertools.pairwise(widths))
        self.up = nn.ModuleList(convolution(width, width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], CLASSES * 4, 3, padding=1)
        self.second_look = SecondLook() if self.manifest.second_look else None

    def forward(self, planes: Tensor) -> Tensor:
        return whole_scores(self.quarters(planes))

    def quarters(self, planes: Tensor) -> Tensor:
        """(B, 9, H, W) -> scores of each cell's four quarters (B, 12, H / 2, W / 2), for `whole_scores`."""
        levels = []
        x = planes
        for down in self.down:
            x = down(x)  # halves H and W
            levels.append(x)
        for level in (2, 1, 0):
            coarse = F.interpolate(self.across[level](x), scale_factor=2.0, mode="nearest")
            x = self.up[level](levels[level] + coarse)
        quarters: Tensor = self.head(x)
        return quarters


def whole_scores(quarters: Tensor) -> Tensor:
    """Scores of each cell's four quarters (B, 12, H / 2, W / 2), as pixel_shuffle takes them, -> (B, 3, H, W).

    Where a cell's channels lie together and nothing is to be learned, two neighbours of a row move as one number:
    half the time of one by one, and that is half of what pixel_shuffle takes.
    """
    count, _, height, width = quarters.shape
    together = quarters.permute(0, 2, 3, 1)
    if together.is_contiguous() and not quarters.requires_grad and quarters.dtype == torch.float32:
        pairs = together.view(torch.float64).view(count, height, width, CLASSES, 2).permute(0, 3, 1, 4, 2)
        return pairs.contiguous().view(torch.float32).view(count, CLASSES, 2 * height, 2 * width)
    parts = quarters.reshape(count, CLASSES, 2, 2, height, width)
    return parts.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)


class Segmenter:
    """A network ready for inference: normalisation folded into the convolutions, memory laid out for speed.

    Attributes:
        precision: "int8" where the network runs in whole numbers of 8 bits (`in_eight_bits`), otherwise "float32".
    """

    def __init__(self, network: SegmentationNetwork, *, eight_bits: bool = True) -> None:
        """Args:
        network: as it was trained.
        eight_bits: take them where they help; False: never.
        """
        self.manifest = network.manifest
        whole = in_eight_bits(network) if eight_bits else None
        self.network = whole or folded(network)
        self.second_look = None if network.second_look is None else folded(network.second_look)
        self.precision = "int8" if whole else "float32"

    @torch.inference_mode()
    def scores(self, planes: Floats) -> Floats:
        """Planes (9, H, W) of one picture -> class scores (3, H, W).

        Raises:
            ModelError: a score is not finite.
        """
        height, width = planes.shape[1:]
        # A picture's rows with the planes of each cell together, as convolutions take them.
        cells = np.empty((-(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE, INPUTS), np.float32)
        cells[height:] = 0
        cells[:, width:] = 0
        cv2.merge([*planes], dst=cells[:height, :width])
        quarters = self.network.quarters(torch.from_numpy(cells).permute(2, 0, 1)[None])
        scores = whole_scores(quarters)[0, :, :height, :width]
        if not math.isfinite(scores.sum().item()):
            raise ModelError(f"segmentation network {self.manifest.model_id} gave a number that is not finite")
        found: Floats = scores.numpy()
        return found

    def segment(
        self,
        color: NDArray[np.uint8] | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
    ) -> Labels:
        """Labels (H, W): 0 none, 1 hand, 2 what it holds; with depth alone, too, they are told apart.

        Args:
            color: rgb (H, W, 3) uint8, or None to go by depth alone.
            depth_m: registered depth (H, W) float32 metres, NaN (or anything not above 0) where there is none.
            settings: the grid, the least certainty, the limits of size and depth; what concerns skin is not used.
            focal_px: focal length of the picture; without one, that of a usual camera is assumed.

        Raises:
            ImageError: colour and depth are not of one size, or not images at all.
            ModelError: the network gave a number that is not finite.
        """
        settings = settings or SegmentationSettings()
        check_images(color, depth_m)
        longer = max(depth_m.shape)
        usable = focal_px is not None and math.isfinite(focal_px) and focal_px > 0
        focal = focal_px if usable and focal_px is not None else _USUAL_FOCAL * longer
        cell = min(max(1, round(longer / settings.grid_long_side)), *depth_m.shape)
        labels = np.zeros(depth_m.shape, np.uint8)
        depth = reduce_depth(depth_m, cell)
        if not (depth > 0).any():
            return labels
        small = reduce_color(color, cell) if color is not None else None
        planes = _planes(small, depth, focal / cell)
        scores = self.scores(planes)
        look_again = self._second_look(planes, scores, depth, focal / cell)
        kept = plausible_cells(scores, depth, focal / cell, settings, look_again)
        _enlarge(scores, kept, cell, labels)
        return labels

    def _second_look(self, planes: Floats, scores: Floats, depth: Floats, focal_cells: float) -> Certainty | None:
        """What finds how likely a region of the picture is a hand; None where nothing but the cells tells."""
        look = self.second_look
        if look is None:
            return None

        def certainty(region: NDArray[np.bool_], of_cells: float) -> float:
            view = close_up(planes, depth, shares(scores)[1:], region, focal_cells)
            probability = look.probability(view, of_cells)
            if not math.isfinite(probability):
                raise ModelError(f"segmentation network {self.manifest.model_id} gave a number that is not finite")
            return probability

        return certainty


def shares(scores: Floats) -> Floats:
    """Class scores (3, H, W) -> probabilities."""
    odds: Floats = np.exp(scores - scores.max(axis=0))
    odds /= odds.sum(axis=0)
    return odds


def input_planes(color: NDArray[np.uint8] | None, depth: Floats, focal_cells: float) -> Floats:
    """What the network sees of each cell: (H, W, 9).

    0-2 colour, 3 there is colour, 4 there is depth, 5 depth, 6-7 depth against the mean around (two sizes),
    8 size of a cell in metres at its depth.

    Args:
        color: (H, W, 3) rgb or None.
        depth: (H, W) metres, 0 where there is none.
        focal_cells: focal length in cells.
    """
    return np.ascontiguousarray(_planes(color, depth, focal_cells).transpose(1, 2, 0))


def _planes(color: NDArray[np.uint8] | None, depth: Floats, focal_cells: float) -> Floats:
    """The same, a plane after the other: (9, H, W). In place, since memory costs more than arithmetic here."""
    planes = np.empty((INPUTS, *depth.shape), np.float32)
    if color is None:
        planes[:4] = 0
    else:
        tones = color.astype(np.float32)
        tones *= np.float32(1 / 64)
        tones -= 2
        cv2.split(tones, [planes[0], planes[1], planes[2]])
        planes[3] = 1
    known = planes[4]
    np.greater(depth, 0, out=known)
    depth = np.minimum(depth, np.float32(CLIP_M))
    distance = np.subtract(depth, np.float32(0.6), out=planes[5])
    distance *= known
    distance *= np.float32(1 / 0.3)
    for relief, (side, unit_m) in zip(planes[6:8], _RELIEFS, strict=True):
        count = cv2.blur(known, (side, side), borderType=cv2.BORDER_CONSTANT)
        mean = cv2.blur(depth, (side, side), borderType=cv2.BORDER_CONSTANT)
        np.subtract(depth, mean / np.maximum(count, np.float32(1e-6)), out=relief)
        relief *= known
        relief *= np.float32(1 / unit_m)
        np.clip(relief, -3, 3, out=relief)
    size = planes[8]
    np.maximum(depth, np.float32(0.05), out=size)
    size /= np.float32(focal_cells)
    np.log(size, out=size)
    size += np.float32(5.3)
    size *= known
    size *= 2
    return planes


def reduce_color(color: NDArray[np.uint8], cell: int) -> NDArray[np.uint8]:
    """Mean colour of each cell, to a level or two: halving, which OpenCV does fastest, rounds each time."""
    height, width = color.shape[0] // cell, color.shape[1] // cell
    color = color[: height * cell, : width * cell]
    while cell > 1:
        step = 2 if cell % 2 == 0 else cell
        cell //= step
        size = width * cell, height * cell
        color = cv2.resize(color, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return color


def reduce_depth(depth_m: Floats, cell: int) -> Floats:
    """Mean of some of a cell's readings, those on its nearest surface; 0 where there is none.

    Four pixels of each cell are looked at: they say as much as all sixteen, in a quarter of the time.
    """
    height, width = depth_m.shape[0] // cell, depth_m.shape[1] // cell
    starts = sorted({cell // 4, (3 * cell) // 4})
    places = [(row, column) for row in starts for column in starts]
    parts = np.empty((len(places), height, width), np.float32)
    for part, (row, column) in zip(parts, places, strict=True):
        part[:] = depth_m[row : height * cell : cell, column : width * cell : cell]
    # What is no reading (0, below, NaN, infinity) becomes the far end. The bits of floats above 0 are ordered as the
    # floats are; counted from the near end on, all others lie beyond the far end: no comparison per kind, no branch.
    bits = parts.view(np.uint32)
    bits -= _NEAREST_BITS
    np.minimum(bits, _FARTHEST_BITS - _NEAREST_BITS, out=bits)
    bits += _NEAREST_BITS
    limit = np.minimum(parts.min(axis=0) * np.float32(_SURFACE_RATIO), _FARTHEST_READING)
    same = np.less_equal(parts, limit, out=np.empty_like(parts))  # as 0 and 1
    parts *= same
    reduced: Floats = parts.sum(axis=0)
    reduced /= np.maximum(same.sum(axis=0), 1)
    return reduced


def save_segmentation(network: SegmentationNetwork, folder: str | os.PathLike[str], **known: Any) -> None:
    """Write a model folder; ``known`` are fields of the manifest (training, measures, model_id). Raises OutputError.

    Kernels are stored as `rounded` makes them, which halves the file and moves probabilities by thousandths.
    """
    path = Path(folder)
    weights = save_tensors({name: packed(rounded(tensor)) for name, tensor in network.state_dict().items()})
    fields = {**asdict(network.manifest), **known, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    network.manifest = SegmentationManifest(**fields)
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name, content in ((WEIGHTS, weights), (MANIFEST, network.manifest.to_json().encode())):
            write_durably(path / (name + ".new"), content)
        for name in (WEIGHTS, MANIFEST):
            os.replace(path / (name + ".new"), path / name)
    except OSError as error:
        raise OutputError(f"cannot write the model folder {path}: {error.strerror or error}") from None


def load_network(folder: str | os.PathLike[str]) -> SegmentationNetwork:
    """Read a network as it was trained. Raises ModelError, in one line: what is wrong, where, what to do."""
    path = Path(folder)
    if not path.is_dir():
        raise ModelError(f"{path} is not a model folder (a folder with {WEIGHTS} and {MANIFEST})")
    try:
        manifest = SegmentationManifest.from_json(read_whole(path / MANIFEST, _LARGEST_MANIFEST).decode("utf-8"))
    except (ModelError, UnicodeDecodeError) as error:
        raise ModelError(f"{path / MANIFEST}: {error}") from None
    weights = read_whole(path / WEIGHTS, _LARGEST_WEIGHTS)
    digest = hashlib.sha256(weights).hexdigest()
    if digest != manifest.weights_sha256:
        raise ModelError(
            f"{path / WEIGHTS} is damaged or altered: its sha256 is {digest[:12]}…, the manifest says "
            f"{manifest.weights_sha256[:12] or 'nothing'}…; copy the model folder again"
        )
    network = SegmentationNetwork(manifest)
    try:
        network.load_state_dict(load_tensors(weights), strict=True)
    except SafetensorError as error:
        raise ModelError(f"{path / WEIGHTS} is not a safetensors file ({error}); copy the model folder again") from None
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise ModelError(f"{path / WEIGHTS} does not fit its manifest: {detail}") from None
    return network.eval()


def load_segmenter(folder: str | os.PathLike[str], *, eight_bits: bool = True) -> Segmenter:
    """Read a network and make it ready for inference, as `Segmenter` does. Raises ModelError."""
    return Segmenter(load_network(folder), eight_bits=eight_bits)


def _check_ranges(ranges: Any, names: Sequence[str]) -> None:
    """Raises ModelError unless there are none, or one of each name, whose sums alone may be below 0."""
    advice = "find them again (python -m tiae_training.segmentation --calibrate) or copy the model folder again"
    if not isinstance(ranges, Mapping):
        raise ModelError(f"activation_ranges is {str(ranges)[:60]!r}; it must be an object; {advice}")
    wrong = sorted(set(map(str, ranges)).symmetric_difference(names)) if ranges else []
    if wrong:
        raise ModelError(f"activation_ranges lacks, or has beyond what it must, {', '.join(wrong)[:200]}; {advice}")
    for name, pair in ranges.items():
        right = isinstance(pair, list | tuple) and len(pair) == 2 and all(type(v) in (int, float) for v in pair)
        lowest = -_LARGEST_ACTIVATION if name.startswith("sum") else 0
        if not right or not lowest <= pair[0] <= 0 < _LEAST_RANGE <= pair[1] <= _LARGEST_ACTIVATION:
            raise ModelError(
                f"activation_ranges of {name} is {str(pair)[:60]}; it must be two numbers, the first from {lowest:g} "
                f"to 0, the second from {_LEAST_RANGE:g} to {_LARGEST_ACTIVATION:g}; {advice}"
            )


def _enlarge(scores: Floats, kept: NDArray[np.bool_], cell: int, labels: Labels) -> None:
    """Scores of cells (3, H, W) -> labels of pixels, which were 0; outlines run where these and LENIENCE say."""
    rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
    if not len(rows):
        return
    top, bottom = max(0, rows[0] - 1), min(kept.shape[0], rows[-1] + 2)
    left, right = max(0, columns[0] - 1), min(kept.shape[1], columns[-1] + 2)
    part = scores[:, top:bottom, left:right].copy()
    part[0] -= np.float32(LENIENCE)
    inside = cv2.dilate(kept[top:bottom, left:right].astype(np.uint8), np.ones((3, 3), np.uint8))
    shares = np.exp(part - part.max(axis=0))
    shares *= np.float32(255) * inside / shares.sum(axis=0)
    levels = shares.astype(np.uint8)
    levels[0][inside == 0] = 255
    size = ((right - left) * cell, (bottom - top) * cell)
    none, hand, held = (cv2.resize(level, size, interpolation=cv2.INTER_LINEAR) for level in levels)
    first = np.logical_and(hand > none, hand >= held)
    second = np.logical_and(held > none, held > hand)
    target = labels[top * cell : bottom * cell, left * cell : right * cell]
    np.add(HAND * first.view(np.uint8), OBJECT * second.view(np.uint8), out=target)
