"""README.md: every command on it is run here, or by the test that is named for it; so are its lines of Python."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="reading bags needs the package rosbags")

from tiae_ros.cli import SUBCOMMANDS, build_parser, main
from tiae_ros.streams.bags import Bag

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BAG = ROOT / "test" / "data" / "grasps"
TEXT = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
LINES = [re.sub(r"\s+# .*", "", line.strip()) for line in TEXT.splitlines() if line.startswith("    ")]
COMMANDS = [command for line in LINES for command in line.split(" && ")]
TUTORIAL = "docs/test_tutorial.py::test_from_a_bag_to_names_on_topics"  # it runs all commands of its page
ON_TUTORIAL = ("tiae train ", "tiae node ", "tiae play ")
LAUNCH = "ros2 launch tiae_ros perception.launch.py camera:=realsense"
# What is run by another test: of a workspace, in processes, or this suite itself.
ELSEWHERE = {
    "scripts/demo": "commands/test_demo.py::test_the_demo_ends_with_pictures_and_a_table",
    "scripts/demo --bag my_bag": "commands/test_demo.py::test_a_cameras_own_names_are_found",
    "rosdep install --from-paths src -iy": "repository/test_deploy.py::test_the_container_runs_the_readme_s_commands",
    "python3 -m colcon build": "repository/test_packaging.py::test_colcon_builds_and_tests_it",
    ". install/setup.bash": "repository/test_packaging.py::test_colcon_builds_and_tests_it",
    LAUNCH: "launch/test_launch_file.py::test_cameras_remap_what_the_node_listens_to",
    "tiae view": "view/test_page.py::test_a_browser_sees_the_node_and_acts_on_it",
    "pip install -e '.[train,bags,view]'": "repository/test_packaging.py::test_pip_installs_everything",
}
# What nothing here can run: it needs the camera. `launch/perception.launch.py` names the same argument.
NEEDS_A_CAMERA = ["ros2 launch realsense2_camera rs_launch.py align_depth.enable:=true"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An empty one."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with `my_bag` in it, a model in place of the trained one, and what the commands make there."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "my_bag").symlink_to(BAG)
    shutil.copytree(ROOT / "models" / "hands", folder / "runs" / "mine")
    return folder


def test_every_command_is_run_by_a_test():
    shell = [c for c in COMMANDS if c.startswith(("git ", "cd ", "mkdir "))]
    here = [c for c in COMMANDS if is_run_here(c)]
    tutorial = [c for c in COMMANDS if c.startswith(ON_TUTORIAL)]
    assert len(here) > 5
    assert len(tutorial) == len(ON_TUTORIAL)
    page = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    assert [command for command in tutorial if f"\n    {command}\n" not in page] == []
    rest = set(COMMANDS) - {*shell, *here, *tutorial, *NEEDS_A_CAMERA}
    assert rest == set(ELSEWHERE), "say in ELSEWHERE which test runs it"
    for place in {*ELSEWHERE.values(), TUTORIAL}:
        file, _, name = place.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / "test" / file).read_text("utf-8"), re.MULTILINE), place
    camera = NEEDS_A_CAMERA[0].split()[-1]
    assert camera in (ROOT / "launch" / "perception.launch.py").read_text("utf-8")


def is_run_here(command: str) -> bool:
    return command.startswith("tiae ") and not command.startswith(ON_TUTORIAL) and command not in ELSEWHERE


def test_the_clone_s_address_is_filled_in(tmp_path):
    """The placeholder is this repository's address, whatever that is; here, its folder."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is nothing to clone")
    assert "`CLONE_URL`" in README
    trusting = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    environment = {**os.environ, **trusting, "HOME": str(tmp_path / "home")}
    lines = [line for line in LINES if "git clone" in line]
    assert len(lines) == 2
    for line, options in zip(lines, ("--shared", "--shared --no-checkout"), strict=True):  # all files once
        filled = line.replace("CLONE_URL", f"--quiet {options} {ROOT}")
        result = subprocess.run(
            ["bash", "-ec", f"{filled} && pwd"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()) == tmp_path / "home" / "ws"  # where rosdep and colcon go on
    assert (tmp_path / "home" / "ws" / "src" / "tiae_ros" / ".git").is_dir()
    assert os.access(tmp_path / "tiae_ros" / "scripts" / "demo", os.X_OK)


@pytest.mark.timeout(240)
def test_the_commands_run_in_an_empty_home(work, home, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    for command in filter(is_run_here, COMMANDS):
        assert main(shlex.split(command)[1:]) == 0, command
    assert (work / "windows.png").stat().st_size > 1000
    assert "mug, pen" in capfd.readouterr().out  # of `tiae info`
    assert not list(home.rglob("*.npz"))


def test_options_and_topics_exist():
    """Of the commands that are run elsewhere; `tiae node`'s remappings are of topics that the bag has."""
    choices = next(action.choices for action in build_parser()._actions if action.dest == "subcommand")
    for command in COMMANDS:
        words = shlex.split(command)
        if words[0] == "tiae":
            name = " ".join(words[1:3]) if " ".join(words[1:3]) in SUBCOMMANDS else words[1]
            known = {option for action in choices[name]._actions for option in action.option_strings}
            assert {w for w in words if w.startswith("--")} <= known | {"--ros-args"}, command
    with Bag(BAG) as bag:
        node = next(command for command in COMMANDS if command.startswith("tiae node "))
        assert set(re.findall(r"-r \S+?:=(\S+)", node)) == set(bag.topics)


def test_the_lines_of_python_run(work, home, monkeypatch, capsys):
    """With a frame of the bag in which the hand holds a mug, and the windows that the commands have cut from it."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    if not Path("windows.npz").exists():
        main(shlex.split("extract --bag my_bag --channels masks+depth --out windows.npz"))
    with Bag(BAG) as bag:
        frame = next(itertools.islice(bag.rgbd_frames(), 12, None))
    with np.load("windows.npz") as arrays:
        names = {"images": arrays["images"][:8], "color": frame.color, "depth_m": frame.depth_m, "k": frame.k}
    capsys.readouterr()
    for block in re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        exec(block, names)
    assert "mug" in capsys.readouterr().out
    assert names["descriptors"].shape == (8, 96)
    assert names["shifts"].shape == (8, 2)
    assert names["placed"].shape == (8, 3, 32, 32)
