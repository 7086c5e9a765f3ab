"""The command line as a person uses it: real processes, one-line errors, nothing half-written."""

import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import yaml

from tiae_ros.cli import SUBCOMMANDS, build_parser, main

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
pytestmark = pytest.mark.usefixtures("traced_once")


def tiae(*words, cwd=None):
    command = [sys.executable, "-m", "tiae_ros.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=ENVIRONMENT, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small array file and an untrained model that fits it."""
    from tiae_training import TransformInvariantAutoencoder
    from tiae_training.export import save_model

    folder = tmp_path_factory.mktemp("cli")
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 16, 16), dtype=np.uint8)
    np.savez(folder / "data.npz", images=images, labels=np.arange(40) % 2)
    save_model(TransformInvariantAutoencoder.fresh(("figure",), window_size=16), folder / "model")
    return folder


def test_from_training_to_restored_windows(files, tmp_path, capsys):
    def said(words: str, codes: tuple[int, ...] = (0,)) -> str:
        names = {"data": files / "data.npz", "run": tmp_path / "run", "out": tmp_path / "out"}
        assert main(shlex.split(words.format(**names))) in codes
        return capsys.readouterr().out

    # 1: one epoch on noise may well end collapsed, and says so
    assert "restoration_error" in said("train --data {data} --out {run} --epochs 1 --test {data}", (0, 1))
    options = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (options["epochs"], options["data"], options["network"]) == (1, [str(files / "data.npz")], "standard")
    figures = json.loads(said("evaluate --model {run} --data {data} --json"))
    for name in ("dispersion", "knn_accuracy", "nmi", "ari", "restoration_error", "shift_error"):
        assert np.isfinite(figures[name])
    told = json.loads(said("restore --model {run} --data {data} --out {out}.npz --json"))
    assert told["descriptors"] == [40, 30]
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["descriptors"].shape == (40, 30)
        assert arrays["restored"].shape == (40, 1, 16, 16)
        assert arrays["shifts"].shape == (40, 2)
    assert "engine and torch give the same" in said("export --run {run} --out {out}")
    manifest = json.loads(said("info --json {out}"))
    assert (manifest["kind"], manifest["network"]["name"]) == ("autoencoder", "standard")


