"""The environment that the processes find: each of its faults is one line, or no matter."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

import ros_processes
from ros_processes import PROGRAM, environment, node_process

from tiae_ros.node.large_messages import PROFILE, profile_variable, publish_large_messages

pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).resolve().parents[2]
PLAY = ("play", "--bag", str(ROOT / "test/data/grasps"), "--wait", "0", "--rate", "100")
# Python finds no temporary folder when none of its candidates can be written to, which root always can.
NO_TEMPORARY_FOLDER = (
    "-c",
    "import sys, tempfile\n"
    "def nowhere(): raise FileNotFoundError(2, 'No usable temporary directory found')\n"
    "tempfile._get_default_tempdir = nowhere\n"
    "from tiae_ros.cli import main\n"
    "sys.exit(main())",
)


def tiae(
    *words: str, program: Sequence[str] = PROGRAM, cwd: Path = ROOT, **changes: str | None
) -> subprocess.CompletedProcess[str]:
    """`tiae ...` in a changed environment; None takes a variable away."""
    variables = {name: value for name, value in (environment() | changes).items() if value is not None}
    return subprocess.run(
        [sys.executable, *program, *words],
        env=variables, cwd=cwd, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("words", [("node",), PLAY], ids=["node", "play"])
@pytest.mark.parametrize("domain", ["abc", "233"])
def test_a_domain_that_is_none_is_one_line(words, domain):
    result = tiae(*words, ROS_DOMAIN_ID=domain)
    assert result.returncode == 2
    assert result.stderr == (
        f"tiae {words[0]}: error: ROS_DOMAIN_ID is '{domain}'; it must be a whole number from 0 to 232, or not be set\n"
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"HOME": None, "ROS_LOG_DIR": None, "ROS_HOME": None}, "HOME is not set"),
        ({"ROS_LOG_DIR": "/proc/nowhere"}, "their folder cannot be made"),
    ],
    ids=["no HOME", "a log folder that cannot be made"],
)
def test_no_place_for_log_files_is_a_line(changes, line):
    result = tiae(*PLAY, **changes)
    assert result.returncode == 0, result.stderr
    assert "played /camera/color/camera_info 90" in result.stdout
    (said,) = [one for one in result.stderr.splitlines() if one.startswith("tiae: no log files: ")]
    assert line in said
    assert "Traceback" not in result.stderr


def test_no_temporary_folder_is_no_matter(tmp_path, client):
    result = tiae(*PLAY, program=NO_TEMPORARY_FOLDER)
    assert (result.returncode, result.stderr) == (0, "")
    with node_process(tmp_path, {"autostart": False}, wait_for="", program=NO_TEMPORARY_FOLDER) as node:
        assert client.state() == "unconfigured"
        assert node.end()[0] == 0
        assert "Traceback" not in node.output


def test_no_temporary_folder_where_one_is_needed_is_a_line():
    needs_one = "import tempfile, tiae_ros.commands.info as info; info.run = lambda _: tempfile.mkdtemp()\n"
    result = tiae("info", "hands", program=("-c", needs_one + NO_TEMPORARY_FOLDER[1]))
    assert result.returncode == 2
    assert result.stderr == (
        "tiae info: error: No usable temporary directory found; set TMPDIR to a folder to write to\n"
    )


@pytest.mark.parametrize("words", [("info", "hands"), ("recipe", "--help"), ("play", "--rate", "0")])
def test_an_output_of_few_letters_is_no_matter(words):
    result = tiae(*words, PYTHONIOENCODING="ascii")
    assert result.returncode == (2 if words[0] == "play" else 0), result.stderr
    assert "Traceback" not in result.stderr
    if words[0] == "info":
        assert "3\\xd732\\xd732" in result.stdout  # 3×32×32


def test_the_folder_above_the_clone_is_no_package(tmp_path):
    """Where the clone is called as the package, and Python starts above it."""
    (tmp_path / "tiae_ros").symlink_to(ROOT)
    result = tiae(program=("-c", "from tiae_ros import load_model, __file__; print(__file__)"), cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.strip().endswith("tiae_ros/__init__.py")


def test_transports_of_the_users_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for chosen in (
        {"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"},
        {"FASTDDS_DEFAULT_PROFILES_FILE": "mine.xml"},
        {"FASTRTPS_DEFAULT_PROFILES_FILE": "mine.xml"},
        {"RMW_IMPLEMENTATION": "rmw_zenoh_cpp"},
    ):
        before = dict(chosen)
        assert not publish_large_messages(chosen)
        assert chosen == before
    ours = {"ROS_DISTRO": "jazzy"}
    assert publish_large_messages(ours)
    assert ours[profile_variable(ours)] == str(PROFILE)
    assert "<segment_size>16777216</segment_size>" in PROFILE.read_text("utf-8")
    (tmp_path / "DEFAULT_FASTRTPS_PROFILES.xml").touch()  # which Fast DDS reads by itself
    assert not publish_large_messages({"ROS_DISTRO": "jazzy"})


@pytest.mark.parametrize("chosen", ["", "UDPv4"])
def test_a_node_told_to_use_udp_uses_nothing_else(tmp_path, client, chosen, monkeypatch):
    """As in containers that share a network but no memory: there the node got no image."""
    monkeypatch.setattr(ros_processes, "environment", lambda: environment() | {
        "FASTDDS_BUILTIN_TRANSPORTS": chosen,
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",  # for LOCALHOST ROS itself puts shared memory beside UDP
    })  # fmt: skip
    with node_process(tmp_path, {"autostart": False}, wait_for="") as node:
        assert client.state() == "unconfigured"
        segments = re.findall("/dev/shm/fastrtps_", Path(f"/proc/{node.pid}/maps").read_text())
        assert not (chosen and segments)
        if not chosen and not segments:
            pytest.skip("this DDS keeps no shared memory anyway")
