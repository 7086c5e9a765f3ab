"""Training a hand pose model: drawn hands whose joints show, into a folder and out of it; what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")

import torch

from tiae_ros import load_model
from tiae_ros.cli import main
from tiae_ros.imitation.human_hand import JOINT_NAMES
from tiae_ros.model.folder import POSE, WEIGHTS, read_folder, write_folder
from tiae_ros.model.hand_pose import ENCODER_SHA256, check_belongs, load_hand_pose
from tiae_ros.model.manifest import HAND_POSE
from tiae_ros.model.shipped import find_model
from tiae_ros.vision.detail import STORED_PX, arm_angles, bring
from tiae_training import load_network
from tiae_training.export import graph_module, save_model
from tiae_training.imitation import flicker
from tiae_training.imitation.evaluation import auroc, spearman
from tiae_training.imitation.folder import hand_pose_manifest, load_hand_pose_network, save_hand_pose
from tiae_training.imitation.keypoints import IN_PALM, in_palm_frame, off_heat
from tiae_training.imitation.networks import INPUTS, HandPoseNetwork, negative_log_likelihood
from tiae_training.imitation.others import draw_no_hands, draw_others, window_of_details
from tiae_training.imitation.rows import FINGER_JOINTS, load_hand_rows
from tiae_training.imitation.seeing import estimates, pinches_of
from tiae_training.imitation.settings import HandPoseTraining
from tiae_training.imitation.training import Batches, read_like_before, train_hand_pose

pytestmark = pytest.mark.timeout(600)
CHANNELS = ("hand_mask", "object_mask", "depth")


def write_windows(path: Path, count: int = 160, seed: int = 0, **changes: np.ndarray) -> Path:
    """Bars whose length is the bend of all joints, those of left hands mirrored; not all is told of all."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 3, 32, 32), np.uint8)
    bend, left = rng.random(count), rng.random(count) < 0.5
    for image, share, mirrored in zip(images, bend, left, strict=True):
        end = 26 - round(14 * share)
        image[0, 12:20, 6:end] = 255
        image[0, 20:24, 6:10] = 255  # the thumb's side
        image[1, 8:12, 8:14] = 255
        image[2] = (image[0] > 0) * 130 + (image[1] > 0) * 100
        if mirrored:
            image[:] = image[:, :, ::-1]
    fine = images[:, :, 1:31, 1:31].repeat(8, 2).repeat(8, 3)[:, :, 1::3, 1::3]  # 30 pixels are 80
    content = {
        "images": images,
        "details": fine,
        "keypoints": np.zeros((count, 21, 3), np.float32),
        "channels": np.array(CHANNELS),
        "joints": np.tile(bend[:, None].astype(np.float32), (1, len(JOINT_NAMES))),
        "joint_names": np.array(JOINT_NAMES),
        "tips_mm": (100 - 40 * bend[:, None, None] * np.ones((1, 5, 3))).astype(np.float32),
        "left_hand": left,
        "hand_size_m": np.where(rng.random(count) < 0.5, np.nan, 0.187).astype(np.float32),
        "subjects": np.arange(count) // 8,
        "labels": np.zeros(count, np.int64),
        "label_names": np.array(["fist"]),
        "metric_size_m": np.array(0.3),
        "range_m": np.array(0.3),
    }
    content["tips_mm"][::3] = np.nan
    np.savez(path, **{name: values for name, values in (content | changes).items() if values is not None})
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """A model and windows of other people."""
    folder = tmp_path_factory.mktemp("hand_pose")
    data, test = write_windows(folder / "data.npz"), write_windows(folder / "test.npz", 48, seed=1)
    words = ["--data", str(data), "--test", str(test), "--model", "hands", "--out", str(folder / "trained")]
    assert (
        main(
            [
                "train",
                "hand_pose",
                *words,
                "--epochs",
                "6",
                "--batch-size",
                "16",
                "--hidden",
                "32",
                "--turned-share",
                "0",
            ]
        )
        == 0
    )
    return folder / "trained", test


