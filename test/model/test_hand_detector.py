"""Opening a hand detector of a model folder: which precision, which calibration, what is refused."""

import dataclasses
import os
import types
from pathlib import Path

import numpy as np
import pytest
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model import hand_detector, segmenter
from tiae_ros.model.folder import CLOSE_UP, CLOSE_UP_INT8, PROPOSALS, PROPOSALS_INT8, read_folder, write_folder
from tiae_ros.model.hand_detector import CALIBRATION, calibration_of, load_detector
from tiae_ros.model.segmenter import choose_segmentation
from tiae_ros.vision.detection import close_up, proposals
from tiae_ros.vision.detection.detector import HandDetector
from tiae_ros.vision.labels import HAND
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import Segmentation

pytest.importorskip("torch", reason="models are made with torch, which is not installed")

INT8_FILES = (PROPOSALS_INT8, CLOSE_UP_INT8)


def crops(count: int) -> np.ndarray:
    """Planes of crops, noise."""
    shape = (count, close_up.PLANES, close_up.CELLS, close_up.CELLS)
    return np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32)


@pytest.fixture(scope="module")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand detector by depth alone: what stands out towards the camera is hand (`drawn_detector`)."""
    from drawn_detector import near_is_hand

    from tiae_training.detection.folder import detector_manifest, save_detector

    detector = near_is_hand()
    folder = tmp_path_factory.mktemp("detectors") / "near_is_hand"
    save_detector(detector, folder, detector_manifest(detector, model_id="near-is-hand"))
    return folder


@pytest.fixture(scope="module")
def both_precisions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of random weights, in float32 and in 8 bits."""
    import torch

    from tiae_training.detection.folder import detector_manifest, save_detector
    from tiae_training.detection.networks import Detector

    torch.manual_seed(0)
    detector = Detector((8, 8, 8, 8), (0, 0, 0, 0), (8, 8, 8, 8, 8), (0, 0, 0, 0, 0)).eval()
    grids = np.random.default_rng(1).normal(0, 0.3, (4, 1, proposals.PLANES, 192, 256)).astype(np.float32)
    folder = tmp_path_factory.mktemp("detectors") / "random"
    save_detector(
        detector, folder, detector_manifest(detector), {PROPOSALS: list(grids), CLOSE_UP: [crops(1) for _ in range(4)]}
    )
    return folder


def labels_of(segmentation: Segmentation, depth_max_m: float = 1.5) -> set[int]:
    """What is found in a drawn scene: a hand with a box, half a metre away, before a wall that is 1 m away."""
    scene, limits = make_scene(), SegmentationSettings(depth_max_m=depth_max_m)
    found = segmentation.segment(scene.color, scene.depth_mm / np.float32(1000), limits, focal_px=FOCAL)
    return {int(label) for label in np.unique(found)}


@pytest.mark.parametrize("method", ["auto", "network"])
def test_a_network_is_taken_by_its_folder(detector_folder, method):
    chosen = choose_segmentation(method, str(detector_folder))
    assert chosen.name == "network near-is-hand (float32)"
    assert labels_of(chosen) == {0, HAND}
    assert labels_of(chosen, depth_max_m=0.4) == {0}


def test_the_looks_are_not_to_be_exchanged(detector_folder, tmp_path):
    content = read_folder(detector_folder)
    files = {**content.files, PROPOSALS: content.files[CLOSE_UP], CLOSE_UP: content.files[PROPOSALS]}
    write_folder(tmp_path, content.manifest, files)
    with pytest.raises(ModelError, match=f"the network of .*{PROPOSALS} .*copy the model folder again"):
        load_detector(tmp_path)


def test_unknown_choices_are_refused(detector_folder, both_precisions):
    with pytest.raises(ParameterError, match="'int4'; accepted are auto, float32, int8"):
        load_detector(both_precisions, precision="int4")
    with pytest.raises(ModelError, match=f"has no {' and '.join(INT8_FILES)}; use precision float32 or auto"):
        load_detector(detector_folder, precision="int8")
    with pytest.raises(ModelError, match="holds a model of kind segmentation; needed here is one of kind detector"):
        load_detector("segmentation")


