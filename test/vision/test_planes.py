"""What the segmentation network sees of a frame: numbers worked out by hand."""

import numpy as np
import pytest

from tiae_ros.vision.segmentation.planes import cell_colors, cell_depths, input_planes


def test_planes_of_a_wall_by_hand():
    color = np.full((4, 6, 3), 192, np.uint8)
    depth = np.full((4, 6), 0.9, np.float32)
    depth[0, 0] = 0
    planes = input_planes(color, depth, 90.0)
    np.testing.assert_allclose(planes[2, 3, :6], [1, 1, 1, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(planes[2, 3, 6:8], 0, atol=1e-4)  # a wall has no relief, a hole makes none
    assert planes[2, 3, 8] == pytest.approx(2 * (np.log(0.01) + 5.3), abs=1e-4)
    np.testing.assert_array_equal(planes[0, 0, 4:], 0)
    np.testing.assert_array_equal(input_planes(None, depth, 90.0)[:, :, :4], 0)


def test_cells_take_the_nearest_surface():
    depth = np.full((8, 8), np.nan, np.float32)
    depth[:4, :4] = 1.0
    depth[1, 1] = 0.5  # one of the four pixels that are looked at
    depth[4:, 4:] = [[0.5, 0.51, 0.5, 0.51]] * 4
    depth[:4, 4:] = np.inf
    np.testing.assert_allclose(cell_depths(depth, 4), [[0.5, 0], [0, 0.51]], atol=0.006)
    kinds = [np.nan, -np.nan, np.inf, -np.inf, 0, -0.0, -1, -200, 1e-30, 0.001, 0.0011, 0.5, 99.9, 100, 3e38]
    kept = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0011, 0.5, 99.9, 0, 0]
    np.testing.assert_array_equal(cell_depths(np.float32([kinds]), 1), np.float32([kept]))
    color = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_allclose(cell_colors(color, 4)[0, 0], color.mean((0, 1)), atol=1)


@pytest.mark.parametrize("cell", [1, 2, 3, 4, 5, 6, 8])
def test_colours_of_cells_are_means(cell):
    rest = cell - 1  # belongs to no cell
    color = np.random.default_rng(0).integers(0, 256, (4 * cell + rest, 5 * cell + rest, 3), np.uint8)
    whole = color[: 4 * cell, : 5 * cell].astype(float)
    means = whole.reshape(4, cell, 5, cell, 3).mean((1, 3))
    np.testing.assert_allclose(cell_colors(color, cell), means, atol=2)