def test_what_was_trained_runs_without_torch(trained):
    folder, test = trained
    pose, autoencoder = load_hand_pose(folder), load_model("hands")
    check_belongs(pose, autoencoder)
    manifest = pose.manifest
    assert manifest.training["command"].startswith("tiae train hand_pose --data data.npz --model hands --test test.npz")
    rows = load_hand_rows([test], autoencoder.manifest)
    seen = autoencoder.describe(rows.images)
    details = bring(rows.details, seen.parameters, arm_angles(rows.images, seen.parameters))
    said = pose.estimate(rows.images, seen.descriptor, details)
    assert np.degrees(np.abs(said.joints - rows.joints)).mean() < 9  # 14 for the mean of all
    assert manifest.measures["joints_deg"] < 11  # under random shifts
    assert (said.joint_spread > 0).all()
    assert said.known.mean() > 0.8
    content = read_folder(folder)
    assert len(content.files[POSE]) < 0.8 * len(content.files[WEIGHTS])  # in 8 bits what there is in 16
    graph = graph_module(content, POSE)
    given = {"window": rows.images, "descriptor": seen.descriptor, "detail": details}
    with torch.inference_mode():
        joints = graph(*(torch.from_numpy(given[name]) for name in pose.inputs))[0]
    np.testing.assert_allclose(joints.numpy(), said.joints, atol=1e-4)


@pytest.mark.parametrize(("sees", "size"), [("descriptor", 32), ("window", 32), ("detail", 29)])
def test_other_inputs_and_sizes_are_exported_too(tmp_path, sees, size):
    network = HandPoseNetwork(sees, 3, size, 96, 8)
    of = dataclasses.replace(load_model("hands").manifest, window_size=size)
    save_hand_pose(network, tmp_path / sees, hand_pose_manifest(network, of, 0.0))
    assert load_hand_pose(tmp_path / sees).inputs == INPUTS[sees]


