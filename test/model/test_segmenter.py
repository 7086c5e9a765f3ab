"""The segmentation a node runs: by which method, in which precision, and what 8 bits cost."""

import dataclasses
import itertools
import os
import types
from pathlib import Path

import numpy as np
import pytest
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model import segmenter, shipped
from tiae_ros.model.folder import (
    CLOSE_UP,
    CLOSE_UP_INT8,
    PROPOSALS,
    PROPOSALS_INT8,
    WEIGHTS,
    read_folder,
    write_folder,
)
from tiae_ros.model.segmenter import (
    CALIBRATION,
    METHODS,
    Segmentation,
    calibration_of,
    choose_segmentation,
    load_segmentation,
)
from tiae_ros.model.shipped import find_model
from tiae_ros.vision.detection import close_up, proposals
from tiae_ros.vision.detection.detector import HandDetector
from tiae_ros.vision.labels import HAND
from tiae_ros.vision.segmentation.settings import SegmentationSettings

BAG = Path(__file__).parents[1] / "data" / "grasps"
INT8_FILES = (PROPOSALS_INT8, CLOSE_UP_INT8)


def labels_of(segmentation: Segmentation, depth_max_m: float = 1.5) -> set[int]:
    """What is found in a drawn scene: a hand with a box, half a metre away, before a wall that is 1 m away."""
    scene, limits = make_scene(), SegmentationSettings(depth_max_m=depth_max_m)
    found = segmentation.segment(scene.color, scene.depth_mm / np.float32(1000), limits, focal_px=FOCAL)
    return {int(label) for label in np.unique(found)}


def crops(count: int) -> np.ndarray:
    """Planes of crops, noise."""
    shape = (count, close_up.PLANES, close_up.CELLS, close_up.CELLS)
    return np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32)


@pytest.mark.parametrize("method", ["auto", "network"])
def test_a_network_is_taken_by_its_folder(network_folder, method):
    chosen = choose_segmentation(method, str(network_folder))
    assert chosen.name == "network near-is-hand (float32)"
    assert labels_of(chosen) == {0, HAND}
    assert labels_of(chosen, depth_max_m=0.4) == {0}


def test_classical_reads_no_network():
    chosen = choose_segmentation("classical", "/nowhere")
    assert chosen.name == "classical"
    assert labels_of(chosen) == {0, HAND}


def test_the_shipped_network_is_the_default(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    manifest = read_folder(find_model("segmentation")).manifest
    assert choose_segmentation().name.startswith(f"network {manifest.model_id}")


@pytest.mark.parametrize("method", ["auto", "network"])
def test_nothing_takes_a_broken_networks_place(method, network_folder, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="there is no model"):
        choose_segmentation(method, str(tmp_path / "mine"))
    content = read_folder(network_folder)
    for name in (PROPOSALS, CLOSE_UP):
        write_folder(tmp_path / "mine", content.manifest, content.files)
        (tmp_path / "mine" / name).write_bytes(content.files[name][:-1] + b"\x55")
        with pytest.raises(ModelError, match=f"{name} is damaged or altered"):
            choose_segmentation(method, str(tmp_path / "mine"))
    monkeypatch.setattr(shipped, "shared_folders", lambda kind: iter([tmp_path / kind]))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="none installed"):
        choose_segmentation(method)


def test_the_looks_are_not_to_be_exchanged(network_folder, tmp_path):
    content = read_folder(network_folder)
    files = {**content.files, PROPOSALS: content.files[CLOSE_UP], CLOSE_UP: content.files[PROPOSALS]}
    write_folder(tmp_path, content.manifest, files)
    with pytest.raises(ModelError, match=f"the network of .*{PROPOSALS} .*copy the model folder again"):
        load_segmentation(tmp_path)


def test_unknown_choices_are_refused(network_folder):
    with pytest.raises(ParameterError, match=f"'magic' is unknown; accepted are {', '.join(METHODS)}"):
        choose_segmentation("magic")
    with pytest.raises(ParameterError, match="'int4'; accepted are auto, float32, int8"):
        load_segmentation("segmentation", precision="int4")
    with pytest.raises(ModelError, match=f"has no {' and '.join(INT8_FILES)}; use precision float32 or auto"):
        load_segmentation(network_folder, precision="int8")


@pytest.mark.parametrize(
    "told", [[0.0, 1.0], [1.0], [1.0, "x"], [float("nan"), 0.0], [1.0, 1e3], "ab", None, 3, [-1, 0]]
)
def test_a_calibration_that_is_none_is_refused(network_folder, told):
    content = read_folder(network_folder)
    assert calibration_of(content) == (1.0, 0.0)
    manifest = types.SimpleNamespace(preprocessing={CALIBRATION: told})
    with pytest.raises(ModelError, match=f"preprocessing {CALIBRATION} of .* accepted are slope > 0 and offset"):
        calibration_of(dataclasses.replace(content, manifest=manifest))


