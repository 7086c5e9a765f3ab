"""The segmentation a node runs: by which method, in which precision, and what 8 bits cost."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model import segmenter, shipped
from tiae_ros.model.folder import NETWORK, NETWORK_INT8, WEIGHTS, read_folder, write_folder
from tiae_ros.model.segmenter import METHODS, choose_segmentation, load_segmentation
from tiae_ros.model.shipped import DEFAULT_SEGMENTATION_MODEL, find_model
from tiae_ros.vision.detection.detector import HandDetector
from tiae_ros.vision.labels import HAND
from tiae_ros.vision.segmentation.planes import INPUTS
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import Segmentation

BAG = Path(__file__).parents[1] / "data" / "grasps"


def labels_of(segmentation: Segmentation, depth_max_m: float = 1.5) -> set[int]:
    """What is found in a drawn scene: a hand with a box before a wall that is 1 m away."""
    scene, limits = make_scene(), SegmentationSettings(depth_max_m=depth_max_m)
    found = segmentation.segment(scene.color, scene.depth_mm / np.float32(1000), limits, focal_px=FOCAL)
    return {int(label) for label in np.unique(found)}


@pytest.mark.parametrize("method", ["auto", "network"])
def test_a_network_is_taken_by_its_folder(network_folder, method):
    chosen = choose_segmentation(method, str(network_folder))
    assert chosen.name == "network all-hand (float32)"
    assert labels_of(chosen) == {HAND}
    assert labels_of(chosen, depth_max_m=0.6) == {0, HAND}


def test_classical_reads_no_network():
    chosen = choose_segmentation("classical", "/nowhere")
    assert chosen.name == "classical"
    assert labels_of(chosen) == {0, HAND}


def test_the_shipped_network_is_the_default(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert isinstance(choose_segmentation(), HandDetector)
    manifest = read_folder(find_model(DEFAULT_SEGMENTATION_MODEL)).manifest
    assert choose_segmentation().name.startswith(f"network {manifest.model_id}")


@pytest.mark.parametrize("model", ["detector", "segmentation"])
def test_the_precision_is_that_which_is_asked_for(model):
    for precision in ("float32", "int8"):
        assert choose_segmentation("auto", model, precision=precision).name == f"network {model} ({precision})"
    with pytest.raises(ParameterError, match="precision is 'int4'"):
        choose_segmentation("auto", model, precision="int4")


@pytest.mark.parametrize("method", ["auto", "network"])
def test_nothing_takes_a_broken_networks_place(method, network_folder, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="there is no model"):
        choose_segmentation(method, str(tmp_path / "mine"))
    content = read_folder(network_folder)
    write_folder(tmp_path / "mine", content.manifest, content.files)
    (tmp_path / "mine" / NETWORK).write_bytes(content.files[NETWORK][:-1] + b"\x55")
    with pytest.raises(ModelError, match="damaged or altered"):
        choose_segmentation(method, str(tmp_path / "mine"))
    monkeypatch.setattr(shipped, "shared_folders", lambda kind: iter([tmp_path / kind]))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="none installed"):
        choose_segmentation(method)


def test_unknown_choices_are_refused(network_folder):
    with pytest.raises(ParameterError, match=f"'magic' is unknown; accepted are {', '.join(METHODS)}"):
        choose_segmentation("magic")
    with pytest.raises(ParameterError, match="'int4'; accepted are auto, float32, int8"):
        load_segmentation("segmentation", precision="int4")
    with pytest.raises(ModelError, match=f"has no {NETWORK_INT8}; use precision float32 or auto"):
        load_segmentation(network_folder, precision="int8")


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
    def graph(score):  # the score of the second class, against 1 of the first
        return lambda planes: [np.stack([np.full_like(planes[:, 0], value) for value in (1, score, 0)], 1)]

    graphs = {"network.onnx": graph(5), "network_int8.onnx": graph(int8_score)}
    seconds = {graphs["network.onnx"]: 5, graphs["network_int8.onnx"]: int8_seconds}
    monkeypatch.setattr(segmenter, "cpu_flags", lambda: flags)
    monkeypatch.setattr(segmenter, "_seconds", lambda graph, shape: seconds[graph])
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
    not segmenter.cpu_flags() & segmenter.QUICK_WITH_8_BITS, reason="sums of 8-bit products may saturate without VNNI"
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
            overlaps.append(((found == wanted) & (wanted > 0)).sum() / ((found > 0) | (wanted > 0)).sum())
    assert len(equal) >= 5
    assert np.mean(equal) > 0.999
    # A region that is barely sure, or that a hand is followed into, is there in one and not in the other.
    assert np.median(overlaps) > 0.98
    assert np.mean(overlaps) > 0.95


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_grids_and_batches_are_free(precision):
    network = load_segmentation("segmentation", precision=precision)
    chance = np.random.default_rng(0)
    for height, width in ((16, 16), (128, 160), (33, 17), (1, 1), (120, 176)):
        planes = chance.normal(size=(INPUTS, height, width)).astype(np.float32)
        assert network.scores(planes).shape == (3, height, width)
    batch = chance.normal(size=(3, INPUTS, 32, 48)).astype(np.float32)
    (together,) = network._graph(batch)
    for planes, scores in zip(batch, together, strict=True):
        np.testing.assert_allclose(network.scores(planes), scores, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_threads_and_repetition_change_nothing(precision):
    planes = np.random.default_rng(0).normal(size=(INPUTS, 64, 80)).astype(np.float32)
    found = [load_segmentation("segmentation", precision=precision, threads=n).scores(planes) for n in (1, 1, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], found[2], atol=1e-4)


def test_one_thread_wakes_no_others():
    network, planes = load_segmentation("segmentation"), np.ones((INPUTS, 128, 160), np.float32)
    network.scores(planes)
    before = len(os.listdir("/proc/self/task"))
    for _ in range(5):
        network.scores(planes)
    assert len(os.listdir("/proc/self/task")) == before


def test_repeated_frames_leave_no_memory_behind():
    network = load_segmentation("segmentation")

    def memory_after(frames):
        for number in range(frames):
            network.scores(np.ones((INPUTS, 16 * (1 + number % 8), 160), np.float32))
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4  # kB

    before = memory_after(40)
    assert memory_after(120) - before < 20_000


def test_the_shipped_network_is_small():
    files = read_folder(find_model("segmentation")).files
    assert len(files[NETWORK_INT8]) < 1_000_000
    assert len(files[WEIGHTS]) < 2_000_000
