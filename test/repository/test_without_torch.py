"""What runs on a robot runs where torch and the rest of the training's packages cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = ("torch", "safetensors", "onnx", "onnxscript", "sklearn", "tqdm")
PRELUDE = f"import sys\nfor name in {BLOCKED}: sys.modules[name] = None\n"
EVERYTHING = """
import contextlib, io, itertools, json
import numpy as np
from tiae_ros import Perception, load_model
from tiae_ros.cli import SUBCOMMANDS, main
from tiae_ros.streams.bags import Bag

BAG = sys.argv[1]
said = {}

def tiae(*words, expected=0):
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(output):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    assert code == expected, (words, output.getvalue())
    said[" ".join(words)] = output.getvalue()

tiae("extract", "--bag", BAG, "--out", "mug.npz", "--channels", "masks+depth", "--label", "mug", "--to-s", "2")
tiae("extract", "--bag", BAG, "--out", "pen.npz", "--channels", "masks+depth", "--label", "pen", "--from-s", "3")
tiae("evaluate", "--model", "hands", "--data", "mug.npz", "pen.npz", "--json")
tiae("restore", "--model", "hands", "--data", "mug.npz", "--out", "restored.npz")
tiae("explore", "--model", "hands", "--data", "mug.npz", "pen.npz")
tiae("name", "--model", "hands", "--data", "mug.npz", "pen.npz", "--out", "named")
for name in ("hands", "segmentation", "named"):
    tiae("info", name)
tiae("--help")
for name in SUBCOMMANDS:
    tiae(*name.split(), "--help")
for words in ("train --data mug.npz", "train segmentation --data mug.npz", "export --run named", "recipe digits"):
    tiae(*words.split(), "--out", "new", expected=2)

windows = np.load("mug.npz")["images"]
model = load_model("named")
encoded = model.encode(windows)
assert model.restore(windows).shape == model.place(windows).shape == windows.shape
np.testing.assert_allclose(model.decode(encoded), model.restore(windows), atol=1e-5)
assert model.estimate_shift(windows).shape == model.estimate_shift(windows, compare=True).shape == (len(windows), 2)
assert model.estimate_parameters(windows).shape == (len(windows), 4)
np.testing.assert_allclose(model.infer(windows).placed, model.place(windows), atol=1e-5)
assert {model.label(row) for row in encoded} <= {"mug", "pen", ""}

with Bag(BAG) as bag:
    frames = list(itertools.islice(bag.rgbd_frames(), 4))
perception = Perception(device="cpu")
said["grasps"] = [len(perception.frame(frame.color, frame.depth_m, frame.k)) for frame in frames]

try:
    import rclpy
except ImportError:
    said["node"] = "no rclpy"
else:
    from tiae_ros.node.node import PerceptionNode

    rclpy.init()
    node = PerceptionNode(namespace="/without_torch")
    said["node"] = [node.trigger_configure().name, node.trigger_activate().name]
    node.stop()
    node.destroy_node()
    rclpy.shutdown()
json.dump(said, sys.stdout)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """The output of every command that was run, each with the right exit code, and what came of the rest."""
    folder = tmp_path_factory.mktemp("without_torch")
    domain = str(1 + os.getpid() % 100)
    environment = {**os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": domain}
    command = [sys.executable, "-c", PRELUDE + EVERYTHING, str(ROOT / "test" / "data" / "grasps")]
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_tools_on_recorded_data_work(said):
    (measured,) = (output for words, output in said.items() if words.startswith("evaluate --model"))
    assert {"knn_accuracy", "nmi", "ari", "shift_error"} <= json.loads(measured).keys()
    assert "Names it knows\n\nmug, pen" in said["info named"]
    assert "U-Net" in said["info segmentation"]


def test_frames_become_grasps(said):
    assert max(said["grasps"]) == 1  # a hand, which need not be found in each frame
    assert sum(said["grasps"]) >= 3
    assert said["node"] in ("no rclpy", ["SUCCESS", "SUCCESS"])


def test_what_trains_names_the_extra(said):
    refused = {words: output for words, output in said.items() if words.endswith("--out new")}
    assert len(refused) == 4
    for words, output in refused.items():
        (line,) = output.strip().splitlines()
        assert line.startswith(f"tiae {words.partition(' --')[0].removesuffix(' digits')}: error: ")
        assert "install the extra `train`" in line