def test_the_calibration_of_the_folder_is_used(network_folder, tmp_path):
    content, scene = read_folder(network_folder), make_scene()
    manifest = dataclasses.replace(content.manifest, preprocessing={CALIBRATION: [0.5, -1.0]})
    write_folder(tmp_path, manifest, content.files)
    (hand,) = load_segmentation(tmp_path).see(scene.color, scene.depth_mm / np.float32(1000), focal_px=FOCAL).hands
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
def test_the_quickest_precision_is_taken(monkeypatch, flags, int8_seconds, int8_score, expected):
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
    monkeypatch.setattr(segmenter, "cpu_flags", lambda: flags)
    monkeypatch.setattr(segmenter, "_seconds", seconds.__getitem__)
    monkeypatch.setattr(segmenter.OnnxRuntime, "open", lambda self, folder, file: graphs[file])
    assert load_segmentation("segmentation").name.endswith(f"({expected})")


def test_precisions_are_named(monkeypatch):
    monkeypatch.setattr(segmenter, "cpu_flags", lambda: {"avx512_vnni"})
    names = [load_segmentation("segmentation", precision=precision).name for precision in segmenter.PRECISIONS]
    assert [name.rpartition(" ")[2] for name in names] == ["(int8)", "(float32)", "(int8)"]


def test_cpu_flags_are_read_or_empty(monkeypatch):
    assert all(flag == flag.strip() and flag for flag in segmenter.cpu_flags())

    def no_such_file(*_arguments, **_named):
        raise FileNotFoundError("/proc/cpuinfo")

    monkeypatch.setattr("builtins.open", no_such_file)
    assert segmenter.cpu_flags() == set()


@pytest.mark.skipif(
    not segmenter.cpu_flags() & segmenter._QUICK_WITH_8_BITS, reason="sums of 8-bit products may saturate without VNNI"
)
def test_8_bits_agree_on_the_recorded_bag():
    pytest.importorskip("rosbags", reason="the package rosbags is not installed")
    from tiae_ros.streams.bags import Bag

    eight, plain = (load_segmentation("segmentation", precision=precision) for precision in ("int8", "float32"))
    equal, overlaps = [], []
    with Bag(BAG) as bag:
        for seen in itertools.islice(bag.rgbd_frames(), 0, None, 3):
            found, wanted = (network.segment(seen.color, seen.depth_m) for network in (eight, plain))
            equal.append((found == wanted).mean())
            if wanted.any():
                overlaps.append(((found == wanted) & (wanted > 0)).sum() / ((found > 0) | (wanted > 0)).sum())
    assert len(overlaps) >= 5
    assert np.mean(equal) > 0.995
    assert np.median(overlaps) > 0.95


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_grids_and_batches_are_free(precision):
    network = load_segmentation("segmentation", precision=precision)
    for height, width in ((16, 16), (128, 160), (192, 256), (256, 16)):
        (answers,) = network._proposals(np.zeros((1, proposals.PLANES, height, width), np.float32))
        assert answers.shape == (1, proposals.ANSWERS, height // proposals.BLOCK, width // proposals.BLOCK)
    together = network._look(crops(3))
    for number, planes in enumerate(crops(3)):
        for alone, row in zip(network._look(planes[None]), together, strict=True):
            np.testing.assert_allclose(alone[0], row[number], atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_threads_and_repetition_change_nothing(precision):
    found = [load_segmentation("segmentation", precision=precision, threads=n)._look(crops(1))[0] for n in (1, 1, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], found[2], atol=1e-3)


def see_noise(network: HandDetector, width: int = 160) -> None:
    noise = np.random.default_rng(0)
    color = noise.integers(0, 256, (120, width, 3)).astype(np.uint8)
    network.see(color, noise.uniform(0.3, 1.0, (120, width)).astype(np.float32))


def test_one_thread_wakes_no_others():
    network = load_segmentation("segmentation")
    see_noise(network)
    before = len(os.listdir("/proc/self/task"))
    for _ in range(5):
        see_noise(network)
    assert len(os.listdir("/proc/self/task")) == before


def test_repeated_frames_leave_no_memory_behind():
    network = load_segmentation("segmentation")

    def memory_after(frames):
        for number in range(frames):
            see_noise(network, 160 + 16 * (number % 8))
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4  # kB

    before = memory_after(40)
    assert memory_after(80) - before < 20_000


def test_the_shipped_network_is_small():
    files = read_folder(find_model("segmentation")).files
    assert sum(len(files[name]) for name in INT8_FILES) < 2_000_000
    assert sum(len(files[name]) for name in (*INT8_FILES, PROPOSALS, CLOSE_UP, WEIGHTS)) < 10_000_000
