"""Camera matrices: focal lengths, whose pixels they are of, and why there is none."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from tiae_ros.streams.camera import calibrated, camera_matrix, focal_length_px

K = np.array([[500.0, 0.0, 319.5], [0.0, 400.0, 239.5], [0.0, 0.0, 1.0]])


def info(k=K, frame_id="camera", width=640, height=480):
    return SimpleNamespace(k=k.ravel(), header=SimpleNamespace(frame_id=frame_id), width=width, height=height)


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
    k, withheld = camera_matrix(info(), "camera", (480, 640))
    np.testing.assert_array_equal(k, K)
    assert withheld == {}
    for unknown in (info(frame_id=""), info(width=0, height=0)):  # what is not said is not held against it
        assert camera_matrix(unknown, "camera", (480, 640))[1] == {}


def test_a_matrix_of_another_size_is_scaled():
    k, withheld = camera_matrix(info(), "camera", (240, 320))
    assert withheld == {}
    np.testing.assert_allclose(k, [[250, 0, 159.5], [0, 200, 119.5], [0, 0, 1]])  # pixel centres at integers


@pytest.mark.parametrize(
    ("given", "reason", "said"),
    [
        (None, "no camera info", "no camera info yet"),
        (info(k=np.zeros(9)), "camera info", r"not calibrated \(fx = 0\)"),
        (info(frame_id="other"), "camera info", "of frame 'other' but colour is of 'camera'"),
        (info(height=400), "camera info", "is for 640x400 but colour is 640x480"),
    ],
)
def test_why_metres_are_withheld(given, reason, said):
    k, withheld = camera_matrix(given, "camera", (480, 640))
    assert k is None
    (text,) = withheld.values()
    assert list(withheld) == [reason]
    assert re.search(said, text)
    assert text.endswith("withheld")
