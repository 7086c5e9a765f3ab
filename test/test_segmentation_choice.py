"""Network or classical segmentation: what each method takes, and what it says when it cannot."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.core import shipped_models
from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model.segmenter import METHODS, Segmentation, choose_segmentation
from tiae_ros.vision.labels import HAND
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.segmentation_choice import CLASSICAL, SHIPPED_NETWORK


def labels_of(segmentation: Segmentation, depth_max_m: float = 1.5) -> set[int]:
    """What is found in a drawn scene: a hand with a box before a wall that is 1 m away."""
    scene, limits = make_scene(), SegmentationSettings(depth_max_m=depth_max_m)
    found = segmentation.segment(scene.color, scene.depth_mm / np.float32(1000), limits, focal_px=FOCAL)
    return {int(label) for label in np.unique(found)}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder in which models are shipped, and nothing else is."""
    monkeypatch.setattr(shipped_models, "shared_folders", lambda kind: iter([tmp_path / kind]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def damaged(network_folder: Path, target: Path) -> Path:
    shutil.copytree(network_folder, target)
    weights = target / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x55")
    return target


@pytest.mark.parametrize("method", ["auto", "network"])
def test_a_network_is_taken_by_its_folder(network_folder, method):
    chosen = choose_segmentation(method, str(network_folder))
    assert (chosen.name, chosen.remark) == ("network all-hand", "")
    assert labels_of(chosen) == {HAND}
    assert labels_of(chosen, depth_max_m=0.6) == {0, HAND}


def test_classical_reads_no_network(network_folder):
    assert choose_segmentation("classical", "/nowhere") is CLASSICAL
    assert labels_of(CLASSICAL) == {0, HAND}


def test_the_shipped_network_is_taken_as_soon_as_it_is_there_and_not_missed_before(shipped, network_folder):
    before = choose_segmentation()
    assert (before.name, before.remark) == ("classical", "")
    shutil.copytree(network_folder, shipped / SHIPPED_NETWORK)
    assert choose_segmentation().name == "network all-hand"


def test_auto_goes_on_without_a_network_that_was_named_or_is_damaged_and_says_so(shipped, network_folder, tmp_path):
    damaged(network_folder, shipped / SHIPPED_NETWORK)
    for model, reason in ((SHIPPED_NETWORK, "damaged or altered"), (str(tmp_path / "mine"), "there is no model")):
        chosen = choose_segmentation("auto", model)
        assert chosen.name == "classical"
        assert chosen.remark.startswith("classical segmentation takes the network's place: ")
        assert reason in chosen.remark
        assert "\n" not in chosen.remark
        with pytest.raises(ModelError, match=reason):
            choose_segmentation("network", model)


def test_a_model_for_something_else_is_refused(fresh_models):
    with pytest.raises(ModelError, match="a segmentation network has 'tiae_segmentation'"):
        choose_segmentation("network", fresh_models["model"])


def test_an_unknown_method_is_refused_with_those_accepted():
    with pytest.raises(ParameterError, match=f"'magic' is unknown; accepted are {', '.join(METHODS)}"):
        choose_segmentation("magic")
