"""What the pages on deployment offer: the container's recipe, the service, and commands that name what there is."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tiae_ros.parameters import TABLE
from tiae_ros.streams.camera_drivers import DRIVERS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "config" / "deploy"
HOW_TO = ROOT / "docs" / "how-to"
PAGES = ("deploy", "container", "network", "camera", "latency", "troubleshooting")
GUIDE = "\n".join((HOW_TO / f"{name}.md").read_text("utf-8") for name in PAGES)
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of the Dockerfile, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def test_what_the_container_copies_exists(instructions):
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = [source for word, rest in instructions if word == "COPY" for source in rest.split()[:-1]]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in kept, f"{source} is kept out of the build by Dockerfile.dockerignore"
    assert {"tiae_ros", "training", "launch", "config", "models", "resource", "requirements"} <= set(copied)
    assert (DEPLOY / "entrypoint.sh").read_text("utf-8").rstrip().endswith('exec "$@"')


def test_the_container_runs_the_readme_s_commands(instructions):
    run = "\n".join(rest for word, rest in instructions if word == "RUN")
    by_hand = re.search(r"^    pip install ((?:[a-z]+ ?)+)$", GUIDE, re.MULTILINE).group(1).split()
    pattern = re.search(r"grep -hE '(.*?)'", run).group(1)
    pinned = [
        line
        for line in (ROOT / "requirements" / "runtime.txt").read_text("utf-8").splitlines()
        if re.search(pattern, line)
    ]
    assert {line.partition("=")[0] for line in pinned} == set(by_hand)
    for command in ("rosdep install --from-paths src -iy", "colcon build"):
        assert command in README
        assert command in GUIDE
        assert command in run


def test_arguments_that_the_guide_names_are_declared(instructions):
    named = set(re.findall(r"--build-arg\s+(\w+)=", GUIDE))
    assert named == {rest.partition("=")[0] for word, rest in instructions if word == "ARG"}


def test_the_container_is_nobody_special(instructions):
    words = [word for word, _ in instructions]
    last = dict(instructions)
    assert last["USER"] not in ("root", "0")
    assert words.index("USER") > max(i for i, word in enumerate(words) if word in ("RUN", "COPY"))
    assert last["STOPSIGNAL"] == "SIGINT"
    assert "perception.launch.py" in last["CMD"]


def test_the_service_stops_as_ctrl_c_does():
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # keys have capitals
    unit.read(DEPLOY / "tiae.service")
    service = unit["Service"]
    assert service["KillSignal"] == "SIGINT"
    assert "exec ros2 launch tiae_ros perception.launch.py" in service["ExecStart"]
    assert service["User"] != "root"
    assert service["Restart"] == "always"  # `systemctl stop` is kept to all the same
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_systemd_takes_the_service():
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    result = subprocess.run(
        ["systemd-analyze", "verify", str(DEPLOY / "tiae.service")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if "Failed to" in result.stderr and "tiae.service" not in result.stderr:
        pytest.skip(f"systemd-analyze does not work here: {result.stderr.strip()}")
    assert (result.returncode, result.stderr) == (0, "")


def test_the_guide_names_what_there_is():
    for path in re.findall(r"config/[\w/]+\.\w+", GUIDE):
        assert (ROOT / path).is_file(), path
    assert "(docs/how-to/deploy.md" in README
    for camera in re.findall(r"camera:=(\w+)", GUIDE):
        assert camera in {*DRIVERS, "auto", "none"}, camera
    launch = (ROOT / "launch" / "perception.launch.py").read_text("utf-8")
    arguments = {*re.findall(r'^    "(\w+)": \{', launch, re.MULTILINE), *(row.name for row in TABLE)}
    of_drivers = {"align_depth", "enable", "depth_registration"}
    for name in re.findall(r"(?<![/\w])(\w+):=", GUIDE):
        assert name in arguments | of_drivers, name


def test_colcon_runs_by_the_environments_python():
    """`colcon` alone runs by the system's, and the installed `tiae` then lacks what pip has installed."""
    for text in (GUIDE, README):
        for line in re.findall(r"^    .*colcon build.*$", text, re.MULTILINE):
            assert re.search(r"python3? -m colcon build", line), line


def test_rosdep_keys_are_named_as_they_are():
    for key in ("python3-torch", "python3-pytorch-pip", "python3-rosbags-pip", "python3-mujoco-pip"):
        assert f"`{key}`" in GUIDE
