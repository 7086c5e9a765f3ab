"""A trained network -> a model folder that runs without torch, and the check that both give the same.

Graphs are exported by `torch.onnx`, with the batch (and for segmentations the grid) left free. Weights that 8 bits with
a step for each output, or float16, hold exactly are stored so, in a quarter or half of the space; the runtime makes
them float32 when it loads.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tiae_ros.errors import MissingExtraError, ModelError
from tiae_ros.model.engines.onnx_runtime import OnnxRuntime
from tiae_ros.model.folder import DECODER, ENCODER, NETWORK, PROTOTYPES, WEIGHTS, ModelFolder, write_folder
from tiae_ros.model.manifest import AUTOENCODER, DETECTOR, HAND_POSE, Manifest
from tiae_ros.model.trial import know
from tiae_training.card import write_card
from tiae_training.model import (
    MOST_STEPS,
    DecoderGraph,
    EncoderGraph,
    TransformInvariantAutoencoder,
    network_of,
    weights_of,
)
from tiae_training.networks.segmentation import SegmentationNetwork, segmentation_network

OPSET = 20
TOLERANCE = 1e-4
_WORTH_PACKING = 4096  # weights
_CHECKED = (1, 5)  # batches


def save_model(model: TransformInvariantAutoencoder, folder: Path) -> Manifest:
    """Write the model folder of an auto-encoder and its card; returns the manifest as it was written.

    Raises OutputError, MissingExtraError, or ModelError where engine and torch differ by more than `TOLERANCE`.
    """
    model = model.cpu().eval()
    files = {name: export_graph(graph, example_inputs(model, name)) for name, graph in graphs_of(model).items()}
    files[WEIGHTS] = weights_of(model.network)
    if len(model.prototypes):
        files[PROTOTYPES] = _npy(model.prototypes.astype(np.float16))
    check_export(ModelFolder(folder, model.manifest, files), graphs_of(model), partial(example_inputs, model))
    model.manifest = write_folder(folder, model.manifest, files)
    write_card(model.manifest, folder)
    return model.manifest


def graphs_of(model: TransformInvariantAutoencoder) -> dict[str, nn.Module]:
    """File name -> what is exported into it."""
    return {ENCODER: EncoderGraph(model), DECODER: DecoderGraph(model)}


def example_inputs(model: TransformInvariantAutoencoder, name: str, count: int = 2) -> tuple[Tensor, ...]:
    """Inputs of a graph, the same at every call."""
    manifest, generator = model.manifest, torch.Generator().manual_seed(0)
    windows = torch.rand(count, len(manifest.channels), manifest.window_size, manifest.window_size, generator=generator)
    if name == ENCODER:
        return (windows,)
    with torch.inference_mode():
        descriptors, parameters = model.network.forward_encoder(windows)
    return descriptors.clone(), parameters.clone()


def export_graph(
    graph: nn.Module,
    inputs: Sequence[Tensor],
    free: Sequence[dict[int, Any]] | None = None,
    names: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> bytes:
    """One ONNX file. Raises MissingExtraError.

    free: per input the dimensions that stay free; by default the first. names: of inputs and outputs, if they matter.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError as error:
        raise MissingExtraError(f"exporting a model needs {error.name}; install the extra `train`") from None
    batch = torch.export.Dim("batch")
    shapes = tuple(free) if free else tuple({0: batch} for _ in inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own affairs
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            graph.eval(), tuple(inputs), dynamo=True, dynamic_shapes=shapes, opset_version=OPSET, verbose=False,
            input_names=list(names[0]) or None, output_names=list(names[1]) or None,
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    del proto.metadata_props[:]
    for node in proto.graph.node:  # stack traces of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    _pack(proto)
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def check_export(
    folder: ModelFolder, graphs: Mapping[str, nn.Module], inputs_of: Callable[[str, int], Sequence[Tensor]]
) -> None:
    """Raise ModelError where engine and torch are more than `TOLERANCE` apart; of large numbers, by their greatest.

    inputs_of: of a graph, a batch of so many.
    """
    engine = OnnxRuntime("cpu", threads=1)
    for name, graph in graphs.items():
        run, apart = engine.open(folder, name), 0.0
        for count in _CHECKED:
            inputs = inputs_of(name, count)
            with torch.inference_mode():
                wanted = graph(*inputs)
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            differences = [
                np.abs(one - other.numpy()).max() / max(1.0, float(other.abs().max()))
                for one, other in zip(run(*(i.numpy() for i in inputs)), wanted, strict=True)
            ]
            apart = float(np.max([apart, *differences]))  # NaN stays NaN
        if not apart <= TOLERANCE:
            raise ModelError(
                f"{name} and the torch network differ by {apart:.2g}; accepted is {TOLERANCE:g}: this is a fault "
                "of the export, please report it"
            )
        know([folder.files[name]])


def graph_module(folder: ModelFolder, file: str) -> nn.Module:
    """What a graph of a folder was exported from; the engine of plain PyTorch asks for it (`tiae_ros.networks`)."""
    if folder.manifest.kind == AUTOENCODER:
        return graphs_of(network_of(folder))[file]
    if folder.manifest.kind == DETECTOR:
        from tiae_training.detection.folder import graph_of

        return graph_of(folder, file)
    if folder.manifest.kind == HAND_POSE:
        from tiae_training.imitation.folder import network_of as hand_pose_of
        from tiae_training.imitation.networks import graph_of as hand_pose_graph

        return hand_pose_graph(hand_pose_of(folder))
    from tiae_training.model import load_weights

    network: SegmentationNetwork = segmentation_network(folder.manifest.network)
    load_weights(network, folder)
    if file != NETWORK:
        raise ModelError(f"{file} has no torch network; accepted is {NETWORK}")
    return network


def _pack(proto: Any) -> None:
    """Store large weights in 8 bits or float16 where these hold them exactly, with what makes them float32 behind."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = []
    for tensor in list(proto.graph.initializer):
        values, name = numpy_helper.to_array(tensor), tensor.name
        if values.dtype != np.float32 or values.size < _WORTH_PACKING:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if (steps := _in_steps(values)) is not None:
            whole, step = steps
            tensor.CopyFrom(numpy_helper.from_array(whole, f"{name}_whole"))
            proto.graph.initializer.append(numpy_helper.from_array(step, f"{name}_step"))
            nodes.append(helper.make_node("Cast", [f"{name}_whole"], [f"{name}_float"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Mul", [f"{name}_float", f"{name}_step"], [name]))
        elif np.array_equal(half.astype(np.float32), values):
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
            nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes += list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _in_steps(values: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Weights as `tiae_training.model.rounded` leaves them: int8 and the step of each output; None for others.

    Where the exporter has folded a normalisation into a convolution, each output's step is multiplied by its scale.
    """
    if values.ndim < 2 or not np.isfinite(values).all():
        return None
    for axis in (0, values.ndim - 1):  # outputs are rows, or columns where the exporter has turned a matrix
        rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        steps = np.array([_step_of(row) for row in rows], np.float32)
        if (steps == 0).any():
            continue
        shape = [1] * values.ndim
        shape[axis] = -1
        step = steps.reshape(shape)
        return np.rint(values / step).astype(np.int8), step
    return None


def _step_of(row: np.ndarray[Any, Any]) -> np.float32:
    """The step of which all of these are whole multiples, at most MOST_STEPS of it, exactly; 0 where there is none."""
    largest = np.abs(row).max()
    if largest == 0:
        return np.float32(1)
    for count in range(MOST_STEPS, MOST_STEPS // 2, -1):
        step = np.float32(largest / count)
        whole = np.rint(row / step)
        if np.abs(row / step - whole).max() > 1e-3:
            continue
        for near in (step, np.nextafter(step, np.float32(0)), np.nextafter(step, np.float32(np.inf))):
            if np.array_equal((whole * near).astype(np.float32), row):
                return np.float32(near)
    return np.float32(0)


def _npy(values: np.ndarray[Any, Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    return content.getvalue()
