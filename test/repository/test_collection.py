"""Tests are collected one by one, also where ROS 2's plugin for launch tests would drop folders (`colcon test`)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEST = Path(__file__).resolve().parents[1]
# As launch_testing.pytest.hooks: it imports what it is asked to collect, and lets a skip through.
PLUGIN = """
import importlib.util
import pytest

def pytest_pycollect_makemodule(module_path, parent):
    spec = importlib.util.spec_from_file_location(module_path.stem, module_path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    print("plugin looked at", module_path.name)
    return pytest.Module.from_parent(parent, path=module_path)
"""
FILES = {
    "node/test_skipped.py": "import pytest\npytest.importorskip('no_such_package')\ndef test_a(): pass\n",
    "node/test_there.py": "def test_b(): pass\ndef test_c(): pass\n",
    "launch/test_launched.py": "def test_d(): pass\n",
}


@pytest.mark.parametrize(("ours", "counts"), [(True, "3 passed, 1 skipped"), (False, "1 passed, 1 skipped")])
def test_a_skipped_file_skips_itself_alone(tmp_path, ours, counts):
    """Without our hook the plugin drops the files beside it, too: this is what it is for."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "like_launch_testing.py").write_text(PLUGIN)
    if ours:
        shutil.copy(TEST / "conftest.py", tmp_path)
    options = ["-p", "like_launch_testing", "-c", os.devnull, "--rootdir", tmp_path, "--import-mode=importlib", "-s"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", *map(str, options), str(tmp_path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert re.search(rf"^(=+ )?{counts}", result.stdout, re.MULTILINE), result.stdout + result.stderr
    looked = set(re.findall(r"plugin looked at (\S+)", result.stdout))
    assert "test_launched.py" in looked  # launch descriptions are still its own affair
    assert not (ours and "test_there.py" in looked)
