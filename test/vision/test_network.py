"""Segmentation by any function of planes: sizes, grids, limits, refusals."""

import numpy as np
import pytest
from labelled_frames import iou
from synthetic_scenes import FOCAL, make_scene

from tiae_ros.errors import ImageError, ModelError
from tiae_ros.vision.labels import HAND, OBJECT
from tiae_ros.vision.segmentation.network import NetworkSegmentation
from tiae_ros.vision.segmentation.planes import INPUTS
from tiae_ros.vision.segmentation.settings import STRIDE, SegmentationSettings


def by_depth(planes):
    """Sure of what `make_scene` draws: a hand at 0.495 m, a box at 0.505 m."""
    depth_m, known = 0.6 + 0.3 * planes[0, 5], planes[0, 4] > 0
    hand, held = known & (depth_m < 0.5), known & (depth_m >= 0.5) & (depth_m < 0.6)
    return [np.stack((np.full(hand.shape, 4.0), 9.0 * hand, 9.0 * held))[None].astype(np.float32)]


NETWORK = NetworkSegmentation(by_depth, "drawn")


def drawn(**how):
    scene = make_scene(**how)
    return scene.color, scene.depth_mm.astype(np.float32) / 1000


@pytest.mark.parametrize("shape", [(480, 640), (360, 640), (240, 320), (120, 160), (101, 157), (33, 17), (1, 1)])
def test_labels_have_the_size_of_the_picture(shape):
    chance = np.random.default_rng(0)
    network = NetworkSegmentation(lambda planes: [chance.normal(size=(1, 3, *planes.shape[2:]))], "random")
    depth = chance.uniform(0.3, 1.2, shape).astype(np.float32)
    depth[chance.random(shape) < 0.1] = np.nan
    for color in (chance.integers(0, 256, (*shape, 3), np.uint8), None):
        labels = network.segment(color, depth)
        assert labels.shape == shape
        assert labels.dtype == np.uint8
        assert labels.max() <= 2


def test_the_grid_is_padded_and_cut_again():
    seen = []

    def graph(planes):
        seen.append(planes)
        return [np.arange(3 * 32 * 48, dtype=np.float32).reshape(1, 3, 32, 48)]

    scores = NetworkSegmentation(graph, "counting").scores(np.ones((INPUTS, 2 * STRIDE - 1, 40), np.float32))
    np.testing.assert_array_equal(scores, np.arange(3 * 32 * 48).reshape(3, 32, 48)[:, :31, :40])
    assert seen[0].shape == (1, INPUTS, 32, 48)
    assert seen[0][0, :, :31, :40].all()
    assert not seen[0][0, :, 31:].any()
    assert not seen[0][0, :, :, 40:].any()


@pytest.mark.parametrize("colour", [True, False])
def test_outlines_lie_where_the_scores_say(colour):
    color, depth = drawn()
    labels = NETWORK.segment(color if colour else None, depth, focal_px=FOCAL)
    assert iou(labels == HAND, np.isclose(depth, 0.495)) > 0.9
    assert iou(labels == OBJECT, np.isclose(depth, 0.505)) > 0.9


def test_frames_without_a_hand_stay_empty():
    color, depth = drawn()
    assert not NETWORK.segment(*drawn(hand=False), focal_px=FOCAL).any()
    assert not NETWORK.segment(color, np.full_like(depth, np.nan)).any()
    near = SegmentationSettings(depth_max_m=0.4)
    assert not NETWORK.segment(color, depth, near, focal_px=FOCAL).any()


def test_inputs_are_left_as_they_were():
    color, depth = drawn()
    before = color.copy(), depth.copy()
    NETWORK.segment(color, depth, focal_px=FOCAL)
    np.testing.assert_array_equal(color, before[0])
    np.testing.assert_array_equal(depth, before[1])


@pytest.mark.parametrize(
    ("color", "depth", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.float32), "one size"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.float32), r"\(height, width, 3\) uint8"),
        (None, np.zeros((0, 4), np.float32), "not empty"),
    ],
)
def test_what_is_no_picture_is_refused(color, depth, message):
    with pytest.raises(ImageError, match=message):
        NETWORK.segment(color, depth)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(value):
    network = NetworkSegmentation(lambda planes: [np.full((1, 3, *planes.shape[2:]), value, np.float32)], "broken")
    with pytest.raises(ModelError, match="segmentation broken gave a number that is not finite"):
        network.segment(None, np.full((48, 64), 0.5, np.float32))