def test_a_run_keeps_its_options(trained, tmp_path, capsys):
    """Its config.yaml makes it again, and --json is one object."""
    config = trained[0] / "config.yaml"
    again = tmp_path / "again"
    words = ["--config", str(config), "--epochs", "1", "--json", "--out", str(again)]
    assert main(["train", "hand_pose", *words]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == str(again)
    assert said["measures"]["windows"] == 48
    kept = load_hand_pose(again).manifest.training
    assert kept["settings"]["hidden"] == 32  # of the file
    assert kept["settings"]["epochs"] == 1  # of the command line


def test_few_steps_are_enough(tmp_path):
    """Four: a learning rate that rises for exactly one step would divide by zero."""
    rows = load_hand_rows([write_windows(tmp_path / "data.npz", 32)], ByCentroid.manifest)
    settings = HandPoseTraining(sees="descriptor", epochs=1, batch_size=8, hidden=8)
    for epochs in (1, 2):
        train_hand_pose(ByCentroid(), rows, None, dataclasses.replace(settings, epochs=epochs), say=lambda line: None)


def of_another_auto_encoder(folder: Path, other: Path) -> str:
    content = read_folder(folder, HAND_POSE)
    preprocessing = {**content.manifest.preprocessing, ENCODER_SHA256: "0" * 64}
    write_folder(other, dataclasses.replace(content.manifest, preprocessing=preprocessing), content.files)
    return str(other)


def test_a_training_goes_on_from_a_model(trained, tmp_path, capsys):
    start = of_another_auto_encoder(trained[0], tmp_path / "start")
    data = write_windows(tmp_path / "data.npz", 160, seed=3)
    test = write_windows(tmp_path / "test.npz", 48, seed=4)
    words = ["train", "hand_pose", "--data", str(data), "--test", str(test), "--model", "hands", "--epochs", "1",
             "--learning-rate", "0.0001", "--turned-share", "0", "--start", start]  # fmt: skip
    assert main([*words, "--hidden", "32", "--out", str(tmp_path / "more")]) == 0
    more, before = load_hand_pose(tmp_path / "more").manifest, load_hand_pose(trained[0]).manifest
    assert more.training["started from"]["command"] == before.training["command"]
    assert "--start start" in more.training["command"]
    check_belongs(load_hand_pose(tmp_path / "more"), load_model("hands"))
    assert more.measures["joints_deg"] < 1.15 * before.measures["joints_deg"]  # 14 for the mean of all
    capsys.readouterr()
    assert main([*words, "--out", str(tmp_path / "other")]) == 2
    assert "--hidden is 192, but that of --start" in capsys.readouterr().err


class Mixed:
    """Stands for an auto-encoder: 12 numbers that a window's mean brightnesses are mixed into."""

    def __init__(self, seed: int) -> None:
        self.manifest = dataclasses.replace(ByCentroid.manifest, descriptor_size=12)
        self.mixing = torch.randn(12, 12, generator=torch.Generator().manual_seed(seed))

    @property
    def network(self):
        def forward_encoder(windows):
            means = torch.nn.functional.avg_pool2d(windows, 16).flatten(1)
            return means @ self.mixing + 1.0, torch.zeros(len(windows), 2)

        return SimpleNamespace(forward_encoder=forward_encoder)


def test_what_reads_one_auto_encoder_reads_another_like_it(tmp_path):
    """Descriptors that tell the same in other numbers: estimates stay, though nothing is trained."""
    torch.manual_seed(2)
    rows = load_hand_rows([write_windows(tmp_path / "data.npz", 160)], ByCentroid.manifest)
    bright = np.random.default_rng(1).random((len(rows), 3, 2, 2))  # so that no number follows from the others
    rows.images[:] = bright.repeat(16, 2).repeat(16, 3)
    network, (before, now) = HandPoseNetwork("descriptor", 3, 32, 12, 8), (Mixed(1), Mixed(2))
    windows = torch.from_numpy(rows.images)
    wanted = network(before.network.forward_encoder(windows)[0])[0]
    assert read_like_before(network, before, now, rows, HandPoseTraining()) > 0.98
    found = network(now.network.forward_encoder(windows)[0])[0]
    assert (found - wanted).abs().mean() < 0.1 * (wanted - wanted.mean(0)).abs().mean()


def test_a_model_reads_another_auto_encoder_without_training(trained, tmp_path, capsys):
    """Of itself nothing is lost; without --start, or with what that was not trained on, it is refused."""
    data, test = write_windows(tmp_path / "data.npz", 160, seed=3), write_windows(tmp_path / "test.npz", 48, seed=4)
    words = ["train", "hand_pose", "--data", str(data), "--test", str(test), "--hidden", "32", "--epochs", "0"]
    other = tmp_path / "other"
    content = read_folder(Path(find_model("hands")))
    manifest = dataclasses.replace(content.manifest, model_id="other")
    network = load_network("hands")
    with torch.no_grad():
        network.network.linear_encoder.bias += 0.25  # all descriptors, by a constant
    network.manifest = manifest
    save_model(network, other)
    words += ["--model", str(other), "--out", str(tmp_path / "read")]
    assert main([*words, "--start", str(trained[0]), "--start-model", "hands"]) == 0
    assert "% of the old descriptors' variance is told" in capsys.readouterr().err
    read, before = load_hand_pose(tmp_path / "read").manifest, load_hand_pose(trained[0]).manifest
    assert read.measures["joints_deg"] < 1.15 * before.measures["joints_deg"]
    assert "--start-model hands --test" in read.training["command"]
    words += ["--overwrite"]
    for more, said in (
        (["--start-model", "hands"], "--start-model is hands without --start; accepted are both, or neither"),
        (["--start", str(trained[0]), "--start-model", str(other)], "other, but --start was trained on another hands"),
        ([], "epochs is 0 without --start"),
        (["--start", str(trained[0])], "epochs is 0, and --start was trained on another auto-encoder than --model"),
        (["--average", "a", "b", "--start-model", "hands"], "--average and --start-model were given"),
        (["--start", str(trained[0]), "--start-model", "hands", "--model", "hands"], "--start was trained on --model"),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err


def test_the_mean_of_two_models_lies_between_them(trained, tmp_path, capsys):
    """Their weights do, and its spread is measured anew; what cannot be averaged is refused."""
    data = write_windows(tmp_path / "data.npz", 160, seed=3)
    words = ["train", "hand_pose", "--data", str(data), "--model", "hands", "--hidden", "32", "--turned-share", "0"]
    more, mean = tmp_path / "more", tmp_path / "mean"
    assert main([*words, "--start", str(trained[0]), "--epochs", "1", "--out", str(more)]) == 0
    assert main([*words, "--average", str(trained[0]), str(more), "--out", str(mean)]) == 0
    states = [load_hand_pose_network(folder)[0].state_dict() for folder in (trained[0], more, mean)]
    kernel = "body.0.weight"
    step = float(states[2][kernel].abs().max()) / 127  # weights are kept in steps
    torch.testing.assert_close(states[2][kernel], (states[0][kernel] + states[1][kernel]) / 2, atol=step, rtol=0)
    manifest = load_hand_pose(mean).manifest
    assert "--average trained more" in manifest.training["command"]
    assert "--start trained" in manifest.training["of more"]["command"]
    assert f"`{manifest.training['of trained']['command']}`" in (mean / "card.md").read_text()
    assert float(states[2]["joint_factor"].mean()) != 1.0
    assert manifest.training["calibration"].startswith("160 windows of ")
    apart = tmp_path / "apart"  # by the config of a run, which has no --average
    assert main(["train", "hand_pose", "--config", str(more / "config.yaml"), "--start", "", "--out", str(apart)]) == 0
    other = of_another_auto_encoder(trained[0], tmp_path / "other")
    for given, line in (
        ([str(more)], "--average has one model,"),
        (
            [str(more), str(trained[0]), "--start", str(more)],
            "--average and --start were given; accepted is one of them",
        ),
        ([str(more), str(apart)], "of which none began from the other"),
        ([str(more), other], "was trained on the auto-encoder"),
        ([str(more), "hand_pose"], "--hidden is 32, but that of --average hand_pose is 192"),
    ):
        capsys.readouterr()
        assert main([*words, "--average", *given, "--out", str(tmp_path / "none")]) == 2
        assert line in capsys.readouterr().err


def test_three_percent_of_held_out_hands_are_called_unknown(trained):
    """The limit of novelty is their quantile, and drawn windows of no hand are mostly above it."""
    folder, test = trained
    pose, autoencoder = load_hand_pose(folder), load_model("hands")
    rows = load_hand_rows([test], autoencoder.manifest)
    said = estimates(pose, autoencoder, rows.images, rows.details)
    assert said.novelty.min() < pose.novelty_max < said.novelty.max() + 0.5
    drawn = draw_no_hands(rows, CHANNELS, seed=7)
    assert estimates(pose, autoencoder, drawn.windows, drawn.details).known.mean() < 0.7 * said.known.mean()


def test_what_is_no_hand_stands_out(trained):
    folder, test = trained
    rows = load_hand_rows([test], load_model("hands").manifest)
    others = draw_others(rows.images, CHANNELS, np.random.default_rng(5))
    assert others.shape == rows.images.shape
    assert 0 <= others.min() <= others.max() <= 1
    assert load_hand_pose(folder).manifest.measures["drawn_auroc"] > 0.8


@pytest.mark.parametrize("channels", [CHANNELS, ("a", "b", "c")])
def test_what_is_no_hand_has_the_windows_size(channels):
    windows = np.random.default_rng(0).random((40, 3, 29, 29), dtype=np.float32)
    others = draw_others(windows, channels, np.random.default_rng(1))
    assert others.shape == windows.shape
    if channels[0] == "a":  # quarters in another order: of each window all is in it, and nothing else
        assert all(np.isin(other, window).all() for other, window in zip(others, windows, strict=True))


def test_what_is_no_hand_is_the_same_in_detail(trained):
    rows = load_hand_rows([trained[1]], load_model("hands").manifest)
    made = draw_no_hands(rows, CHANNELS, seed=3)
    assert made.windows.shape == rows.images.shape
    assert made.details.shape == rows.details.shape
    again = window_of_details(made.details.astype(np.float32) / 255, 32)
    np.testing.assert_allclose(made.windows, again, atol=0.004)
    assert 0.02 < made.windows[:, 0].mean() < 0.6


def test_windows_are_what_their_details_show():
    details = np.zeros((1, 3, STORED_PX, STORED_PX), np.float32)
    details[0, 0, :40, :40] = 1.0  # the first quarter: pixels 1 to 15 of a window of 32
    window = window_of_details(details, 32)[0]
    np.testing.assert_allclose(window[0, 1:16, 1:16], 1.0)
    assert window.sum() == pytest.approx(15 * 15)


class ByCentroid:
    """Stands for an auto-encoder: the shift is that of the hand's mask."""

    manifest = load_model("hands").manifest

    @property
    def network(self):
        def forward_encoder(windows):
            mass = windows[:, 0].flatten(1).sum(1).clamp_min(1e-6)
            places = torch.arange(32) - 15.5
            x = (windows[:, 0].sum(1) * places).sum(1) / mass
            y = (windows[:, 0].sum(2) * places).sum(1) / mass
            return torch.zeros(len(windows), 96), torch.stack((x, y), 1)

        return SimpleNamespace(forward_encoder=forward_encoder)


@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_keypoints_go_where_their_picture_goes(tmp_path, monkeypatch, agreement):
    """Mirrored, turned, shifted and brought to the middle: each dot stays on its keypoint."""
    for name in ("_HELD", "_BESIDE", "_LOST"):
        monkeypatch.setattr(flicker, name, 0.0)  # of a twin's labels outlines alone differ
    rows = load_hand_rows([write_windows(tmp_path / "data.npz", 24)], ByCentroid.manifest)
    rng = np.random.default_rng(3)
    places = rng.integers(-12, 13, (24, 21, 2))  # pixels of a detail
    rows.details[:] = 0
    for detail, own in zip(rows.details, places, strict=True):
        x, y = own[4] + 40
        detail[2, y - 1 : y + 1, x - 1 : x + 1] = 255  # its middle lies between pixels 39 and 40
    keypoints = np.concatenate((places * 3 / 8, np.full((24, 21, 1), 0.03)), 2).astype(np.float32)
    rows = dataclasses.replace(rows, keypoints=keypoints)
    network = HandPoseNetwork("detail", 3, 32, 96, 8)
    settings = HandPoseTraining(turned_share=1.0, shift_radius_px=4, others_share=0.1, agreement_weight=agreement)
    batches = Batches(ByCentroid(), network, rows, None, settings)
    off = []
    for _ in range(4):
        shown = batches.show(torch.arange(24))
        seen, told = shown.seen, shown.keypoints
        for picture, (x, y, away) in zip(seen.detail[: len(told), 2].numpy(), told[:, 4].numpy(), strict=True):
            assert away == pytest.approx(0.2)
            if picture.sum() > 2 and max(abs(x), abs(y)) < 0.9:
                ys, xs = np.nonzero(picture > 0.05)
                weights = picture[ys, xs]
                found = np.average(xs, weights=weights), np.average(ys, weights=weights)
                off.append(np.abs(np.array(found) - 31.5 - 32 * np.array([x, y])).max())
    assert len(off) > 60
    assert max(off) < (2.5 if agreement else 0.8)  # pixels of a detail


def test_twins_are_the_first_hands_again(tmp_path):
    """Labelled and shifted a little differently; how far estimates are apart is added to the loss."""
    rows = load_hand_rows([write_windows(tmp_path / "data.npz", 24)], ByCentroid.manifest)
    network = HandPoseNetwork("detail", 3, 32, 96, 8).eval()
    settings = HandPoseTraining(others_share=0.1, agreement_weight=1000.0, shift_radius_px=0, turned_share=0)
    batches = Batches(ByCentroid(), network, rows, None, settings)
    shown = batches.show(torch.arange(16))
    assert shown.twins == 8
    assert shown.rows.tolist() == [*range(16), *range(8)]
    np.testing.assert_array_equal(shown.left[:8], shown.left[16:])
    assert len(shown.seen.window) == 24 + 2  # others beside them
    changed = (shown.seen.window[:8] - shown.seen.window[16:24]).abs().mean((1, 2, 3))
    assert (changed > 0).all()  # labels flicker ...
    assert (changed < 0.1).all()  # ... of the same hand
    with torch.no_grad():
        joints, joint_log, tips, tip_log, *_, pinch, _ = network(*shown.seen.of(network))
        scales = (torch.exp(-log[:8] - log[16:24]) for log in (joint_log, tip_log[..., None], torch.zeros(26, 4)))
        apart = sum(
            ((part[:8] - part[16:24]).square() * scale).mean()
            for part, scale in zip((joints, tips, torch.sigmoid(pinch)), scales, strict=True)
        )
        added = batches.loss(shown) - batches.loss(dataclasses.replace(shown, twins=0))
    torch.testing.assert_close(added, 1000 * apart, atol=1e-3, rtol=1e-3)
    alone = Batches(ByCentroid(), network, rows, None, dataclasses.replace(settings, agreement_weight=0.0))
    assert alone.show(torch.arange(16)).twins == 0


@torch.inference_mode()
def test_maps_in_bfloat16_say_nearly_the_same():
    torch.manual_seed(3)
    network = HandPoseNetwork("detail", 3, 32, 96, 8).eval()
    seen = torch.randn(4, 96), torch.rand(4, 3, 64, 64)
    whole = network(*seen)
    network.compute_maps_in(torch.bfloat16)
    places, heat = network(*seen)[-1]
    assert places.dtype == heat.dtype == torch.float32
    assert 0 < float((places - whole[-1][0]).abs().max()) < 0.02
    network.compute_maps_in(None)
    torch.testing.assert_close(network(*seen)[-1], whole[-1], atol=0, rtol=0)


def test_in_the_palms_frame_nothing_turns_or_moves_the_hand():
    torch.manual_seed(0)
    hand = torch.randn(2, 21, 3) * 0.02
    hand[:, 5:, 0] += torch.arange(16).remainder(4) * 0.02 + 0.08  # fingers along x …
    hand[:, 5:, 1] += 0.03 - torch.arange(16).div(4, rounding_mode="floor") * 0.02  # … beside each other
    hand[:, (8, 12, 16, 20), 2] -= 0.03  # bent to the palm's side
    angle = torch.tensor(0.7)
    turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1.0]])
    turn = turn @ torch.tensor([[1, 0, 0], [0, angle.cos(), -angle.sin()], [0, angle.sin(), angle.cos()]])
    units = torch.ones(3)
    own = in_palm_frame(hand, units)
    assert own.shape == (2, IN_PALM)
    torch.testing.assert_close(
        in_palm_frame(hand @ turn.T + torch.tensor([0.1, 0.2, 0.3]), units), own, atol=1e-3, rtol=0
    )
    mirrored = hand * torch.tensor([-1.0, 1.0, 1.0])
    of_left = in_palm_frame(mirrored, units)
    torch.testing.assert_close(of_left[:, :-1], own[:, :-1], atol=1e-3, rtol=0)  # as a right hand's
    torch.testing.assert_close(of_left[:, -1], -own[:, -1], atol=1e-3, rtol=0)
    assert in_palm_frame(torch.zeros(1, 21, 3), units).isfinite().all()


