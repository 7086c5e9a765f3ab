"""Training end to end on small patterns: it learns, repeats itself, survives being killed, refuses nonsense."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import SMALL, interrupt, patterns, run_training, same, small, weights

from tiae_ros import load_model
from tiae_ros.cli import main
from tiae_ros.errors import DataError, OutputError, ParameterError, TrainingError
from tiae_training import TransformInvariantAutoencoder, load_network, objective
from tiae_training import model as models
from tiae_training.data.arrays import ImageArrays, load_arrays, save_arrays
from tiae_training.devices import choose_device
from tiae_training.measures import measure_model
from tiae_training.train import checkpoint
from tiae_training.train.checkpoint import read_progress
from tiae_training.train.checks import check_trainable
from tiae_training.train.collapse import has_collapsed
from tiae_training.train.folder import prepare_run, read_history
from tiae_training.train.run import resumed_settings, train
from tiae_training.train.settings import TrainingSettings
from tiae_training.train.trainer import channel_emphasis


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A training with `SMALL` from beginning to end: its weights."""
    return weights(run_training(tmp_path_factory.mktemp("uninterrupted")))


def test_invariance_is_learned(trained, tmp_path):
    run_training(tmp_path, dataclasses.replace(SMALL, transforms="none", epochs=24, network="slide-fc"))
    test, gallery = patterns(90, seed=1), patterns(seed=0)
    invariant, plain = (
        measure_model(load_model(folder), test, gallery, shift_radius_px=3) for folder in (trained[1], tmp_path)
    )
    assert invariant["dispersion"] < 0.05 < 0.3 < plain["dispersion"]
    assert invariant["knn_accuracy"] > 0.95
    assert invariant["restoration_error"] < 0.2
    assert invariant["shift_error"] < 0.5
    assert invariant["shift_error_compared"] < 0.1


def test_the_estimated_shift_lays_restored_on_input(trained):
    images = patterns(30, seed=2).images
    difference = ((load_model(trained[1]).place(images) - images) ** 2).sum() / (images**2).sum()
    assert difference < 0.25


def test_the_loss_falls_and_is_kept(trained):
    _, folder = trained
    history = json.loads((folder / "history.json").read_text())
    assert len(history) == 24
    assert history[-1]["restoration"] < 0.3 * history[0]["restoration"]
    assert not has_collapsed(history)


def test_a_finished_run_is_a_model(trained):
    model, folder = trained
    names = ["card.md", "decoder.onnx", "encoder.onnx", "history.json", "manifest.json", "weights.safetensors"]
    assert sorted(p.name for p in folder.iterdir()) == names
    loaded = load_network(folder)
    assert same(weights(loaded), weights(model))
    assert loaded.manifest.transforms == {"shift": {"radius_px": 3}}
    assert loaded.manifest.training["settings"]["epochs"] == 24


def test_the_same_seed_gives_the_same_model(uninterrupted, tmp_path):
    assert same(uninterrupted, weights(run_training(tmp_path / "again")))
    assert not same(uninterrupted, weights(run_training(tmp_path / "other", small(seed=1))))


def test_an_interrupted_training_goes_on(uninterrupted, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path, checkpoint_minutes=0, report=lambda epoch, _: interrupt(epoch == 3))
    assert (tmp_path / "checkpoint.safetensors").is_file()
    settings, _ = resumed_settings(tmp_path, {})
    assert same(uninterrupted, weights(run_training(tmp_path, settings, resume=True)))


def test_resuming_with_other_settings_or_data_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "r", checkpoint_minutes=0, report=lambda epoch, _: interrupt(epoch == 1))
    with pytest.raises(ParameterError, match="epochs is 9"):
        resumed_settings(tmp_path / "r", {"epochs": 9})
    with pytest.raises(DataError, match="was trained on patterns 0"):
        train(patterns(seed=5), SMALL, tmp_path / "r", resume=True)
    with pytest.raises(TrainingError, match="nothing to resume"):
        resumed_settings(tmp_path / "none", {})
    (tmp_path / "r" / "checkpoint.safetensors").write_bytes(b"broken")
    with pytest.raises(TrainingError, match="not a checkpoint"):
        resumed_settings(tmp_path / "r", {})


def tiae_train(folder, data, *words):
    command = [sys.executable, "-m", "tiae_ros.cli", "train", "--out", folder, "--data", data, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)


