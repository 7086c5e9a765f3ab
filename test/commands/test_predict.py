"""``tiae predict`` on every kind of source that this machine has."""

import itertools
import json
import re
import shutil
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.cli import main
from tiae_ros.errors import DataError
from tiae_ros.streams.video_files import Video  # before any video is opened: it silences FFmpeg

GRASPS = Path(__file__).resolve().parents[1] / "data" / "grasps"


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
    assert re.fullmatch(r"hand: \w+, hand [01]\.\d\d at \S+ \S+ \S+ m", lines[0])
    assert lines[1] == "wall: no hand"
    for name in ("hand.jpg", "wall.jpg", "sheet.jpg"):
        assert cv2.imread(str(out / name)) is not None
    again = ["predict", str(pictures), "--focal-px", str(FOCAL), "--frames", "1", "--out", str(out)]
    assert main(again) == 2
    assert f"--out {out} already holds hand.jpg; give another folder, or --overwrite" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0


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
            "depth is 6x5 but colour is 320x240",
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


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """12 frames of the recorded bag as videos: cup.mp4 with a folder of depth, mug.mp4 with a depth video, bare.mp4."""
    from tiae_ros.streams.bags import Bag

    folder = tmp_path_factory.mktemp("filmed")
    (folder / "cup_depth").mkdir()
    grey = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    with Bag(GRASPS) as bag:
        frames = list(itertools.islice(bag.rgbd_frames(), 10, 22))
    for name in ("cup", "mug", "bare"):
        writer = cv2.VideoWriter(str(folder / f"{name}.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 15, (320, 240))
        for frame in frames:
            writer.write(frame.color[..., ::-1].copy())
        writer.release()
    depth = cv2.VideoWriter(
        str(folder / "mug_depth.mkv"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 15, (320, 240), grey
    )
    for number, frame in enumerate(frames):
        millimetres = np.nan_to_num(frame.depth_m * 1000).astype(np.uint16)
        depth.write(millimetres)
        cv2.imwrite(str(folder / "cup_depth" / f"{number:04d}.png"), millimetres)
    depth.release()
    return folder


def rows_of(capsys):
    said = capsys.readouterr()
    return [json.loads(line) for line in said.out.splitlines()], said.err


@pytest.mark.parametrize("name", ["cup", "mug"])
def test_a_video_with_depth_beside_it(filmed, tmp_path, capsys, name):
    out = tmp_path / "out"
    assert main(["predict", str(filmed / f"{name}.mp4"), "--fov-deg", "63", "--json", "--out", str(out)]) == 0
    rows, said = rows_of(capsys)
    assert len(rows) == 12
    assert all(row["depth"] and row["grasps"] for row in rows)
    assert rows[3]["stamp_ns"] == 200_000_000
    assert rows[0]["grasps"][0]["position_m"][2] == pytest.approx(0.63, abs=0.03)
    assert f"depth of {filmed / name}_depth" in said
    assert sorted(path.name for path in out.iterdir()) == ["annotated.mp4", "sheet.jpg"]
    assert len(list(Video(out / "annotated.mp4"))) == 12


def test_depth_that_ends_early_is_said(filmed, tmp_path, capsys):
    short = tmp_path / "short"
    short.mkdir()
    for path in sorted((filmed / "cup_depth").iterdir())[:2]:
        (short / path.name).write_bytes(path.read_bytes())
    assert main(["predict", str(filmed / "bare.mp4"), str(short), "--fov-deg", "63"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2
    assert "ends before" in said.err
    assert "at frame 2" in said.err


def test_without_depth_there_are_masks_and_guesses_and_that_is_said(filmed, tmp_path, capsys, monkeypatch):
    assert main(["predict", str(filmed / "bare.mp4"), "--json", "--frames", "3"]) == 0
    rows, said = rows_of(capsys)
    assert said.count("no depth: hands are found by the colour of skin alone") == 1
    assert len(rows) == 3
    for row in rows:
        assert row["depth"] is False
        assert row["grasps"]
        assert all(grasp["position_m"] is None for grasp in row["grasps"])
    drawn = []
    put_text = cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda *words: drawn.append(words[1]) or put_text(*words))
    assert main(["predict", str(filmed / "bare.mp4"), "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r"bare_000000: .* at pixel \d+ \d+", lines[0])
    told = [found for line in lines for found in re.findall(r"(?:: |; )(.*?) at pixel", line)]
    assert told == [text if ", " in text else f"unknown, {text}" for text in drawn]  # the picture says the same
    assert any(text.startswith("perhaps ") for text in drawn)


def test_a_bag_has_its_own_camera_and_says_what_it_took(capsys):
    assert main(["predict", str(GRASPS), "--json", "--frames", "4"]) == 0
    rows, said = rows_of(capsys)
    assert "colour is /camera/color/image, depth /camera/depth/image" in said
    assert rows[3]["grasps"][0]["position_m"][2] == pytest.approx(0.61, abs=0.03)


@pytest.mark.parametrize("nothing", [np.zeros((48, 64), np.uint16), np.full((48, 64), np.nan, np.float32)])
def test_depth_without_a_reading_is_said(tmp_path, capsys, nothing):
    cv2.imwrite(str(tmp_path / "cup.png"), np.full((48, 64, 3), 90, np.uint8))
    depth = tmp_path / ("depth.png" if nothing.dtype == np.uint16 else "depth.tiff")
    cv2.imwrite(str(depth), nothing)
    assert main(["predict", str(tmp_path / "cup.png"), str(depth), "--focal-px", "60", "--json"]) == 0
    ((row,), said) = rows_of(capsys)
    assert row["grasps"] == []
    assert "1 picture looks wrong; the first: cup: its depth has no reading at all" in said


def test_two_pictures_and_two_folders(pictures, tmp_path, capsys):
    color, depth = pictures / "hand_color.png", pictures / "hand_depth_mm.png"  # one lies beside the other
    folder = tmp_path / "set"
    for name, path in (("rgb", color), ("depth", depth)):
        (folder / name).mkdir(parents=True)
        (folder / name / "hand.png").write_bytes(path.read_bytes())
    lone = folder / "depth" / "hand.png"
    for words in ([color], [folder / "rgb" / "hand.png", lone], [folder]):
        assert main(["predict", *map(str, words), "--focal-px", str(FOCAL), "--json"]) == 0
        ((row,), said) = rows_of(capsys)
        assert row["depth"]
        assert row["name"] == "hand"
        assert not said
    assert main(["predict", str(color), "--json"]) == 0
    ((row,), said) = rows_of(capsys)
    assert "the camera is not known: positions are withheld" in said
    assert all(grasp["position_m"] is None for grasp in row["grasps"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere does not exist; accepted is a picture"),
        (["nowhere.mp4"], "video nowhere.mp4 does not exist"),
        (["97"], "camera 97 cannot be opened"),
        (["realsense:0"], r"pip install -e '\.\[realsense\]'|libusb|RealSense 0 cannot be started"),
        (["99999999999"], "camera 99999999999 cannot be opened"),
        (["x" * 300], "xxx' cannot be a source: File name too long"),
        (["vast.png"], "vast.png cannot be used"),
        (["notes.txt"], "notes.txt is none of what can be read"),
        (["notes.mp4"], "video notes.mp4 cannot be read"),
        (["notes.png"], "notes.png cannot be used"),
        (["notes.mcap"], "notes.mcap"),
        ([str(GRASPS), "--color", "/nowhere"], "has no topic /nowhere"),
        (["notes.png", "--frames", "0"], "--frames is 0"),
        (["notes.png", "--depth-unit-m", "1"], "depth unit 1 m is not within"),
    ],
)
def test_what_is_no_source_is_one_line(tmp_path, monkeypatch, capfd, words, said):
    monkeypatch.chdir(tmp_path)
    for name in ("notes.txt", "notes.mp4", "notes.png", "notes.mcap"):
        (tmp_path / name).write_text("none")
    (tmp_path / "vast.png").write_bytes(vast_png())
    assert main(["predict", *words]) == 2
    error = capfd.readouterr().err
    assert re.search(said, error)
    assert error.count("\n") == 1


def vast_png() -> bytes:
    """A picture of 60,000 x 60,000 pixels, by its head."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def test_the_source_is_not_overwritten(pictures, tmp_path, monkeypatch, capsys):
    """Annotated pictures have the names of the pictures."""
    color = np.zeros((120, 160, 3), np.uint8)
    (tmp_path / "color").mkdir()
    for name in ("cup.jpg", "color/cup.jpg"):
        cv2.imwrite(str(tmp_path / name), color)
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "cup.jpg").read_bytes()
    for words in (["cup.jpg", "--out", "."], [".", "--out", "../" + tmp_path.name], [".", "--out", "color"]):
        assert main(["predict", *words]) == 2
        assert "is where the pictures of" in capsys.readouterr().err
    assert (tmp_path / "cup.jpg").read_bytes() == (tmp_path / "color" / "cup.jpg").read_bytes() == before


def test_a_frame_without_depth_costs_itself(filmed, tmp_path):
    depth = shutil.copytree(filmed / "cup_depth", tmp_path / "depth")
    (depth / "0002.png").write_text("none")
    video = Video(filmed / "bare.mp4", depth)
    assert len(list(video)) == 11
    assert "0002.png cannot be used" in video.lost[0]
    assert len(video.lost) == 1
    for path in depth.iterdir():
        path.write_text("none")
    with pytest.raises(DataError, match=r"no frame of .* can be used; the first: frame 0"):
        list(Video(filmed / "bare.mp4", depth))


def test_an_output_that_cannot_be_written_is_one_line(pictures, capsys):
    assert main(["predict", str(pictures), "--focal-px", "300", "--out", str(pictures / "hand_color.png")]) == 2
    assert "--out" in capsys.readouterr().err


def test_the_example_of_the_page_runs(tmp_path, monkeypatch, capsys):
    text = (GRASPS.parents[2] / "docs" / "how-to" / "predict.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_bag").symlink_to(GRASPS)
    exec(example.replace("in source:", "in itertools.islice(source, 3, 6):"), {"itertools": itertools})
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("bag my_bag: colour is /camera/color/image")
    assert [line.split()[0] for line in said[1:]] == [f"frame_00000{number}" for number in (3, 4, 5)]


@pytest.fixture(scope="module")
def pose_model(tmp_path_factory, traced_once):
    """A model folder whose angle is where, from the middle of hand and object, the object lies."""
    pytest.importorskip("torch", reason="models are made with torch, which is not installed")
    from made_pose_model import points_at_the_object

    from tiae_training.export import save_model

    folder = tmp_path_factory.mktemp("predict") / "pose"
    save_model(points_at_the_object(), folder)
    return folder


def test_a_model_of_poses_tells_them(pose_model, pictures, tmp_path, capsys):
    """In JSON and in the line the same; whatever of the box beside the hand is taken for held."""
    words = ["predict", str(pictures), "--focal-px", str(FOCAL), "--model", str(pose_model)]
    assert main([*words, "--json"]) == 0
    (hand, wall), _ = rows_of(capsys)
    assert wall["grasps"] == []
    (grasp,) = hand["grasps"]
    pose = grasp["pose"]
    assert set(pose) == {"angle_rad", "scale", "mirrored", "confidence", "ambiguity"}
    assert (pose["ambiguity"] == "none") == (pose["confidence"] >= 0.7) == (pose["angle_rad"] is not None)
    assert pose["scale"] == pytest.approx(1.25, abs=1e-3)
    assert pose["mirrored"] is None
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    known = r"turned [+-]\d+° \(\d\.\d\d\)" if pose["ambiguity"] == "none" else "turn unknown .*"
    assert re.search(rf" m, {known}, scale 1\.25$", said)


def test_what_is_not_sure_is_told_as_that():
    from tiae_ros.commands.predict import _pose_as_json, _turn
    from tiae_ros.model.ambiguity import Ambiguity
    from tiae_ros.perception import Pose

    pose = Pose(float("nan"), 1.5, True, 0.5, Ambiguity.HALF_TURN)
    assert _turn(pose) == ", turn unknown (ambiguity: half turn), scale 1.50, mirrored"
    told = {"angle_rad": None, "scale": 1.5, "mirrored": True, "confidence": 0.5, "ambiguity": "half turn"}
    assert _pose_as_json(pose) == told
    assert _turn(None) == ""
    assert _turn(Pose(np.pi / 6, 0.8, None, 0.93, Ambiguity.NONE)) == ", turned +30° (0.93), scale 0.80"


def test_restore_writes_poses(pose_model, tmp_path, capsys):
    """By hand: an object right of the hand, on either side of it, and none."""
    images = np.zeros((3, 2, 32, 32), np.uint8)
    images[:, 0, 13:19, 13:19] = images[:2, 1, 14:18, 20:26] = images[1, 1, 14:18, 6:12] = 255
    np.savez(tmp_path / "windows.npz", images=images, channels=["hand_mask", "object_mask"])
    words = ["restore", "--model", str(pose_model), "--data", str(tmp_path / "windows.npz")]
    for more in ([], ["--compare"]):
        out = tmp_path / f"restored{len(more)}.npz"
        assert main([*words, "--out", str(out), "--device", "cpu", *more]) == 0
        with np.load(out) as found:
            assert found["shifts"].shape == (3, 2)
            assert "mirrored" not in found
            np.testing.assert_allclose(found["angles"], [0, np.nan, np.nan], atol=0.1)
            np.testing.assert_allclose(found["scales"], 1.25, atol=1e-3)
            assert found["ambiguity"].tolist() == [0, 1, 2]
            assert found["pose_confidence"][0] >= 0.7 > found["pose_confidence"][1:].max()
    assert "angles (3,)" in capsys.readouterr().out
