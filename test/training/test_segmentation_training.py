"""Training the segmentation network: frames seen by other cameras, the loss, what comes out, and the command."""

import dataclasses

import numpy as np
import pytest
import torch
from labelled_frames import iou
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.cli import main
from tiae_ros.commands import train_segmentation
from tiae_ros.errors import DataError, ModelError, ParameterError, TrainingError
from tiae_ros.model.folder import NETWORK, NETWORK_INT8, WEIGHTS, read_folder, read_manifest, write_folder
from tiae_ros.model.segmenter import load_segmentation
from tiae_ros.vision.labels import HAND, OBJECT
from tiae_ros.vision.segmentation.network import NetworkSegmentation
from tiae_ros.vision.segmentation.planes import INPUTS
from tiae_training.model import rounded
from tiae_training.networks.segmentation import SegmentationNetwork
from tiae_training.segmentation import augmentation
from tiae_training.segmentation import training as training_module
from tiae_training.segmentation.evaluation import hard_negatives
from tiae_training.segmentation.folder import load_segmentation_network, save_segmentation, segmentation_manifest
from tiae_training.segmentation.frames import FrameArrays, empty_hands, load_frames
from tiae_training.segmentation.loss import HARD_NEGATIVE_CELLS, loss_of
from tiae_training.segmentation.settings import SegmentationTraining
from tiae_training.segmentation.training import average, train, widened

SMALL = ["--batch-size", "2", "--height", "32", "--width", "48", "--widths", "8", "8", "8", "8"]


def tiny(widths=(8, 8, 8, 8), blocks=(0, 0, 1, 1)):
    return SegmentationNetwork(widths, blocks)


def seeded():
    torch.manual_seed(3)
    return tiny()


def runs(*words):
    return main(["train", "segmentation", *map(str, words)])


def in_torch(network):
    """A network that is not exported, as what a node runs."""

    def graph(planes):
        with torch.inference_mode():
            return [network(torch.from_numpy(planes)).numpy()]

    return NetworkSegmentation(graph, "in torch")


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
    torch.manual_seed(0)
    return in_torch(train(frame_arrays(16), settings, start=tiny()))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """What the command makes of a few frames, which lie beside it."""
    folder = tmp_path_factory.mktemp("runs")
    data = write_frames(folder / "frames.npz", frame_arrays(4))
    words = ["--data", data, "--test", data, "--steps", 2, "--seed", 5, *SMALL, "--out", folder / "first"]
    assert runs(*words) == 0
    assert runs(*words) == 2  # it exists
    return folder / "first"


@pytest.mark.parametrize("colour", [True, False])
def test_a_trained_network_finds_the_hand(trained, colour):
    for hand in (True, False):
        scene = make_scene(hand=hand)
        depth = scene.depth_mm.astype(np.float32) / 1000
        labels = trained.segment(scene.color if colour else None, depth, focal_px=FOCAL)
        assert iou(labels > 0, scene.depth_mm < 1000) > 0.7 if hand else not labels.any()


def test_one_frame_of_many_looks():
    """Whatever is drawn, planes are finite, labels are labels and nothing of the frame itself is changed."""
    frames = frame_arrays(4)
    before = frames.color.copy(), frames.depth_mm.copy(), frames.labels.copy()
    settings = SegmentationTraining(height=32, width=48)
    chance = np.random.default_rng(0)
    for number in range(60):
        planes, labels = augmentation.augmented(frames, number % 4, chance, settings)
        assert planes.shape == (32, 48, INPUTS)
        assert np.isfinite(planes).all()
        assert labels.shape == (32, 48)
        assert labels.max() <= 2
    for array, old in zip((frames.color, frames.depth_mm, frames.labels), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_a_second_hand_hides_what_is_behind():
    color, depth = np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 500, np.uint16)
    depth[0] = 300  # something near
    labels = np.zeros((4, 4), np.uint8)
    labels[3] = HAND
    hand = np.zeros((4, 4), np.uint8)
    hand[:, 1] = HAND
    read = np.full((4, 4), 400.0)
    read[2] = 0  # without depth
    augmentation._put_in_front((color, depth, labels), np.full((4, 4, 3), 9, np.uint8), read, hand)
    assert labels[:, 1].tolist() == [0, HAND, HAND, HAND]
    assert depth[:, 1].tolist() == [300, 400, 0, 400]
    assert color[1, 1].tolist() == [9, 9, 9]
    assert labels[3].tolist() == [HAND] * 4
    assert not labels[:3, 2:].any()


