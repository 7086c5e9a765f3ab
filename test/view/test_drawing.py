"""What is drawn: the map, the scene's points, the robot hand's bones, the strip. Hand-computed cases."""

from types import SimpleNamespace

import numpy as np
import pytest

from tiae_ros.imitation.fingertips import MM, Fingertips
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.view.history import History
from tiae_ros.view.known_grasps import load_known_grasps, principal_plane
from tiae_ros.view.moment import Grasps, Moment
from tiae_ros.view.pictures import MAP, Map, camera_picture, strip_picture, windows_picture
from tiae_ros.view.robot_hand import RobotHands, bones_of

K = np.array([[100.0, 0, 2.0], [0, 100.0, 1.0], [0, 0, 1.0]])


def test_the_plane_is_that_of_largest_variance():
    points = np.array([[0, 3, 0, 5], [0, -3, 0, 5], [1, 0, 0, 5], [-1, 0, 0, 5]], np.float32)
    project = principal_plane(points)
    np.testing.assert_allclose(project(points), [[3, 0], [-3, 0], [0, 1], [0, -1]], atol=1e-5)


def test_a_known_grasp_lies_at_its_name_on_the_map():
    known = load_known_grasps("hands")
    mug = known.model.prototypes[known.kinds == known.names.index("mug")]
    drawn = Map(known)
    picture, empty = drawn.draw([mug[0]], "mug"), drawn.draw([], "")
    assert picture.shape == (MAP[1], MAP[0], 3)
    rows, columns = np.nonzero((picture != empty).any(-1))
    place = drawn._pixels(known.place(mug[0])[None])[0]
    assert abs(np.median(columns) - place[0]) < 25
    assert abs(np.median(rows) - place[1]) < 25
    restored = known.restored(mug[0])
    assert restored.shape == (3, 32, 32)
    assert known.restored(np.zeros(5, np.float32)) is None


def test_history_is_of_the_last_twenty_seconds():
    now = [0.0]
    history = History(length=4, now=lambda: now[0])
    one = np.ones(3, np.float32)
    history.add(1, one, (1.0, 2.0))
    history.add(1, one, (1.0, 2.0))  # the same result
    now[0] = 1.5
    history.add(2, None, None)
    strip = history.strip()
    assert strip.shape == (3, 4)
    np.testing.assert_array_equal(np.isnan(strip).all(axis=0), [True, True, False, True])
    seconds, dx, dy = history.shifts()
    np.testing.assert_array_equal(seconds, [-1.5, 0])
    np.testing.assert_array_equal([dx[0], dy[0], dx[1]], [1, 2, np.nan])
    assert strip_picture(strip).any()
    now[0] = 21.6
    history.add(3, np.ones(5, np.float32), (0.0, 0.0))  # of another model, too
    assert history.strip().shape == (5, 4)
    assert len(history.shifts()[0]) == 1


def test_points_lie_on_the_rays_of_their_pixels():
    scene = pytest.importorskip("tiae_ros.view.scene")
    depth = np.full((3, 4), np.nan, np.float32)
    depth[1, 2], depth[0, 3] = 2.0, 1.0
    color = np.zeros((3, 4, 3), np.uint8)
    color[0, 3] = 7
    points, colors = scene.seen_points(Moment(0, color=color, depth_m=depth, k=K))
    np.testing.assert_allclose(points, [[0.01, -0.01, 1.0], [0, 0, 2.0]], atol=1e-6)
    np.testing.assert_array_equal(colors, [[7, 7, 7], [0, 0, 0]])
    assert scene.seen_points(Moment(0, color=color, depth_m=depth)) is None
    masks = np.stack([np.ones((3, 4), np.float32), np.zeros((3, 4), np.float32)])
    restored = Moment(0, restored_depth_m=depth, restored_k=K, restored_masks=masks)
    np.testing.assert_allclose(scene.restored_points(restored)[0], points, atol=1e-6)
    np.testing.assert_allclose(scene._quaternion(scene._ROBOT_TURN), [0.5**0.5, 0, 0, -(0.5**0.5)], atol=1e-9)


def test_bones_end_in_the_fingertips():
    hand = load_hand("leap")
    state = SimpleNamespace(name=list(reversed(hand.names)), position=[0.3] * len(hand.names))
    bones = RobotHands().bones(state)
    tips = Fingertips(hand).positions(np.full(len(hand.names), 0.3)) / MM
    ends = bones.segments[:, 1]
    for tip in tips:
        assert np.linalg.norm(ends - tip, axis=1).min() < 1e-9
    assert bones.title == hand.title
    # A joint that is not named stands as in the open hand.
    part = bones_of(hand, Fingertips(hand), hand.in_order(["0"], [hand.rest[0]]))
    np.testing.assert_allclose(part.segments, bones_of(hand, Fingertips(hand), hand.rest).segments)


def test_joints_of_no_known_hand_are_said():
    said = RobotHands().bones(SimpleNamespace(name=["elbow"], position=[0.0]))
    assert "elbow" in said
    assert "--hand" in said


def test_a_moment_without_anything_can_be_drawn():
    nothing = Moment(0)
    assert camera_picture(nothing).ndim == windows_picture(nothing, None).ndim == 3


@pytest.mark.parametrize(("low", "high", "step"), [(0, 1, 1e-3), (0.05, 60, 1e-2), (1e-5, 0.1, 1e-5), (10, 170, 0.1)])
def test_a_slider_is_as_fine_as_its_range_wants(low, high, step):
    sliders = pytest.importorskip("tiae_ros.view.sliders")
    assert sliders.slider_step(low, high) == pytest.approx(step)


def test_a_known_angle_is_an_arrow():
    """From the cross in the picture's middle to the right, and down; none of an angle that is not known."""
    drawn = []
    for angle in (np.nan, 0.0, np.pi / 2):
        grasps = Grasps(*(np.zeros((1, size), np.float32) for size in (3, 4, 2)), np.ones(1), np.float32([angle]))
        picture = camera_picture(Moment(1, color=np.zeros((360, 480, 3), np.uint8), grasps=grasps))
        rows, columns = np.nonzero(picture.any(-1))
        drawn.append((columns.max() - 240, rows.max() - 180))
    assert drawn[0] == pytest.approx((6, 6), abs=2)
    assert drawn[1] == pytest.approx((24, 8), abs=3)
    assert drawn[2] == pytest.approx((8, 24), abs=3)
