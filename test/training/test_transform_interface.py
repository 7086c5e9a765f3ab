"""What every kind of transform promises, alone and composed."""

import pytest
import torch
from small_training import blob

from tiae_ros.cli import build_parser
from tiae_training.transforms.build import build_transform
from tiae_training.transforms.ranges import KINDS, MOVEMENTS, Ranges

COMPOSED = (
    "shift,background,clutter,blur,gain",
    "shift,roll,background,gain",
    "rotation,scale,gain",
    "shift,rotation,scale,background",
)
LISTS = (*KINDS, "shift,roll", "shift,rotation", "shift,scale", *COMPOSED)
RANGES = Ranges(shift_radius_px=3, rotation_deg=30.0, scale_factor=1.1)
COUNT = 6


@pytest.fixture(params=LISTS)
def transform(request):
    pictures = torch.rand(3, 1, 40, 40, generator=torch.Generator().manual_seed(9))
    return build_transform(request.param, RANGES, backgrounds=pictures, patterns=pictures)


@pytest.fixture
def images():
    return blob().repeat(COUNT, 1, 1, 1).clamp(0.0, 1.0)


@pytest.fixture
def drawn(transform):
    return transform.draw(COUNT, torch.Generator().manual_seed(1))


def moves_of(transform, drawn):
    """Of what was drawn, how the pattern was moved."""
    return drawn[:, : len(transform.movement.columns)]


def apart(one, other):
    return float((one - other).square().sum() / other.square().sum())


def test_draws_have_the_columns_and_are_the_seeds(transform, drawn):
    assert drawn.shape == (COUNT, len(transform.columns))
    assert (drawn.dtype, drawn.device.type) == (torch.float32, "cpu")
    assert torch.equal(drawn, transform.draw(COUNT, torch.Generator().manual_seed(1)))


def test_views_are_windows_and_differ_where_said(transform, drawn, images):
    seen, moved = transform.apply(images, drawn), transform.move(images, drawn)
    assert seen.shape == moved.shape == images.shape
    assert float(seen.min()) >= 0.0
    assert float(seen.max()) <= 1.0 + 1e-6
    assert torch.equal(seen, moved) != transform.changes_appearance


def test_the_best_brings_back_what_was_moved(transform, drawn, images):
    moved = transform.move(images, drawn)
    found = transform.best(images, moved, moves_of(transform, drawn))
    assert found.shape[0] == COUNT
    assert (found[:, :2] - drawn[:, :2]).abs().max() < 1.0
    assert apart(transform.invert(moved, found), images) < 0.03
    nearest, same = transform.nearest(images, moved, moves_of(transform, drawn))
    assert torch.equal(nearest, transform.invert(moved, same))


def test_invert_undoes_move(transform, drawn, images):
    assert apart(transform.invert(transform.move(images, drawn), moves_of(transform, drawn)), images) < 0.03


def test_the_kinds_are_those_that_are_built():
    for kind in KINDS:
        built = build_transform(kind)
        assert list(built.ranges()) == ([] if kind == "none" else [kind])
        assert built.changes_appearance == (kind not in MOVEMENTS)
    train = next(a.choices for a in build_parser()._actions if a.dest == "subcommand")["train"]
    (told,) = (a.help for a in train._actions if "--transforms" in a.option_strings)
    assert all(kind in told for kind in KINDS)