@pytest.mark.parametrize("size", [(96, 128), (128, 176), (112, 160)])
def test_plain_pictures_move_by_whole_pixels(size):
    whole = frame_arrays(4)
    frames = FrameArrays(whole.color[:, :112], whole.depth_mm[:, :112], whole.labels[:, :112], whole.focal_px)
    settings = SegmentationTraining(height=size[0], width=size[1], plain_share=1.0, without_color_share=0.0)
    same_colours = 0
    for seed in range(12):
        seen = augmentation.seen_by_another_camera(frames, 1, np.random.default_rng(seed), settings)
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
    dark = dataclasses.replace(settings, without_color_share=1.0)
    assert augmentation.seen_by_another_camera(frames, 1, np.random.default_rng(0), dark).color is None


def test_plain_pictures_of_poor_depth_keep_colour():
    whole = frame_arrays(2)
    frames = FrameArrays(whole.color[:, :112], whole.depth_mm[:, :112], whole.labels[:, :112], whole.focal_px)
    sharp = SegmentationTraining(height=112, width=160, plain_share=1.0, without_color_share=1.0)
    poor = dataclasses.replace(sharp, poor_depth_share=1.0)
    same_colours = lost = 0
    for seed in range(12):
        before, after = (
            augmentation.seen_by_another_camera(frames, 1, np.random.default_rng(seed), settings)
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
    assert empty_hands(frames).tolist() == [1]
    settings = SegmentationTraining(steps=1, batch_size=2, height=32, width=32, empty_hand_share=1.0)
    train(frames, settings, start=seeded())
    frames.labels[:] = 0
    with pytest.raises(DataError, match="empty_hand_share"):
        train(frames, settings, start=seeded())


def test_a_tiny_training_learns_and_repeats_itself():
    frames = frame_arrays(8)
    settings = SegmentationTraining(steps=30, batch_size=4, height=48, width=64, seed=3, precision="float32")
    losses = []
    first = train(frames, settings, start=seeded(), report=lambda _step, loss: losses.append(loss))
    again = train(frames, settings, start=seeded(), prefetch=True)
    for value, other in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(value, other)
    short = []
    train(frames, dataclasses.replace(settings, steps=1), start=seeded(), report=lambda _step, loss: short.append(loss))
    assert losses[-1] < 0.9 * short[-1]  # a running mean over 50 steps


def test_a_widened_network_begins_as_the_same():
    torch.manual_seed(0)
    narrow = tiny((4, 8, 8, 8), (1, 1, 1, 1)).eval()
    wide, planes = widened(narrow, (8, 8, 12, 16)), torch.rand(2, 9, 32, 48)
    assert wide.widths == (8, 8, 12, 16)
    assert not wide.training
    with torch.no_grad():
        torch.testing.assert_close(wide(planes), narrow(planes))
    with pytest.raises(ParameterError, match=r"widths are \[4, 8, 8, 7\]; at least \[4, 8, 8, 8\]"):
        widened(narrow, (4, 8, 8, 7))


def test_a_loss_not_finite_stops_the_training(monkeypatch):
    monkeypatch.setattr(training_module, "loss_of", lambda scores, *_: scores.sum() * float("nan"))
    settings = SegmentationTraining(steps=2, batch_size=1, height=32, width=32)
    with pytest.raises(TrainingError, match="step 0"):
        train(frame_arrays(2), settings, start=seeded())


@pytest.mark.parametrize("change", [{"height": 33}, {"steps": 0}, {"without_color_share": 2.0}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ParameterError):
        SegmentationTraining(**change)


def test_what_is_no_frame_file_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(DataError, match="--channels frames"):
        load_frames([tmp_path / "other.npz"])


def test_only_empty_pictures_pay_for_hard_negatives():
    scores = torch.zeros(2, 3, 16, 16)
    scores[:, 0] = 4.0
    scores[1, 1, :2, :8] = 8.0  # 16 cells look like a hand
    labels = torch.zeros(2, 16, 16, dtype=torch.long)
    with_hand = labels.clone()
    with_hand[1, :2, :8] = 1
    plain, dearer = (loss_of(scores, labels, weight) for weight in (0.0, 1.0))
    share = torch.softmax(scores, 1)[:, 1].flatten(1).topk(HARD_NEGATIVE_CELLS, dim=1).values
    assert dearer - plain == pytest.approx(float(-torch.log1p(-share).mean()), rel=1e-4)
    first_only = -torch.log1p(-share[:1]).mean()
    by_hand = [loss_of(scores, with_hand, weight) for weight in (0.0, 1.0)]
    assert by_hand[1] - by_hand[0] == pytest.approx(float(first_only), rel=1e-3)


def test_hard_negatives_are_picked():
    frames = frame_arrays(4)
    frames.labels[:3] = 0

    def fooled(planes):
        """In the pictures 1 and 3 it sees hands everywhere."""
        seen = 64 * (planes[0, :3, :120, :160].transpose(1, 2, 0) + 2)
        scores = np.zeros((1, 3, *planes.shape[2:]), np.float32)
        scores[0, 1] = any(np.array_equal(seen, frames.color[index]) for index in (1, 3))
        return [scores]

    assert hard_negatives(NetworkSegmentation(fooled, "fooled"), frames).tolist() == [1]  # in 3 there is a hand


def test_hard_negatives_by_command(network_folder, tmp_path, capsys):
    frames = frame_arrays(4)  # the first shows no hand, and this network sees one everywhere
    data = write_frames(tmp_path / "frames.npz", frames)
    words = ["--hard-negatives", network_folder, "--data", data, "--out", tmp_path / "hard.npz"]
    assert runs(*words) == 0
    (chosen,) = load_frames([tmp_path / "hard.npz"]).color
    np.testing.assert_array_equal(chosen, frames.color[0])
    assert runs(*words) == 2  # exists
    frames.labels[0, 0] = HAND
    data = write_frames(tmp_path / "hands.npz", frames)
    assert runs(*words[:2], "--data", data, "--out", tmp_path / "none.npz") == 2
    assert "in none of 4 frames" in capsys.readouterr().err


def test_the_mean_of_networks():
    one, other = (tiny((2, 2, 2, 2), (0, 0, 0, 0)) for _ in range(2))
    for name, weight in average([one, other]).state_dict().items():
        pair = one.state_dict()[name].double(), other.state_dict()[name].double()
        torch.testing.assert_close(weight.double(), (pair[0] + pair[1]) / 2, atol=1e-6, rtol=0)
    with pytest.raises(ModelError, match="different shapes"):
        average([one, tiny((2, 2, 2, 4), (0, 0, 0, 0))])


def test_a_saved_network_is_read_back(tmp_path):
    """Kernels are rounded and stored in half precision; what that cannot hold is stored as it is."""
    torch.manual_seed(0)
    network = tiny().eval()
    with torch.no_grad():
        network.head.weight[0, 0, 0, 0] = 1e6
        network.down[0][0][1].running_var[0] = 1e-9
    before = {name: value.clone() for name, value in network.state_dict().items()}
    save_segmentation(network, tmp_path / "half", segmentation_manifest(network, measures={"hand_iou": 0.5}))
    again, manifest = load_segmentation_network(tmp_path / "half")
    assert manifest.measures == {"hand_iou": 0.5}
    for name, value in before.items():
        halved = value.ndim == 4 and name != "head.weight"
        torch.testing.assert_close(again.state_dict()[name], rounded(value) if halved else value, rtol=0, atol=0)


def test_weights_that_do_not_fit_are_refused(network_folder, tmp_path):
    content = read_folder(network_folder)
    other = dataclasses.replace(content.manifest, network=tiny((8, 8, 8, 16)).parts)
    for manifest, files, said in (
        (other, content.files, "does not fit"),
        (content.manifest, {**content.files, WEIGHTS: b"garbage"}, "not a safetensors file"),
        (content.manifest, {NETWORK: content.files[NETWORK]}, "without the torch weights"),
    ):
        write_folder(tmp_path / "tiny", manifest, files)
        with pytest.raises(ModelError, match=said):
            load_segmentation_network(tmp_path / "tiny")


def test_the_command_trains_and_measures(first, capsys):
    manifest = read_manifest(first)
    assert set(manifest.measures) == {
        f"{name}_iou{suffix}{seen}"
        for name in ("hand", "object") for suffix in ("", "_int8") for seen in ("", "_depth_only")
    }  # fmt: skip
    assert set(manifest.files) == {NETWORK, NETWORK_INT8, WEIGHTS}
    assert manifest.training["settings"]["seed"] == 5
    assert "--data frames.npz --test frames.npz" in manifest.training["command"]
    card = (first / "card.md").read_text()
    assert "held-out" in card
    assert "8 bits" in card
    assert load_segmentation(first).segment(None, np.full((48, 64), 0.5, np.float32)).shape == (48, 64)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--data is missing"),
        (["--data", "FRAMES", "--keep", "51"], "keep is 51; it must be a multiple of 1000 up to 11000"),
        (["--data", "FRAMES", "--keep", "0"], "keep is 0"),
        (["--average", "FIRST", "--start", "FIRST"], "--start is for training; --average trains nothing"),
        (["--hard-negatives", "FIRST", "--data", "FRAMES", "--keep", "50"], "--hard-negatives trains nothing"),
        (["--data", "NOWHERE"], "--channels frames"),
        (["--data", "FRAMES", "--start", "NOWHERE"], "there is no model"),
        (["--data", "FRAMES", "--start", "FIRST", "--widths", "8", "8", "8", "4"], "widths are [8, 8, 8, 4]"),
    ],
)
def test_options_that_do_not_fit(first, tmp_path, capsys, words, said):
    places = {"FRAMES": first.with_name("frames.npz"), "FIRST": first, "NOWHERE": tmp_path / "nowhere"}
    assert runs(*(places.get(word, word) for word in words), "--out", tmp_path / "out") == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "out").exists()


