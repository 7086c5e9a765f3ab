"""A second look at regions that the segmentation network is unsure of: what it is shown, when it is asked, training."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from tiae_ros.errors import DataError, ModelError, ParameterError
from tiae_ros.vision.labels import HAND, NONE
from tiae_ros.vision.second_look import CHANNELS, SIDE_CELLS, SIDE_M, SecondLook, close_up
from tiae_ros.vision.segmentation.network import (
    SegmentationManifest,
    SegmentationNetwork,
    Segmenter,
    load_network,
    load_segmenter,
    save_segmentation,
)
from tiae_ros.vision.segmentation.regions import LEAST_CERTAINTY, SURE, plausible_cells
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_training import second_look as training_module
from tiae_training.second_look import FoundRegions, SecondLookTraining, judged, train, with_second_look
from tiae_training.segmentation.training import FrameArrays, average, without_second_look

FOCAL = 120.0  # cells
SETTINGS = SegmentationSettings()


def region_scene(shape=(120, 160), box=(40, 70, 60, 100), metres=0.6):
    """Planes that are their own number, depth, probabilities, and a region."""
    planes = np.broadcast_to(np.arange(9, dtype=np.float32)[:, None, None], (9, *shape)).copy()
    depth = np.full(shape, 1.0, np.float32)
    region = np.zeros(shape, bool)
    region[box[0] : box[1], box[2] : box[3]] = True
    depth[region] = metres
    shares = np.stack([np.where(region, 0.8, 0.1), np.zeros(shape)]).astype(np.float32)
    return planes, depth, shares, region


def test_a_region_is_seen_in_the_middle_and_at_its_size_in_metres():
    for metres in (0.4, 0.6, 0.8):
        planes, depth, shares, region = region_scene(metres=metres)
        view = close_up(planes, depth, shares, region, FOCAL)
        assert view.shape == (CHANNELS, SIDE_CELLS, SIDE_CELLS)
        seen = view[10] > 0
        middle = (SIDE_CELLS - 1) / 2
        rows, columns = np.nonzero(seen)
        assert (rows.mean(), columns.mean()) == pytest.approx((middle, middle), abs=0.6)
        cells_per_m = SIDE_CELLS / SIDE_M
        assert seen.any(0).sum() == pytest.approx(40 * metres / FOCAL * cells_per_m, abs=1.5)
        assert seen.any(1).sum() == pytest.approx(30 * metres / FOCAL * cells_per_m, abs=1.5)


def test_what_is_shown_of_planes_depth_and_probabilities():
    view = close_up(*region_scene(), FOCAL)
    inside = view[10] > 0
    for channel, plane in enumerate((0, 1, 2, 3, 4, 6, 7)):
        assert (view[channel] == plane).all()
    assert not view[7][inside].any()  # at the region's own depth
    assert (view[7][~inside] == 2.0).all()  # 40 cm behind, as far as it goes
    np.testing.assert_allclose(view[8][inside], 0.8)
    assert not view[9].any()
    assert (view[11] == 1).all()


def test_beyond_the_picture_there_is_nothing():
    planes, depth, shares, region = region_scene(box=(0, 20, 0, 30))
    depth[5:8, 5:9] = 0  # without a reading
    view = close_up(planes + 1, depth, shares, region, FOCAL)
    outside = view[11] == 0
    assert outside[:10].all()
    assert outside[:, :10].all()
    assert not outside[30:, 30:].any()
    assert not view[:, outside].any()
    assert not view[7][(view[10] > 0)].any()


def scores_of_regions():
    """Two regions that the network is more or less sure of, with probabilities 0.67 and 0.98, and one of 0.36."""
    scores = np.zeros((3, 60, 120), np.float32)
    scores[0] = 1.5
    for left, odds in ((5, 4.0), (45, 100.0), (85, 1.1)):
        scores[:, 10:40, left : left + 30] = np.log([[[1.0]], [[odds]], [[1.0]]])
    return scores, np.full((60, 120), 0.5, np.float32)


def test_only_regions_of_which_the_cells_are_unsure_are_looked_at_again():
    scores, depth = scores_of_regions()
    asked = []

    def yes(region, of_cells):
        assert of_cells == pytest.approx(0.67, abs=0.01)
        asked.append(region)
        return 1.0

    kept = plausible_cells(scores, depth, 100.0, SETTINGS, yes)
    assert len(asked) == 1
    np.testing.assert_array_equal(np.nonzero(asked[0].any(0))[0], np.arange(5, 35))
    np.testing.assert_array_equal(np.nonzero(kept.any(0))[0], [*range(5, 35), *range(45, 75)])
    assert not plausible_cells(scores, depth, 100.0, SETTINGS, lambda region, of_cells: 0.74)[:, :40].any()
    alone = plausible_cells(scores, depth, 100.0, SETTINGS)
    np.testing.assert_array_equal(np.nonzero(alone.any(0))[0], np.arange(45, 75))
    assert LEAST_CERTAINTY < 0.67 < SURE < 0.98


def test_a_bound_below_that_of_the_second_look_lowers_it():
    scores, depth = scores_of_regions()
    asked = []
    plausible_cells(
        scores, depth, 100.0, SegmentationSettings(hand_certainty_min=0.01), lambda *seen: asked.append(seen) or 0.5
    )
    assert len(asked) == 2


def found_regions(count=120):
    """Hands are yellow, others blue."""
    chance = np.random.default_rng(0)
    hands = np.arange(count) % 3 == 0
    views = chance.normal(0, 0.3, (count, CHANNELS, SIDE_CELLS, SIDE_CELLS)).astype(np.float16)
    views[hands, :2] += 1
    views[~hands, :2] -= 1
    views[:, 3] = 1
    return FoundRegions(views, hands, np.full(count, 0.7, np.float32))


def test_it_learns_to_tell_hands_from_others():
    found = found_regions()
    look = train(found, SecondLookTraining(epochs=10, batch_size=16))
    probabilities = judged(look, found)
    assert (probabilities[found.hands] > 0.75).all()
    assert (probabilities[~found.hands] < 0.25).all()
    assert look.probability(found.views[0].astype(np.float32), 0.7) == pytest.approx(probabilities[0], abs=1e-3)


def tiny_network():
    torch.manual_seed(0)
    return SegmentationNetwork(SegmentationManifest(widths=(8, 8, 8, 8), blocks=(0, 0, 1, 1))).eval()


def test_it_is_stored_with_the_network(tmp_path):
    network = with_second_look(tiny_network(), SecondLook().eval())
    view = np.random.default_rng(0).random((CHANNELS, SIDE_CELLS, SIDE_CELLS), np.float32)
    save_segmentation(network, tmp_path)
    read = load_network(tmp_path)
    assert read.manifest.second_look
    probability = network.second_look.probability(view, 0.7)
    assert read.second_look.probability(view, 0.7) == pytest.approx(probability, abs=3e-3)
    assert load_segmenter(tmp_path).second_look.probability(view, 0.7) == pytest.approx(probability, abs=3e-3)
    assert load_segmenter(tmp_path, eight_bits=False).second_look is not None


def test_a_network_that_was_stored_without_has_none(tmp_path):
    save_segmentation(tiny_network(), tmp_path)
    assert load_segmenter(tmp_path).second_look is None


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_a_manifest_says_so_by_true_or_false(value):
    with pytest.raises(ModelError, match="second_look is"):
        SegmentationManifest(second_look=value)


def unsure_segmenter(monkeypatch, look):
    """It takes what is nearer than 0.8 m for a hand, with a probability of 0.67."""
    network = with_second_look(tiny_network(), look)
    segmenter = Segmenter(network)

    def scores(planes):
        near = (planes[4] > 0) & (planes[5] < 0.6)
        return np.stack([np.where(near, 0.0, 3.0), np.where(near, np.log(4.0), 0.0), np.zeros(near.shape)]).astype("f4")

    monkeypatch.setattr(segmenter, "scores", scores)
    return segmenter


def picture():
    depth = np.full((240, 320), 1.2, np.float32)
    depth[60:180, 100:220] = 0.5
    return np.full((240, 320, 3), 90, np.uint8), depth


@pytest.mark.parametrize(("odds", "is_hand"), [(4.0, True), (-4.0, False)])
def test_segment_goes_by_it(monkeypatch, odds, is_hand):
    look = SecondLook().eval()
    torch.nn.init.zeros_(look.judge[-1].weight)
    torch.nn.init.constant_(look.judge[-1].bias, odds)
    labels = unsure_segmenter(monkeypatch, look).segment(*picture(), focal_px=300.0)
    assert (labels[70:170, 110:210] == (HAND if is_hand else NONE)).all()


def test_a_second_look_that_is_no_number_is_a_model_error(monkeypatch):
    look = SecondLook().eval()
    torch.nn.init.constant_(look.judge[-1].bias, float("nan"))
    segmenter = unsure_segmenter(monkeypatch, look)
    with pytest.raises(ModelError, match="not finite"):
        segmenter.segment(*picture(), focal_px=300.0)


def frames(count=16):
    """Walls with a patch before them, which is a hand in every other picture."""
    color = np.full((count, 120, 160, 3), 90, np.uint8)
    depth = np.full((count, 120, 160), 1200, np.uint16)
    labels = np.zeros((count, 120, 160), np.uint8)
    depth[:, 35:85, 50:110] = 500
    color[::2, 35:85, 50:110] = (200, 140, 120)
    labels[::2, 35:85, 50:110] = HAND
    return FrameArrays(color, depth, labels, np.full(count, 150.0))


def write_frames(path, data):
    k = np.zeros((len(data), 3, 3))
    k[:, 0, 0] = data.focal_px
    with path.open("wb") as file:
        np.savez(file, color=data.color, depth_mm=data.depth_mm, segmentation=data.labels, k=k)


def test_regions_are_collected_with_what_they_are(monkeypatch):
    monkeypatch.setattr(training_module, "Segmenter", lambda network: unsure_segmenter(monkeypatch, SecondLook()))
    found = training_module.collect(tiny_network(), frames(), SecondLookTraining(looks=4, hidden_hand_share=0))
    assert len(found) >= 40
    assert 0.3 < found.hands.mean() < 0.7
    assert found.certainty == pytest.approx(0.67, abs=0.01)


def test_a_network_that_finds_nothing_is_said_so(tmp_path):
    save_segmentation(tiny_network(), tmp_path / "network")
    write_frames(tmp_path / "data", dataclasses.replace(frames(), labels=np.zeros((16, 120, 160), np.uint8)))
    words = [f"--{name}={tmp_path / name}" for name in ("network", "data", "out")] + ["--bare-hand-share=0"]
    done = subprocess.run(
        [sys.executable, "-m", "tiae_training.second_look", *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "give more frames" in done.stderr
    assert not (tmp_path / "out").exists()


def test_settings_out_of_range_are_refused():
    with pytest.raises(ParameterError, match="epochs is 0"):
        SecondLookTraining(epochs=0)
    with pytest.raises(ParameterError, match="matcher_share"):
        SecondLookTraining(matcher_share=2.0)
    with pytest.raises(DataError, match="needed are"):
        training_module.collect(tiny_network(), frames(2), SecondLookTraining(looks=1))


def test_going_on_from_a_network_and_means_leave_it_behind():
    careful = with_second_look(tiny_network(), SecondLook().eval())
    mean = average([careful, careful])
    assert mean.second_look is None
    torch.testing.assert_close(mean.head.weight, careful.head.weight)
    alone = without_second_look(careful)
    assert alone.second_look is None
    assert not alone.manifest.second_look
