"""Depth noise after the formulas of the papers."""

import numpy as np
import pytest

from tiae_ros.errors import ParameterError
from tiae_training.simulator import sensor_noise

QUIET = sensor_noise.DepthFaults(holes=0.0, fattening=0.0, shadows=0.0, lateral=0.0)


def plane(distance_m: float, angle_rad: float, focal_px: float, shape: tuple[int, int]) -> np.ndarray:
    """Depth of a plane at this distance on the optical axis, turned about the vertical."""
    x = (np.arange(shape[1]) - (shape[1] - 1) / 2) / focal_px
    depth = distance_m / (1.0 - np.tan(angle_rad) * x)
    return np.tile(depth, (shape[0], 1)).astype(np.float32)


@pytest.mark.parametrize(("distance_m", "expected_mm"), [(0.5, 1.219), (1.0, 1.884)])
def test_noise_on_a_wall_is_the_papers(distance_m: float, expected_mm: float) -> None:
    clean = np.full((200, 300), distance_m, np.float32)
    noisy = sensor_noise.add_depth_noise(clean, 3000.0, "structured_light", np.random.default_rng(0), faults=QUIET)
    assert 1e3 * (noisy - clean).std() == pytest.approx(expected_mm, rel=0.02)


def test_noise_grows_with_the_angle() -> None:
    angle = np.radians(60)
    clean = plane(0.8, angle, 4000.0, (200, 200))
    angles = sensor_noise.view_angles(clean, 4000.0)
    assert np.median(angles) == pytest.approx(angle, abs=0.01)
    noisy = sensor_noise.add_depth_noise(clean, 4000.0, "structured_light", np.random.default_rng(0), faults=QUIET)
    expected = 0.0012 + 0.0019 * 0.4**2 + 0.0001 / np.sqrt(0.8) * angle**2 / (np.pi / 2 - angle) ** 2
    assert (noisy - clean).std() == pytest.approx(expected, rel=0.05)
    steep = plane(0.8, np.radians(80), 4000.0, (50, 50))
    gone = sensor_noise.add_depth_noise(steep, 4000.0, "structured_light", np.random.default_rng(0), faults=QUIET)
    assert np.isnan(gone).all()


def test_stereo_noise_is_quantised_disparity() -> None:
    width, focal = 424, 333.0
    clean = np.full((200, width), 0.5, np.float32)
    noisy = sensor_noise.add_depth_noise(clean, focal, "stereo", np.random.default_rng(0), faults=QUIET)
    steps = 32 * focal * 0.05 / noisy
    np.testing.assert_allclose(steps, np.round(steps), atol=2e-2)
    assert sensor_noise.stereo_sigma(np.float32(0.5), focal) == pytest.approx(0.0012, rel=0.01)
    assert (noisy - clean).std() == pytest.approx(0.0012, rel=0.05)


def test_second_camera_leaves_a_shadow() -> None:
    clean = np.full((60, 160), 1.0, np.float32)
    clean[20:40, 60:100] = 0.5
    only = sensor_noise.DepthFaults(holes=0.0, fattening=0.0, shadows=1.0, lateral=0.0)
    noisy = sensor_noise.add_depth_noise(clean, 150.0, "stereo", np.random.default_rng(1), faults=only)
    widths = np.isnan(noisy[20:40]).sum(axis=1)
    # f B (1/0.5 - 1/1) = 7.5 px, on one side
    assert np.median(widths) == pytest.approx(7.5, abs=1)
    sides = np.nonzero(np.isnan(noisy[30]))[0]
    assert (sides < 60).all() or (sides >= 100).all()
    assert not np.isnan(noisy[:15]).any()


def test_unknown_sensor_is_named() -> None:
    with pytest.raises(ParameterError, match="sonar"):
        sensor_noise.add_depth_noise(np.ones((8, 8), np.float32), 10.0, "sonar", np.random.default_rng(0))
