"""The kinds of transforms one by one on small windows, then composed."""

import math

import pytest
import torch
from small_training import blob

from tiae_ros.errors import ParameterError
from tiae_training.transforms.background import Background
from tiae_training.transforms.blur import Blur
from tiae_training.transforms.build import build_transform
from tiae_training.transforms.clutter import Clutter
from tiae_training.transforms.composition import Composition
from tiae_training.transforms.gain import Gain
from tiae_training.transforms.poses import place_by_pose, wrap_angle
from tiae_training.transforms.ranges import Ranges
from tiae_training.transforms.shift import Shift
from tiae_training.transforms.shifts import shift_images
from tiae_training.transforms.similarity import Similarity, _halved
from tiae_training.transforms.transform import Identity


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_background_shows_beside_the_mask():
    pool = torch.full((1, 1, 2, 2), 0.5)
    pattern, mask = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    pattern[0, 0, 0, 0], mask[0, 0, 0, 0], mask[0, 0, 1, 1] = 0.8, 1.0, 0.5
    seen = Background(pool).apply(pattern, torch.zeros(1, 4), mask)
    torch.testing.assert_close(seen, torch.tensor([[[[0.8, 0.5], [0.5, 0.25]]]]))


def test_backgrounds_are_cut_where_the_parameters_say():
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    like = torch.zeros(1, 1, 2, 2)
    cut = Background(picture).cut(torch.tensor([[0.0, 0.999, 0.4, 0.0]]), like)
    assert cut.flatten().tolist() == [9, 10, 13, 14]  # rows 2, 3; columns 1, 2
    mirrored = Background(picture).cut(torch.tensor([[0.0, 0.999, 0.4, 0.9]]), like)
    assert mirrored.flatten().tolist() == [10, 9, 14, 13]


def test_backgrounds_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match="need pictures"):
        Background().cut(torch.zeros(1, 4), torch.zeros(1, 1, 2, 2))
    with pytest.raises(ParameterError, match="at least 4 px"):
        Background(torch.zeros(1, 1, 3, 8)).cut(torch.zeros(1, 4), torch.zeros(1, 1, 4, 4))


def test_blur_spreads_and_keeps_the_sum():
    dot = torch.zeros(2, 1, 15, 15)
    dot[:, :, 7, 7] = 1.0
    blurred = Blur(2.0).apply(dot, torch.tensor([[0.0], [1.0]]))
    torch.testing.assert_close(blurred[0], dot[0])
    assert float(blurred[1].sum()) == pytest.approx(1.0, abs=1e-3)
    assert float(blurred[1, 0, 7, 8] / blurred[1, 0, 7, 7]) == pytest.approx(math.exp(-0.5), rel=1e-3)


def test_gain_dims_and_saturates():
    seen = Gain(2.0).apply(torch.full((2, 1, 1, 1), 0.6), torch.tensor([[0.5], [2.0]]))
    assert seen.flatten().tolist() == pytest.approx([0.3, 1.0])
    drawn = Gain(2.0).draw(1000, generator())
    assert drawn.min() >= 0.5
    assert drawn.max() <= 2.0


@pytest.mark.parametrize("true", [(0.0, 0.0, 0.0, 0.0), (3.0, -2.0, 0.6, 0.15), (-4.0, 1.0, 3.0, -0.2)])
def test_the_pose_is_found_near_a_rough_estimate(true):
    true = torch.tensor([true])
    view = place_by_pose(blob(), true)
    rough = true + torch.tensor([[1.0, -1.0, math.radians(9.0), 0.08]])
    nearest, found = Similarity(5).nearest(blob(), view, rough)
    assert (found - true)[:, :2].abs().max() <= 1.1
    assert wrap_angle((found - true)[:, 2]).abs() < math.radians(4.0)
    assert (found - true)[:, 3].abs() < 0.09
    assert float((nearest - blob()).square().sum() / blob().square().sum()) < 0.1


@pytest.mark.parametrize("size", [28, 29, 30, 31, 33, 40, 45, 64])
def test_poses_are_found_in_windows_of_every_size(size):
    """As well as in windows of 32 pixels; half of the estimates are turned round."""
    random, count = generator(3), 60
    reach = torch.tensor([4.0, 4.0, math.pi, 0.25])
    true = reach * (2 * torch.rand(count, 4, generator=random) - 1)
    rough = true + torch.tensor([1.0, 1.0, 0.3, 0.1]) * (2 * torch.rand(count, 4, generator=random) - 1)
    rough[::2, 2] += math.pi

    def errors(side):
        patterns = blob(side).repeat(count, 1, 1, 1)
        off = Similarity(5).best(patterns, place_by_pose(patterns, true), rough) - true
        return torch.stack((off[:, :2].norm(dim=1), wrap_angle(off[:, 2]).abs(), off[:, 3].abs()))

    found, of_32 = errors(size), errors(32)
    assert (found[1] < math.radians(20)).all()
    assert (found.mean(1) < 1.2 * of_32.mean(1)).all()


