"""What a person at a keyboard, and a program, may expect of every command."""

import argparse
import dataclasses
import json
import subprocess
import sys

import pytest

from tiae_ros.cli import SUBCOMMANDS, build_parser, main
from tiae_ros.commands.train import KEPT, asked_settings, run_options
from tiae_ros.errors import MissingExtraError
from tiae_ros.options import config_text, with_default
from tiae_training.train.settings import TrainingSettings


def test_what_takes_long_is_said_within_two_seconds():
    code = (
        "import time\n"
        "from tiae_ros.commands.progress import progress_of, at_work\n"
        "with progress_of('tiae quick'): at_work('nothing')\n"
        "with progress_of('tiae slow'):\n"
        "    at_work('thinking'); time.sleep(1.6)\n"
        "    at_work('more'); at_work(''); time.sleep(1.3)\n"
        "print('done')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (result.stderr, result.stdout) == ("tiae slow: thinking …\n", "done\n")


def test_a_count_is_plain_lines_without_a_terminal():
    code = (
        "import time\n"
        "from tiae_ros.commands import progress\n"
        "progress._COUNT_S = 0.1\n"
        "for _ in progress.counted(range(3), 'frames', 3): time.sleep(0.15)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    lines = result.stderr.splitlines()
    assert [line.split(",")[0] for line in lines] == ["2/3 frames", "3/3 frames"]
    assert "\r" not in result.stderr


def subparsers():
    choices = next(action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return choices.choices


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_says_every_default(name):
    for action in subparsers()[name]._actions:
        if action.default in (None, "", [], argparse.SUPPRESS) or isinstance(action.default, bool) or action.nargs == 0:
            continue
        assert "default" in with_default(action.help or "", action), action.option_strings


def test_help_says_the_defaults_of_the_settings():
    text = " ".join(subparsers()["train"].format_help().split())
    for field in dataclasses.fields(TrainingSettings):
        if field.default not in (None, "") and not isinstance(field.default, bool):
            assert f"(default: {field.default})" in text


@pytest.mark.parametrize(
    ("default", "text", "said"),
    [
        (0.3, "what it covers (0.30 m)", "what it covers (default: 0.30 m)"),
        (1.0, "minutes (1)", "minutes (default: 1)"),
        ("hands", "a model", "a model (default: hands)"),
        (["a", "b"], "channels", "channels (default: a b)"),
        (None, "a file (jpg)", "a file (jpg)"),
        (2, "processes (default: one per core)", "processes (default: one per core)"),
        (5, "of (x)", "of (x) (default: 5)"),
    ],
)
def test_one_form_of_defaults(default, text, said):
    action = argparse.ArgumentParser().add_argument("--x", default=default)
    assert with_default(text, action) == said


def train_options(*words):
    return build_parser("train").parse_args(["train", *map(str, words)])


def test_the_command_line_wins_over_the_file(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text(
        "data: [a.npz, b.npz]\nepochs: 7\nlearning-rate: 1e-3\nwhole-targets: true\nhalf-weights: false\n"
        "channel-weights: depth=4\nseed: 5\ntest:\n"
    )
    told = train_options("--config", file, "--out", "x", "--epochs", 9, "--no-whole-targets")
    assert [str(path) for path in told.data] == ["a.npz", "b.npz"]
    assert (told.epochs, told.learning_rate, told.whole_targets, told.half_weights) == (9, 0.001, False, False)
    assert (told.channel_weights, told.seed, told.test, told.device) == ("depth=4", 5, None, "auto")
    told = train_options(f"--config={file}", "--data", "c.npz", "--out", "x")
    assert ([str(path) for path in told.data], told.epochs, told.whole_targets) == (["c.npz"], 7, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch: 3", "has the option 'epoch'; accepted are "),
        ("batch_size: 3", "has the option 'batch_size'"),
        ("resume: true", "has the option 'resume'"),
        ("epochs: many", "argument --epochs: invalid int value: 'many'"),
        ("epochs: [1, 2]", "epochs is [1, 2]"),
        ("whole-targets: 3", "accepted is true or false"),
        ("- epochs", "holds a list"),
        ("a: b: c", "is no YAML"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, capsys, text, said):
    file = tmp_path / "options.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as end:
        train_options("--config", file, "--out", tmp_path / "x")
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line


def test_a_run_s_file_holds_all_that_decides_it(tmp_path):
    """The same data, settings and seed make the same weights (test_training.py); here they come back from the file."""
    words = ["--data", "a.npz", "b.npz", "--out", "one", "--epochs", 3, "--transforms", "shift,rotation", "--seed", 4]
    told = train_options(*words, "--half-weights", "--preprocessing", "range_m=0.2", "--model-id", "mine")
    settings = TrainingSettings(**asked_settings(told, TrainingSettings()))
    file = tmp_path / "config.yaml"
    file.write_text(config_text(run_options(told, settings, KEPT), "tiae train"))
    again = train_options("--config", file, "--out", "two")
    assert TrainingSettings(**asked_settings(again, TrainingSettings())) == settings
    assert [path.name for path in again.data] == ["a.npz", "b.npz"]
    assert all(path.is_absolute() for path in again.data)  # it is to work from any folder
    assert (again.half_weights, again.preprocessing, again.model_id) == (True, "range_m=0.2", "mine")
    assert run_options(again, settings, KEPT) == run_options(told, settings, KEPT)


def test_shells_complete_what_there_is(capsys):
    pytest.importorskip("shtab", reason="shtab is not installed (the extra `completion`)")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    subprocess.run(["bash", "-n"], input=script, text=True, timeout=30, check=True)
    asked = (
        f'{script}\ntry() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _shtab_tiae; '
        'echo "${COMPREPLY[*]}"; }\ntry tiae expl; try tiae train --epo; try tiae train segmentation --without\n'
        "try tiae extract --channels masks+\n"
    )
    told = subprocess.run(["bash"], input=asked, capture_output=True, text=True, timeout=30, check=False).stdout
    assert told.splitlines() == ["explore", "--epochs", "--without-color-share", "masks+depth"]


@pytest.mark.parametrize("package", ["shtab", "tensorboard"])
def test_an_absent_extra_is_named(package, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "shtab":
        assert main(["completion", "bash"]) == 2
        assert "pip install -e '.[completion]'" in capsys.readouterr().err
        return
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    from tiae_training.train.tensorboard import EventFiles

    with pytest.raises(MissingExtraError, match=r"\[tensorboard\]"):
        EventFiles(tmp_path)


def test_tensorboard_reads_what_a_training_writes(tmp_path):
    loading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed (the extra `tensorboard`)",
    )
    from tiae_training.train.tensorboard import EventFiles

    files = EventFiles(tmp_path)
    for epoch in range(3):
        files.add(epoch, {"attempt": 0, "restoration": 1.0 / (1 + epoch)})
    files.add(0, {"attempt": 1, "restoration": 0.5})
    files.close()
    assert sorted(path.name for path in (tmp_path / "tensorboard").iterdir()) == ["attempt_1", "attempt_2"]
    read = loading.EventAccumulator(str(tmp_path / "tensorboard" / "attempt_1"))
    read.Reload()
    assert [(event.step, round(event.value, 3)) for event in read.Scalars("train/restoration")] == [
        (0, 1.0), (1, 0.5), (2, 0.333),
    ]  # fmt: skip


@pytest.mark.parametrize("words", [["imitate", "hands"], ["imitate", "hands", "shadow"], ["recipe"]])
def test_lists_are_json_for_programs(words, capsys):
    assert main([*words, "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)
