"""``tiae extract`` on bags written here: a drawn hand that moves through the picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="the package rosbags is not installed")

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from tiae_ros.cli import main

FOCAL = 300.0
FRAMES = 6
CLASSICALLY = ("--segmentation", "classical")  # a network need not take a drawn hand for one


def frame(x: int, *, hand: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """rgb8 and 16UC1 (millimetres) of a hand that holds a box, x its place; or of an empty table."""
    color = np.full((240, 320, 3), (120, 125, 130), np.uint8)
    depth = np.linspace(1000, 700, 240).astype(np.uint16)[:, None].repeat(320, axis=1)
    if hand:
        color[80:120, x - 50 : x] = (40, 60, 120)
        depth[80:120, x - 50 : x] = 510
        drawn = np.zeros((240, 320), np.uint8)
        cv2.circle(drawn, (x + 20, 100), 26, 1, -1)
        cv2.line(drawn, (x + 20, 100), (340, 120), 1, 30)
        color[drawn > 0] = (205, 150, 125)
        depth[drawn > 0] = 500
    return color, depth


def write_bag(
    folder: Path, *, hand: bool = True, camera_info: bool = True, depth: bool = True, info_last: bool = False
) -> Path:
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    header, time = types["std_msgs/msg/Header"], types["builtin_interfaces/msg/Time"]
    image, info = types["sensor_msgs/msg/Image"], types["sensor_msgs/msg/CameraInfo"]

    def image_message(stamp, encoding, pixels):
        head, (height, width) = header(stamp, "camera_color_optical_frame"), pixels.shape[:2]
        data = pixels.reshape(-1).view(np.uint8)
        return image(head, height, width, encoding, 0, pixels.strides[0], data)

    def info_message(stamp):
        k = np.array([FOCAL, 0, 159.5, 0, FOCAL, 119.5, 0, 0, 1])
        region = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        head = header(stamp, "camera_color_optical_frame")
        return info(head, 240, 320, "plumb_bob", np.zeros(5), k, np.zeros(9), np.zeros(12), 0, 0, region)

    with Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        color_topic = writer.add_connection("/camera/color/image", image.__msgtype__, typestore=store)
        depth_topic = writer.add_connection("/camera/depth/image", image.__msgtype__, typestore=store)
        info_topic = writer.add_connection("/camera/color/camera_info", info.__msgtype__, typestore=store)
        for number in range(FRAMES):
            stamp = time(1, number * 66_000_000)
            color_pixels, depth_pixels = frame(100 + 12 * number, hand=hand)
            messages = [(color_topic, image_message(stamp, "rgb8", color_pixels))]
            if depth:
                messages.append((depth_topic, image_message(stamp, "16UC1", depth_pixels)))
            if camera_info:
                messages.append((info_topic, info_message(stamp)))
            for topic, message in messages if info_last else messages[::-1]:
                nanoseconds = 1_000_000_000 + number * 66_000_000
                writer.write(topic, nanoseconds, store.serialize_cdr(message, message.__msgtype__))
    return folder


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("bags") / "hand")


def extract(bag: Path, out: Path, *words: str) -> int:
    """Run the command by the classical method; its exit code."""
    return main(["extract", *CLASSICALLY, "--bag", str(bag), "--out", str(out), *words])


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that an impossible command prints."""
    assert main(["extract", *CLASSICALLY, *words]) == 2  # what is said twice counts as said last
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_masks_of_every_frame(bag, tmp_path, capsys):
    out = tmp_path / "windows.npz"
    assert extract(bag, out) == 0
    assert f"{FRAMES} windows (2, 32, 32) of hand_mask, object_mask from {FRAMES} frames" in capsys.readouterr().out
    with np.load(out, allow_pickle=False) as arrays:
        images, windows = arrays["images"], arrays["windows"]
        assert images.shape == (FRAMES, 2, 32, 32)
        assert images.dtype == np.uint8
        assert list(arrays["channels"]) == ["hand_mask", "object_mask"]
        assert arrays["foreground_mask"].shape == (FRAMES, 1, 32, 32)
        assert list(np.diff(arrays["stamps_ns"])) == [66_000_000] * (FRAMES - 1)
    # The hand moves by 12 pixels from frame to frame, and what the windows show stays the same.
    np.testing.assert_allclose(np.diff(windows[:, 0]), 12, atol=3)
    np.testing.assert_allclose(windows[:, 3], 0.5, atol=0.01)
    assert np.abs(images[1:].astype(float) - images[0]).mean() < 8
    assert (images[:, 1] > 127).any(axis=(1, 2)).all()


