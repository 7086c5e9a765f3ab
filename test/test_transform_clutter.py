"""Clutter: where fragments are cut, where they are laid, and that nothing is restored of them."""

import pytest
import torch

from tiae_ros.errors import ParameterError
from tiae_training.transforms.build import build_transform
from tiae_training.transforms.clutter import Clutter
from tiae_training.transforms.composition import Composition
from tiae_training.transforms.shifts import shift_images


def pool():
    """Two pictures with one inked square of 2×2 each: at (x 4, y 1) and (x 0, y 3)."""
    pictures = torch.zeros(2, 1, 6, 6)
    pictures[0, 0, 1:3, 4:6] = 1.0
    pictures[1, 0, 3:5, 0:2] = 0.5
    return pictures


def test_a_fragment_is_cut_where_there_is_ink_and_laid_where_the_parameters_say():
    parameters = torch.tensor([[0.2, 0.6, 0.0, 0.999], [0.8, 0.6, 0.999, 0.0]])
    clutter = Clutter(pool(), 2)
    cut = clutter.cut(parameters, torch.zeros(2, 1, 6, 6))
    assert cut.shape == (2, 1, 2, 2)
    assert cut[0].max() == 1.0
    assert cut[1].max() == 0.5
    seen = clutter.apply(torch.zeros(2, 1, 6, 6), parameters)
    torch.testing.assert_close(seen[0, :, 4:6, 0:2], cut[0])
    torch.testing.assert_close(seen[1, :, 0:2, 4:6], cut[1])
    torch.testing.assert_close(seen.sum((1, 2, 3)), cut.sum((1, 2, 3)))


def test_squares_are_drawn_by_their_squared_ink():
    parameters = torch.rand(4000, 4, generator=torch.Generator().manual_seed(0))
    ink = Clutter(pool()[:1], 2).cut(parameters, torch.zeros(4000, 1, 6, 6)).sum((1, 2, 3))
    shares = [float((ink == full).float().mean()) for full in (1.0, 2.0, 4.0)]
    # the square itself, its three neighbours that share half with it, and the two that share a corner
    assert shares == pytest.approx([2 / 30, 12 / 30, 16 / 30], abs=0.03)


def test_the_brighter_of_pattern_and_fragment_is_seen():
    pattern = torch.full((1, 1, 6, 6), 0.7)
    seen = Clutter(torch.ones(1, 1, 6, 6), 3).apply(pattern, torch.zeros(1, 4))
    assert seen[0, 0, :3, :3].unique().tolist() == pytest.approx([1.0])
    assert float(seen.sum()) == pytest.approx(9 * 1.0 + 27 * 0.7, rel=1e-5)


def test_clutter_is_seen_and_not_restored():
    transform = build_transform("shift,clutter", shift_radius_px=2, patterns=torch.rand(5, 2, 12, 12))
    assert isinstance(transform, Composition)
    assert transform.changes_appearance
    assert transform.ranges() == {"shift": {"radius_px": 2}, "clutter": {"side_px": 8}}
    images = torch.zeros(7, 2, 12, 12)
    images[:, :, 5:8, 5:8] = 1.0
    drawn = transform.draw(7, torch.Generator().manual_seed(0), torch.device("cpu"))
    moved = shift_images(images, drawn[:, :2].long())
    torch.testing.assert_close(transform.apply(images, drawn), moved)
    seen = transform.view(images, drawn)
    assert (seen >= moved).all()
    assert ((seen > moved).sum((1, 2, 3)) > 30).all()
    nearest, found = transform.nearest(images, seen, moved)
    torch.testing.assert_close(nearest, images)
    torch.testing.assert_close(found, drawn[:, :2].long())


@pytest.mark.parametrize("side_px", [0, 65, 2.0])
def test_sides_that_cannot_be_are_refused(side_px):
    with pytest.raises(ParameterError, match="1 to 64"):
        Clutter(None, side_px)


def test_pictures_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match="needs pictures"):
        Clutter().cut(torch.zeros(1, 4), torch.zeros(1, 1, 8, 8))
    for pictures in (torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 7)):
        with pytest.raises(ParameterError, match="at least 8 px"):
            Clutter(pictures).apply(torch.zeros(1, 1, 8, 8), torch.zeros(1, 4))