@pytest.mark.parametrize("size", [4, 5])
def test_windows_are_halved_about_their_centre(size):
    """By hand: of an odd side, weights 1 2 1 around every second pixel."""
    line = _halved(torch.arange(float(size)).expand(1, 1, size, size) + 1.0)[0, 0, 1]
    assert line.tolist() == ([1.5, 3.5] if size == 4 else [1.0, 3.0, 3.5])
    corner = _halved(torch.ones(1, 1, size, size))[0, 0, 0]
    assert corner.tolist() == ([1.0, 1.0] if size == 4 else [0.5625, 0.75, 0.5625])


def test_a_half_turn_from_the_estimate_is_found():
    true = torch.tensor([[2.0, 1.0, 1.0, 0.0]])
    view = place_by_pose(blob(), true)
    _, found = Similarity(5).nearest(blob(), view, true + torch.tensor([[0.0, 0.0, math.pi, 0.0]]))
    assert torch.cos(found[:, 2] - true[:, 2]) > 0.98


def test_without_an_estimate_the_whole_circle_is_tried():
    true = torch.tensor([[2.0, -1.0, 2.0, 0.0]])
    view = place_by_pose(blob(), true)
    _, found = Similarity(5, scale_factor=1.0).nearest(blob(), view)
    assert torch.cos(found[:, 2] - true[:, 2]) > math.cos(math.radians(16.0))
    _, found = Similarity(5, scale_factor=1.0).nearest(blob(), view, torch.tensor([[2.0, -1.0]]))
    assert torch.cos(found[:, 2] - true[:, 2]) > math.cos(math.radians(16.0))


def test_a_smaller_pattern_is_not_cheaper():
    """Compared on the input's scale: shrinking what is restored, and the input with it, wins nothing."""
    view = blob()
    small = place_by_pose(blob(), torch.tensor([[0.0, 0, 0, -0.25]]))
    start = torch.zeros(1, 4)
    _, found = Similarity(2, 0.0, 1.4).nearest(small, view, start)
    _, same = Similarity(2, 0.0, 1.4).nearest(blob(), view, start)
    assert same[0, 3].abs() < 0.005
    assert found[0, 3] > 0.0  # the restored pattern has to grow to lie on the input


def test_the_anchor_pulls_the_mean_scale_to_one():
    true = torch.tensor([[0.0, 0, 0, 0.1], [0.0, 0, 0, 0.3]])
    views = place_by_pose(blob().repeat(2, 1, 1, 1), true)
    start = true.clone()
    _, free = Similarity(2, 0.0, 1.4).nearest(blob().repeat(2, 1, 1, 1), views, start)
    _, held = Similarity(2, 0.0, 1.4, anchor=0.5).nearest(blob().repeat(2, 1, 1, 1), views, start)
    torch.testing.assert_close(free[:, 3], true[:, 3], atol=0.02, rtol=0)
    torch.testing.assert_close(held[:, 3], free[:, 3] - 0.5 * free[:, 3].mean())


@pytest.mark.parametrize("estimate", [None, [[0.0, 0.0]], [[0.0, 0.0, 2.5, 1.0]], [[0.0, 0.0, -0.6, 0.0]]])
def test_what_is_found_stays_within_twice_the_range(estimate):
    """A pattern turned by 100° under --rotation 20: its own angle may be an extreme one of the range, no more."""
    angle, factor = math.radians(20), 1.1
    view = place_by_pose(blob(), torch.tensor([[1.0, -1.0, math.radians(100), 0.7]]))
    search = Similarity(4, angle, factor)
    start = None if estimate is None else torch.tensor(estimate)
    _, found = search.nearest(blob(), view, start)
    for poses in (found, search.refine(blob(), view, found)):
        assert poses[:, 2].abs() <= 2 * angle + 1e-5
        assert poses[:, 3].abs() <= 2 * math.log(factor) + 1e-5
    _, whole = Similarity(4, math.pi, factor).nearest(blob(), view, torch.tensor([[0.0, 0.0, 1.6, 0.0]]))
    assert whole[:, 2].abs() > 2 * angle


def test_drawn_poses_stay_in_range():
    drawn = Similarity(3, 0.5, 1.5).draw(2000, generator())
    limits = torch.tensor([3.0, 3.0, 0.5, math.log(1.5)])
    assert (drawn.abs() <= limits).all()
    assert (drawn.abs().amax(0) > 0.95 * limits).all()


@pytest.mark.parametrize(
    ("names", "kind", "ranges"),
    [
        ("none", Identity, []),
        ("shift", Shift, ["shift"]),
        ("rotation", Similarity, ["rotation"]),
        ("scale,shift", Similarity, ["shift", "scale"]),
        ("background", Composition, ["background"]),
        ("shift,rotation,scale,background,blur,gain", Composition,
         ["shift", "rotation", "scale", "background", "blur", "gain"]),
    ],
)  # fmt: skip
def test_lists_of_kinds(names, kind, ranges):
    transform = build_transform(names)
    assert type(transform) is kind
    assert list(transform.ranges()) == ranges


