"""Copies of model folders with a fault inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tiae_ros.model.folder import read_folder, write_folder


def with_nan(model: str | Path, folder: Path) -> str:
    """A copy of a model of any kind with its weights NaN, whole as far as digests go; returns its path."""
    import onnx
    from onnx import numpy_helper

    content = read_folder(model)
    files = dict(content.files)
    for name in filter(lambda name: name.endswith(".onnx"), files):
        proto = onnx.load_from_string(files[name])
        for tensor in proto.graph.initializer:
            weights = numpy_helper.to_array(tensor)
            if weights.dtype.kind == "f" and weights.ndim > 1:
                tensor.CopyFrom(numpy_helper.from_array(np.full_like(weights, np.nan), tensor.name))
        files[name] = proto.SerializeToString()
    write_folder(folder, content.manifest, files)
    return str(folder)