def test_kill_9_loses_neither_model_nor_checkpoint(tmp_path, capsys):
    arrays = patterns()
    save_arrays(tmp_path / "data.npz", {"images": arrays.images})
    run = tmp_path / "run"
    flags = ("--epochs", "2", "--shift-radius", "3")
    words = ["train", "--out", str(run), "--data", str(tmp_path / "data.npz"), *flags]
    assert main(words) in (0, 1)  # 1: collapsed, after two epochs no wonder
    before = load_model(run).manifest.files
    process = tiae_train(
        run, tmp_path / "data.npz", "--epochs", "500", "--shift-radius", "3", "--overwrite", "--checkpoint-minutes", "0"
    )
    wait_for((run / "checkpoint.safetensors").is_file)
    capsys.readouterr()
    assert main([*words[:5], "--overwrite"]) == 2  # two trainings into one folder
    assert "another training is running" in capsys.readouterr().err
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert load_model(run).manifest.files == before
    settings, path = resumed_settings(run, {})
    assert settings.epochs == 500
    assert json.loads(path) == [str(tmp_path / "data.npz")]


def test_kill_9_inside_an_epoch_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as the process that is killed
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    save_arrays(tmp_path / "data.npz", {"images": patterns().images})
    arrays = load_arrays(tmp_path / "data.npz")
    settings = small(epochs=3, batch_size=8, patience=3, precision="auto")
    whole = train(arrays, settings, tmp_path / "whole")
    run = tmp_path / "run"
    flags = "--epochs 3 --batch-size 8 --patience 3 --shift-radius 3 --descriptor-size 8 --device cpu"
    process = tiae_train(run, tmp_path / "data.npz", *flags.split(), "--checkpoint-minutes", "0.0005")

    def is_inside_the_second_epoch():
        assert process.poll() is None, process.communicate()
        if not (run / "checkpoint.safetensors").is_file():
            return False
        progress = read_progress(run)
        return progress.epoch == 1 and progress.step > 0

    wait_for(is_inside_the_second_epoch)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    progress = read_progress(run)
    assert progress.epoch == 1
    resumed = train(arrays, resumed_settings(run, {})[0], run, resume=True)
    assert same(weights(whole), weights(resumed))
    assert read_history(run) == read_history(tmp_path / "whole")
    torch.set_num_threads(threads)


def test_checkpoints_are_never_farther_apart_than_asked(monkeypatch):
    """Steps of 7 s, one of 20 s, and 60 s between checkpoints: the next step must not end after them."""
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    clock = checkpoint.Clock(minutes=1.0)
    saved = [0.0]
    for step in range(60):
        now[0] += 20.0 if step == 2 else 7.0
        if clock.is_due():
            saved.append(now[0])
            now[0] += 0.5  # writing takes its time
            clock.saved()
    gaps = np.diff(saved)
    assert len(gaps) > 5
    assert gaps.max() <= 60.0
    assert gaps.min() >= 60.0 - 2 * 20.5
    assert checkpoint.Clock(minutes=0.0).is_due()


def test_reduced_precision_is_compared_in_float32(tmp_path, monkeypatch):
    seen = []

    def watch(restored, targets, true=objective.restoration):
        seen.append((restored.dtype, targets.dtype))
        return true(restored, targets)

    monkeypatch.setattr(objective, "restoration", watch)
    multiplied, build = set(), models.build_network

    def watched(*arguments):
        network = build(*arguments)
        network.head.register_forward_hook(lambda _, inputs, made: multiplied.add(made.dtype))
        return network

    with monkeypatch.context() as patched:
        patched.setattr(models, "build_network", watched)
        patched.setattr("tiae_training.train.run.save_model", lambda model, folder: None)  # the watched one
        patched.setattr("tiae_training.train.run.add_prototypes", lambda *given, **options: None)
        model = run_training(tmp_path / "whole", small(precision="bfloat16"))
    assert multiplied == {torch.bfloat16}
    assert set(seen) == {(torch.float32, torch.float32)}
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32, torch.int64}
    history = read_history(tmp_path / "whole")
    assert history[-1]["restoration"] < 0.6 * history[0]["restoration"]