def test_the_file_can_be_trained_on(bag, tmp_path):
    from tiae_training.data.arrays import load_arrays

    out = tmp_path / "windows.npz"
    extract(bag, out, "--channels", "masks+depth")
    arrays = load_arrays(out)
    assert arrays.images.shape == (FRAMES, 3, 32, 32)
    assert arrays.channels == ("hand_mask", "object_mask", "depth")


@pytest.mark.parametrize("size", [33, 48])
def test_depth_windows(size, bag, tmp_path):
    out = tmp_path / "windows.npz"
    assert extract(bag, out, "--channels", "depth", "--window-size", str(size)) == 0
    with np.load(out) as arrays:
        images = arrays["images"]
    assert images.shape == (FRAMES, 1, size, size)
    np.testing.assert_allclose(np.median(images[images > 0]), 0.5, atol=0.05)


def test_an_existing_file_is_kept_unless_asked(bag, tmp_path, capsys):
    out = tmp_path / "windows.npz"
    out.write_bytes(b"precious")
    assert "--overwrite" in refused(capsys, "--bag", str(bag), "--out", str(out))
    assert out.read_bytes() == b"precious"
    assert extract(bag, out, "--overwrite") == 0


@pytest.mark.parametrize(
    ("how", "words", "said"),
    [
        ({"hand": False}, (), "no hand was found in the 6 RGB-D frames"),
        ({"camera_info": False}, (), "--focal-px"),
        ({"depth": False}, (), "has no depth image"),
        ({}, ("--depth", "/nothing"), "has no topic /nothing"),
        ({}, ("--metric-size-m", "nan"), "metric_size_m nan"),
        ({}, ("--window-size", "0"), "window size 0"),
        ({}, ("--window-size", "257"), "accepted is 8 to 256"),
        ({}, ("--focal-px", "0"), "focal length 0.0"),
        ({}, ("--label", " "), "label ' ' cannot be used"),
        ({}, ("--label", "a\nb"), "1 to 100 printable characters"),
        ({}, ("--from-s", "2", "--to-s", "1"), "the part from 2.0 to 1.0 s is empty"),
        ({}, ("--from-s", "nan"), "accepted is 0 <= from < to"),
        ({}, ("--from-s", "9"), "holds no frame within 9 to inf s of its first"),
    ],
)
def test_what_cannot_be_extracted_is_one_line(how, words, said, tmp_path, capsys):
    bag = write_bag(tmp_path / "bag", **how)
    out = tmp_path / "windows.npz"
    assert said in refused(capsys, "--bag", str(bag), "--out", str(out), *words)
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_the_network_is_taken_and_never_replaced(bag, tmp_path, capsys, network_folder):
    words = ["extract", "--bag", str(bag), "--segmentation-model"]
    assert main([*words, str(network_folder), "--out", str(tmp_path / "network.npz")]) == 0
    assert "segmentation: network all-hand" in capsys.readouterr().out
    assert extract(bag, tmp_path / "classical.npz") == 0
    assert "segmentation: classical" in capsys.readouterr().out
    for method in ("auto", "network"):
        absent = ("--segmentation", method, "--segmentation-model", str(tmp_path / "none"))
        assert "there is no model" in refused(capsys, "--bag", str(bag), "--out", str(tmp_path / "o.npz"), *absent)
    with np.load(tmp_path / "network.npz") as one, np.load(tmp_path / "classical.npz") as other:
        assert one["images"][0, 0].sum() > other["images"][0, 0].sum()  # this network takes the table too