def test_info_names_what_it_is(trained, capsys):
    assert main(["info", str(trained[0])]) == 0
    said = capsys.readouterr().out
    assert "Joint angles, fingertips and pinches of the hand in a window" in said
    assert "autoencoder = hands" in said


def test_the_loss_is_of_what_is_known():
    torch.manual_seed(0)
    network = HandPoseNetwork("descriptor", 3, 32, 6, 8)
    said = network(torch.randn(4, 6))
    joints, tips = torch.randn(4, 25), torch.randn(4, 5, 3)
    length, left, view = torch.randn(4), torch.tensor([0.0, 1.0, 1.0, 0.0]), torch.randn(4, 3)
    more = torch.rand(4, 4), torch.randn(4, 21, 3)
    whole = negative_log_likelihood(said, joints, tips, length, left, view, *more)
    joints[1, 3] = joints[2] = torch.nan
    tips[0, 2, 1], length[3], left[1] = torch.nan, torch.nan, torch.nan
    part = negative_log_likelihood(said, joints, tips, length, left, view, *more)
    part.backward()
    assert torch.isfinite(part)
    assert part != whole
    assert all(torch.isfinite(w.grad).all() for w in network.parameters() if w.grad is not None)
    none = negative_log_likelihood(said, *(values * torch.nan for values in (joints, tips, length, left, view, *more)))
    assert float(none.detach()) == 0


