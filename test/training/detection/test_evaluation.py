"""What a detector is worth: calibration, order, what is found, false or beside; numbers worked out by hand."""

import dataclasses
import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")

from drawn_frames import ARM, FOCAL, HAND, HELD, empty_frame, hand_frame

from tiae_ros.vision.labels import OBJECT
from tiae_ros.vision.sight import WHOLE_PICTURE, FoundHand, Sight
from tiae_ros.vision.window import Window
from tiae_training.detection.evaluation import auc, calibration_error, judge, platt, whose_hand
from tiae_training.detection.examples import hands_of


def test_calibration_error_by_hand():
    sure = [(0.95, True), (0.95, True), (0.95, False), (0.95, True), (0.15, False), (0.15, True)]
    # Of those at .95 three in four are true, of those at .15 one in two.
    assert calibration_error(sure) == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0.35)
    assert calibration_error([(1.0, True), (0.0, False)]) == 0
    assert math.isnan(calibration_error([]))


def test_auc_by_hand():
    assert auc([(0.9, True), (0.8, True), (0.3, False), (0.1, False)]) == 1
    assert auc([(0.1, True), (0.9, False)]) == 0
    assert auc([(0.9, True), (0.5, False), (0.4, True), (0.3, False)]) == pytest.approx(3 / 4)
    assert auc([(0.5, True), (0.5, False)]) == pytest.approx(0.5)  # ties count half
    assert auc([(0.5, True), (0.5, False), (0.7, True)]) == pytest.approx(3 / 4)
    assert math.isnan(auc([(0.5, True)]))
    assert math.isnan(auc([]))


def test_platt_finds_slope_and_offset():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 2))
    true = rng.random(20_000) < 1 / (1 + np.exp(-(logits @ [0.5, 0.2] - 1)))
    slopes, offset = platt(logits, true)
    assert (*slopes, offset) == pytest.approx((0.5, 0.2, -1.0), abs=0.05)
    slopes, offset = platt(logits, rng.random(20_000) < 0.5)  # says nothing
    assert (*slopes, offset) == pytest.approx((1e-3, 0, 0), abs=0.03)
    assert platt(-logits, true)[0] == (1e-3, 0)  # never turned about


def test_platt_without_what_would_count_less_is_calibrated_all_the_same():
    rng = np.random.default_rng(1)
    one = rng.normal(0, 2, 20_000)
    logits = np.column_stack([one, one + rng.normal(0, 1, 20_000)])
    true = rng.random(20_000) < 1 / (1 + np.exp(-(logits @ [1.0, -0.5] + 0.3)))
    slopes, offset = platt(logits, true)
    assert slopes[1] == 0
    confidence = 1 / (1 + np.exp(-(logits @ slopes + offset)))
    assert confidence.mean() == pytest.approx(true.mean(), abs=1e-3)


@pytest.mark.parametrize("true", [[True, True], [False, False], [True, False], [False, True]])
def test_platt_of_few_is_finite(true):
    (slope,), offset = platt(np.array([[3.0], [-3.0]]), np.array(true))
    assert 0 < slope < 100
    assert abs(offset) < 100


def test_platt_of_none_is_finite():
    (slope, _), offset = platt(np.zeros((0, 2)), np.zeros(0, bool))
    assert 0 < slope < 100
    assert abs(offset) < 100


def found(x, y, depth_m=0.6, confidence=0.9, left=0.1):
    return FoundHand(Window(x, y, 200.0, depth_m), confidence, left, None, (x, y), (0.0, 1.0))


class Told:
    """A detector that says what it is told to."""

    def __init__(self, *sights):
        self.sights, self.seen = list(sights), []

    def see(self, color, depth_m, settings, *, focal_px):
        self.seen.append((color is not None, focal_px))
        return self.sights.pop(0)


def sight_of(frame, *hands):
    """With the frame's true labels, the arm as hand."""
    labels = frame.labels.copy()
    labels[labels == ARM] = HAND
    return Sight(labels, list(hands), WHOLE_PICTURE)


