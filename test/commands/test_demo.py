"""The demo as a stranger runs it: three processes, pictures and a table from what came over the topics."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from ros_processes import environment

ROOT = Path(__file__).resolve().parents[2]


def run_demo(tmp_path, *words):
    command = [sys.executable, ROOT / "scripts" / "run_demo.py", "--out", tmp_path / "out", *words]
    return subprocess.run(
        [*map(str, command)], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.serial
@pytest.mark.timeout(120)
def test_the_demo_ends_with_pictures_and_a_table(tmp_path):
    result = run_demo(tmp_path, "--rate", "2", "--frames", "3")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == [*(f"frame_{i}.png" for i in range(3)), "sheet.png", "table.md"]
    row = cv2.imread(str(out / "frame_1.png"))
    assert row.shape == (240, 320 + 4 * 240, 3)
    for left in (320, 560, 800, 1040):  # input window, restored, input depth, restored depth: none is blank
        assert np.unique(row[:, left : left + 240].reshape(-1, 3), axis=0).shape[0] > 4
    table = (out / "table.md").read_text()
    assert table in result.stdout
    counts = {name: int(count) for name, count in re.findall(r"\| (\S+) \| (\d+) \|", table)}
    assert counts["color/image"] == 90
    for name in ("~/descriptor", "~/shift", "~/position", "~/restored/depth", "~/restored/camera_info"):
        assert counts[name] >= 45
    latencies = [float(value) for value in re.findall(r"([\d.]+) ms \| [\d.]+ ms \|", table)]
    assert latencies
    assert max(latencies) < 1000


def test_an_absent_bag_is_said_in_one_line(tmp_path):
    result = run_demo(tmp_path, "--bag", tmp_path / "nowhere")
    assert result.returncode == 2
    assert "nowhere does not exist" in result.stderr
    assert not (tmp_path / "out").exists()