def test_pinches_by_hand():
    tips = np.zeros((1, 5, 3), np.float32)
    tips[0, 1:, 0] = 10.0, 14.0, 22.0, 40.0
    np.testing.assert_allclose(pinches_of(tips), [[1.0, 1.0, 0.5, 0.0]])
    tips[0, 2] = np.nan
    assert np.isnan(pinches_of(tips)).tolist() == [[False, True, False, False]]


def test_heat_is_asked_for_where_the_keypoint_lies():
    place = torch.full((1, 21, 3), 1 / 16)  # the middle of cell (8, 8), counted from 0
    heat = torch.zeros(1, 21, 256)
    heat[0, :, 8 * 16 + 8] = 50.0
    off, within = off_heat(heat, place)
    assert within.all()
    assert off.max() < 1e-3
    between = place.clone()
    between[..., 0] += 1 / 16  # half of it is the next cell's
    assert off_heat(heat, between)[0].mean() == pytest.approx(25.0, abs=0.1)
    outside = place.clone()
    outside[0, 3, 1], outside[0, 4] = 1.2, torch.nan
    off, within = off_heat(heat, outside)
    assert within[0].logical_not().nonzero().flatten().tolist() == [3, 4]
    assert off.isfinite().all()


def test_measures_by_hand():
    assert auroc(np.array([0.0, 1.0, 2.0]), np.array([3.0, 4.0])) == 1
    assert auroc(np.array([0.0, 2.0]), np.array([1.0, 1.0])) == 0.5
    assert spearman(np.array([1.0, 2.0, 5.0]), np.array([0.1, 0.2, 0.3])) == pytest.approx(1)
    assert len(FINGER_JOINTS) == 21


