"""What finds hands in a node: by which method, by which model; and what 8 bits cost the shipped one."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.cli import main
from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model import shipped
from tiae_ros.model.folder import CLOSE_UP, CLOSE_UP_INT8, PROPOSALS_INT8, WEIGHTS, read_folder, write_folder
from tiae_ros.model.hand_detector import load_detector
from tiae_ros.model.precision import QUICK_WITH_8_BITS, cpu_flags
from tiae_ros.model.segmenter import METHODS, choose_segmentation
from tiae_ros.model.shipped import find_model
from tiae_ros.vision.labels import HAND
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import Segmentation

BAG = Path(__file__).parents[1] / "data" / "grasps"


def labels_of(segmentation: Segmentation, depth_max_m: float = 1.5) -> set[int]:
    """What is found in a drawn scene: a hand with a box, half a metre away, before a wall that is 1 m away."""
    scene, limits = make_scene(), SegmentationSettings(depth_max_m=depth_max_m)
    found = segmentation.segment(scene.color, scene.depth_mm / np.float32(1000), limits, focal_px=FOCAL)
    return {int(label) for label in np.unique(found)}


@pytest.mark.parametrize("method", ["auto", "network"])
def test_a_detector_is_taken_by_its_folder(detector_folder, method):
    chosen = choose_segmentation(method, str(detector_folder))
    assert chosen.name == "network near-is-hand (float32)"
    assert labels_of(chosen) == {0, HAND}
    assert labels_of(chosen, depth_max_m=0.4) == {0}


def test_classical_reads_no_model():
    chosen = choose_segmentation("classical", "/nowhere")
    assert chosen.name == "classical"
    assert labels_of(chosen) == {0, HAND}


def test_the_shipped_detector_is_the_default(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    manifest = read_folder(find_model("segmentation")).manifest
    assert choose_segmentation().name.startswith(f"network {manifest.model_id}")


@pytest.mark.parametrize("method", ["auto", "network"])
def test_nothing_takes_a_broken_detectors_place(method, detector_folder, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="there is no model"):
        choose_segmentation(method, str(tmp_path / "mine"))
    content = read_folder(detector_folder)
    write_folder(tmp_path / "mine", content.manifest, content.files)
    (tmp_path / "mine" / CLOSE_UP).write_bytes(content.files[CLOSE_UP][:-1] + b"\x55")
    with pytest.raises(ModelError, match="damaged or altered"):
        choose_segmentation(method, str(tmp_path / "mine"))
    monkeypatch.setattr(shipped, "shared_folders", lambda kind: iter([tmp_path / kind]))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="none installed"):
        choose_segmentation(method)


def test_unknown_methods_are_refused():
    with pytest.raises(ParameterError, match=f"'magic' is unknown; accepted are {', '.join(METHODS)}"):
        choose_segmentation("magic")


def test_the_network_of_earlier_releases_is_refused(old_network, tmp_path, capsys):
    """By whatever opens it, in one line that says what to do."""
    said = r"take the shipped detector \(segmentation\) or train one: tiae train detector"
    for method in ("auto", "network"):
        with pytest.raises(ModelError, match=said):
            choose_segmentation(method, str(old_network))
    pictures = f"predict {tmp_path} --fov-deg 60 --segmentation-model {old_network}"
    for words in (f"info {old_network}", f"export --run {old_network} --out {tmp_path / 'new'}", pictures):
        assert main(words.split()) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("or train one: tiae train detector")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not cpu_flags() & QUICK_WITH_8_BITS, reason="sums of 8-bit products may saturate without VNNI")
def test_8_bits_agree_on_the_recorded_bag():
    pytest.importorskip("rosbags", reason="the package rosbags is not installed")
    from tiae_ros.streams.bags import Bag

    eight, plain = (load_detector("segmentation", precision=precision) for precision in ("int8", "float32"))
    equal, overlaps = [], []
    with Bag(BAG) as bag:
        for seen in itertools.islice(bag.rgbd_frames(), 0, None, 3):
            found, wanted = (detector.segment(seen.color, seen.depth_m) for detector in (eight, plain))
            equal.append((found == wanted).mean())
            overlaps.append(((found == wanted) & (wanted > 0)).sum() / ((found > 0) | (wanted > 0)).sum())
    assert len(equal) >= 5
    assert np.mean(equal) > 0.999
    # A hand that is barely sure is there in one and not in the other.
    assert np.median(overlaps) > 0.98
    assert np.mean(overlaps) > 0.95


def test_the_shipped_detector_is_small():
    files = read_folder(find_model("segmentation")).files
    assert len(files[PROPOSALS_INT8]) + len(files[CLOSE_UP_INT8]) < 2_500_000
    assert len(files[WEIGHTS]) < 4_000_000