@pytest.mark.parametrize(
    "told",
    [[0, 1, 0], [1, 0], [1, "x", 0], [float("nan"), 0, 0], [1, 1e3, 0], "abc", None, 3, [-1, 0, 0], [1, 0, -1]],
)
def test_a_calibration_that_is_none_is_refused(detector_folder, told):
    content = read_folder(detector_folder)
    assert calibration_of(content) == (1.0, 0.0, 0.0)
    manifest = types.SimpleNamespace(preprocessing={CALIBRATION: told})
    with pytest.raises(
        ModelError, match=f"preprocessing {CALIBRATION} of .* accepted are three numbers below 100: slope > 0"
    ):
        calibration_of(dataclasses.replace(content, manifest=manifest))


def test_the_calibration_of_the_folder_is_used(detector_folder, tmp_path):
    content, scene = read_folder(detector_folder), make_scene()
    manifest = dataclasses.replace(content.manifest, preprocessing={CALIBRATION: [0.5, -1.0, 0.0]})
    write_folder(tmp_path, manifest, content.files)
    (hand,) = load_detector(tmp_path).see(scene.color, scene.depth_mm / np.float32(1000), focal_px=FOCAL).hands
    assert hand.confidence == pytest.approx(1 / (1 + np.exp(-(0.5 * 4.0 - 1.0))))  # its logit is 4


@pytest.mark.parametrize(
    ("flags", "int8_seconds", "int8_score", "expected"),
    [
        ({"avx2", "avx512_vnni"}, 9, 0, "int8"),  # never timed
        ({"avx_vnni"}, 9, 0, "int8"),
        ({"avx2"}, 9, 5, "float32"),
        ({"avx2"}, 1, 5, "int8"),
        (set(), 1, 5, "int8"),
        (set(), 1, 0, "float32"),  # quicker, but it says something else
    ],
)
def test_the_quickest_precision_is_taken(monkeypatch, both_precisions, flags, int8_seconds, int8_score, expected):
    def first(planes):
        height, width = (size // proposals.BLOCK for size in planes.shape[2:])
        return [np.zeros((len(planes), proposals.ANSWERS, height, width), np.float32)]

    def second(score):  # the score of the second class, against 1 of the first
        def look(planes):
            scores = np.stack([np.full_like(planes[:, 0], value) for value in (1, score, 0, 0)], 1)
            return [scores, np.zeros((len(planes), close_up.FACTS), np.float32)]

        return look

    graphs = {PROPOSALS: first, PROPOSALS_INT8: first, CLOSE_UP: second(5), CLOSE_UP_INT8: second(int8_score)}
    seconds = {graphs[CLOSE_UP]: 5, graphs[CLOSE_UP_INT8]: int8_seconds}
    monkeypatch.setattr(hand_detector, "cpu_flags", lambda: flags)
    monkeypatch.setattr(segmenter, "_seconds", lambda graph, shape: seconds[graph])
    monkeypatch.setattr(hand_detector.OnnxRuntime, "open", lambda self, folder, file: graphs[file])
    assert load_detector(both_precisions).name.endswith(f"({expected})")


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_grids_and_batches_are_free(both_precisions, precision):
    network = load_detector(both_precisions, precision=precision)
    for height, width in ((16, 16), (128, 160), (192, 256), (256, 16)):
        (answers,) = network._proposals(np.zeros((1, proposals.PLANES, height, width), np.float32))
        assert answers.shape == (1, proposals.ANSWERS, height // proposals.BLOCK, width // proposals.BLOCK)
    together = network._look(crops(3))
    for number, planes in enumerate(crops(3)):
        for alone, row in zip(network._look(planes[None]), together, strict=True):
            np.testing.assert_allclose(alone[0], row[number], atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_threads_and_repetition_change_nothing(both_precisions, precision):
    found = [load_detector(both_precisions, precision=precision, threads=n)._look(crops(1))[0] for n in (1, 1, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], found[2], atol=1e-3)


def see_noise(network: HandDetector, width: int = 160) -> None:
    noise = np.random.default_rng(0)
    color = noise.integers(0, 256, (120, width, 3)).astype(np.uint8)
    network.see(color, noise.uniform(0.3, 1.0, (120, width)).astype(np.float32))


def test_one_thread_wakes_no_others(both_precisions):
    network = load_detector(both_precisions)
    see_noise(network)
    before = len(os.listdir("/proc/self/task"))
    for _ in range(5):
        see_noise(network)
    assert len(os.listdir("/proc/self/task")) == before


def test_repeated_frames_leave_no_memory_behind(both_precisions):
    network = load_detector(both_precisions)

    def memory_after(frames):
        for number in range(frames):
            see_noise(network, 160 + 16 * (number % 8))
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4  # kB

    before = memory_after(40)
    assert memory_after(80) - before < 20_000
