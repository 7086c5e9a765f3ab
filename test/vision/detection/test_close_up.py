"""The second look's crop: where its cells lie, its depth, its pictures and planes; numbers worked out by hand."""

import math

import numpy as np
import pytest

from tiae_ros.vision.detection.close_up import (
    CELLS,
    DEPTH_UNIT_M,
    SIDE_M,
    Crop,
    crop_at,
    crop_pictures,
    planes_of,
)

NAN = math.nan
DOWN, RIGHT = (0.0, 1.0), (1.0, 0.0)
SLANTED = (0.6, 0.8)


def wall(depth=1.0, size=(240, 320)):
    return np.full(size, depth, np.float32)


@pytest.mark.parametrize(
    ("arm", "cell", "pixel"),
    [
        (DOWN, (47.5, 47.5), (100, 60)),
        (DOWN, (48.5, 47.5), (102, 60)),
        (DOWN, (47.5, 57.5), (100, 80)),  # down in the crop is the arm's direction
        (RIGHT, (47.5, 57.5), (120, 60)),
        (RIGHT, (57.5, 47.5), (100, 40)),
        ((0.0, -1.0), (57.5, 57.5), (80, 40)),
        (SLANTED, (47.5, 57.5), (112, 76)),
        (SLANTED, (57.5, 47.5), (116, 48)),
    ],
)
def test_cells_lie_where_they_are_said_to(arm, cell, pixel):
    crop = Crop(100.0, 60.0, 2.0 * CELLS, arm, 0.5)
    assert crop.pixel(*cell) == pytest.approx(pixel)


@pytest.mark.parametrize("arm", [DOWN, RIGHT, SLANTED, (-0.8, 0.6)])
def test_geometry_has_an_inverse(arm):
    crop = Crop(50.25, 70.5, 130.0, arm, 0.5)
    way = crop.to_picture
    turn, cell = way[:, :2], 130.0 / CELLS
    np.testing.assert_allclose(turn @ turn.T, cell**2 * np.eye(2), atol=1e-12)  # a rotation times the size of a cell
    assert np.linalg.det(turn) > 0
    u, v = np.linalg.solve(turn, np.array([80.0, 20.0]) - way[:, 2])
    assert crop.pixel(u, v) == pytest.approx((80, 20))
    assert crop.direction(0.0, 1.0) == pytest.approx(arm)
    across = crop.direction(1.0, 0.0)
    assert np.dot(across, arm) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(turn @ [1, 0], cell * np.array(across), atol=1e-12)


def test_a_crop_takes_the_depth_near_its_middle():
    depth = wall(0.5)
    depth[100:140, 130:170] = 0.45
    crop = crop_at(150.0, 120.0, DOWN, 0.5, depth, 300.0)
    assert crop.depth_m == pytest.approx(0.45)
    assert crop.side_px == pytest.approx(SIDE_M * 300 / 0.45)
    assert (crop.x, crop.y, crop.arm) == (150.0, 120.0, DOWN)


def test_implausible_readings_do_not_count():
    depth = wall(1.0)  # 1.45 times farther and more: the background's
    assert crop_at(150.0, 120.0, DOWN, 0.5, depth, 300.0).depth_m == 0.5
    assert crop_at(150.0, 120.0, DOWN, 0.7, depth, 300.0).depth_m == pytest.approx(1.0)
    depth[118:123, 148:153] = 0.48  # few, but all that are plausible
    assert crop_at(150.0, 120.0, DOWN, 0.5, depth, 300.0).depth_m == pytest.approx(0.48)
    depth[:] = 0.3  # before it
    assert crop_at(150.0, 120.0, DOWN, 0.5, depth, 300.0).depth_m == 0.5


@pytest.mark.parametrize("nothing", [NAN, 0.0, -1.0])
def test_without_readings_the_supposed_depth_is_kept(nothing):
    assert crop_at(150.0, 120.0, DOWN, 0.6, wall(nothing), 300.0).depth_m == 0.6


@pytest.mark.parametrize("place", [(-40.0, 120.0), (150.0, -40.0), (1e9, 120.0), (150.0, 1e9), (-1e30, -1e30)])
def test_places_outside_the_picture_take_no_depth_from_its_other_side(place):
    assert crop_at(*place, DOWN, 0.5, wall(0.45), 300.0).depth_m == 0.5


def test_at_the_border_what_is_inside_counts():
    assert crop_at(-3.0, -3.0, DOWN, 0.5, wall(0.45), 300.0).depth_m == pytest.approx(0.45)


