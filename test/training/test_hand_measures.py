"""Measures of restored hands, against cases computed by hand."""

import numpy as np
import pytest

from tiae_ros.vision.window import surface_values
from tiae_training.hand_measures import depth_values, hand_measures, ious

CHANNELS = ("hand_mask", "object_mask", "depth")


def windows() -> np.ndarray:
    """One window in one view: hand in the upper half, a thing below it, depth .5 on the hand and .6 on the thing."""
    images = np.zeros((1, 1, 3, 8, 8), np.float32)
    images[..., 0, :4, :] = 1.0
    images[..., 1, 4:6, :] = 1.0
    images[..., 2, :4, :] = 0.5
    images[..., 2, 4:6, :] = 0.6
    return images


def test_what_is_restored_exactly_has_no_error():
    found = hand_measures(lambda seen: seen, windows(), windows(), CHANNELS, range_m=0.3)
    assert found == {"hand_iou": 1.0, "object_iou": 1.0, "depth_error_mm": 0.0, "input_depth_error_mm": 0.0}


def test_errors_by_hand():
    def place(seen):
        restored = seen.copy()
        restored[:, 0, 3] = 0.0  # a row of the hand is lost: 24 of 32 pixels
        restored[:, 1, 6] = 0.9  # a row of the thing too much: 16 of 24
        restored[:, 2] += 0.02  # 6 mm nearer
        return restored

    noisy = windows()
    noisy[:, :, 2] += 0.01
    found = hand_measures(place, noisy, windows(), CHANNELS, range_m=0.3)
    assert found["hand_iou"] == pytest.approx(24 / 32)
    assert found["object_iou"] == pytest.approx(16 / 24)
    assert found["input_depth_error_mm"] == pytest.approx(3.0, abs=1e-3)
    assert found["depth_error_mm"] == pytest.approx(9.0, abs=1e-3)


def test_depth_alone_and_other_channels():
    depth = windows()[:, :, 2:]
    assert set(hand_measures(lambda seen: seen, depth, depth, ("depth",))) == {"depth_error_mm", "input_depth_error_mm"}
    assert hand_measures(lambda seen: seen, depth, depth, ("grey",)) == {}
    assert hand_measures(lambda seen: seen, depth, depth, ()) == {}


def test_windows_with_hardly_anything_are_left_out():
    true = np.zeros((2, 8, 8), np.float32)
    true[0, 0, :3] = 1.0  # three pixels
    true[1, 0, :4] = 1.0
    assert ious(true, true).tolist() == [1.0]


def test_a_surface_keeps_its_depth_on_outlines():
    depth, cover = np.array([[0.5, 0.3, 0.1]], np.float32), np.array([[1.0, 0.6, 0.2]], np.float32)
    assert surface_values(depth, cover) == pytest.approx(np.array([[0.5, 0.5, 0.0]]))
    restored = np.stack([0.5 * cover, 0.5 * cover, depth])[None]  # half hand, half thing
    assert depth_values(restored, CHANNELS)[0] == pytest.approx(surface_values(depth, cover))
