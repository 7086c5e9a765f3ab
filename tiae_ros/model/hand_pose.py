"""What the node sees of a hand -> its joint angles and fingertips, each with how far off they may be.

The network of a folder of kind ``hand_pose`` reads the windows and descriptors of one auto-encoder and of no other:
its manifest names that model's encoder, and `check_belongs` refuses another. Its file, ``hand_pose.onnx``, may take any
of these inputs and gives all of these outputs, by name:

    window (N, C, S, S) 0..1; descriptor (N, K); detail (N, 3, 64, 64) 0..1, see `tiae_ros.vision.detail`
    joints, joint_spread (N, 25) rad; tips_mm (N, 5, 3); tip_spread_mm (N, 5); left (N,) 0..1; length_mm (N,);
    novelty (N,), which grows with how unlike anything learnt a window is; pinch (N, 4) 0..1

Joints and fingers are in the order of `tiae_ros.imitation.human_hand`, fingertips in its palm frame (of a left hand
its mirror image).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import DataError, ModelError
from tiae_ros.model.arrays import number_rows, pixel_batches, split_rows
from tiae_ros.model.autoencoder import Autoencoder
from tiae_ros.model.engines.engine import probe
from tiae_ros.model.engines.onnx_runtime import OnnxRuntime
from tiae_ros.model.folder import ENCODER, POSE, ModelFolder, read_folder
from tiae_ros.model.manifest import HAND_POSE, Manifest
from tiae_ros.model.onnx_file import names_of_graph
from tiae_ros.model.shipped import find_model
from tiae_ros.model.trial import try_graphs
from tiae_ros.vision.detail import CHANNELS, DETAIL_PX

Floats = NDArray[np.float32]

JOINTS, TIPS = 25, 5
INPUTS = ("window", "descriptor", "detail")
SHAPES: dict[str, tuple[int, ...]] = {  # of each output, without the batch
    "joints": (JOINTS,),
    "joint_spread": (JOINTS,),
    "tips_mm": (TIPS, 3),
    "tip_spread_mm": (TIPS,),
    "left": (),
    "length_mm": (),
    "novelty": (),
    "pinch": (TIPS - 1,),
}
AUTOENCODER_ID, ENCODER_SHA256 = "autoencoder", "encoder_sha256"  # of the preprocessing: whose windows it reads
NOVELTY_MAX = "novelty_max"  # of the preprocessing: above it a window is unlike anything learnt


@dataclass(frozen=True)
class HandPoseEstimate:
    """The hands of N windows.

    Attributes:
        joints: (N, 25) rad, in the order of `human_hand.JOINT_NAMES`.
        joint_spread: (N, 25) rad, one standard deviation of the error that is to be expected.
        tips_mm: (N, 5, 3), thumb to little, in the palm frame; of a left hand mirrored.
        tip_spread_mm: (N, 5), the error's expected length (root of its mean square).
        left: (N,) probability of a left hand.
        length_mm: (N,) from the wrist to the tip of the middle finger.
        known: (N,) bool; False: unlike anything learnt.
        novelty: (N,) the score behind it.
        pinch: (N, 4) how surely the tip of the thumb touches that of the index finger … the little finger.
    """

    joints: Floats
    joint_spread: Floats
    tips_mm: Floats
    tip_spread_mm: Floats
    left: Floats
    length_mm: Floats
    known: NDArray[np.bool_]
    novelty: Floats
    pinch: Floats


class HandPose:
    """The network of a hand's pose, on the CPU.

    Attributes:
        manifest: what the model says of itself; channels, window and descriptor are those of its auto-encoder.
        inputs: which of `INPUTS` it reads.
    """

    def __init__(self, folder: ModelFolder, *, threads: int = 1) -> None:
        """Raises ModelError where graph and manifest do not fit."""
        self.manifest = folder.manifest
        self.novelty_max = _novelty_max(folder)
        self.inputs, self._outputs = graph_names(folder)
        self._graph = OnnxRuntime("cpu", threads=threads).open(folder, POSE)
        self._check_graph(folder)

    def estimate(self, seen: Floats, descriptors: Floats, details: Floats | None = None) -> HandPoseEstimate:
        """The hands of N windows.

        Args:
            seen: (N, C, S, S) windows as the auto-encoder was shown them, uint8 or float 0..1.
            descriptors: (N, K) what it made of them.
            details: (N, 3, 64, 64) float 0..1, what lies where it found the pattern; None where nobody asks for it.

        Raises DataError for other shapes, ModelError for a result that is not finite.
        """
        manifest = self.manifest
        if details is None and "detail" in self.inputs:
            raise DataError(
                f"hand pose model {manifest.model_id} reads hands in detail, and these windows come without; cut them "
                "anew: tiae extract, tiae simulate hands, or --details"
            )
        windows = list(pixel_batches(seen, manifest.channels, manifest.window_size))
        given = {
            "window": np.concatenate(windows) if windows else np.zeros((0, *self._shapes["window"]), np.float32),
            "descriptor": number_rows(descriptors, "descriptors", manifest.descriptor_size),
        }
        if details is not None:
            given["detail"] = _details(details)
        counts = {name: len(rows) for name, rows in given.items()}
        if len(set(counts.values())) > 1:
            raise DataError(f"there are {counts} rows; accepted are as many of each")
        asked = [split_rows(given[name]) for name in self.inputs]
        parts: dict[str, list[Floats]] = {name: [np.zeros((0, *shape), np.float32)] for name, shape in SHAPES.items()}
        for rows in zip(*asked, strict=True):
            for name, values in zip(self._outputs, self._graph(*rows), strict=True):
                parts[name].append(values)
        made = {name: np.concatenate(some) for name, some in parts.items()}
        if not all(np.isfinite(values).all() for values in made.values()):
            raise ModelError(f"model {manifest.model_id} gave a number that is not finite")
        return HandPoseEstimate(**made, known=made["novelty"] <= self.novelty_max)

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return input_shapes(self.manifest)

    def _check_graph(self, folder: ModelFolder) -> None:
        """Raise ModelError unless the graph takes and gives what it should, of any batch. A first pass, too."""
        expected = [SHAPES[name] for name in self._outputs]
        try:
            for count in (1, 2):
                given = [np.zeros((count, *self._shapes[name]), np.float32) for name in self.inputs]
                told = [part.shape for part in probe(self._graph, *given)]
                if told != [(count, *shape) for shape in expected]:
                    raise ModelError(f"gives {told}; needed is {[(count, *shape) for shape in expected]}")
        except ModelError as error:
            raise ModelError(f"the network of {folder.path} {error}; copy the model folder again") from None


def load_hand_pose(folder: str | os.PathLike[str], *, threads: int = 1) -> HandPose:
    """Read a model of kind ``hand_pose``: a folder, or the name of a shipped model. It runs on the CPU.

    Raises ModelError, in one line: what is wrong, where, what to do.
    """
    content = read_folder(find_model(folder), HAND_POSE)
    shapes = input_shapes(content.manifest)
    try_graphs(content, [POSE], *[(1, *shapes[name]) for name in graph_names(content)[0]])
    return HandPose(content, threads=threads)


def belongs(pose: Manifest, autoencoder: Manifest) -> bool:
    """Whether a hand pose model was trained on the windows and descriptors of this auto-encoder."""
    return pose.preprocessing.get(ENCODER_SHA256) == autoencoder.files.get(ENCODER)


def check_belongs(pose: HandPose, autoencoder: Autoencoder) -> None:
    """Raise ModelError unless a hand pose model was trained on the windows and descriptors of this auto-encoder."""
    own, other = pose.manifest, autoencoder.manifest
    if not belongs(own, other):
        raise ModelError(
            f"hand pose model {own.model_id} was trained on the auto-encoder {own.preprocessing.get(AUTOENCODER_ID)} "
            f"(encoder {str(own.preprocessing.get(ENCODER_SHA256))[:12]}…), not on {other.model_id} (encoder "
            f"{other.files.get(ENCODER, '')[:12]}…); use that one, or train another: tiae train hand_pose --model DIR"
        )


def input_shapes(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """The shape of each of `INPUTS`, without the batch."""
    size = manifest.window_size
    return {
        "window": (len(manifest.channels), size, size),
        "descriptor": (manifest.descriptor_size,),
        "detail": (CHANNELS, DETAIL_PX, DETAIL_PX),
    }


def graph_names(folder: ModelFolder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of inputs and outputs of a folder's graph, in its order. Raises ModelError for others than are known."""
    inputs, outputs = names_of_graph(folder.files[POSE])
    if "shift" in inputs:
        raise ModelError(
            f"the network of {folder.path / POSE} is of an earlier version, which saw hands in coarse pixels; train it "
            "again: tiae train hand_pose"
        )
    if not inputs or not set(inputs) <= set(INPUTS) or sorted(outputs) != sorted(SHAPES):
        raise ModelError(
            f"the network of {folder.path / POSE} maps {', '.join(inputs)[:200]} to {', '.join(outputs)[:200]}; needed "
            f"is some of {', '.join(INPUTS)} to {', '.join(SHAPES)}; copy the model folder again"
        )
    return inputs, outputs


def _details(given: Floats) -> Floats:
    """(N, 3, 64, 64) float32. Raises DataError for other shapes and numbers."""
    details = np.asarray(given, np.float32)
    wanted = (CHANNELS, DETAIL_PX, DETAIL_PX)
    if details.ndim != 4 or details.shape[1:] != wanted or not np.isfinite(details).all():
        raise DataError(
            f"details have shape {details.shape}; accepted are finite numbers of shape (N, {CHANNELS}, {DETAIL_PX}, "
            f"{DETAIL_PX})"
        )
    return details


def _novelty_max(folder: ModelFolder) -> float:
    told = folder.manifest.preprocessing.get(NOVELTY_MAX)
    if isinstance(told, bool) or not isinstance(told, (int, float)) or not math.isfinite(told):
        raise ModelError(f"preprocessing {NOVELTY_MAX} of {folder.path} is {told!r:.60}; accepted is a finite number")
    return float(told)
