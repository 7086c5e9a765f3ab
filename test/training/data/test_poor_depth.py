"""Depth as poor sensors read it."""

import numpy as np
import pytest

from tiae_training.data.poor_depth import block_matched, lingering, poor_depth, without_parts_of_the_hand


@pytest.fixture
def hand():
    """(depth, where the hand is): half a metre away, before a wall at one."""
    depth, hand = np.full((40, 60), 1.0, np.float32), np.zeros((40, 60), bool)
    hand[10:30, 20:40] = True
    depth[hand] = 0.5
    return depth, hand


def test_block_matchers_join_fingers_and_leave_shadows():
    depth = np.full((40, 60), 1.0, np.float32)
    depth[10:30, 20:26] = depth[10:30, 28:34] = 0.5  # two fingers, two cells apart
    joined = shadowed = 0
    for seed in range(20):
        seen = block_matched(depth.copy(), np.random.default_rng(seed))
        assert seen.shape == depth.shape
        known = seen[seen > 0]
        assert (np.isclose(known, 0.5) | np.isclose(known, 1.0)).all()  # no surface that is not there
        joined += bool(np.isclose(seen[15:25, 20:34], 0.5).all())
        shadowed += bool((seen[20] == 0).any())
    assert joined >= 5
    assert shadowed >= 10


def test_only_the_hand_loses_its_depth(hand):
    depth, hand = hand
    flat = 0
    for seed in range(30):
        seen = without_parts_of_the_hand(depth, hand, np.random.default_rng(seed))
        assert (seen[hand] != 0.5).any()
        assert (seen == 1.0)[:2].all()  # far from the hand
        flat += bool((seen[hand] == 1.0).all())
    assert depth[hand].min() == 0.5  # what was given is not changed
    assert 1 <= flat <= 9
    nothing = np.zeros_like(hand)
    assert without_parts_of_the_hand(depth, nothing, np.random.default_rng(0)) is depth


def test_depth_lingers_where_the_near_thing_was():
    depth = np.full((60, 80), 1.0, np.float32)
    depth[20:40, 30:50] = 0.5
    depth[:5] = 0
    grown = set()
    for seed in range(12):
        seen = lingering(depth, np.random.default_rng(seed))
        assert seen.dtype == np.float32
        assert (seen[20:40, 30:50] == 0.5).all()  # what is near stays
        assert set(np.unique(seen)) <= {0.0, 0.5, 1.0}
        rows, columns = np.nonzero(seen == 0.5)
        assert len(rows) > 20 * 20
        grown.add((rows.min() < 20, rows.max() > 39, columns.min() < 30, columns.max() > 49))
    assert len(grown) > 3  # to every side
    assert (depth[20:40, 30:50] == 0.5).all()
    assert not lingering(np.zeros((8, 8), np.float32), np.random.default_rng(0)).any()


def test_poor_depth_has_no_surface_that_is_not_there(hand):
    depth, hand = hand
    changed = 0
    for seed in range(20):
        seen = poor_depth(depth, hand, np.random.default_rng(seed))
        assert np.isclose(seen[..., None], [0.0, 0.5, 1.0]).any(axis=-1).all()
        changed += bool((seen != depth).any())
    assert changed > 15