def test_training_goes_on_and_keeps_steps(first, tmp_path, monkeypatch):
    monkeypatch.setattr(train_segmentation, "SAVE_EVERY", 50)  # progress is told every 50 steps
    data, out = first.with_name("frames.npz"), tmp_path / "run"
    size = [*SMALL[:-4], "8", "8", "8", "16"]
    assert runs("--data", data, "--start", first, *size, "--steps", 51, "--keep", 50, "--out", out) == 0
    (kept, before), (network, whole) = (load_segmentation_network(tmp_path / name) for name in ("run_50", "run"))
    assert network.widths == kept.widths == (8, 8, 8, 16)
    assert whole.training["started from"]["settings"]["seed"] == 5
    assert before.training["unfinished"] == "step 50 of 51"
    assert before.training["settings"] == whole.training["settings"]
    assert "unfinished" not in whole.training
    means = [one.down[0][0][1].running_mean for one in (kept, network)]
    assert not torch.equal(*means)  # a step further


@pytest.mark.parametrize("given", ["--test", None])
def test_averages_by_command(first, tmp_path, given):
    frames = [given, first.with_name("frames.npz")] if given else []
    size = ["--height", 32, "--width", 48]
    assert runs("--average", first, first, *frames, *size, "--out", tmp_path / "mean") == 0
    manifest = read_manifest(tmp_path / "mean")
    assert "--average first first" in manifest.training["command"]
    assert "frames" not in manifest.training  # it was not trained on them
    assert manifest.training["of first"]["settings"]["seed"] == 5
    assert (NETWORK_INT8 in manifest.files) == bool(given)
    assert ("object_iou_int8" in manifest.measures) == (given == "--test")
    one, other = (load_segmentation_network(folder)[0].state_dict() for folder in (first, tmp_path / "mean"))
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight)