def test_scaled_gradients_change_nothing_and_are_resumed(uninterrupted, tmp_path, monkeypatch):
    """As for float16, which takes a GPU: here in float32, where a factor that is a power of two is exact."""
    scaler = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled: scaler(device, growth_interval=10))
    with pytest.raises(KeyboardInterrupt):
        run_training(tmp_path / "cut", checkpoint_minutes=0, report=lambda epoch, _: interrupt(epoch == 3))
    assert read_progress(tmp_path / "cut").scaler["scale"] > 65536.0  # it has grown
    assert same(uninterrupted, weights(run_training(tmp_path / "cut", resume=True)))


def test_a_training_can_go_on_from_another_model(trained, tmp_path):
    first, folder = trained
    second = run_training(tmp_path, small(epochs=1, learning_rate=1e-7), start=load_network(folder))
    for (name, one), other in zip(first.network.named_parameters(), second.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0, msg=name)


def test_a_start_of_another_kind_is_refused(tmp_path):
    other = TransformInvariantAutoencoder.fresh(("figure",), window_size=16, descriptor_size=9)
    with pytest.raises(ParameterError, match="descriptor_size 9; needed is 8"):
        run_training(tmp_path / "run", start=other)


def test_overlap_lowers_what_the_union_lacks(tmp_path):
    settings = small(overlap_weight=20.0)
    with pytest.raises(ParameterError, match="overlap_weight is 20 for channels figure; accepted is 0, or"):
        run_training(tmp_path / "figure", settings)
    run_training(tmp_path / "mask", settings, dataclasses.replace(patterns(), channels=("hand_mask",)))
    costs = [terms["overlap"] for terms in read_history(tmp_path / "mask")]
    assert costs[-1] < 0.7 * costs[0]


def test_a_used_folder_is_refused_unless_asked(trained, tmp_path):
    _, folder = trained
    with pytest.raises(OutputError, match="--overwrite"):
        prepare_run(folder, resume=False, overwrite=False)
    prepare_run(folder, resume=False, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        prepare_run(tmp_path / "file", resume=False, overwrite=True)


def test_a_folder_of_other_things_is_refused_unless_asked(tmp_path):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "metadata.yaml").touch()
    with pytest.raises(OutputError, match=r"bag holds metadata.yaml and nothing of a training; .* --overwrite"):
        prepare_run(tmp_path / "bag", resume=False, overwrite=False)
    prepare_run(tmp_path / "bag", resume=False, overwrite=True)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.yaml").touch()  # of a training that ended before its first checkpoint
    prepare_run(tmp_path / "begun", resume=False, overwrite=False)


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    def stop(epoch, _):
        if epoch == 2:
            monkeypatch.setattr(checkpoint, "write_durably", full)

    def full(path, content):
        path.write_bytes(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        run_training(tmp_path / "r", checkpoint_minutes=0, report=stop)
    assert read_progress(tmp_path / "r").epoch == 2
    assert not list((tmp_path / "r").glob("*.new"))


def test_a_really_full_disk_keeps_the_old_model(trained, tmp_path):
    """A process whose files may have 64 kB, as if the disk were full then; its model needs more."""
    run = Path(shutil.copytree(trained[1], tmp_path / "run"))
    save_arrays(tmp_path / "data.npz", {"images": patterns().images})
    words = ["train", "--out", run, "--data", tmp_path / "data.npz", "--epochs", "1", "--overwrite"]
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)); "
    limited += "from tiae_ros.cli import main; sys.exit(main(sys.argv[1:]))"
    before = load_model(run).manifest.files
    result = subprocess.run(
        [sys.executable, "-c", limited, *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "error:" in line]
    assert "File too large" in line
    assert load_model(run).manifest.files == before


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.ones((9, 1, 16, 20), np.float32), "squares"),
        (np.ones((9, 1, 7, 7), np.float32), "7×7 pixels; accepted are squares of 8 to 256"),
        (np.ones((1, 1, 16, 16), np.float32), "at least 2"),
        (np.zeros((9, 1, 16, 16), np.float32), "blank"),
    ],
)
def test_unusable_data_is_refused_before_training(images, said):
    with pytest.raises(DataError, match=said):
        check_trainable(ImageArrays(images=images))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"invariance_weight": -1}, "invariance_weight"),
        ({"network": "resnet"}, "standard, masks-and-depth"),
        ({"network": "voting-half"}, "standard, masks-and-depth"),
        ({"transforms": "warp"}, "shift"),
        ({"precision": "int8"}, "float32"),
        ({"upright_fraction": 1.5}, "upright_fraction is 1.5; accepted is 0 to 1"),
    ],
)
def test_settings_out_of_range_are_refused(changes, said):
    with pytest.raises(ParameterError, match=said):
        TrainingSettings(**changes)


