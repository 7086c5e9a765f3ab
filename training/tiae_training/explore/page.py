"""The page of `tiae explore`: template.html with its scripts and data in it, one file that needs no network."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros import __version__, palette
from tiae_ros.model.autoencoder import Autoencoder
from tiae_ros.model.folder import DECODER, read_folder
from tiae_training.data.arrays import ImageArrays
from tiae_training.data.window_picture import known_channels, window_picture
from tiae_training.explore.atlas import AXES, FEWEST_MEMBERS, USUAL, clusterings, neighbour_map, principal_axes
from tiae_training.explore.decoder_graph import packed, read_decoder

_PARTS = {"/*PAGE*/": "page.js", "/*DECODER*/": "decoder.js"}  # put into template.html, in this order
_CHECKED = 8  # windows whose restored pictures go with the page, to measure what its decoder is off by
_LARGEST_PNG = 1_500_000  # bytes of all thumbnails; more are a JPEG
_JPEG_QUALITY = 88
_STEPS = 65535  # of a descriptor's numbers


def explore_page(model: Autoencoder, arrays: ImageArrays, rows: NDArray[np.int64], folder: Path, *, tsne: bool) -> str:
    """The whole page. rows: which windows of the file these are; folder: the model's. Raises DataError, ModelError."""
    arrays = arrays.in_order(model.manifest.channels)
    described = model.describe(arrays.images)
    descriptors = described.descriptor
    content: dict[str, Any] = {
        "model": model.manifest.model_id,
        "version": __version__,
        "data": arrays.data_id,
        "size": model.manifest.window_size,
        "channels": list(model.manifest.channels),
        "shown_as": list(known_channels(model.manifest.channels, len(model.manifest.channels))),
        "colors": {
            "hand": palette.HAND,
            "object": palette.OBJECT,
            "input": palette.css(palette.INPUT),
            "restored": palette.css(palette.RESTORED),
        },
        "rows": rows.tolist(),
        "labels": None if arrays.labels is None else arrays.labels.tolist(),
        "label_names": _label_names(arrays),
        "shifts": np.round(described.parameters[:, :2], 1).tolist(),
        "descriptors": _sixteen_bits(descriptors),
        "sprite": _sprite(arrays.images, model.manifest.channels),
        **_atlas(descriptors, arrays.labels, tsne=tsne),
        **_decoder(model, descriptors, folder),
    }
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    whole = _part("template.html")
    for mark, name in _PARTS.items():
        whole = whole.replace(mark, _part(name), 1)
    return whole.replace("/*DATA*/", text, 1)


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


def _label_names(arrays: ImageArrays) -> list[str]:
    if arrays.labels is None or not len(arrays.labels):
        return []
    return list(arrays.label_names) or [str(label) for label in range(int(arrays.labels.max()) + 1)]


def _atlas(descriptors: NDArray[np.float32], labels: NDArray[Any] | None, *, tsne: bool) -> dict[str, Any]:
    axes = principal_axes(descriptors)
    found = clusterings(descriptors, labels)
    return {
        "axes": {
            "most": AXES,
            "mean": _rounded(axes.mean),
            "directions": [_rounded(row) for row in axes.directions],
            "spreads": _rounded(axes.spreads),
            "shares": _rounded(axes.shares),
        },
        "spreads": _rounded(descriptors.std(0)),
        "fewest_members": FEWEST_MEMBERS,
        "usual": min(USUAL, len(found) - 1),
        "clusterings": [
            {
                "bandwidth": round(one.bandwidth, 4),
                "clusters": one.clusters.tolist(),
                **{name: round(value, 3) for name, value in one.agreement.items() if math.isfinite(value)},
            }
            for one in found
        ],
        "tsne": np.round(neighbour_map(descriptors), 2).tolist() if tsne else None,
    }


def _decoder(model: Autoencoder, descriptors: NDArray[np.float32], folder: Path) -> dict[str, Any]:
    """The decoder, or why the page has none, and some restored windows to hold it against."""
    graph = read_decoder(read_folder(folder).files[DECODER])
    if graph.unknown():
        why = f"this model's decoder has operators that the page cannot compute: {', '.join(graph.unknown())}"
        return {"decoder": None, "no_decoder": why}
    described, weights = packed(graph)
    checked = np.unique(np.linspace(0, len(descriptors) - 1, _CHECKED).round().astype(int))
    restored = np.clip(model.decode(descriptors[checked]), 0, 1)
    pictures = np.rint(restored * 255).astype(np.uint8)
    return {
        "decoder": {**described, "weights": _base64(weights)},
        "checked": {"frames": checked.tolist(), "restored": _base64(pictures.tobytes())},
    }


def _sixteen_bits(descriptors: NDArray[np.float32]) -> dict[str, Any]:
    """(N, K) as whole numbers: value = low + step * number, for each of the K."""
    low, high = descriptors.min(0), descriptors.max(0)
    step = np.where(high > low, (high - low) / _STEPS, 1).astype(np.float64)
    numbers = np.rint((descriptors - low) / step).astype("<u2")
    return {"low": low.astype(float).tolist(), "step": step.tolist(), "numbers": _base64(numbers.tobytes())}


def _sprite(images: NDArray[Any], channels: Any) -> dict[str, Any]:
    """All windows as one picture, row by row."""
    count, _, height, width = images.shape
    columns = math.ceil(math.sqrt(count))
    sheet = np.zeros((math.ceil(count / columns) * height, columns * width, 3), np.uint8)
    for index, window in enumerate(images):
        y, x = divmod(index, columns)
        sheet[y * height : (y + 1) * height, x * width : (x + 1) * width] = window_picture(window, channels)
    kind, content = "png", cv2.imencode(".png", sheet[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    if len(content) > _LARGEST_PNG:
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        kind, content = "jpeg", cv2.imencode(".jpg", sheet[..., ::-1], quality)[1].tobytes()
    return {"columns": columns, "picture": f"data:image/{kind};base64,{_base64(content)}"}


def _rounded(values: NDArray[Any]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
