"""Small models of a hand's pose: linear maps of what they are shown, for tests that need one of any auto-encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tiae_ros.model.folder import ENCODER, POSE, read_manifest, write_folder
from tiae_ros.model.hand_pose import AUTOENCODER_ID, ENCODER_SHA256, NOVELTY_MAX, SHAPES, input_shapes
from tiae_ros.model.manifest import HAND_POSE, Manifest
from tiae_ros.model.shipped import find_model

# What it says of a window of zeros.
AT_REST = {
    "joints": 0.3,
    "joint_spread": 0.1,
    "tips_mm": 120.0,
    "tip_spread_mm": 8.0,
    "left": 0.25,
    "length_mm": 187.0,
    "novelty": 1.0,
    "pinch": 0.2,
}


def make_hand_pose(
    folder: Path,
    autoencoder: str = "hands",
    inputs: tuple[str, ...] = ("window", "descriptor", "detail"),
    *,
    novelty_max: Any = 2.0,
    slope: float = 0.01,
    rest: dict[str, float] | None = None,
) -> Path:
    """A model folder: each output is its number of `rest` plus slope times the sum of all inputs."""
    from onnx import TensorProto, helper, numpy_helper

    of = read_manifest(find_model(autoencoder))
    manifest = Manifest(
        model_id=folder.name,
        kind=HAND_POSE,
        network={"name": "linear"},
        channels=of.channels,
        window_size=of.window_size,
        descriptor_size=of.descriptor_size,
        preprocessing={
            **of.preprocessing,
            AUTOENCODER_ID: of.model_id,
            ENCODER_SHA256: of.files[ENCODER],
            NOVELTY_MAX: novelty_max,
        },
    )
    shapes, nodes, weights = input_shapes(manifest), [], {}
    for name in inputs:
        nodes.append(helper.make_node("Flatten", [name], [f"{name}_flat"]))
        nodes.append(helper.make_node("ReduceSum", [f"{name}_flat", "axis"], [f"{name}_sum"], keepdims=1))
    weights["axis"], weights["slope"] = np.array([1], np.int64), np.array(slope, np.float32)
    nodes.append(helper.make_node("Sum", [f"{name}_sum" for name in inputs], ["sum"]))
    nodes.append(helper.make_node("Mul", ["sum", "slope"], ["sloped"]))  # (N, 1)
    for name, shape in SHAPES.items():
        weights[f"{name}_rest"] = np.full((1, *shape), (rest or AT_REST)[name], np.float32)
        weights[f"{name}_shape"] = np.array([-1, *[1] * len(shape)], np.int64)
        nodes.append(helper.make_node("Reshape", ["sloped", f"{name}_shape"], [f"{name}_sloped"]))
        nodes.append(helper.make_node("Add", [f"{name}_sloped", f"{name}_rest"], [name]))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shapes[name]]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]) for name, shape in SHAPES.items()],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    write_folder(folder, manifest, {POSE: model.SerializeToString()})
    return folder
