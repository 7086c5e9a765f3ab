"""The first look: planes of a picture's grid, and proposals from a network's answers; numbers worked out by hand."""

import math

import cv2
import numpy as np
import pytest

from tiae_ros.vision.detection.proposals import (
    ANSWERS,
    BLOCK,
    GRID,
    HAND_M,
    Grid,
    grid_of,
    log_length,
    planes_of,
    proposals_of,
    relief,
)

NAN = math.nan


def empty_answers(height=4, width=6):
    """Answers of a network that sees nothing: scores of some 1e-9."""
    answers = np.zeros((ANSWERS, height, width), np.float32)
    answers[0] = -20
    return answers


def a_grid(focal_px=400.0, cell_px=(2.0, 2.0)):
    return Grid(np.zeros((6, 32, 48), np.float32), cell_px, focal_px)


def test_planes_by_hand():
    color = np.array([[[255, 0, 51], [0, 0, 0]]], np.uint8)
    planes = planes_of(color, np.array([[0.5, NAN]], np.float32), focal_cells=200.0)
    np.testing.assert_allclose(planes[:3, 0, 0], [0.5, -0.5, -0.3], atol=1e-6)
    np.testing.assert_allclose(planes[:3, 0, 1], -0.5)
    # 0.18 m at half a metre are 72 cells.
    np.testing.assert_allclose(planes[3], [[72 / 64, 0]], rtol=1e-6)
    np.testing.assert_array_equal(planes[4], [[1, 0]])
    np.testing.assert_allclose(planes[5], 0, atol=1e-6)  # all that was read is as far as its mean
    assert planes.dtype == np.float32


def test_planes_without_colour_are_0_there():
    planes = planes_of(None, np.full((4, 4), 0.6, np.float32), 100.0)
    assert not planes[:3].any()
    assert planes[4].all()


@pytest.mark.parametrize("depth", [0.0, -1.0, NAN, math.inf])
def test_what_was_not_read_is_0(depth):
    planes = planes_of(None, np.full((3, 3), depth, np.float32), 100.0)
    assert not planes.any()


def test_what_is_very_near_is_2():
    planes = planes_of(None, np.full((1, 1), 0.01, np.float32), 1000.0)
    assert planes[3, 0, 0] == 2


def test_relief_is_the_log_over_the_mean_of_its_surroundings():
    depth = np.ones((9, 9), np.float32)
    depth[4, 4] = 0.9
    shown = np.ones_like(depth)
    found = relief(np.log(depth), shown, 3)
    step = math.log(0.9)
    assert found[4, 4] == pytest.approx(4 * (step - step / 9), abs=1e-5)  # before its surroundings: negative
    assert found[3, 3] == pytest.approx(4 * (-step / 9), abs=1e-5)
    assert found[0, 0] == 0
    shown[4, 4] = 0
    assert not relief(np.log(depth), shown, 3).any()  # a hole is no relief, nor does it pull its neighbours
    depth[4, 4] = 0.1
    assert relief(np.log(depth), np.ones_like(depth), 3)[4, 4] == -1


