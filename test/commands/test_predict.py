"""``tiae predict`` on pictures in a folder."""

import json

import cv2
import numpy as np
import pytest
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.cli import main


@pytest.fixture
def pictures(tmp_path):
    """Two pairs: a hand with a box (drawn), and a wall."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    scene = make_scene()
    for name, color, depth in (
        ("hand", scene.color, scene.depth_mm),
        ("wall", np.full_like(scene.color, 128), np.full_like(scene.depth_mm, 1000)),
    ):
        cv2.imwrite(str(folder / f"{name}_color.png"), color[..., ::-1])
        cv2.imwrite(str(folder / f"{name}_depth_mm.png"), depth.astype(np.uint16))
    return folder


def test_a_line_for_each_picture(pictures, tmp_path, capsys):
    out = tmp_path / "looked_at"
    assert main(["predict", str(pictures), "--focal-px", str(FOCAL), "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["hand", "wall"]
    assert lines[1] == "wall: no hand"
    for name in ("hand.jpg", "wall.jpg", "sheet.jpg"):
        assert cv2.imread(str(out / name)) is not None


def test_json_has_a_row_for_each_grasp(pictures, capsys):
    assert main(["predict", str(pictures), "--fov-deg", "65", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == ["hand", "wall"]
    assert rows[1]["grasps"] == []
    for grasp in rows[0]["grasps"]:
        assert len(grasp["descriptor"]) == 96
        assert 0 <= grasp["confidence"] <= 1
        assert grasp["position_m"][2] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: [path.unlink() for path in folder.iterdir()], "holds no pictures"),
        (lambda folder: (folder / "hand_depth_mm.png").unlink(), "hand_color.png has no depth beside it"),
        (lambda folder: (folder / "wall_color.png").write_bytes(b"none"), "wall_color.png cannot be used"),
        (
            lambda folder: cv2.imwrite(str(folder / "hand_depth_mm.png"), np.zeros((5, 6), np.uint16)),
            "both must be of one size",
        ),
        (
            lambda folder: cv2.imwrite(str(folder / "hand_depth_mm.png"), np.zeros((5, 6), np.uint8)),
            "needed is depth as 16 bit grey",
        ),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(pictures, capsys, spoil, said):
    spoil(pictures)
    assert main(["predict", str(pictures), "--focal-px", "300", "--strict"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["--focal-px", "0"], ["--focal-px", "-3"], ["--fov-deg", "200"], ["--focal-px", "nan"]]
)
def test_a_lens_that_is_none_is_refused(pictures, capsys, words):
    assert main(["predict", str(pictures), *words]) == 2
    assert words[0] in capsys.readouterr().err


def test_a_bad_picture_costs_itself(pictures, tmp_path, capsys):
    (pictures / "hand_color.png").write_bytes(b"none")
    words = ["predict", str(pictures), "--focal-px", "300"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.out == "wall: no hand\n"
    assert "warning: skipped" in said.err
    assert (tmp_path / "out" / "sheet.jpg").exists()
    (pictures / "wall_depth_mm.png").unlink()
    assert main(words) == 2
    assert "none of 2 pictures" in capsys.readouterr().err


def test_another_unit_is_questioned(pictures, capsys):
    for path in pictures.glob("*_depth_mm.png"):
        tenths = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.uint32) * 10
        cv2.imwrite(str(path), np.minimum(tenths, 65535).astype(np.uint16))
    assert main(["predict", str(pictures), "--focal-px", "300"]) == 0
    assert "2 pictures look wrong" in capsys.readouterr().err