def test_whose_hand_is_found():
    frame = hand_frame(240, 180, 0.6)
    hands, cm = hands_of(frame), FOCAL / 60
    assert whose_hand(found(240 + 8 * cm, 180), frame, hands) == 0  # within 9 cm
    assert whose_hand(found(240 + 10 * cm, 180), frame, hands) is None
    on_held = FoundHand(Window(240 - 6 * cm, 180 - 5.5 * cm, 200.0, 0.6), 0.9, 0.1, None, (0.0, 0.0), (0.0, 1.0))
    assert frame.labels[round(180 - 5.5 * cm), round(240 - 6 * cm)] == HELD
    assert whose_hand(on_held, frame, hands) == 0
    assert whose_hand(found(240, 180 + 20 * cm), frame, hands) is None  # on its arm
    assert whose_hand(found(240, 180), empty_frame(), hands_of(empty_frame())) is None
    behind = dataclasses.replace(
        hands,
        middle_px=np.vstack([hands.middle_px, hands.middle_px + 5]),
        distance_m=np.append(hands.distance_m, 0.9),
        number=np.append(hands.number, 7),
    )
    assert [whose_hand(found(243, 183, z), frame, behind) for z in (0.6, 0.9)] == [0, 1]


def test_figures_by_hand():
    right, left, empty = hand_frame(240, 180, 0.6), hand_frame(200, 170, 0.75, left=True), empty_frame()
    looks = Told(
        sight_of(right, found(240, 180, confidence=0.9, left=0.1)),
        sight_of(left, found(20, 20, confidence=0.8), found(200, 170, 0.75, confidence=0.4, left=0.9)),
        sight_of(empty, found(100, 100, confidence=0.3)),
    )
    figures = judge(looks, [right, left, empty]).figures()
    assert looks.seen == [(True, FOCAL)] * 3
    assert figures["hands"] == 2
    assert figures["found"] == figures["main_on_hand"] == 1 / 2  # the left one is not sure enough
    assert (figures["found_0_0.7"], figures["found_0.7_0.8"]) == (1, 0)
    assert math.isnan(figures["found_1.2_1.5"])
    assert figures["false_frames"] == pytest.approx(1 / 3)
    assert figures["hand_and_arm_iou"] == figures["held_iou"] == 1
    assert figures["side"] == 1
    # Sure of: .9 true, .8 false, .4 true, .3 false.
    assert figures["auc"] == pytest.approx(3 / 4)
    assert figures["calibration_error"] == pytest.approx((0.1 + 0.8 + 0.6 + 0.3) / 4)


def test_far_and_half_hidden_hands_have_figures_of_their_own():
    near, hidden, far = hand_frame(240, 180, 0.6), hand_frame(240, 180, 0.6, shown=0.3), hand_frame(240, 180, 1.3)
    looks = Told(sight_of(near, found(240, 180)), sight_of(hidden), sight_of(far, found(240, 180, 1.3)))
    figures = judge(looks, [near, hidden, far]).figures()
    assert (figures["hands"], figures["found"], figures["found_mostly_shown"]) == (2, 1 / 2, 1)
    assert figures["found_1.2_1.5"] == 1


def test_a_second_window_of_a_hand_is_a_false_one():
    frame = hand_frame(240, 180, 0.6)
    figures = judge(Told(sight_of(frame, found(240, 180), found(250, 180))), [frame]).figures()
    assert (figures["found"], figures["false_frames"]) == (1, 1)
    assert figures["auc"] == 0.5  # one true, one false, as sure of both


def test_what_need_not_be_found_is_neither_missed_nor_false():
    frame = hand_frame(shown=0.1)
    for hands in ((), (found(240, 180),)):
        figures = judge(Told(sight_of(frame, *hands)), [frame]).figures()
        assert (figures["hands"], figures["false_frames"]) == (0, 0)
        assert math.isnan(figures["auc"])


def test_a_window_beside_its_hand_is_not_on_it():
    frame, cm = hand_frame(holds=False), FOCAL / 60
    beside = dataclasses.replace(found(240, 180), window=Window(240 + 8 * cm, 180, 200.0, 0.6))
    figures = judge(Told(sight_of(frame, beside)), [frame], use_color=False).figures()
    assert (figures["found"], figures["main_on_hand"]) == (1, 0)
    assert math.isnan(figures["held_iou"])


def test_overlaps_are_of_what_lies_around_the_hand():
    frame = hand_frame()
    sight = sight_of(frame, found(240, 180))
    sight.labels[sight.labels == OBJECT] = 0
    sight.labels[:20, :20] = OBJECT  # far away: a false frame would count it, the overlap does not
    figures = judge(Told(sight), [frame]).figures()
    assert (figures["held_iou"], figures["hand_and_arm_iou"]) == (0, 1)
