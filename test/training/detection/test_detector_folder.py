"""Hand detectors in and out of model folders: what is exported, in 8 bits too; what is refused."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")

import torch

from tiae_ros.errors import ModelError
from tiae_ros.model.engines.onnx_runtime import OnnxRuntime
from tiae_ros.model.folder import (
    CLOSE_UP,
    CLOSE_UP_INT8,
    PROPOSALS,
    PROPOSALS_INT8,
    WEIGHTS,
    read_folder,
    write_folder,
)
from tiae_ros.model.hand_detector import CALIBRATION
from tiae_ros.model.hand_detector import load_detector as open_detector
from tiae_ros.vision.detection import close_up, proposals
from tiae_training.detection.folder import detector_manifest, graph_of, load_detector, save_detector, with_facts
from tiae_training.detection.networks import Detector, detector_of

TINY = {"proposal_widths": [8, 8, 8, 8], "proposal_blocks": [0, 0, 1, 0],
        "close_widths": [8, 8, 8, 8, 8], "close_blocks": [0, 1, 0, 0, 1]}  # fmt: skip


def planes_of(file, count=2):
    shape = (1, proposals.PLANES, 64, 80) if file.startswith("proposals") else (count, close_up.PLANES, 96, 96)
    return np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32)


def shaken():
    """With statistics of normalisation of their own, as after a training."""
    torch.manual_seed(0)
    detector = Detector(**TINY)
    with torch.no_grad():
        for name, value in detector.state_dict().items():
            if value.is_floating_point():
                value += 0.1 * (torch.rand_like(value) if "running_var" in name else torch.randn_like(value))
    return detector.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A detector and its folder, with 8 bits."""
    folder, detector = tmp_path_factory.mktemp("detector") / "mine", shaken()
    examples = {name: [planes_of(name)[:1]] * 3 for name in (PROPOSALS, CLOSE_UP)}
    save_detector(
        detector, folder, detector_manifest(detector, model_id="mine", calibration=(0.7, -0.1, 0.3)), examples
    )
    return detector, folder


def test_a_folder_holds_both_looks_in_both_precisions(saved):
    content = read_folder(saved[1])
    assert set(content.files) == {PROPOSALS, CLOSE_UP, PROPOSALS_INT8, CLOSE_UP_INT8, WEIGHTS}
    assert content.manifest.network == {"name": "two-looks", **TINY}
    assert content.manifest.preprocessing == {CALIBRATION: [0.7, -0.1, 0.3], "grid": 256, "crop_m": 0.4}
    assert (saved[1] / "card.md").read_text().count("mine")


@pytest.mark.parametrize("file", [PROPOSALS, CLOSE_UP, PROPOSALS_INT8, CLOSE_UP_INT8])
def test_graphs_say_what_torch_says(saved, file):
    detector, folder = saved
    planes, engine = planes_of(file), OnnxRuntime("cpu", threads=1)
    found = engine.open(read_folder(folder), file)(planes)
    with torch.inference_mode():
        wanted = detector.graphs()[file.replace("_int8", "")](torch.from_numpy(planes))
    for one, other in zip(found, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        other = other.numpy()
        assert one.shape == other.shape
        if "int8" in file:
            assert np.abs(one - other).mean() < 0.1 * np.abs(other - other.mean()).mean() + 0.05
            assert len(np.unique(one)) > 0.8 * min(one.size, 400)  # not 256 steps: arms and lengths are among them
        else:
            np.testing.assert_allclose(one, other, atol=2e-3)


def test_a_saved_detector_is_loaded_as_it_was(saved):
    detector, folder = saved
    again, manifest = load_detector(folder)
    assert manifest.model_id == "mine"
    assert not again.training
    for one, other in zip(again.parameters(), detector.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    for name, graph in again.graphs().items():
        assert type(graph_of(read_folder(folder), name)) is type(graph)
    with pytest.raises(ModelError, match=f"{CLOSE_UP_INT8} has no torch network; accepted are {PROPOSALS}, {CLOSE_UP}"):
        graph_of(read_folder(folder), CLOSE_UP_INT8)


def test_facts_are_put_in_and_nothing_else_changes(saved, tmp_path):
    content = read_folder(saved[1])
    write_folder(tmp_path, content.manifest, content.files)
    with_facts(tmp_path, calibration=(2.0, 0.5, 0.0))
    with_facts(tmp_path, measures={"found": 0.5})
    now = read_folder(tmp_path)
    assert now.files == content.files
    assert now.manifest.measures == {"found": 0.5}
    assert now.manifest.preprocessing == {**content.manifest.preprocessing, CALIBRATION: [2.0, 0.5, 0.0]}
    assert dataclasses.replace(now.manifest, measures={}, preprocessing={}) == dataclasses.replace(
        content.manifest, measures={}, preprocessing={}
    )
    assert open_detector(tmp_path).calibration == (2.0, 0.5, 0.0)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    detector = shaken()
    with torch.no_grad():
        detector.close_up.facts.bias.fill_(torch.nan)
    with pytest.raises(ModelError, match=f"{CLOSE_UP} and the torch network differ by nan"):
        save_detector(detector, tmp_path / "nan", detector_manifest(detector))
    assert not (tmp_path / "nan").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"proposal_widths": [8, 8]}, "network proposal_widths is .*; accepted are 4 whole numbers from 1 to 1024"),
        ({"close_widths": [8, 8, 8, 8, 1e9]}, "close_widths"),
        ({"close_widths": "8888"}, "close_widths"),
        ({"close_widths": None}, "close_widths"),
        ({"proposal_widths": [[1], 2, 3, 4]}, "proposal_widths"),
        ({"close_blocks": [0, 1, 2, 99, 0]}, "close_blocks is .*; accepted are 5 whole numbers from 0 to 16"),
        ({"close_blocks": [True, 1, 1, 1, 1]}, "close_blocks"),
        ({"name": "u-net"}, "'u-net' is not known here; a hand detector is of two-looks"),
        ({"name": None}, "is not known here"),
        ({"nonsense": 1}, "unknown part 'nonsense'"),
    ],
)
def test_impossible_networks_are_refused(change, said):
    with pytest.raises(ModelError, match=said):
        detector_of({**Detector(**TINY).parts, **change})


def test_the_usual_detector_is_built_from_what_it_tells():
    detector = Detector()
    again = detector_of(detector.parts)
    assert [p.shape for p in again.parameters()] == [p.shape for p in detector.parameters()]