@pytest.mark.parametrize(
    ("size", "cells", "cell_px"),
    [
        ((480, 640), (192, 256), (2.5, 2.5)),
        ((640, 480), (256, 192), (2.5, 2.5)),
        ((192, 256), (192, 256), (1, 1)),
        ((120, 160), (192, 256), (0.625, 0.625)),
        ((100, 1000), (26, 256), (1000 / 256, 100 / 26)),
        ((1, 1000), (1, 256), (1000 / 256, 1)),
    ],
)
def test_a_grid_is_256_cells_along_the_longer_side(size, cells, cell_px):
    grid = grid_of(np.zeros((*size, 3), np.uint8), np.ones(size, np.float32), 500.0)
    assert grid.planes.shape == (6, *cells)
    assert grid.cell_px == pytest.approx(cell_px)
    assert grid.padded.shape == (1, 6, -(-cells[0] // 16) * 16, -(-cells[1] // 16) * 16)
    np.testing.assert_array_equal(grid.padded[0, :, : cells[0], : cells[1]], grid.planes)
    assert not grid.padded[0, :, cells[0] :].any()
    assert grid.planes[3].max() == pytest.approx(min(2, HAND_M * 500 / cell_px[0] / 64), rel=1e-5)


def test_a_grids_colours_are_exact_means_at_whole_numbers():
    color = np.random.default_rng(0).integers(0, 256, (576, 768, 3)).astype(np.uint8)
    told = grid_of(color, np.ones((576, 768), np.float32), 500.0).planes[:3].transpose(1, 2, 0)
    means = color.reshape(192, 3, 256, 3, 3).mean(axis=(1, 3)) / 255 - 0.5
    assert np.abs(told - means).max() <= 0.51 / 255


@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (1080, 1920), (481, 641), (720, 1280), (100, 1000), (90, 120)]
)
def test_a_grids_colours_are_means_of_areas(height, width):
    rng = np.random.default_rng(0)
    color = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3)).astype(np.uint8), (0, 0), width / 256)
    told = grid_of(color, np.ones((height, width), np.float32), 500.0).planes[:3].transpose(1, 2, 0)
    size = (told.shape[1], told.shape[0])
    means = cv2.resize(color.astype(np.float32), size, interpolation=cv2.INTER_AREA) / 255 - 0.5
    assert np.abs(told - means).mean() < 0.05 * color.std() / 255 + 0.5 / 255


def test_a_proposal_by_hand():
    answers = empty_answers()
    answers[:6, 1, 2] = 0, 0.25, -0.5, 0.6, -0.8, math.log(2)
    (found,) = proposals_of(answers, a_grid(), 0.1, 6)
    # The middle of block (1, 2) lies at ((2 + .5) * 8 * 2 - .5, (1 + .5) * 8 * 2 - .5) = (39.5, 23.5).
    assert (found.x, found.y) == pytest.approx((39.5 + 0.25 * BLOCK * 2, 23.5 - 0.5 * BLOCK * 2))
    assert found.length_px == pytest.approx(32 * 2 * 2)
    assert found.depth_m == pytest.approx(400 * HAND_M / 128)
    assert found.arm == pytest.approx((0.6, -0.8))
    assert found.score == pytest.approx(0.5)


def test_directions_are_of_unit_length_or_down():
    answers = empty_answers()
    answers[0, 0, 0] = answers[0, 3, 5] = 2
    answers[3:5, 0, 0] = 30, 40
    found = proposals_of(answers, a_grid(), 0.1, 6)
    assert [one.arm for one in found] == [pytest.approx((0.6, 0.8)), (0.0, 1.0)]


def test_only_local_maxima_the_best_first():
    answers = empty_answers(6, 8)
    answers[0, 1, 1], answers[0, 1, 2] = 3, 2  # one hand, two blocks
    answers[0, 4, 6] = 4
    answers[0, 4, 1] = -4  # below the least score
    found = proposals_of(answers, a_grid(), 0.08, 6)
    assert [round((one.x + 0.5) / 16 - 0.5) for one in found] == [6, 1]
    assert [one.score for one in found] == pytest.approx([1 / (1 + math.exp(-4)), 1 / (1 + math.exp(-3))])
    assert len(proposals_of(answers, a_grid(), 0.08, 1)) == 1
    assert proposals_of(answers, a_grid(), 0.999, 6) == []


def test_lengths_told_are_bounded():
    answers = empty_answers()
    answers[0, 0, 0], answers[5, 0, 0] = 5, 1e9
    answers[0, 3, 3], answers[5, 3, 3] = 4, -1e9
    far, near = (one.length_px for one in proposals_of(answers, a_grid(), 0.1, 6))
    assert (far, near) == pytest.approx((64 * math.exp(3), 64 * math.exp(-3)))


def test_scores_beyond_all_bounds_are_no_warning():
    answers = empty_answers()
    answers[0] = -1e6
    answers[0, 0, 0] = 1e6
    with np.errstate(all="raise"):
        assert [one.score for one in proposals_of(answers, a_grid(), 0.1, 6)] == [pytest.approx(1)]


def test_log_length_is_what_is_undone():
    assert log_length(32.0) == 0
    assert 32 * np.exp(log_length(np.array([8.0, 90.0]))) == pytest.approx([8, 90])
    assert GRID % BLOCK == 0
