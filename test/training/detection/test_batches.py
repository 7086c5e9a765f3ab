"""Batches: what is turned and mirrored stays with its labels, sides, directions; what is made worse, and how often."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")

from drawn_frames import ARM, HAND, HELD, WALL_M, empty_frame, hand_frame

from tiae_ros.vision.detection import close_up, proposals
from tiae_ros.vision.detection.close_up import CELLS, SIDE_M
from tiae_ros.vision.detection.proposals import BLOCK
from tiae_training.detection.batches import Worse, crop_batch, grid_batch
from tiae_training.detection.examples import crop_rows, grid_row, hands_of, kept_crop

AS_IT_IS = Worse(colorless=0.0, holed=0.0, other_background=0.0)
CM = CELLS / SIDE_M / 100  # cells of the second look


def stacked(rows):
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


@pytest.fixture(scope="module")
def grids():
    """Rows of the first look: a right hand, a left one, a hand of which little is seen, an empty room."""
    frames = [hand_frame(200, 150), hand_frame(260, 200, left=True), hand_frame(shown=0.1), empty_frame()]
    return stacked([grid_row(frame) for frame in frames])


@pytest.fixture(scope="module")
def crops():
    """Rows of the second look: a right hand, a left one, a place that is none."""
    frames = [hand_frame(200, 150, 0.5), hand_frame(260, 200, 0.6, left=True)]
    rows = [kept_crop(f, hands_of(f).middle_px[0], hands_of(f).distance_m[0], 0, hands_of(f)) for f in frames]
    return stacked([*rows, crop_rows(empty_frame(), np.random.default_rng(0), 1)[0]])


@pytest.mark.parametrize("number", [0, 1])
def test_grids_are_mirrored_with_their_truth(grids, number):
    batch = grid_batch(grids, np.array([number] * 24), np.random.default_rng(1), AS_IT_IS)
    assert batch.planes.shape == (24, 6, 192, 256)
    assert batch.heat.shape == (24, 24, 32)
    seen = set()
    for planes, heat, counts, places, known, area in zip(*vars(batch).values(), strict=True):
        ys, xs = np.mgrid[0:24, 0:32]
        assert counts.all()
        assert (heat == 1).sum() == 1
        assert known[heat == 1].all()
        told = known > 0
        bx, by = (xs + places[0])[told], (ys + places[1])[told]  # all cells tell of one middle
        assert np.ptp(bx) < 1e-4
        assert np.ptp(by) < 1e-4
        middle = np.array([bx[0], by[0]])
        centroid = np.array([(area * xs).sum(), (area * ys).sum()]) / area.sum()
        assert np.linalg.norm(centroid - middle) < 0.35  # the thumb draws it a little to its side
        arm = np.array([places[2][told][0], places[3][told][0]])
        near = planes[3] > 1.2 * planes[3][0, 0]
        points = np.argwhere(near)[:, ::-1] / BLOCK - 0.5
        assert (points.mean(axis=0) - middle) @ arm > 0.9 * np.linalg.norm(points.mean(axis=0) - middle)
        length = 32 * np.exp(places[4][told][0])
        assert length == pytest.approx(64 * planes[3][round(by[0] * BLOCK + 3.5), round(bx[0] * BLOCK + 3.5)], rel=0.01)
        seen.add((bx[0] > 16, by[0] > 12, arm[1] > 0))
    assert len(seen) == 4  # both ways of mirroring, and both together


def test_what_need_not_be_found_does_not_count(grids):
    batch = grid_batch(grids, np.array([2]), np.random.default_rng(0), AS_IT_IS)
    assert not batch.heat.any()
    assert not batch.known.any()
    assert (batch.counts == 0).any()
    assert batch.counts.mean() > 0.9


def test_a_hand_that_must_be_found_counts_beside_one_that_need_not(grids):
    rows = {name: array[:1].copy() for name, array in grids.items()}
    rows["hands"][0, 1] = rows["hands"][0, 0]
    rows["hands"][0, 1, 0] += 12
    for first in (0, 1):  # whichever comes first
        rows["hands"][0, first, 5], rows["hands"][0, 1 - first, 5] = 1, 0
        batch = grid_batch(rows, np.array([0]), np.random.default_rng(0), AS_IT_IS)
        assert batch.counts[batch.heat == 1].all()
        assert (batch.heat == 1).sum() == 1


def test_nothing_is_told_of_an_empty_room(grids):
    batch = grid_batch(grids, np.array([3]), np.random.default_rng(0), AS_IT_IS)
    assert not batch.heat.any()
    assert not batch.area.any()
    assert batch.counts.all()


@pytest.mark.parametrize("number", [0, 1])
def test_crops_are_turned_and_mirrored_with_their_truth(crops, number):
    batch = crop_batch(crops, np.array([number] * 40), np.random.default_rng(2), AS_IT_IS)
    assert batch.planes.shape == (40, 5, CELLS, CELLS)
    assert batch.labels.shape == (40, CELLS, CELLS)
    whole = 0
    for labels, hand, left, at, down in zip(*list(vars(batch).values())[1:], strict=True):
        assert hand == 1
        assert np.linalg.norm(down) == pytest.approx(1, abs=1e-5)
        middle = (CELLS - 1) / 2 + at * CELLS / 2
        inner = np.isin(labels, (HAND, HELD))
        if inner[[0, -1]].any() or inner[:, [0, -1]].any():
            continue  # cut off by the crop's border
        whole += 1

        def along(label, way, middle=middle, labels=labels):
            return (np.argwhere(labels == label)[:, ::-1] - middle) @ way / CM

        across = np.array([-down[1], down[0]])
        scale = -np.median(along(HELD, down)) / 5.5  # what is held lies 5.5 cm before the middle
        assert np.exp(-0.34) < scale < np.exp(0.34)  # .3, and cells are whole
        assert abs(along(HELD, across).mean()) < 0.45
        if (labels == ARM).any():
            assert along(ARM, down).min() > 3.5 * scale
        side = along(HAND, across) / scale  # the thumb reaches 7 cm, the other side 4
        assert (side.max() > 6) == bool(left == 0) == (side.min() > -5)
    assert whole > 25
    assert set(batch.left.tolist()) == {0.0, 1.0}


def test_crops_lie_a_little_beside_and_mostly_upright(crops):
    batch = crop_batch(crops, np.array([0] * 200), np.random.default_rng(0), AS_IT_IS)
    assert 0.01 < np.abs(batch.middle).mean() < 0.15
    assert np.abs(batch.middle).max() < 0.67  # 7 cm to both sides, of the smallest crop
    assert 0.6 < (batch.arm[:, 1] > 0.8).mean() < 0.97


def test_the_reference_is_that_of_the_road(crops):
    batch = crop_batch(crops, np.array([0] * 50), np.random.default_rng(0), AS_IT_IS)
    off = [planes[3][labels == HAND] for planes, labels in zip(batch.planes, batch.labels, strict=True)]
    assert np.abs([np.median(one) for one in off]).mean() < 0.06  # 6 mm and less, of 15 cm


def test_a_place_that_is_none_has_no_labels(crops):
    batch = crop_batch(crops, np.array([2] * 4), np.random.default_rng(0), AS_IT_IS)
    assert not batch.labels.any()
    assert not batch.is_hand.any()


def test_worse_shares_are_kept(crops, grids):
    chosen, worse = np.array([0] * 60), Worse(colorless=0.5, holed=0.0, other_background=0.0)
    for batch in (crop_batch(crops, chosen, np.random.default_rng(0), worse),
                  grid_batch(grids, chosen, np.random.default_rng(0), worse)):  # fmt: skip
        assert 15 < sum(not planes[:3].any() for planes in batch.planes) < 45
    holed = Worse(colorless=0.0, holed=1.0, other_background=0.0)
    assert not crop_batch(crops, chosen[:8], np.random.default_rng(0), holed).planes[:, 4].all()
    assert not grid_batch(grids, chosen[:4], np.random.default_rng(0), holed).planes[:, 4].all()


def test_poor_depth_comes_with_colour(crops, grids):
    """The hand's depth is spread, lost or the background's, where colour can still tell."""
    chosen = np.array([0] * 24)
    for rows, make, labelled in ((crops, crop_batch, "labels"), (grids, grid_batch, "area")):
        plain, poor, blind, poor_and_blind = (
            make(rows, chosen, np.random.default_rng(1), Worse(colorless, 0.0, 0.0, share))
            for colorless in (0.0, 1.0)
            for share in (0.0, 1.0)
        )
        assert poor.planes[:, 4].mean() < plain.planes[:, 4].mean() - 0.005
        assert getattr(poor, labelled).any(axis=(1, 2)).all()  # labels are those of the picture
        np.testing.assert_array_equal(poor_and_blind.planes, blind.planes)


def test_colours_vary_and_depth_does_not(crops):
    """Brightness, saturation and sharpness differ from picture to picture."""
    worse = Worse(colorless=0.0, holed=0.0, other_background=0.0)
    colors = crop_batch(crops, np.array([0] * 80), np.random.default_rng(0), worse).planes[:, :3]
    assert colors.min() >= -0.5
    assert colors.max() <= 0.5
    brightness, saturation = colors.mean(axis=(1, 2, 3)), np.ptp(colors, axis=1).mean(axis=(1, 2))
    roughness = np.abs(np.diff(colors, axis=3)).mean(axis=(1, 2, 3))
    for told in (brightness + 0.5, saturation, roughness):
        assert np.quantile(told, 0.95) > 1.4 * np.quantile(told, 0.05)


def test_a_hand_is_put_before_another_background(crops):
    always = Worse(colorless=0.0, holed=0.0, other_background=1.0)
    batch = crop_batch(crops, np.array([0] * 60), np.random.default_rng(0), always)
    replaced = [planes for planes, labels in zip(batch.planes, batch.labels, strict=True)
                if (planes[3][(labels == 0) & (planes[4] > 0)] < 0.99).any()]  # fmt: skip
    assert 3 < len(replaced) < 57  # where the drawn other place is none
    for planes, labels in zip(batch.planes, batch.labels, strict=True):
        assert (
            planes[3][(labels == 0) & (planes[4] > 0)] > np.median(planes[3][labels == HAND])
        ).mean() > 0.97  # behind


def test_a_hand_is_put_into_a_real_room(grids):
    rows = {**grids, "real": np.array([3])}
    always = Worse(colorless=0.0, holed=0.0, other_background=1.0)
    batch = grid_batch(rows, np.array([0] * 8), np.random.default_rng(0), always)
    plain = grid_batch(grids, np.array([0] * 8), np.random.default_rng(0), always)
    assert (batch.planes[:, 3] != plain.planes[:, 3]).any()
    assert (batch.area.sum(axis=(1, 2)) > 0).all()


def test_the_same_generator_the_same_batch(crops, grids):
    for make, rows in ((crop_batch, crops), (grid_batch, grids)):
        first, second = (make(rows, np.array([0, 1, 2]), np.random.default_rng(5), Worse()) for _ in range(2))
        for one, other in zip(vars(first).values(), vars(second).values(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_examples_look_as_the_road_makes_them(grids):
    """Planes of training and of the detector are made by the same functions, of the same sizes."""
    frame = hand_frame(200, 150)
    seen = proposals.grid_of(None, frame.depth_m, frame.focal_px).planes
    rows = {name: array[:1] for name, array in grids.items()}
    colorless = Worse(colorless=1.0, holed=0.0, other_background=0.0)
    candidates = grid_batch(rows, np.array([0] * 12), np.random.default_rng(0), colorless).planes
    assert min(np.abs(planes - seen).max() for planes in candidates) < 0.02  # one that was not mirrored
    assert close_up.PLANES == 5
    assert seen[3][0, 0] == pytest.approx(frame.focal_px * 256 / 480 * 0.18 / WALL_M / 64, rel=1e-4)