def test_whole_targets_restore_what_edges_cut_off(tmp_path):
    """Half of each pattern is lost in its views; held against views, so is a part of what is restored of them."""
    arrays = patterns()
    cut = np.zeros_like(arrays.images)
    cut[..., :8] = arrays.images[..., 8:]  # moved left by half a window
    ink = {}
    for whole in (False, True):
        run_training(tmp_path / str(whole), small(shift_radius_px=8, epochs=10, deformation=0.0, whole_targets=whole))
        ink[whole] = float(load_model(tmp_path / str(whole)).restore(cut).sum() / arrays.images.sum())
    assert ink[True] > 0.9 > ink[False]


def test_a_non_finite_loss_stops_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(objective, "restoration", lambda restored, _: restored.sum() * float("nan"))
    with pytest.raises(TrainingError, match="non-finite"):
        run_training(tmp_path / "r")
    assert not (tmp_path / "r" / "weights.safetensors").exists()


def test_clean_windows_are_the_target_of_restoration(tmp_path):
    """Noise on the input is removed, not copied, when a clean version is known."""
    arrays = patterns()
    noise = np.random.default_rng(0).random(arrays.images.shape, dtype=np.float32) * 0.5
    noisy = ImageArrays(images=np.maximum(arrays.images, noise * (noise > 0.35)), clean=arrays.images, data_id="noisy")
    run_training(tmp_path, small(epochs=24), noisy)
    assert measure_model(load_model(tmp_path), noisy)["restoration_error"] < 0.25


def test_an_unknown_device_names_those_there_are():
    for name in ("cuda:77", "tpu", "mps:0"):
        with pytest.raises(ParameterError, match="devices of this machine: cpu"):
            choose_device(name)
    assert choose_device("cpu").type == "cpu"


def test_prototypes_name_shifted_windows_and_no_strangers(trained, tmp_path):
    from tiae_training.prototypes import add_prototypes

    folder = Path(shutil.copytree(trained[1], tmp_path / "run"))
    assert add_prototypes(folder, patterns()) is None  # without names there is nothing to say
    names = ("bar", "ring", "corner")
    add_prototypes(folder, dataclasses.replace(patterns(), label_names=names), per_class=2)
    labelled = load_model(folder)
    assert labelled.manifest.prototype_names == tuple(name for name in names for _ in range(2))
    test = patterns(60, seed=3)
    said = [labelled.label(descriptor) for descriptor in labelled.encode(test.images)]
    named = [(name, names[label]) for name, label in zip(said, test.labels, strict=True) if name]
    assert len(named) > 0.7 * len(test)
    assert np.mean([name == true for name, true in named]) > 0.9
    assert labelled.label(np.full(8, 1e3, np.float32)) == ""


def test_weights_of_channels(tmp_path):
    images = np.zeros((4, 3, 8, 8), np.float32)
    arrays = ImageArrays(images, channels=("hand_mask", "object_mask", "depth"))
    settings = TrainingSettings(channel_weights="object_mask=4, depth=9")
    assert channel_emphasis(arrays, settings).flatten().tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ParameterError, match="accepted is NAME=NUMBER"):
        TrainingSettings(channel_weights="depth")
    with pytest.raises(ParameterError, match="accepted is NAME=NUMBER"):
        TrainingSettings(channel_weights="depth=-1")
    with pytest.raises(ParameterError, match="name deep; the data has the channels hand_mask, object_mask, depth"):
        channel_emphasis(arrays, TrainingSettings(channel_weights="deep=2"))


def test_paths_of_a_checkpoint_are_read_whatever_they_hold():
    """Several files, names with a colon, and the one path that checkpoints of earlier releases hold."""
    from tiae_ros.commands.train import _paths_of

    assert _paths_of('["/data/run:3/a.npz", "/b.npz"]') == [Path("/data/run:3/a.npz"), Path("/b.npz")]
    assert _paths_of("/data/run:3/a.npz") == [Path("/data/run:3/a.npz")]
