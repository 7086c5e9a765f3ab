"""Hands alone, near and from all around: where the truth says they are, rough masks, the command."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="people are shaped with torch, which is not installed")
pytest.importorskip("mujoco", reason="grasps need MuJoCo (extra `sim`)")
pytest.importorskip("moderngl", reason="pictures need moderngl (extra `sim`)")
pytest.importorskip("anny", reason="people need anny (extra `sim`)")

from tiae_ros.cli import main
from tiae_ros.errors import ParameterError
from tiae_ros.vision.detail import STORED_PX, arm_angles
from tiae_training.data.windows import WindowSize
from tiae_training.imitation.hand_windows import row_of_view, rows_of_people
from tiae_training.world.hand_poses import ALL_GRASPS, draw_pinch, within_limits
from tiae_training.world.hand_views import PICTURE_PX, HandViewSettings, hand_views, rough_labels
from tiae_training.world.people import draw_person
from tiae_training.world.renderer import Renderer
from tiae_training.world.skeleton import fingertips, hand_rest, hand_transforms

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def renderer():
    made = Renderer(PICTURE_PX, PICTURE_PX)
    yield made
    made.close()


@pytest.fixture(scope="module")
def views(renderer):
    """As masks really are: free hands, and such as hold something."""
    settings = HandViewSettings(seed=4, views=12, rough_share=0.0, hidden_share=0.0, grasps=("bottle", "pinch"))
    return [view for number in (0, 1) for view in hand_views(settings, number, renderer)]


def test_hands_lie_where_the_truth_says(views):
    assert len(views) >= 20
    for view in views:
        ys, xs = np.nonzero(view.true_labels)  # a thing may hide the palm
        x, y = (int(np.clip(round(at), 0, PICTURE_PX - 1)) for at in view.hand.middle_px)
        assert np.hypot(ys - y, xs - x).min() < 6
        near = view.clean_depth_m[ys, xs]
        assert near.min() - 0.03 < view.hand.distance_m < near.max() + 0.12


def test_keypoints_lie_on_what_is_seen_and_are_as_far_apart_as_the_tips(views):
    on_hand, errors = [], []
    for view in views:
        x, y, away = view.hand.keypoints.T
        columns, rows = (np.rint(np.clip(at, 0, PICTURE_PX - 1)).astype(int) for at in (x, y))
        on_hand.append((view.true_labels[rows, columns] > 0).mean())
        depth = view.clean_depth_m[rows, columns]
        assert np.median(away - depth) > -0.002  # bones lie in the flesh, not before it
        middle = (PICTURE_PX - 1) / 2
        points = np.stack([(x - middle) * away / view.focal_px, (y - middle) * away / view.focal_px, away], axis=1)
        tips = points[[4, 8, 12, 16, 20]] - points[0]
        errors.append(np.abs(np.linalg.norm(tips, axis=1) * 1000 - np.linalg.norm(view.hand.tips_mm, axis=1)).max())
    assert np.mean(on_hand) > 0.9
    assert max(errors) < 0.5  # millimetres


def test_poses_views_and_sides_differ(views):
    joints = np.degrees([view.hand.joints for view in views])
    assert (joints.std(0)[:20] > 3).mean() > 0.8
    seen_from = np.array([view.hand.view for view in views])
    assert (seen_from.min(0) < -0.4).all()
    assert (seen_from.max(0) > 0.4).all()
    assert {view.hand.left for view in views} == {True, False}
    assert any((view.true_labels == 2).any() for view in views)
    assert any(view.hand.grasp == "free" for view in views)


def test_in_a_pinch_thumb_and_finger_touch():
    rng = np.random.default_rng(0)
    gaps = []
    for number in range(12):
        rest = hand_rest(draw_person(number), "R")
        pose = within_limits(draw_pinch(rng, rest, ALL_GRASPS))
        angles = {name: np.array([angle]) for name, angle in pose.items()}
        tips = fingertips(rest, *hand_transforms(rest, angles))[0]
        gaps.append(np.linalg.norm(tips[1:] - tips[0], axis=1).min())
    assert np.mean(np.array(gaps) < 0.02) >= 0.8


def test_pictures_depend_on_seed_and_number_alone(renderer):
    settings = HandViewSettings(seed=9, views=2)
    first = list(hand_views(settings, 5, renderer))
    list(hand_views(settings, 6, renderer))
    again = list(hand_views(settings, 5, renderer))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.depth_m, other.depth_m)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_a_view_is_a_window_with_a_detail(views):
    rows = [row_of_view(view, WindowSize(details=True)) for view in views]
    assert sum(row is not None for row in rows) >= 0.8 * len(views)
    for row in filter(None, rows):
        assert row.detail.shape == (3, STORED_PX, STORED_PX)
        # The same hand in both: a detail's pixel is 3/8 of a window's, and shows 30 of its 32.
        inner = row.masks[0, 1:31, 1:31].sum() / 255
        assert row.detail[0].sum() / 255 * (3 / 8) ** 2 == pytest.approx(inner, rel=0.03, abs=1.0)


def test_the_hand_reaches_farthest_towards_its_arm(views):
    """As `arm_angles` says of rendered hands: the line from the knuckles to the wrist, more or less."""
    rows = [row for row in (row_of_view(view, WindowSize()) for view in views) if row is not None]
    seen = np.stack([row.masks for row in rows]).astype(np.float32)
    angles = arm_angles(seen, np.zeros((len(rows), 2), np.float32))
    wrist, knuckle = (np.stack([row.keypoints[number, :2] for row in rows]) for number in (0, 9))
    true = np.arctan2(*(wrist - knuckle).T[::-1])
    off = np.degrees(np.abs(np.angle(np.exp(1j * (angles - true)))))
    assert np.median(off) < 25
    assert (off > 90).mean() < 0.2


def test_rough_masks_are_nearly_the_true_ones(views):
    rng = np.random.default_rng(0)
    ious = []
    for view in views:
        true = view.true_labels == 1
        rough = rough_labels(view.true_labels, view.focal_px / view.hand.distance_m, rng)
        assert set(np.unique(rough)) <= {0, 1, 2}
        ious.append((true & (rough == 1)).sum() / (true | (rough == 1)).sum())
    assert 0.75 < np.median(ious) < 0.97


def test_something_stands_before_some(renderer):
    plain, hidden = (
        HandViewSettings(seed=2, views=6, rough_share=0.0, hidden_share=share, free_share=1.0) for share in (0.0, 1.0)
    )
    before = [(view.true_labels > 0).sum() for view in hand_views(plain, 0, renderer)]
    after = [(view.true_labels > 0).sum() for view in hand_views(hidden, 0, renderer)]
    assert after[0] < before[0]


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"people": (5, 5)}, "people 5:5 is empty"),
        ({"grasps": ("none",)}, "unknown grasp none"),
        ({"free_share": 1.5}, "free_share is 1.5; it must be within 0 to 1"),
        ({"views": 0}, "views is 0"),
    ],
)
def test_settings_that_cannot_be(wrong, line):
    with pytest.raises(ParameterError, match=line):
        HandViewSettings(**wrong)


def test_the_command_writes_windows_with_details(tmp_path, capsys):
    path = tmp_path / "hands.npz"
    assert main(["simulate", "hands", "--out", str(path), "--count", "12", "--seed", "3", "--workers", "1"]) == 0
    assert "12 windows" in capsys.readouterr().out
    with np.load(path) as content:
        made = {name: content[name] for name in content.files}
    assert made["details"].shape == (12, 3, STORED_PX, STORED_PX)
    assert made["images"].shape == made["clean"].shape == (12, 3, 32, 32)
    rows = next(rows_of_people(HandViewSettings(seed=3), WindowSize(details=True)))
    np.testing.assert_array_equal(made["details"][: len(rows)], [row.detail for row in rows])
    np.testing.assert_allclose(made["joints"][: len(rows)], [row.hand.joints for row in rows], atol=1e-6)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--count", "0"], "--count is 0"),
        (["--count", "5", "--people", "7"], "--people '7' is not FIRST:END"),
        (["--count", "5", "--leave-out", "spoon"], "--leave-out has no grasp spoon"),
    ],
)
def test_what_the_command_refuses(tmp_path, capsys, words, line):
    assert main(["simulate", "hands", "--out", str(tmp_path / "out.npz"), *words]) == 2
    assert line in capsys.readouterr().err
    assert main(["simulate", "hands", "--out", str(tmp_path / "out"), "--count", "1"]) == 2
    assert not list(tmp_path.iterdir())
