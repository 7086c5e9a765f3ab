"""The package as it is installed: by pip, by colcon; launch files, configuration and models are found either way."""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tiae_ros.errors import install_hint

ROOT = Path(__file__).resolve().parents[2]
SHARED = (
    "package.xml",
    "launch/perception.launch.py",
    "config/perception.yaml",
    "config/hands/shadow.yaml",
    "models/grasp/encoder.onnx",
)
# Tests that `colcon test` runs here: short ones, of two rooms.
TESTS = ("conftest.py", "node/test_mailbox.py", "vision/test_position.py")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the tracked (and new) files, as a clone would have them; of the models one, packing takes its time."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of the project's files")
    folder = tmp_path_factory.mktemp("source") / "tiae_ros"
    for name in listed.stdout.splitlines():
        if name.startswith("models/") and not name.startswith("models/grasp/"):
            continue
        if (not name.startswith("test/") or name[5:] in TESTS) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def run(*words, **options):
    result = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=110, check=False, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_pip_installs_everything(source, tmp_path):
    run(
        sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--ignore-installed",
        "--no-compile", "--prefix", tmp_path, source, "--quiet", "--disable-pip-version-check",
    )  # fmt: skip
    for name in SHARED:
        assert (tmp_path / "share" / "tiae_ros" / name).is_file()
    assert (tmp_path / "share/ament_index/resource_index/packages/tiae_ros").is_file()
    assert (tmp_path / "bin" / "tiae").is_file()
    packages = next((tmp_path / "lib").glob("python*/site-packages"))
    for name in (
        "tiae_ros/model/shifts.py", "tiae_ros/py.typed", "tiae_ros/node/large_messages.xml",
        "tiae_training/simulator/hand.py", "tiae_training/explore/template.html", "tiae_training/explore/page.js",
    ):  # fmt: skip
        assert (packages / name).is_file()


def test_colcon_builds_and_tests_it(source, tmp_path):
    colcon = Path(sys.executable).parent / "colcon"
    if not colcon.exists() and not shutil.which("colcon"):
        pytest.skip("colcon is not installed (pip install colcon-common-extensions)")
    (tmp_path / "src").mkdir()
    shutil.copytree(source, tmp_path / "src" / "tiae_ros")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTEST_ADDOPTS": ""}
    run("colcon", "build", cwd=tmp_path, env=environment)
    prefix = tmp_path / "install" / "tiae_ros"
    for name in SHARED:
        assert (prefix / "share" / "tiae_ros" / name).is_file()
    assert (prefix / "share/ament_index/resource_index/packages/tiae_ros").is_file()
    assert os.access(prefix / "lib" / "tiae_ros" / "tiae", os.X_OK)  # where `ros2 run tiae_ros tiae` looks
    linked = tmp_path / "linked"
    run("colcon", "build", "--symlink-install", "--build-base", linked, "--install-base", linked / "install",
        cwd=tmp_path, env=environment)  # fmt: skip
    assert os.access(linked / "install/tiae_ros/lib/tiae_ros/tiae", os.X_OK)
    assert (linked / "install/tiae_ros/share/tiae_ros/models/grasp/encoder.onnx").is_file()
    setup = f". {tmp_path}/install/setup.sh && {prefix}/lib/tiae_ros/tiae info {prefix}/share/tiae_ros/models/grasp"
    assert "invariant to: shift" in run("sh", "-c", setup, env=environment)
    run("colcon", "test", cwd=tmp_path, env=environment)
    said = run("colcon", "test-result", "--all", cwd=tmp_path, env=environment)
    counted = re.search(r"^Summary: (\d+) tests, 0 errors, 0 failures, 0 skipped", said, re.MULTILINE)
    assert counted, said
    assert int(counted[1]) >= 7  # not one for a folder that a plugin has dropped


def test_package_xml_names_what_the_code_imports():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert package.get("format") == "3"
    assert package.findtext("export/build_type") == "ament_python"
    named = {element.text for element in package.findall("exec_depend")}
    for message_package in ("sensor_msgs", "geometry_msgs", "std_msgs", "std_srvs", "diagnostic_msgs", "rclpy"):
        assert message_package in named
    versions = {
        package.findtext("version"),
        run(sys.executable, "-c", "import tiae_ros; print(tiae_ros.__version__)").strip(),
    }
    assert len(versions) == 1


def test_nobody_is_sent_to_an_index():
    """The package is on none: extras are installed from its folder, as `errors.install_hint` says it."""
    sent = r"pip install [^\n]*tiae_ros\["
    listed = subprocess.run(
        ["git", "grep", "-lE", sent, "--", "*.md", "*.py", "scripts", ":!test/repository/test_packaging.py"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert listed.stdout == ""
    assert install_hint("bags") == "pip install -e '.[bags]' in the clone of tiae_ros"