def test_a_focal_length_stands_for_camera_info(tmp_path):
    bag = write_bag(tmp_path / "bag", camera_info=False)
    out = tmp_path / "windows.npz"
    assert extract(bag, out, "--focal-px", "300") == 0


def test_camera_info_may_come_later(tmp_path):
    bag = write_bag(tmp_path / "bag", info_last=True)
    assert extract(bag, tmp_path / "windows.npz") == 0


def test_a_bag_that_is_not_there(tmp_path, capsys):
    assert "does not exist" in refused(capsys, "--bag", str(tmp_path / "none"), "--out", str(tmp_path / "o.npz"))


def test_a_labelled_part_of_a_bag(bag, tmp_path):
    from tiae_training.data.arrays import load_arrays

    out = tmp_path / "cup.npz"
    words = ["--label", "coffee cup", "--from-s", "0.1", "--to-s", "0.27"]  # frames lie 66 ms apart
    assert extract(bag, out, *words) == 0
    arrays = load_arrays(out)
    assert arrays.labels.tolist() == [0, 0, 0]
    assert arrays.label_names == ("coffee cup",)
    assert arrays.others["stamps_ns"].tolist() == [1_000_000_000 + number * 66_000_000 for number in (2, 3, 4)]


def test_how_windows_were_cut_goes_into_the_model(bag, tmp_path):
    from tiae_ros import load_model

    for channels, kept in (("masks", {"metric_size_m": 0.25}), ("depth", {"metric_size_m": 0.25, "range_m": 0.2})):
        out, run = tmp_path / f"{channels}.npz", tmp_path / channels
        cut = ["--channels", channels, "--metric-size-m", "0.25", "--range-m", "0.2"]
        assert main(["extract", "--bag", str(bag), "--out", str(out), *cut]) == 0
        words = ["--data", str(out), "--out", str(run), "--epochs", "1", "--restarts", "0", "--device", "cpu"]
        assert main(["train", *words]) in (0, 1)  # so short a training may end collapsed
        assert dict(load_model(run).manifest.preprocessing) == kept


@pytest.mark.parametrize(
    ("channels", "hand", "thing"),
    [
        ("masks", (255, 140, 60), (70, 150, 255)),
        ("depth", (128, 128, 128), (128, 128, 128)),
        ("masks+depth", (178, 98, 42), (49, 105, 178)),  # masks dimmed by a depth of a half
    ],
)
def test_a_sheet_shows_every_window_in_its_colours(bag, tmp_path, channels, hand, thing):
    out, sheet = tmp_path / "w.npz", tmp_path / "sheets" / "w.png"
    assert extract(bag, out, "--channels", channels, "--sheet", str(sheet)) == 0
    picture = cv2.imread(str(sheet))[..., ::-1].astype(int)
    assert picture.shape == (64, FRAMES * 66 - 2, 3)
    for start in range(0, FRAMES * 66, 66):
        window = picture[:, start : start + 64]
        for colour in (hand, thing):
            assert (np.abs(window - colour).max(-1) <= 12).sum() > 100
    assert [path.name for path in sheet.parent.iterdir()] == ["w.png"]


def test_an_existing_sheet_is_kept(bag, tmp_path, capsys):
    out, sheet = tmp_path / "w.npz", tmp_path / "w.png"
    sheet.write_bytes(b"precious")
    assert "--overwrite" in refused(capsys, "--bag", str(bag), "--out", str(out), "--sheet", str(sheet))
    assert sheet.read_bytes() == b"precious"
    assert not out.exists()