def numbered(size=(240, 320)):
    """A picture whose colours are its columns and rows, and its depth their sum."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    color = np.dstack([columns % 256, rows, np.zeros(size)]).astype(np.uint8)
    return color, (0.3 + 0.001 * (columns + 1000 * rows)).astype(np.float32)


@pytest.mark.parametrize(
    ("arm", "turns"), [(DOWN, 0), (RIGHT, 1), ((0.0, -1.0), 2), ((-1.0, 0.0), 3)], ids=["down", "right", "up", "left"]
)
def test_pictures_at_one_cell_a_pixel_are_the_pixels_turned(arm, turns):
    color, depth = numbered()
    crop = Crop(119.5, 99.5, CELLS, arm, 0.5)
    shown, read = crop_pictures(color, depth, crop)
    # A quarter turn for each: what is right of the middle comes to lie below it.
    np.testing.assert_array_equal(shown, np.rot90(color[52:148, 72:168], -turns))
    np.testing.assert_array_equal(read, np.rot90(depth[52:148, 72:168], -turns))


def test_pictures_at_integer_scale_are_means_of_pixels():
    rng = np.random.default_rng(0)
    color = np.kron(rng.integers(0, 256, (100, 120, 3)), np.ones((3, 3, 1))).astype(np.uint8)
    color[1::3, 1::3] = 255 - color[1::3, 1::3]  # samples alone would see only these
    depth = np.kron(rng.uniform(0.3, 1, (100, 120)), np.ones((3, 3))).astype(np.float32)
    crop = Crop(180.0 - 0.5, 150.0 - 0.5, 3.0 * CELLS, DOWN, 0.5)
    shown, read = crop_pictures(color, depth, crop)
    means = color.reshape(100, 3, 120, 3, 3).mean(axis=(1, 3))
    assert np.abs(shown.astype(float) - means[2:98, 12:108]).max() <= 1
    np.testing.assert_array_equal(read, depth[1::3, 1::3][2:98, 12:108])


@pytest.mark.parametrize("size", [(121, 127), (90, 125), (126, 64)])
@pytest.mark.parametrize("side", [215.0, 250.0, 333.3, 420.0])
def test_cells_show_what_lies_there_at_any_scale(size, side):
    """A ramp of two a pixel, whose means over areas are whole numbers: a cell has the colour of its place."""
    height, width = size
    columns, rows = np.meshgrid(2 * np.arange(width), 2 * np.arange(height))
    color = np.dstack([columns, rows, columns]).astype(np.uint8)
    for x, y in ((20.0, 30.0), (width - 31.0, height - 21.0), (width / 2, height / 2)):
        crop = Crop(x, y, side, SLANTED, 0.5)
        shown, read = crop_pictures(color, np.ones(size, np.float32), crop)
        u, v = np.meshgrid(np.arange(CELLS), np.arange(CELLS))
        at = crop.to_picture @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
        near = side / CELLS + 1  # so near to the border cells are of less than their area
        inside = ~np.isnan(read.ravel())
        inside &= (at > near).all(axis=0) & (at[0] < width - 1 - near) & (at[1] < height - 1 - near)
        assert inside.sum() > 300
        for channel in range(2):
            off = shown[..., channel].ravel()[inside] / 2 - at[channel][inside]
            assert np.abs(off).max() <= 0.6
            assert abs(off.mean()) < 0.2  # half a pixel where a sample is taken for a mean


@pytest.mark.parametrize("side", [1e5, 1e8, 1e12])
def test_the_reduced_part_is_never_larger_than_the_picture(side):
    shown, read = crop_pictures(*numbered(), Crop(100.0, 100.0, side, DOWN, 0.5))
    assert shown.shape == (CELLS, CELLS, 3)
    assert read.shape == (CELLS, CELLS)


def test_what_lies_outside_is_not_read_and_its_colour_is_the_border():
    color, depth = numbered()
    crop = Crop(-0.5, 99.5, CELLS, DOWN, 0.5)
    shown, read = crop_pictures(color, depth, crop)
    assert np.isnan(read[:, : CELLS // 2]).all()
    assert not np.isnan(read[:, CELLS // 2 :]).any()
    assert (shown[:, : CELLS // 2, 0] == 0).all()
    np.testing.assert_array_equal(shown[:, CELLS // 2 :], color[52:148, :48])


@pytest.mark.parametrize("place", [(-1e4, 50.0), (1e4, 50.0), (50.0, -1e4), (1e30, -1e30)])
@pytest.mark.parametrize("side", [30.0, 96.0, 700.0])
def test_crops_beside_the_picture_have_no_reading(place, side):
    color, depth = numbered()
    shown, read = crop_pictures(color, depth, Crop(*place, side, SLANTED, 0.5))
    assert shown.shape == (CELLS, CELLS, 3)
    assert np.isnan(read).all()


def test_without_colour_there_is_depth_alone():
    _, depth = numbered()
    shown, read = crop_pictures(None, depth, Crop(119.5, 99.5, CELLS, DOWN, 0.5))
    assert shown is None
    np.testing.assert_array_equal(read, depth[52:148, 72:168])


def test_planes_by_hand():
    color = np.full((1, 3, 3), 255, np.uint8)
    color[0, 1] = 0
    depth = np.array([[0.5 + DEPTH_UNIT_M / 2, 0.9, NAN]], np.float32)
    planes = planes_of(color, depth, 0.5)
    np.testing.assert_allclose(planes[0], [[0.5, -0.5, 0.5]])
    np.testing.assert_allclose(planes[3], [[0.5, 1, 0]], atol=1e-6)
    np.testing.assert_array_equal(planes[4], [[1, 1, 0]])
    np.testing.assert_allclose(planes_of(None, depth, 1.2)[3], [[-1, -1, 0]])
    assert not planes_of(None, depth, 0.5)[:3].any()
