"""``tiae extract`` on bags as they come from the field: with odd stamps, camera infos, units and frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="the package rosbags is not installed")

import written_bags as bags
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.cli import main

FRAMES = 12
PERIOD_S = 1 / 15
START_S = 1_700_000_000
SCENE = make_scene()
Change = Callable[[dict[str, Any]], None]


def write(folder: Path, change: Change | None = None, storage: str = "mcap") -> Path:
    """A bag of frames; `change` may alter the parts of each: pixels, stamps, times of recording, frames, infos."""
    messages = []
    for number in range(FRAMES):
        stamp_s = START_S + number * PERIOD_S
        parts: dict[str, Any] = {
            "number": number,
            "color": SCENE.color,
            "depth": SCENE.depth_mm,
            "encoding": "16UC1",
            "stamps_s": {"color": stamp_s, "depth": stamp_s},
            "recorded_s": {"color": stamp_s, "depth": stamp_s + 0.003},
            "frames": {"color": bags.FRAME, "depth": bags.FRAME},
            "infos": {"/camera/color/camera_info": (320, 240, FOCAL, bags.FRAME)},
        }
        if change is not None:
            change(parts)
        for name, encoding in (("color", "rgb8"), ("depth", parts["encoding"])):
            if parts[name] is not None:
                stamp_ns = round(parts["stamps_s"][name] * 1e9)
                image = bags.image(stamp_ns, parts[name], encoding, frame_id=parts["frames"][name])
                messages.append((f"/camera/{name}/image", bags.IMAGE, round(parts["recorded_s"][name] * 1e9), image))
        for topic, (width, height, focal, frame_id, *binning) in parts["infos"].items():
            time_ns = round(parts["recorded_s"]["color"] * 1e9)
            binned = dict.fromkeys(("binning_x", "binning_y"), (*binning, 0)[0])
            info = bags.camera_info(time_ns, width, height, focal, frame_id=frame_id, **binned)
            messages.append((topic, bags.CAMERA_INFO, time_ns, info))
    return bags.write_messages(folder, sorted(messages, key=lambda message: message[2]), storage=storage)


def extract(bag: Path, *words: str) -> tuple[int, dict[str, np.ndarray]]:
    """Exit code and arrays of the command, by the classical method."""
    out = bag.with_suffix(".npz")
    arguments = ["extract", "--segmentation", "classical", "--bag", str(bag), "--out", str(out), "--overwrite"]
    code = main([*arguments, *words])
    if code:
        return code, {}
    with np.load(out) as arrays:
        return code, dict(arrays)


def put(**values: Any) -> Change:
    return lambda parts: parts.update(values)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("late_s", [0.4, 30.0])
def test_depth_that_was_recorded_late_is_found(tmp_path, capsys, late_s, storage):
    def late(parts: dict[str, Any]) -> None:
        parts["recorded_s"]["depth"] += late_s

    code, arrays = extract(write(tmp_path / "bag", late, storage))
    assert (code, len(arrays["images"])) == (0, FRAMES)
    assert list(arrays["stamps_ns"][:2]) == [START_S * 10**9, round((START_S + PERIOD_S) * 1e9)]
    assert capsys.readouterr().err == ""


def test_stamps_that_never_change_fall_back_to_the_time_of_recording(tmp_path, capsys):
    bag = write(tmp_path / "bag", put(stamps_s={"color": 0, "depth": 0}))
    code, arrays = extract(bag)
    assert (code, len(arrays["images"])) == (0, FRAMES)
    assert "warning: stamps of color and depth never change: paired by the time of recording" in capsys.readouterr().err
    assert len(extract(bag, "--from-s", "0.5")[1]["images"]) == FRAMES - 8


def test_stamps_apart_are_refused_with_the_distance_or_taken_by_slop(tmp_path, capsys):
    def apart(parts: dict[str, Any]) -> None:
        parts["stamps_s"]["depth"] += 0.025

    bag = write(tmp_path / "bag", apart)
    assert extract(bag)[0] == 2
    line = capsys.readouterr().err
    assert "the nearest stamps are 0.025 s apart (slop 0.02 s), it comes 0.003 s later" in line
    assert "--slop" in line
    code, arrays = extract(bag, "--slop", "0.03")
    assert (code, len(arrays["images"])) == (0, FRAMES)
    assert extract(bag, "--slop", "-1")[0] == 2
    assert "slop -1.0 s is not within 0 to 10" in capsys.readouterr().err


def test_what_was_not_paired_is_counted(tmp_path, capsys):
    code, arrays = extract(write(tmp_path / "bag", lambda p: p.update(depth=p["depth"] if p["number"] % 3 else None)))
    assert (code, len(arrays["images"])) == (0, FRAMES - 4)
    assert "warning: 4 of 12 color images have no depth image of their moment: depth: " in capsys.readouterr().err


def sides(arrays: dict[str, np.ndarray]) -> float:
    return float(np.median(arrays["windows"][:, 2]))


def half(parts: dict[str, Any]) -> None:
    parts["color"], parts["depth"] = parts["color"][::2, ::2], parts["depth"][::2, ::2]


def half_binned(parts: dict[str, Any]) -> None:
    half(parts)
    parts["infos"] = {"/camera/color/camera_info": (320, 240, FOCAL, bags.FRAME, 2)}


@pytest.mark.parametrize("change", [half, half_binned])
def test_a_smaller_picture_gets_smaller_windows(tmp_path, change):
    """The camera info is of the full picture."""
    _, whole = extract(write(tmp_path / "whole"))
    code, smaller = extract(write(tmp_path / "smaller", change))
    assert code == 0
    assert sides(smaller) == pytest.approx(sides(whole) / 2, rel=0.01)


def other_camera(parts: dict[str, Any]) -> None:
    parts["infos"] = {"/other/camera_info": (320, 240, 900.0, "other_optical_frame")}


def turned(parts: dict[str, Any]) -> None:
    parts["color"], parts["depth"] = np.rot90(parts["color"]), np.rot90(parts["depth"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_camera, "camera info is of frame 'other_optical_frame' but colour is of 'camera_color_optical_frame'"),
        (turned, "the picture is turned by 90 degrees, and its camera info is not"),
        (put(infos={"/camera/color/camera_info": (320, 200, FOCAL, bags.FRAME)}), "is for 320x200 but colour is"),
        (put(infos={"/camera/color/camera_info": (320, 240, 0.0, bags.FRAME)}), "not calibrated (fx = 0)"),
        (put(infos={}), "there is no camera info"),
    ],
)
def test_a_camera_info_that_does_not_fit_is_refused_with_its_reason(tmp_path, capsys, change, said):
    bag = write(tmp_path / "bag", change)
    assert extract(bag)[0] == 2
    line = capsys.readouterr().err
    assert said in line
    assert "give the focal length with --focal-px" in line
    assert extract(bag, "--focal-px", "300")[0] == 0


def test_the_camera_info_of_the_pictures_frame_is_taken(tmp_path):
    _, usual = extract(write(tmp_path / "usual"))

    def two(parts: dict[str, Any]) -> None:
        other_camera(parts)
        parts["infos"]["/z/camera_info"] = (320, 240, FOCAL, bags.FRAME)

    code, arrays = extract(write(tmp_path / "two", two))
    assert code == 0
    assert sides(arrays) == sides(usual)


def test_portrait_pictures_with_a_portrait_camera_info(tmp_path, capsys):
    upright = make_scene(120, 170, width=240, height=320)
    upright_info = {"/camera/color/camera_info": (240, 320, FOCAL, bags.FRAME)}
    bag = write(tmp_path / "bag", put(color=upright.color, depth=upright.depth_mm, infos=upright_info))
    code, arrays = extract(bag)
    assert (code, len(arrays["images"])) == (0, FRAMES)
    assert np.median(arrays["windows"][:, 0]) == pytest.approx(130, abs=15)
    assert np.median(arrays["windows"][:, 1]) == pytest.approx(170, abs=15)
    assert capsys.readouterr().err == ""


def test_depth_of_another_frame_is_told(tmp_path, capsys):
    frames = {"color": bags.FRAME, "depth": "camera_depth_optical_frame"}
    assert extract(write(tmp_path / "bag", put(frames=frames)))[0] == 0
    assert "warning: 12 of 12 frames: depth is of frame 'camera_depth_optical_frame'" in capsys.readouterr().err


def test_depth_in_another_unit_is_named_and_can_be_given(tmp_path, capsys):
    bag = write(tmp_path / "tenths", put(depth=SCENE.depth_mm * 10))
    assert extract(bag)[0] == 2
    assert "the nearest is 4.95 m: nothing is within reach, or one step of 16UC1 is not" in capsys.readouterr().err
    code, arrays = extract(bag, "--depth-unit-m", "0.0001")
    assert (code, len(arrays["images"])) == (0, FRAMES)
    assert np.median(arrays["windows"][:, 3]) == pytest.approx(0.495, abs=0.01)
    assert extract(write(tmp_path / "mm", put(depth=SCENE.depth_mm.astype("<f4"), encoding="32FC1")))[0] == 2
    assert "32FC1 is not in metres" in capsys.readouterr().err
    assert extract(bag, "--depth-unit-m", "0")[0] == 2


def test_a_zoom_in_the_middle_of_a_bag_is_followed(tmp_path):
    def zoom(parts: dict[str, Any]) -> None:
        focal = FOCAL if parts["number"] < 6 else 1.25 * FOCAL
        parts["infos"] = {"/camera/color/camera_info": (320, 240, focal, bags.FRAME)}

    side_px = extract(write(tmp_path / "bag", zoom))[1]["windows"][:, 2]
    assert side_px[-1] == pytest.approx(1.25 * side_px[0], rel=0.01)