def test_a_sheet_shows_windows_from_first_to_last():
    from tiae_training.data.window_sheet import COLUMNS, ROWS, draw_sheet

    images = np.linspace(0, 1, 1000, dtype=np.float32)[:, None, None, None].repeat(8, 2).repeat(8, 3)
    picture = draw_sheet(images, ("depth",))
    assert picture.shape == (ROWS * 66 - 2, COLUMNS * 66 - 2, 3)
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[-1, -1].tolist() == [255, 255, 255]


def recorded(*, compressed_too: bool = False, spoil: bool = False) -> list:
    """Colour, depth and camera info as messages; one colour image may be empty."""
    import written_bags as bags

    messages = []
    for number in range(FRAMES):
        stamp = bags.START_NS + number * 66_000_000
        color, depth = frame(100 + 12 * number)
        info = bags.camera_info(stamp, 320, 240, FOCAL)
        messages.append(("/camera/color/camera_info", bags.CAMERA_INFO, stamp, info))
        if compressed_too:
            color_data = bags.compressed(stamp, color, "rgb8; png compressed bgr8")
            depth_data = bags.compressed(stamp, depth, "16UC1; compressedDepth png")
            messages.append(("/camera/color/image_raw/compressed", bags.COMPRESSED, stamp, color_data))
            messages.append(("/camera/depth/image_raw/compressedDepth", bags.COMPRESSED, stamp, depth_data))
        else:
            empty = spoil and number == 2
            color_data = bags.empty_image(stamp, "rgb8") if empty else bags.image(stamp, color, "rgb8")
            messages.append(("/camera/color/image", bags.IMAGE, stamp, color_data))
            messages.append(("/camera/depth/image", bags.IMAGE, stamp, bags.image(stamp, depth, "16UC1")))
    return messages


def test_one_bad_image_costs_its_frame_and_is_told(tmp_path, capsys):
    from written_bags import write_messages

    bag = write_messages(tmp_path / "bag", recorded(spoil=True))
    assert extract(bag, tmp_path / "w.npz") == 0
    said = capsys.readouterr()
    assert f"{FRAMES - 1} windows" in said.out
    (line,) = said.err.strip().splitlines()
    assert "skipped 1 of the frames for their image of /camera/color/image" in line
    assert "at 1700000000.132 s: image is 0x0" in line
    strict = refused(capsys, "--bag", str(bag), "--out", str(tmp_path / "s.npz"), "--strict")
    assert "the image of /camera/color/image at 1700000000.132 s: image is 0x0" in strict
    assert not (tmp_path / "s.npz").exists()


def test_images_that_cannot_be_decoded_are_not_called_unpaired(tmp_path, capsys):
    import written_bags as bags

    def undecodable(topic, kind, stamp, data):
        pixels = np.zeros((240, 320, 2), np.uint8)
        return topic, kind, stamp, bags.image(stamp, pixels, "yuv422") if topic.endswith("color/image") else data

    bag = bags.write_messages(tmp_path / "bag", [undecodable(*message) for message in recorded()])
    line = refused(capsys, "--bag", str(bag), "--out", str(tmp_path / "w.npz"))
    assert f"none of the {FRAMES} pairs of colour and depth in bag {bag} can be used" in line
    assert "'yuv422' is not supported without cv_bridge" in line
    assert "slop" not in line


def test_a_bag_of_compressed_images_gives_the_same_windows(tmp_path):
    from written_bags import write_messages

    for name, compressed_too in (("raw", False), ("compressed", True)):
        bag = write_messages(tmp_path / name, recorded(compressed_too=compressed_too))
        assert extract(bag, tmp_path / f"{name}.npz") == 0
    with np.load(tmp_path / "raw.npz") as raw, np.load(tmp_path / "compressed.npz") as compressed:
        for key in ("images", "windows", "stamps_ns"):
            np.testing.assert_array_equal(raw[key], compressed[key])