@pytest.mark.parametrize(("name", "said"), [("hands", "invariant to: shift"), ("segmentation", "U-Net")])
def test_info_takes_a_shipped_model_s_name(capsys, name, said):
    assert main(["info", name]) == 0
    text = capsys.readouterr().out
    assert said in text
    assert re.search(r"^weights.safetensors +\d+\.\d+ MB  sha256 [0-9a-f]{64}$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "required"),
        ("trian", "invalid choice"),
        ("train --out {new}", "--data"),
        ("train --data {data} --out {new} --epochs many", "--epochs"),
        ("train --data {data} --out {new} --epochs 0", "epochs is 0"),
        ("train --data {data} --out {new} --learning-rate nan", "learning_rate is nan"),
        ("train --data {data} --out {new} --transforms warp", "unknown transform 'warp'"),
        ("train --data {data} --out {new} --device cuda:9", "devices of this machine"),
        ("train --data {data} --out {new} --device cpu --precision float16", "float16, which is for GPUs"),
        ("train --data {data} --out {new} --checkpoint-minutes nan", "accepted is 0 or more"),
        ("train --data {data} --out {new} --patience -1", "patience is -1"),
        ("train --data {data} --out {new} --preprocessing metric_size_m", "NAME=VALUE"),
        ("train --data {data} --out {new} --resume --overwrite", "not allowed with"),
        ("train --data {data} --out {new} --resume", "nothing to resume"),
        ("train --data {absent} --out {new}", "does not exist"),
        ("train --data {text} --out {new}", "cannot be read as .npz"),
        ("train --data {data} --out {text}", "is a file"),
        ("train --data {data} --out {model}", "already holds"),
        ("train --data {data} --test {other} --out {new}", "must be alike"),
        ("train segmentation --data {absent} --out {new}", "cannot be used"),
        ("train segmentation --out {new}", "--data is missing"),
        ("train segmentation --data {data} --out {model}", "exists; give another --out"),
        ("train segmentation --average {model} --keep 1000 --out {new}", "--average trains nothing"),
        ("train segmentation --data {data} --out {new} --steps many", "--steps"),
        ("train --config {absent} --out {new}", "cannot be read"),
        ("evaluate --model {absent} --data {data}", "does not exist"),
        ("explore --model {model} --data {data} --max-frames 1 --out {new}.html", "accepted is 2 to"),
        ("explore --model {model} --data {data} --out {page}", "exists already"),
        ("explore --model {model} --data {other} --out {new}.html", "16×16"),
        ("explore --model segmentation --data {data} --out {new}.html", "holds a model of kind segmentation"),
        ("completion fish", "invalid choice"),
        ("evaluate --model segmentation --data {data}", "holds a model of kind segmentation"),
        ("evaluate --model {model} --data {other}", "windows of 16×16"),
        ("evaluate --model {model} --data {data} --shift-radius 900", "0 to 64"),
        ("evaluate --model {model} --data {data} --gallery {other}", "must be alike"),
        ("evaluate --model {model} --data {data} {other}", "data.npz sha256"),
        ("name --model {model}", "--data"),
        ("name --model {model} --data {data}", "tiae extract --label NAME"),
        ("restore --model {model} --data {data} --out {text}", "exists already"),
        ("restore --model {model} --data {data} --out {text}/below.npz", "cannot write"),
        ("export --run {absent} --out {new}", "the folder does not exist"),
        ("export --run {model} --out {model}", "exists already"),
        ("export --run {model} --out {new} --calibrate {data}", "are for segmentations"),
        ("info {text}", "is a file"),
        ("info segmentatoin", "shipped models: depth, detector, grasp, hand_pose, hands, segmentation"),
        ("info", "DIR"),
        ("recipe digit", "accepted are digits"),
        ("recipe digits --epochs 0 --out {new}", "--epochs is 0"),
        ("recipe digits --data {absent} --out {new}", "does not exist"),
        ("recipe digits --data {other} --out {new}", "needed are at least 40"),
        ("recipe digits --digits {absent} --out {new}", "needed is a folder or a .tgz with train-images"),
        ("recipe digits --digits {text} --out {new}", "cannot be read as a .tgz"),
        ("recipe digits --digits {text} --data {other} --out {new}", "--data and --digits"),
        ("recipe document --digits {text} --out {new}", "recipe document has no digits"),
        ("extract --bag {absent} --out {new}", "does not exist"),
        ("play --bag {text}", "neither a rosbag2 folder"),
        ("play --bag {absent} --rate 0", "--rate"),
        ("simulate --out {new}.npz --count 0", "--count"),
        ("simulate --out {new}.npz --count 1 --workers 0", "--workers"),
        (
            "simulate --out {new}.npz --count 1 --channels masks --details",
            "--details goes with windows of --channels both",
        ),
    ],
)
def test_an_error_is_one_line_leaving_nothing(files, tmp_path, capsys, words, said):
    np.savez(tmp_path / "other.npz", images=np.ones((4, 1, 20, 20), np.uint8))
    (tmp_path / "text").write_text("not what you think")
    (tmp_path / "page.html").write_text("an earlier page")
    names = {
        "data": files / "data.npz",
        "model": files / "model",
        "other": tmp_path / "other.npz",
        "text": tmp_path / "text",
        "page": tmp_path / "page.html",
        "absent": tmp_path / "absent",
        "new": tmp_path / "new",
    }
    before = sorted(tmp_path.rglob("*"))
    try:
        code = main(shlex.split(words.format(**names)))
    except SystemExit as end:  # what argparse refuses
        code = end.code
    written = capsys.readouterr()
    assert code == 2, written
    lines = written.err.strip().splitlines()
    assert len(lines) == 1, written.err
    assert re.match(r"tiae( \w+){0,2}: error: ", lines[0])
    assert said.format(**names) in lines[0]
    assert not written.out
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_examples_that_parse(name, capsys, tmp_path, monkeypatch):
    (tmp_path / "runs" / "digits").mkdir(parents=True)
    (tmp_path / "runs" / "digits" / "config.yaml").write_text("data: digits.npz\n")  # that an example reads
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([*name.split(), "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    examples = [
        line.split("#")[0].split(" > ")[0].strip() for line in text.splitlines() if line.strip().startswith("tiae ")
    ]
    assert any(example.startswith(f"tiae {name}") for example in examples)
    for example in examples:
        words = shlex.split(example)[1:]
        if " ".join(words[:2]) in SUBCOMMANDS:
            words[:2] = [" ".join(words[:2])]
        if name != "node":  # everything after `tiae node` belongs to ROS
            build_parser().parse_args(words)


def test_help_needs_no_torch_and_no_ros():
    code = (
        "import sys; from tiae_ros.cli import build_parser; build_parser();"
        "sys.exit(bool({'torch', 'rclpy', 'cv2', 'mujoco'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_an_error_in_a_process_of_its_own(tmp_path):
    result = tiae("info", tmp_path / "absent")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("tiae info: error: ")
    assert "Traceback" not in result.stderr


def test_json_has_no_nan(files, tmp_path, capsys):
    np.savez(tmp_path / "blank.npz", images=np.zeros((12, 1, 16, 16), np.uint8))
    assert main(["evaluate", "--model", str(files / "model"), "--data", str(tmp_path / "blank.npz"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(word))
    assert figures["restoration_error"] is None


def test_sigterm_takes_half_written_things_away(files, tmp_path):
    """As Ctrl-C does: the command ends by an exception, not in the middle of a file."""
    code = (
        "import sys, time, signal, os, threading\n"
        "from tiae_ros import cli\n"
        "from tiae_training.data import arrays\n"
        "def slow(file, **_):\n"
        "    file.write(b'half'); file.flush()\n"
        "    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start(); time.sleep(30)\n"
        "arrays.np.savez_compressed = slow\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    words = ["restore", "--model", str(files / "model"), "--data", str(files / "data.npz"), "--out", "out.npz"]
    result = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, env=ENVIRONMENT, timeout=60, check=False
    )
    assert result.returncode == 143
    assert not list(tmp_path.iterdir())


def test_a_closed_pipe_is_no_error():
    words = f"{shlex.quote(sys.executable)} -m tiae_ros.cli --help | head -1"
    result = subprocess.run(["bash", "-c", words], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in result.stderr


class Killed(BaseException):
    """Nothing catches it."""


def test_a_resumed_training_tells_the_whole_command(files, tmp_path, monkeypatch):
    """The card of a model is the way to make it again, whether its training was interrupted or not."""
    from tiae_ros.model.folder import CHECKPOINT, read_manifest
    from tiae_training.train import run

    words = ["--data", str(files / "data.npz"), "--epochs", "2", "--seed", "0", "--batch-size", "16", "--device", "cpu"]
    save = run.save_checkpoint

    def save_and_die(*arguments, **options):
        save(*arguments, **options)
        raise Killed

    monkeypatch.setattr(run, "save_checkpoint", save_and_die)
    with pytest.raises(Killed):
        main(["train", "--checkpoint-minutes", "0", "--out", str(tmp_path / "run"), *words])
    monkeypatch.undo()
    assert (tmp_path / "run" / CHECKPOINT).is_file()
    assert main(["train", "--resume", "--out", str(tmp_path / "run"), "--device", "cpu"]) in (0, 1)
    command = read_manifest(tmp_path / "run").training["command"]
    assert command == "tiae train --data data.npz --epochs 2 --batch-size 16 --out run"
