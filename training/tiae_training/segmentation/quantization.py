"""A segmentation network in whole numbers of 8 bits, by ONNX Runtime's static quantisation.

Weights have a step per output channel, activations one per tensor, from what frames seen as in training reach there
(Jacob et al. 2018, arXiv 1712.05877). The first layer stays in float32, since its planes are of very different ranges.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tiae_ros.errors import MissingExtraError
from tiae_ros.vision.labels import Floats
from tiae_training.segmentation.augmentation import augmented
from tiae_training.segmentation.frames import FrameArrays
from tiae_training.segmentation.settings import SegmentationTraining

LOOKS = 140


def eight_bit_graph(graph: bytes, frames: FrameArrays, settings: SegmentationTraining, *, looks: int = LOOKS) -> bytes:
    """``network_int8.onnx`` of ``network.onnx``, by that many looks at frames, as the settings draw them.

    Raises MissingExtraError.
    """
    try:
        import onnx
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    except ImportError as error:
        raise MissingExtraError(f"quantising a model needs {error.name}; install the extra `train`") from None
    model = onnx.load_from_string(graph)
    name = model.graph.input[0].name
    first = next(node.name for node in model.graph.node if node.op_type == "Conv")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "network_int8.onnx"
        quiet = logging.root.level
        logging.root.setLevel(logging.ERROR)  # it advises on models of other makers
        try:
            quantize_static(
                model,
                target,
                _Reader(name, _looks(frames, settings, looks)),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[first],
                calibrate_method=CalibrationMethod.MinMax,
            )
        finally:
            logging.root.setLevel(quiet)
        return target.read_bytes()


def _looks(frames: FrameArrays, settings: SegmentationTraining, count: int) -> Iterator[Floats]:
    rng = np.random.default_rng(settings.seed)
    for index in rng.integers(0, len(frames), count):
        planes, _ = augmented(frames, int(index), rng, settings)
        yield np.ascontiguousarray(planes.transpose(2, 0, 1)[None])  # (h, w, 9) -> (1, 9, h, w)


class _Reader:
    """What the calibration asks for inputs."""

    def __init__(self, name: str, looks: Iterator[Floats]) -> None:
        self._name, self._looks = name, looks

    def get_next(self) -> dict[str, Floats] | None:
        planes = next(self._looks, None)
        return None if planes is None else {self._name: planes}