@pytest.mark.parametrize(
    ("changes", "words", "line"),
    [
        ({"joint_names": np.array([f"robot_{n}" for n in range(25)])}, [], "needed are those of a human hand"),
        ({"metric_size_m": np.array(0.2)}, [], "was cut with metric_size_m 0.2, hands with 0.3"),
        ({}, ["--sees", "all"], "accepted are detail, descriptor, window"),
        ({}, ["--held-out", "nothing"], "--held-out names nothing; accepted are"),
        ({}, ["--model", "depth"], "needed are depth"),
        ({}, ["--held-out", "fist"], "needed are at least 8"),
        ({"details": np.zeros((12, 3, 8, 8), np.uint8)}, [], "details are uint8 of shape (12, 3, 8, 8); accepted"),
        ({"keypoints": None}, [], "tells no keypoints; `tiae simulate hands` makes them"),
        ({"details": None}, [], "holds no details; `tiae simulate hands` makes them"),
        (
            {"channels": np.array(["depth"]), "images": np.zeros((12, 1, 32, 32), np.uint8)},
            ["--model", "depth", "--sees", "descriptor", "--agreement-weight", "2"],
            "but depth sees depth; labels",
        ),
    ],
)
def test_what_is_refused(tmp_path, capsys, changes, words, line):
    data = write_windows(tmp_path / "data.npz", 12, **changes)
    out = tmp_path / "out"
    assert main(["train", "hand_pose", "--data", str(data), "--model", "hands", "--out", str(out), *words]) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()
