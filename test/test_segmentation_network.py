"""The segmentation network: shapes, model folder, training on a few frames, and what comes out of segment."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.errors import DataError, ImageError, ModelError, ParameterError, TrainingError
from tiae_ros.model.folder import MANIFEST, WEIGHTS, rounded
from tiae_ros.vision import segmentation_network as network_module
from tiae_ros.vision.eight_bit_network import eight_bits_help
from tiae_ros.vision.labels import HAND, OBJECT
from tiae_ros.vision.segmentation.network import (
    SegmentationManifest,
    SegmentationNetwork,
    Segmenter,
    load_network,
    load_segmenter,
    reduce_color,
    reduce_depth,
    save_segmentation,
    whole_scores,
)
from tiae_ros.vision.segmentation.planes import INPUTS, input_planes
from tiae_ros.vision.segmentation.regions import plausible_cells
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_training import segmentation as training_module
from tiae_training.segmentation.training import FrameArrays, SegmentationTraining, augmented, load_frames, train

TINY = SegmentationManifest(widths=(8, 8, 8, 8), blocks=(0, 0, 1, 1))


def frame_arrays(count=12):
    """Small pictures of the synthetic hand and its box, some of the empty wall."""
    chance = np.random.default_rng(0)
    rows = []
    for number in range(count):
        x, y = chance.integers(40, 120), chance.integers(45, 75)
        scene = make_scene(x, y, scale=0.5, hand=number % 4 > 0, seed=number, width=160, height=120)
        labels = np.zeros(scene.depth_mm.shape, np.uint8)
        labels[scene.depth_mm == 495] = HAND
        labels[scene.depth_mm == 505] = OBJECT
        rows.append((scene.color, scene.depth_mm, labels))
    color, depth, labels = (np.stack(column) for column in zip(*rows, strict=True))
    return FrameArrays(color, depth, labels, np.full(count, FOCAL / 2))


def write_frames(path, frames):
    k = np.zeros((len(frames), 3, 3))
    k[:, 0, 0] = frames.focal_px
    np.savez(path, color=frames.color, depth_mm=frames.depth_mm, segmentation=frames.labels, k=k)
    return path


@pytest.fixture(scope="module")
def trained():
    """A small network that knows the synthetic scenes, and nothing else."""
    settings = SegmentationTraining(steps=160, batch_size=8, height=64, width=80, learning_rate=0.01, seed=0)
    return Segmenter(train(frame_arrays(16), settings, manifest=TINY))


@pytest.fixture
def tiny_folder(tmp_path):
    torch.manual_seed(0)
    save_segmentation(SegmentationNetwork(TINY), tmp_path / "tiny", training={"seed": 0}, measures={"hand_iou": 0.5})
    return tmp_path / "tiny"


def iou(found, true):
    return (found & true).sum() / (found | true).sum()


def test_scores_have_the_size_of_the_grid():
    with torch.inference_mode():
        assert SegmentationNetwork(TINY).eval()(torch.zeros(2, INPUTS, 32, 48)).shape == (2, 3, 32, 48)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("shape", [(1, 12, 4, 5), (3, 12, 1, 7), (2, 12, 6, 1)])
def test_quarters_of_cells_find_their_places(memory, learning, shape):
    quarters = torch.randn(shape).contiguous(memory_format=memory).requires_grad_(learning)
    scores = whole_scores(quarters)
    assert torch.equal(scores, torch.nn.functional.pixel_shuffle(quarters, 2))
    assert scores.requires_grad == learning


def test_folding_the_normalisation_changes_nothing():
    torch.manual_seed(0)
    network = SegmentationNetwork(TINY)
    network.train()(torch.randn(8, INPUTS, 32, 48))  # running means away from 0
    network.eval()
    planes = np.random.default_rng(0).normal(size=(20, 40, INPUTS)).astype(np.float32)
    padded = np.zeros((32, 48, INPUTS), np.float32)
    padded[:20, :40] = planes
    with torch.inference_mode():
        scores = network(torch.from_numpy(padded).permute(2, 0, 1)[None])[0, :, :20, :40]
    segmenter = Segmenter(network)
    for _ in range(2):  # the second time with kernels that are laid out
        np.testing.assert_allclose(segmenter.scores(planes.transpose(2, 0, 1)), scores.numpy(), atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in segmenter.network.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("shape", [(480, 640), (360, 640), (240, 320), (120, 160), (101, 157), (33, 17), (1, 1)])
def test_labels_have_the_size_of_the_picture(tiny_folder, shape):
    chance = np.random.default_rng(0)
    depth = chance.uniform(0.3, 1.2, shape).astype(np.float32)
    depth[chance.random(shape) < 0.1] = np.nan
    color = chance.integers(0, 256, (*shape, 3), np.uint8)
    for seen in (color, None):
        labels = load_segmenter(tiny_folder).segment(seen, depth, focal_px=None)
        assert labels.shape == shape
        assert labels.dtype == np.uint8
        assert labels.max() <= 2


def test_the_planes_of_a_wall_are_the_numbers_worked_out_by_hand():
    color = np.full((4, 6, 3), 192, np.uint8)
    depth = np.full((4, 6), 0.9, np.float32)
    depth[0, 0] = 0
    planes = input_planes(color, depth, 90.0)
    np.testing.assert_allclose(planes[2, 3, :6], [1, 1, 1, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(planes[2, 3, 6:8], 0, atol=1e-4)  # a wall has no relief, a hole makes none
    assert planes[2, 3, 8] == pytest.approx(2 * (np.log(0.01) + 5.3), abs=1e-4)
    np.testing.assert_array_equal(planes[0, 0, 4:], 0)
    np.testing.assert_array_equal(input_planes(None, depth, 90.0)[:, :, :4], 0)


def test_cells_take_the_nearest_surface_and_know_nothing_from_nothing():
    depth = np.full((8, 8), np.nan, np.float32)
    depth[:4, :4] = 1.0
    depth[1, 1] = 0.5  # one of the four pixels that are looked at
    depth[4:, 4:] = [[0.5, 0.51, 0.5, 0.51]] * 4
    depth[:4, 4:] = np.inf
    np.testing.assert_allclose(reduce_depth(depth, 4), [[0.5, 0], [0, 0.51]], atol=0.006)
    kinds = [np.nan, -np.nan, np.inf, -np.inf, 0, -0.0, -1, -200, 1e-30, 0.001, 0.0011, 0.5, 99.9, 100, 3e38]
    kept = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0011, 0.5, 99.9, 0, 0]
    np.testing.assert_array_equal(reduce_depth(np.float32([kinds]), 1), np.float32([kept]))
    color = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_allclose(reduce_color(color, 4)[0, 0], color.mean((0, 1)), atol=1)


@pytest.mark.parametrize("cell", [1, 2, 3, 4, 5, 6, 8])
def test_colours_of_cells_are_means(cell):
    rest = cell - 1  # belongs to no cell
    color = np.random.default_rng(0).integers(0, 256, (4 * cell + rest, 5 * cell + rest, 3), np.uint8)
    whole = color[: 4 * cell, : 5 * cell].astype(float)
    means = whole.reshape(4, cell, 5, cell, 3).mean((1, 3))
    np.testing.assert_allclose(reduce_color(color, cell), means, atol=2)


def test_small_left_overs_and_things_apart_from_the_hand_are_dropped():
    shares = np.zeros((60, 80, 3), np.float32)
    shares[:, :, 0] = 1.5
    depth = np.full((60, 80), 0.5, np.float32)  # a cell is 5 mm wide
    shares[10:40, 10:30, 1] = 5  # 150 cm2 of hand
    shares[12:20, 31:40, 2] = 5  # touches it
    shares[45:55, 60:75, 2] = 5  # stands apart
    shares[2:5, 70:73, 1] = 5  # 2 cm2
    shares[42:59, 5:35, 1] = 2  # 127 cm2 that are a hand with a probability of 0.57
    kept = plausible_cells(shares.transpose(2, 0, 1), depth, 100.0, SegmentationSettings())
    expected = np.zeros_like(kept)
    expected[10:40, 10:30] = expected[12:20, 31:40] = True
    np.testing.assert_array_equal(kept, expected)
    shares[10:40, 10:30, 1] = 0  # without a hand nothing is held
    assert not plausible_cells(shares.transpose(2, 0, 1), depth, 100.0, SegmentationSettings()).any()


def test_a_sure_hand_is_followed_into_cells_that_are_half_sure_and_no_further():
    scores = np.zeros((3, 60, 80), np.float32)
    scores[0] = 4.0
    depth = np.full((60, 80), 0.5, np.float32)  # a cell is 5 mm wide
    scores[1, 10:40, 10:30] = 8.0  # 150 cm2 of hand
    scores[1, 20:24, 30:78] = 3.2  # a finger, half as likely as nothing, and a wall behind it
    scores[2, 14:18, 30:36] = 3.2  # what it holds, as likely
    scores[1, 30:34, 30:40] = 2.5  # a fifth as likely
    scores[1, 45:55, 10:40] = 3.2  # half as likely as nothing, and apart
    kept = plausible_cells(scores, depth, 100.0, SegmentationSettings())
    expected = np.zeros_like(kept)
    expected[10:40, 10:30] = expected[20:24, 30:40] = expected[14:18, 30:36] = True
    np.testing.assert_array_equal(kept, expected)
    scores[1, 10:40, 10:30] = 4.5  # a hand with a probability of 0.62
    assert not plausible_cells(scores, depth, 100.0, SegmentationSettings()).any()


def test_a_second_hand_is_put_before_what_is_behind_it():
    color, depth = np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 500, np.uint16)
    depth[0] = 300  # something near
    labels = np.zeros((4, 4), np.uint8)
    labels[3] = HAND
    hand = np.zeros((4, 4), np.uint8)
    hand[:, 1] = HAND
    read = np.full((4, 4), 400.0)
    read[2] = 0  # without depth
    training_module._put_in_front((color, depth, labels), np.full((4, 4, 3), 9, np.uint8), read, hand)
    assert labels[:, 1].tolist() == [0, HAND, HAND, HAND]
    assert depth[:, 1].tolist() == [300, 400, 0, 400]
    assert color[1, 1].tolist() == [9, 9, 9]
    assert labels[3].tolist() == [HAND] * 4
    assert not labels[:3, 2:].any()


@pytest.mark.parametrize("colour", [True, False])
def test_a_hand_with_a_box_is_found_with_and_without_colour(trained, colour):
    scene = make_scene()
    depth = scene.depth_mm.astype(np.float32) / 1000
    labels = trained.segment(scene.color if colour else None, depth, focal_px=FOCAL)
    assert iou(labels > 0, scene.depth_mm < 1000) > 0.7


@pytest.mark.parametrize("colour", [True, False])
def test_there_is_no_hand_on_an_empty_wall(trained, colour):
    scene = make_scene(hand=False)
    depth = scene.depth_mm.astype(np.float32) / 1000
    labels = trained.segment(scene.color if colour else None, depth, focal_px=FOCAL)
    assert not labels.any()
    assert not trained.segment(scene.color, np.full_like(depth, np.nan)).any()


def test_what_is_too_far_away_is_nothing(trained):
    scene = make_scene()
    depth = scene.depth_mm.astype(np.float32) / 1000
    near = SegmentationSettings(depth_max_m=0.4)
    assert not trained.segment(scene.color, depth, near, focal_px=FOCAL).any()


def test_a_network_of_the_usual_size_is_small(tmp_path):
    save_segmentation(SegmentationNetwork(), tmp_path / "usual")
    assert sum(path.stat().st_size for path in (tmp_path / "usual").iterdir()) <= 2_000_000


@pytest.mark.parametrize(
    ("color", "depth", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.float32), "one size"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.float32), r"\(height, width, 3\) uint8"),
        (None, np.zeros((0, 4), np.float32), "not empty"),
    ],
)
def test_what_is_no_picture_is_refused(tiny_folder, color, depth, message):
    with pytest.raises(ImageError, match=message):
        load_segmenter(tiny_folder).segment(color, depth)


def test_a_saved_network_is_read_back_as_it_was(tiny_folder):
    first, second = load_network(tiny_folder), load_network(tiny_folder)
    assert first.manifest == second.manifest
    assert first.manifest.measures == {"hand_iou": 0.5}
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name])
        assert value.dtype in (torch.float32, torch.int64)


def test_kernels_are_stored_in_half_precision_and_what_it_cannot_hold_is_stored_as_it_is(tmp_path):
    torch.manual_seed(0)
    network = SegmentationNetwork(TINY).eval()
    with torch.no_grad():
        network.head.weight[0, 0, 0, 0] = 1e6
        network.down[0][0][1].running_var[0] = 1e-9
    save_segmentation(network, tmp_path / "half")
    read = load_network(tmp_path / "half").state_dict()
    for name, value in network.state_dict().items():
        halved = value.ndim == 4 and name != "head.weight"
        torch.testing.assert_close(read[name], rounded(value) if halved else value, rtol=0, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_an_error_in_one_line(value):
    network = SegmentationNetwork(TINY).eval()
    with torch.no_grad():
        network.head.bias[1] = value
    with pytest.raises(ModelError, match="segmentation network segmentation gave a number that is not finite"):
        Segmenter(network).segment(None, np.full((48, 64), 0.5, np.float32))


def test_altered_weights_are_refused(tiny_folder):
    content = bytearray((tiny_folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (tiny_folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ModelError, match="sha256"):
        load_segmenter(tiny_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "another"}, "format is 'another'"),
        ({"format_version": 99}, "version 99"),
        ({"widths": [8, 8]}, "widths"),
        ({"widths": [8, 8, 8, 1e9]}, "widths"),
        ({"widths": "8888"}, "widths"),
        ({"blocks": [8, 8, 8, 99]}, "blocks"),
        ({"training": 3}, "training"),
        ({"weights_sha256": None}, "weights_sha256"),
        ({"nonsense": 1}, "unknown fields nonsense"),
        ({"widths": [8, 8, 8, 16]}, "does not fit"),
    ],
)
def test_a_wrong_manifest_is_refused(tiny_folder, change, message):
    content = json.loads((tiny_folder / MANIFEST).read_text())
    (tiny_folder / MANIFEST).write_text(json.dumps({**content, **change}))
    with pytest.raises(ModelError, match=message) as caught:
        load_segmenter(tiny_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_manifest_is_refused(tiny_folder, content):
    (tiny_folder / MANIFEST).write_bytes(content)
    with pytest.raises(ModelError):
        load_segmenter(tiny_folder)


def test_an_absent_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match="not a model folder"):
        load_segmenter(tmp_path / "nowhere")


def test_one_frame_of_many_looks():
    """Whatever is drawn, planes are finite, labels are labels and nothing of the frame itself is changed."""
    frames = frame_arrays(4)
    before = frames.color.copy(), frames.depth_mm.copy(), frames.labels.copy()
    settings = SegmentationTraining(height=32, width=48)
    chance = np.random.default_rng(0)
    for number in range(60):
        planes, labels = augmented(frames, number % 4, chance, settings)
        assert planes.shape == (32, 48, INPUTS)
        assert np.isfinite(planes).all()
        assert labels.shape == (32, 48)
        assert labels.max() <= 2
    for array, old in zip((frames.color, frames.depth_mm, frames.labels), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_a_matcher_of_large_windows_joins_fingers_and_leaves_a_shadow_as_broad_as_the_step():
    depth = np.full((40, 60), 1.0, np.float32)
    depth[10:30, 20:26] = depth[10:30, 28:34] = 0.5  # two fingers, two cells apart
    joined = shadowed = 0
    for seed in range(20):
        seen = training_module.matched_by_large_windows(depth.copy(), np.random.default_rng(seed))
        assert seen.shape == depth.shape
        known = seen[seen > 0]
        assert (np.isclose(known, 0.5) | np.isclose(known, 1.0)).all()  # no surface that is not there
        joined += bool(np.isclose(seen[15:25, 20:34], 0.5).all())
        shadowed += bool((seen[20] == 0).any())
    assert joined >= 5
    assert shadowed >= 10


@pytest.mark.parametrize("size", [(96, 128), (128, 176), (112, 160)])
def test_a_plain_picture_is_the_rendered_one_moved_by_whole_pixels(size):
    whole = frame_arrays(4)
    frames = FrameArrays(whole.color[:, :112], whole.depth_mm[:, :112], whole.labels[:, :112], whole.focal_px)
    settings = SegmentationTraining(height=size[0], width=size[1], plain_share=1.0, colourless_share=0.0)
    same_colours = 0
    for seed in range(12):
        seen = training_module.seen_by_another(frames, 1, np.random.default_rng(seed), settings)
        assert seen.depth_m.shape == seen.labels.shape == size
        assert seen.focal_px == frames.focal_px[1]
        # Each label keeps its pixels' depth: nothing is zoomed, smoothed or holed.
        for label in (HAND, OBJECT):
            true = set(frames.depth_mm[1][frames.labels[1] == label])
            assert set(np.rint(1000 * seen.depth_m[seen.labels == label])) <= true
        if size == (112, 160):
            mirrored = np.array_equal(seen.labels, frames.labels[1][:, ::-1])
            assert mirrored or np.array_equal(seen.labels, frames.labels[1])
            rendered = frames.color[1][:, ::-1] if mirrored else frames.color[1]
            same_colours += np.array_equal(seen.color, rendered)
    assert size != (112, 160) or 0 < same_colours < 12
    dark = dataclasses.replace(settings, colourless_share=1.0)
    assert training_module.seen_by_another(frames, 1, np.random.default_rng(0), dark).color is None


def test_a_plain_picture_of_poor_depth_keeps_its_colour():
    whole = frame_arrays(2)
    frames = FrameArrays(whole.color[:, :112], whole.depth_mm[:, :112], whole.labels[:, :112], whole.focal_px)
    sharp = SegmentationTraining(height=112, width=160, plain_share=1.0, colourless_share=1.0)
    poor = dataclasses.replace(sharp, poor_depth_share=1.0)
    same_colours = lost = 0
    for seed in range(12):
        before, after = (
            training_module.seen_by_another(frames, 1, np.random.default_rng(seed), settings)
            for settings in (sharp, poor)
        )
        assert np.array_equal(before.labels, after.labels)  # the depth is all that changes
        assert before.color is None
        assert after.color is not None
        same_colours += any(np.array_equal(after.color, frames.color[1][:, ::step]) for step in (1, -1))
        on_hand = before.labels == HAND
        assert not np.array_equal(before.depth_m, after.depth_m)
        lost += bool((after.depth_m[on_hand & (before.depth_m > 0)] == 0).any())
    assert 0 < same_colours < 12
    assert lost >= 4


def test_hands_that_hold_nothing_are_picked():
    frames = frame_arrays(3)
    frames.labels[1][frames.labels[1] == 2] = 0
    frames.labels[2][:] = 0
    assert training_module.bare_hands(frames).tolist() == [1]
    settings = SegmentationTraining(steps=1, batch_size=2, height=32, width=32, bare_hand_share=1.0)
    train(frames, settings, manifest=TINY)
    frames.labels[:] = 0
    with pytest.raises(DataError, match="bare_hand_share"):
        train(frames, settings, manifest=TINY)


def test_only_the_hand_loses_its_depth():
    depth = np.full((40, 60), 1.0, np.float32)
    hand = np.zeros((40, 60), bool)
    hand[10:30, 20:40] = True
    depth[hand] = 0.5
    flat = 0
    for seed in range(30):
        seen = training_module.without_parts_of_the_hand(depth, hand, np.random.default_rng(seed))
        assert (seen[hand] != 0.5).any()
        assert (seen == 1.0)[:2].all()  # far from the hand
        flat += bool((seen[hand] == 1.0).all())
    assert depth[hand].min() == 0.5  # what was given is not changed
    assert 1 <= flat <= 9
    nothing = np.zeros_like(hand)
    assert training_module.without_parts_of_the_hand(depth, nothing, np.random.default_rng(0)) is depth


def test_a_tiny_training_learns_and_gives_the_same_again():
    frames = frame_arrays(8)
    settings = SegmentationTraining(steps=30, batch_size=8, height=64, width=80, seed=3, precision="float32")
    losses = []
    first = train(frames, settings, manifest=TINY, report=lambda _step, loss: losses.append(loss))
    again = train(frames, settings, manifest=TINY, beside=True)
    for value, other in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other)
    short = []
    train(frames, dataclasses.replace(settings, steps=1), manifest=TINY, report=lambda _step, loss: short.append(loss))
    assert losses[-1] < 0.9 * short[-1]  # a running mean over 50 steps


def test_a_widened_network_gives_the_same_until_it_is_trained():
    torch.manual_seed(0)
    narrow = SegmentationNetwork(SegmentationManifest(widths=(4, 8, 8, 8), blocks=(1, 1, 1, 1))).eval()
    wide, planes = training_module.widened(narrow, (8, 8, 12, 16)), torch.rand(2, 9, 32, 48)
    assert wide.manifest.widths == (8, 8, 12, 16)
    assert not wide.training
    with torch.no_grad():
        torch.testing.assert_close(wide(planes), narrow(planes))
    with pytest.raises(ParameterError, match=r"widths are \[4, 8, 8, 7\]; at least \[4, 8, 8, 8\]"):
        training_module.widened(narrow, (4, 8, 8, 7))


def test_a_loss_that_is_not_finite_stops_the_training(monkeypatch):
    monkeypatch.setattr(training_module, "objective", lambda scores, *_: scores.sum() * float("nan"))
    settings = SegmentationTraining(steps=2, batch_size=1, height=32, width=32)
    with pytest.raises(TrainingError, match="step 0"):
        train(frame_arrays(2), settings, manifest=TINY)


@pytest.mark.parametrize("change", [{"height": 33}, {"steps": 0}, {"colourless_share": 2.0}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ParameterError):
        SegmentationTraining(**change)


def test_what_is_no_frame_file_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(DataError, match="--channels frames"):
        load_frames([tmp_path / "other.npz"])


def test_the_command_line_trains_measures_and_writes_a_model(tmp_path):
    data = write_frames(tmp_path / "frames.npz", frame_arrays(4))
    command = [sys.executable, "-m", "tiae_training.segmentation.training", "--data", data, "--test", data]
    command += ["--out", tmp_path / "model", "--steps", 2, "--batch-size", 2, "--height", 32, "--width", 48]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    manifest = load_network(tmp_path / "model").manifest
    suffixes = ("", "_int8") if eight_bits_help() else ("",)
    assert set(manifest.measures) == {
        f"{name}_iou{suffix}{seen}"
        for name in ("hand", "object") for suffix in suffixes for seen in ("", "_depth_only")
    }  # fmt: skip
    assert "held-out" in (tmp_path / "model" / "card.md").read_text()
    again = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=100, check=False)
    assert again.returncode == 2
    assert "exists" in again.stderr
    assert "Traceback" not in again.stderr


def test_the_card_of_a_network_that_goes_on_from_another_tells_of_both(tmp_path, monkeypatch):
    monkeypatch.setattr(training_module, "SAVE_EVERY", 1)  # what is saved on the way says only that it is unfinished
    data = write_frames(tmp_path / "frames.npz", frame_arrays(4))
    usual = ["--data", str(data), "--steps", "1", "--batch-size", "2", "--height", "32", "--width", "48", "--out"]
    assert training_module.main([*usual, str(tmp_path / "first"), "--seed", "5"]) == 0
    for out, words in (("second", []), ("wider", ["--widths", "16", "32", "64", "128"])):
        assert training_module.main([*usual, str(tmp_path / out), "--start", str(tmp_path / "first"), *words]) == 0
        training = load_network(tmp_path / out).manifest.training
        assert training["started from"]["settings"]["seed"] == 5
    assert load_network(tmp_path / "wider").manifest.widths == (16, 32, 64, 128)


def test_a_network_of_a_step_on_the_way_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training_module, "SAVE_EVERY", 50)  # progress is told every 50 steps
    data = write_frames(tmp_path / "frames.npz", frame_arrays(4))
    size = ["--batch-size", "2", "--height", "32", "--width", "48"]
    usual = ["--data", str(data), *size, "--out", str(tmp_path / "run")]
    assert training_module.main([*usual, "--steps", "51", "--keep", "50"]) == 0
    kept, whole = (load_network(tmp_path / name) for name in ("run_50", "run"))
    assert kept.manifest.training["unfinished"] == "step 50 of 51"
    assert kept.manifest.training["settings"] == whole.manifest.training["settings"]
    assert "unfinished" not in whole.manifest.training
    means = [network.down[0][0][1].running_mean for network in (kept, whole)]
    assert not torch.equal(*means)  # a step further
    for words, wrong in (
        (["--steps", "51", "--keep", "50"], "run exists"),
        (["--steps", "51", "--keep", "51", "--overwrite"], "keep is 51; it must be a multiple of 50 up to 51"),
        (["--steps", "51", "--keep", "0", "--overwrite"], "keep is 0"),
    ):
        assert training_module.main([*usual, *words]) == 2
        assert wrong in capsys.readouterr().err


def test_only_pictures_without_a_hand_pay_for_what_looks_like_one():
    scores = torch.zeros(2, 3, 16, 16)
    scores[:, 0] = 4.0
    scores[1, 1, :2, :8] = 8.0  # 16 cells look like a hand
    labels = torch.zeros(2, 16, 16, dtype=torch.long)
    with_hand = labels.clone()
    with_hand[1, :2, :8] = 1
    plain, surprised = (training_module.objective(scores, labels, weight) for weight in (0.0, 1.0))
    share = torch.softmax(scores, 1)[:, 1].flatten(1).topk(training_module.SURPRISING_CELLS, dim=1).values
    assert surprised - plain == pytest.approx(float(-torch.log1p(-share).mean()), rel=1e-4)
    first_only = -torch.log1p(-share[:1]).mean()
    by_hand = [training_module.objective(scores, with_hand, weight) for weight in (0.0, 1.0)]
    assert by_hand[1] - by_hand[0] == pytest.approx(float(first_only), rel=1e-3)


def test_pictures_that_deceive_a_network_are_picked(tmp_path, monkeypatch):
    frames = frame_arrays(4)
    frames.labels[:3] = 0

    def two_hands(_segmenter, color, depth, focal_px):
        scores = np.zeros((3, *depth.shape), np.float32)
        if any(np.array_equal(color, frames.color[index]) for index in (1, 3)):
            scores[1] = 1.0
        return scores

    monkeypatch.setattr(training_module, "scores_of", two_hands)
    network = network_module.SegmentationNetwork(TINY)
    assert training_module.deceiving(network, frames).tolist() == [1]  # in 3 there is a hand

    network_module.save_segmentation(network, tmp_path / "model")
    data = write_frames(tmp_path / "frames.npz", frames)
    words = ["--deceive", str(tmp_path / "model"), "--data", str(data), "--out", str(tmp_path / "hard.npz")]
    assert training_module.main(words) == 0
    (chosen,) = load_frames([tmp_path / "hard.npz"]).color
    np.testing.assert_array_equal(chosen, frames.color[1])
    assert training_module.main(words) == 2  # exists


def test_the_mean_of_networks(tmp_path):
    torch.manual_seed(0)
    manifest = network_module.SegmentationManifest(widths=(2, 2, 2, 2), blocks=(0, 0, 0, 0))
    one, other = (network_module.SegmentationNetwork(manifest) for _ in range(2))
    mean = training_module.average([one, other])
    for name, weight in mean.state_dict().items():
        pair = one.state_dict()[name].double(), other.state_dict()[name].double()
        torch.testing.assert_close(weight.double(), (pair[0] + pair[1]) / 2, atol=1e-6, rtol=0)
    wider = network_module.SegmentationNetwork(
        network_module.SegmentationManifest(widths=(2, 2, 2, 4), blocks=(0, 0, 0, 0))
    )
    with pytest.raises(ModelError, match="different shapes"):
        training_module.average([one, wider])
    for number, network in enumerate((one, other)):
        network_module.save_segmentation(network, tmp_path / f"n{number}")
    words = ["--average", str(tmp_path / "n0"), str(tmp_path / "n1"), "--out", str(tmp_path / "mean")]
    assert training_module.main(words) == 0
    assert "--average" in network_module.load_network(tmp_path / "mean").manifest.training["command"]
