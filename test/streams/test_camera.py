"""Camera matrices: focal lengths, whose pixels they are of, and why there is none."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiae_ros.streams.camera import calibrated, camera_of_picture, focal_length_px, is_rectified, other_frames
from tiae_ros.streams.distortion import camera_at

K = np.array([[500.0, 0.0, 319.5], [0.0, 400.0, 239.5], [0.0, 0.0, 1.0]])


def info(k=K, frame_id="camera", width=640, height=480, **fields):
    header = SimpleNamespace(frame_id=frame_id)
    return SimpleNamespace(k=k.ravel(), header=header, width=width, height=height, **fields)


@pytest.mark.parametrize("k", [K, K.ravel(), K.ravel().tolist()])
def test_the_focal_length_is_the_mean(k):
    assert focal_length_px(k) == 450
    np.testing.assert_array_equal(calibrated(k), K)


@pytest.mark.parametrize(
    "k",
    [
        np.zeros((3, 3)),
        np.zeros(9),
        K * np.array([[0.0], [1.0], [1.0]]),
        -K,
        np.full((3, 3), np.nan),
        K + np.inf,
        np.zeros(0),
        np.ones(12),
    ],
)
def test_an_uncalibrated_camera_has_no_matrix(k):
    assert focal_length_px(k) is None
    assert calibrated(k) is None


def test_the_matrix_of_the_colour_image():
    camera = camera_of_picture(info(), "camera", (480, 640))
    np.testing.assert_array_equal(camera.k, K)
    assert camera.withheld == {}
    for unknown in (info(frame_id=""), info(width=0, height=0)):  # what is not said is not held against it
        assert camera_of_picture(unknown, "camera", (480, 640)).withheld == {}


def test_a_matrix_of_another_size_is_scaled():
    half = camera_of_picture(info(), "camera", (240, 320))
    np.testing.assert_allclose(half.k, [[250, 0, 159.5], [0, 200, 119.5], [0, 0, 1]])  # pixel centres at integers
    rounded = camera_of_picture(info(width=1280, height=720), "camera", (240, 424))
    np.testing.assert_allclose(np.diag(rounded.k), [500 * 424 / 1280, 400 / 3, 1])


def region(x, y, width, height):
    return SimpleNamespace(x_offset=x, y_offset=y, width=width, height=height, do_rectify=False)


@pytest.mark.parametrize(
    ("fields", "shape", "k"),
    [
        ({"binning_x": 2, "binning_y": 2}, (240, 320), [[250, 0, 159.5], [0, 200, 119.5], [0, 0, 1]]),
        ({"roi": region(100, 40, 320, 240)}, (240, 320), [[500, 0, 219.5], [0, 400, 199.5], [0, 0, 1]]),
        ({"roi": region(0, 0, 640, 480)}, (480, 640), K),
        (
            {"roi": region(100, 40, 320, 240), "binning_x": 2, "binning_y": 2},
            (120, 160),
            [[250, 0, 109.5], [0, 200, 99.5], [0, 0, 1]],
        ),
    ],
)
def test_a_part_of_the_sensor_and_coarser_pixels(fields, shape, k):
    """The ray of a pixel stays what it was in the full picture."""
    camera = camera_of_picture(info(**fields), "camera", shape)
    assert camera.withheld == {}
    np.testing.assert_allclose(camera.k, k)


def test_a_rectified_picture_has_the_matrix_p():
    p = np.array([[480.0, 0, 310, 0], [0, 480, 230, 0], [0, 0, 1, 0]])
    calibration = info(p=p.ravel(), d=[0.1, 0, 0, 0, 0], distortion_model="plumb_bob")
    camera = camera_of_picture(calibration, "camera", (480, 640), rectified=is_rectified("/camera/image_rect_color"))
    np.testing.assert_array_equal(camera.k, p[:, :3])
    assert camera.distortion is None
    assert camera_of_picture(calibration, "camera", (480, 640)).distortion.coefficients[0] == 0.1
    assert is_rectified("/left/image_rect/compressed")
    assert not any(map(is_rectified, ("/camera/color/image_raw", "/direct/image", "/rectangle")))
    p[0, 3] = -25
    second = camera_of_picture(info(p=p.ravel()), "camera", (480, 640), rectified=True)
    assert "of the second camera of a pair" in second.unknown


def test_a_portrait_picture_with_its_own_camera_info():
    upright = np.array([[500.0, 0, 239.5], [0, 500.0, 319.5], [0, 0, 1]])
    np.testing.assert_array_equal(camera_of_picture(info(upright, width=480, height=640), "", (640, 480)).k, upright)


@pytest.mark.parametrize(
    ("calibration", "reason", "said"),
    [
        (None, "no camera info", "no camera info yet"),
        (info(k=np.zeros(9)), "camera info", r"not calibrated \(fx = 0\)"),
        (info(k=np.zeros(0)), "camera info", "not calibrated"),
        (info(frame_id="other"), "camera info", "of frame 'other' but colour is of 'camera'"),
        (info(height=400), "camera info", "is for 640x400 but colour is 640x480"),
        (info(width=480, height=640), "camera info", "is turned by 90 degrees, and its camera info is not"),
        (info(binning_x=2), "camera info", "is for 320x480 but colour is 640x480"),
        (info(binning_x=4_000_000_000, binning_y=4_000_000_000), "camera info", "is for 1x1 but colour is 640x480"),
        (info(roi=region(600, 0, 100, 480)), "camera info", "100x480 at 600, 0 that is not within 640x480"),
        (info(k=K * [[1 / 500], [1 / 400], [1]]), "camera info", "focal length of 1 px, with which 640 px are 180"),
        (info(k=np.add(K, [[0, 0, 1e6], [0, 0, 0], [0, 0, 0]])), "camera info", "far outside of 640x480"),
        (info(k=np.add(K, [[0, 0, 0], [0, 0, 0], [1, 0, 0]])), "camera info", "a K that is no camera matrix"),
        (info(d=[1.0] * 3, distortion_model="odd"), "camera info", "distortion model 'odd' with 3 numbers"),
        (info(d=[1.0] * 9, distortion_model="plumb_bob"), "camera info", "'plumb_bob' with 9 numbers"),
        (info(d=[float("nan")], distortion_model="plumb_bob"), "camera info", "not finite"),
    ],
)
def test_why_metres_are_withheld(calibration, reason, said):
    camera = camera_of_picture(calibration, "camera", (480, 640))
    assert camera.k is None
    (text,) = camera.withheld.values()
    assert list(camera.withheld) == [reason]
    assert re.search(said, text)
    assert text.endswith("withheld")


def test_the_matrix_of_a_picture_before_it_was_turned():
    turned = camera_of_picture(info(width=480, height=640), "camera", (640, 480))
    assert "K is that of the picture before it was turned" in turned.unknown


def test_images_of_other_frames_are_named():
    assert other_frames("a", {"depth": "a", "hand mask": ""}) == {}
    assert other_frames("", {"depth": "b"}) == {}
    ((reason, text),) = other_frames("a", {"depth": "b"}).items()
    assert reason == "frame of depth"
    assert text == "depth is of frame 'b' but colour is of 'a': give depth that is registered to colour"


@given(
    st.lists(st.floats(), min_size=9, max_size=9),
    st.lists(st.floats(), max_size=14),
    st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "", "odd"]),
    st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8),
    st.booleans(),
)
def test_any_camera_info_gives_a_matrix_or_a_reason(k, d, model, numbers, rectified):
    width, height, binning_x, binning_y, *roi = numbers
    calibration = info(
        np.array(k), "", width, height, d=d, distortion_model=model, binning_x=binning_x, binning_y=binning_y,
        roi=region(*roi), p=np.array([*k, 0, 0, 0]),
    )  # fmt: skip
    camera = camera_of_picture(calibration, "camera", (480, 640), rectified=rectified)
    assert (camera.k is None) == bool(camera.unknown)
    if camera.k is not None:
        assert np.isfinite(camera.k).all()
        camera_at(camera.k, camera.distortion, 100.0, 100.0)