@pytest.mark.parametrize("names", ["shift,shift", "none,background", "rotation,spin", "warp", ""])
def test_lists_that_make_no_sense_are_refused(names):
    with pytest.raises(ParameterError, match="accepted"):
        build_transform(names)


@pytest.mark.parametrize(
    "make",
    [lambda: Similarity(-1), lambda: Similarity(1, 4.0), lambda: Similarity(1, 1.0, 0.5), lambda: Similarity(1, 1, 9.0),
     lambda: Blur(0.0), lambda: Blur(9.0), lambda: Gain(1.0), lambda: Gain(11.0), lambda: Shift(0), lambda: Shift(65),
     lambda: Shift(2.5), lambda: Shift(True), lambda: Clutter(None, 0), lambda: Clutter(None, 65),
     lambda: Clutter(None, 2.0)],
)  # fmt: skip
def test_ranges_that_make_no_sense_are_refused(make):
    with pytest.raises(ParameterError, match="accepted"):
        make()


@pytest.mark.parametrize("names", ["shift", "shift,gain"])
def test_the_whole_image_is_found_beyond_the_edge(names):
    """Seen is the left half of a pattern; the target is all of it, and the shift lays all of it on what is seen."""
    transform = build_transform(names, Ranges(shift_radius_px=6))
    pattern = torch.zeros(1, 1, 16, 16)
    pattern[..., 5:11, 5:9], pattern[..., 9:11, 9:11] = 1.0, 0.5
    image = shift_images(pattern, torch.tensor([[1, -2]]))
    parameters = transform.draw(1, generator())
    parameters[:, :2] = torch.tensor([[6, 3]])
    nearest, found = transform.nearest(pattern, image)
    torch.testing.assert_close(nearest, pattern)
    assert transform.onto_view(parameters, found).tolist() == [[7, 1]]


def test_a_composition_wants_none_of_it_back():
    pool = torch.rand(3, 1, 40, 40, generator=generator())
    transform = build_transform("shift,background,blur,gain", Ranges(shift_radius_px=3), backgrounds=pool)
    images = blob().repeat(4, 1, 1, 1).clamp_max(1.0)
    drawn = transform.draw(4, generator(1))
    seen, target = transform.apply(images, drawn), transform.move(images, drawn)
    assert torch.equal(target, shift_images(images, drawn[:, :2].long()))
    assert seen[:, :, :4, :4].max() > 0.05  # the background
    assert target[:, :, :2, :2].max() < 0.05
    nearest, found = transform.nearest(images, target)
    assert torch.equal(found, drawn[:, :2])
    assert float((nearest - images).square().sum() / images.square().sum()) < 1e-3


def test_masks_move_with_the_pattern():
    pool = torch.full((1, 1, 8, 8), 0.5)
    transform = build_transform("shift,background", Ranges(shift_radius_px=2), backgrounds=pool)
    image, mask = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    mask[0, 0, 3, 3] = 1.0  # a black dot that covers what is behind it
    seen = transform.apply(image, torch.tensor([[2.0, -1.0, 0, 0, 0, 0]]), mask)
    assert seen[0, 0, 2, 5] == 0.0
    assert int((seen == 0.5).sum()) == 63


def inked():
    """Two pictures with one inked square of 2×2 each: at (x 4, y 1) and (x 0, y 3)."""
    pictures = torch.zeros(2, 1, 6, 6)
    pictures[0, 0, 1:3, 4:6] = 1.0
    pictures[1, 0, 3:5, 0:2] = 0.5
    return pictures


def test_a_fragment_is_cut_at_ink_and_laid():
    parameters = torch.tensor([[0.2, 0.6, 0.0, 0.999], [0.8, 0.6, 0.999, 0.0]])
    clutter = Clutter(inked(), 2)
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
    ink = Clutter(inked()[:1], 2).cut(parameters, torch.zeros(4000, 1, 6, 6)).sum((1, 2, 3))
    shares = [float((ink == full).float().mean()) for full in (1.0, 2.0, 4.0)]
    # the square itself, its three neighbours that share half with it, and the two that share a corner
    assert shares == pytest.approx([2 / 30, 12 / 30, 16 / 30], abs=0.03)


def test_the_brighter_of_pattern_and_fragment_is_seen():
    pattern = torch.full((1, 1, 6, 6), 0.7)
    seen = Clutter(torch.ones(1, 1, 6, 6), 3).apply(pattern, torch.zeros(1, 4))
    assert seen[0, 0, :3, :3].unique().tolist() == pytest.approx([1.0])
    assert float(seen.sum()) == pytest.approx(9 * 1.0 + 27 * 0.7, rel=1e-5)


def test_clutter_that_does_not_fit_is_refused():
    with pytest.raises(ParameterError, match="needs pictures"):
        Clutter().cut(torch.zeros(1, 4), torch.zeros(1, 1, 8, 8))
    for pictures in (torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 7)):
        with pytest.raises(ParameterError, match="at least 8 px"):
            Clutter(pictures).apply(torch.zeros(1, 1, 8, 8), torch.zeros(1, 4))
