"""A report is a bag that our own tools take, with what belongs to it, whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rosbags", reason="the package rosbags is not installed")

from tiae_ros.cli import main
from tiae_ros.errors import OutputError
from tiae_ros.parameters import TABLE
from tiae_ros.streams.bags import Bag
from tiae_ros.view.bug_report import save_report
from tiae_ros.view.recent import Arrived

BAG = Path(__file__).resolve().parents[1] / "data" / "grasps"


@pytest.fixture(scope="module")
def messages():
    """The recording's first two seconds, as the page has them."""
    with Bag(BAG) as bag:
        stored = [Arrived(one.topic, one.type, one.time_ns, bytes(one.data)) for one in bag.raw()]
    return [one for one in stored if one.time_ns - stored[0].time_ns < 2 * 10**9]


def test_a_report_is_a_bag(messages, tmp_path):
    parameters = {row.name: row.default for row in TABLE}
    picture = np.zeros((30, 40, 3), np.uint8)
    picture[..., 0] = 255
    path = save_report(tmp_path, messages, parameters, {"model": "hands"}, picture)
    with Bag(path) as bag:
        again = [(one.topic, one.time_ns, bytes(one.data)) for one in bag.raw()]
    assert again == [(one.topic, one.time_ns, one.data) for one in messages]
    assert yaml.safe_load((path / "parameters.yaml").read_text()) == {"/**": {"ros__parameters": parameters}}
    told = yaml.safe_load((path / "versions.yaml").read_text())
    assert told["node"] == {"model": "hands"}
    assert {"tiae_ros", "python", "numpy"} <= set(told["versions"])
    red = cv2.imread(str(path / "picture.jpg"))
    assert red[..., 2].mean() > 200 > red[..., 0].mean()
    out = tmp_path / "windows.npz"
    assert main(["extract", "--bag", str(path), "--out", str(out), "--segmentation", "classical"]) == 0
    with np.load(out) as arrays:
        assert len(arrays["images"]) > 20


def test_two_reports_of_one_second_are_two(messages, tmp_path):
    paths = {save_report(tmp_path, messages[:3], {}, {}, None) for _ in range(2)}
    assert len(paths) == 2
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}  # nothing half-written


def test_what_cannot_be_saved_is_said(messages, tmp_path):
    with pytest.raises(OutputError, match="wait for the first picture"):
        save_report(tmp_path, [], {}, {}, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_report(tmp_path / "file", messages[:3], {}, {}, None)


def test_two_browsers_may_press_at_once(messages, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        some = [messages[:20]] * 2
        paths = list(pool.map(lambda these: save_report(tmp_path, these, {}, {}, None), some))
    assert sorted(paths) == sorted(tmp_path.iterdir())  # and nothing half-written
    assert len(set(paths)) == 2
