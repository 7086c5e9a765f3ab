"""The polar grid: turns move around it, mirrors read it backwards, and which turn makes two windows alike."""

import math

import pytest
import torch
from small_training import blob

from tiae_training.transforms.polar import ANGLES, RADII, STEP, likest_turns, on_polar_grid, polar_grid, read_backwards
from tiae_training.transforms.poses import place_by_pose
from tiae_training.transforms.similarity import Similarity

MIDDLE = torch.zeros(1, 2)


def around(images):
    return on_polar_grid(images, polar_grid(images.shape[-1]), MIDDLE.expand(len(images), 2))


def test_a_quarter_turn_moves_by_a_quarter_of_the_circle():
    image = blob()
    assert around(image).shape == (1, 1, RADII, ANGLES)
    torch.testing.assert_close(around(image.rot90(-1, (2, 3))), around(image).roll(ANGLES // 4, 3))


def test_a_mirror_reads_backwards():
    torch.testing.assert_close(around(blob().flip(3)), read_backwards(around(blob())))


@pytest.mark.parametrize("mirrored", [0.0, 1.0])
@pytest.mark.parametrize("steps", [0, 3, -7, 15])
def test_the_likest_turn_is_the_one_that_was_done(steps, mirrored):
    done = torch.tensor([[0.0, 0.0, steps * STEP, 0.0, mirrored]])
    torch.testing.assert_close(likest_turns(blob(), place_by_pose(blob(), done), torch.zeros(1, 5)), done)


def test_without_mirrors_only_turns_are_looked_for():
    done = torch.tensor([[0.0, 0.0, 5 * STEP, 0.0]])
    torch.testing.assert_close(likest_turns(blob(), place_by_pose(blob(), done), torch.zeros(1, 4)), done)


def test_a_window_is_looked_at_where_its_pattern_is():
    done = torch.tensor([[3.0, -4.0, 7 * STEP, 0.0]])
    start = torch.tensor([[3.0, -4.0, 1.0, 0.2]])  # its place counts, its angle and scale do not
    torch.testing.assert_close(likest_turns(blob(), place_by_pose(blob(), done), start), done)


def test_no_turn_is_beyond_the_range():
    window = place_by_pose(blob(), torch.tensor([[0.0, 0.0, math.pi, 0.0]]))
    found = likest_turns(blob(), window, torch.zeros(1, 4), 2 * STEP)
    assert float(found[0, 2].abs()) <= 2 * STEP + 1e-6


def test_windows_that_are_turned_anyhow_are_met_by_what_was_restored():
    """The windows of the file are turned; without an estimate worth anything the turn is found all the same."""
    pattern, turned = blob(), torch.tensor([[0.0, 0.0, math.radians(100.0), 0.0, 1.0]])
    whole, drawn = place_by_pose(pattern, turned), torch.zeros(1, 5)
    kind = Similarity(2, math.pi, 1.0, mirrors=True)
    found = {}
    for upright in (True, False):
        nearest, _ = kind.nearest_whole(pattern, whole, drawn, torch.zeros(1, 5), 1.0, upright=upright)
        found[upright] = float((nearest - pattern).square().sum() / pattern.square().sum())
    assert found[False] < 0.01 < 0.1 < found[True]
