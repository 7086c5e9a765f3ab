"""The road of two looks with drawn networks: which places are looked at, what is kept, followed, pasted, refused."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_frames import moved

from tiae_ros.errors import ImageError, ModelError, ParameterError
from tiae_ros.parameters import Settings
from tiae_ros.perception.pipeline import segmentation_settings
from tiae_ros.vision.detection.close_up import CELLS, CLASSES, SIDE_M, Crop
from tiae_ros.vision.detection.detector import HandDetector, logit_of, sigmoid
from tiae_ros.vision.detection.proposals import ANSWERS, BLOCK, log_length
from tiae_ros.vision.labels import HAND, OBJECT
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_ros.vision.sight import FOLLOWED, WHOLE_PICTURE, FoundHand
from tiae_ros.vision.window import Window

FOCAL = 300.0
NAN = math.nan
CELL_PX = 320 / 256


class FirstLook:
    """Answers with proposals at places of a picture 320 pixels wide: (x, y, depth, score)."""

    def __init__(self, *places):
        self.places, self.calls = places, 0

    def __call__(self, planes):
        self.calls += 1
        answers = np.zeros((1, ANSWERS, planes.shape[2] // BLOCK, planes.shape[3] // BLOCK), np.float32)
        answers[:, 0] = -20
        for x, y, depth, score in self.places:
            u, v = (((at + 0.5) / CELL_PX) / BLOCK - 0.5 for at in (x, y))
            column, row = round(u), round(v)
            length = 0.18 * FOCAL / depth / CELL_PX
            answers[0, :6, row, column] = (
                math.log(score / (1 - score)), u - column, v - row, 0, 1, log_length(length)
            )  # fmt: skip
        return [answers]


class SecondLook:
    """Takes for hand what is as far as the middle; for held what is 4 cm behind it. Facts may be told by the call."""

    def __init__(self, logit=3.0, left=-2.0, middle=(0.0, 0.0), arm=(0.0, 1.0), told=None):
        self.facts, self.told, self.calls, self.looks = (logit, left, *middle, *arm), told, 0, 0

    def __call__(self, planes):
        off, read = planes[:, 3], planes[:, 4] > 0
        scores = np.full((len(planes), CLASSES, CELLS, CELLS), -5, np.float32)
        scores[:, 0] = 0
        scores[:, HAND][(np.abs(off) < 0.1) & read] = 5
        scores[:, OBJECT][(off > 0.2) & (off < 0.35) & read] = 5
        facts = np.array([self.facts] * len(planes), np.float32)
        if self.told:
            for number in range(len(planes)):
                facts[number] = self.told(self.looks + number, facts[number])
        self.calls += 1
        self.looks += len(planes)
        return [scores, facts]


def picture(*hands, size=(240, 320)):
    """Depth of a wall 1 m away, and a hand of 8 x 8 cm at each (x, y, depth)."""
    depth = np.full(size, 1.0, np.float32)
    for x, y, z in hands:
        half = round(0.04 * FOCAL / z)
        depth[y - half : y + half + 1, x - half : x + half + 1] = z
    return depth


def detector(first, second=None, **more):
    return HandDetector(first, second or SecondLook(), "drawn", **more)


def seen_at(x, y, z, arm=(0.0, 1.0)):
    """A hand of the picture before."""
    crop = Crop(x, y, SIDE_M * FOCAL / z, arm, z)
    return FoundHand(Window(x, y, 180.0, z), 0.9, 0.1, crop, (x, y), arm)


def found_at(sight):
    return [(hand.window.center_x, hand.window.center_y) for hand in sight.hands]


def test_a_hand_with_its_window_masks_and_facts():
    first = FirstLook((160, 120, 0.52, 0.9))
    sight = detector(first, SecondLook(logit=2.0, left=1.0)).see(None, picture((160, 120, 0.5)), focal_px=FOCAL)
    (hand,) = sight.hands
    assert sight.road == WHOLE_PICTURE
    assert (hand.window.center_x, hand.window.center_y) == pytest.approx((160, 120), abs=0.5)
    assert hand.window.depth_m == pytest.approx(0.5)
    assert hand.window.side_px == pytest.approx(0.30 * FOCAL / 0.5)
    assert hand.confidence == pytest.approx(1 / (1 + math.exp(-2)))
    assert hand.left == pytest.approx(1 / (1 + math.exp(-1)))
    assert hand.middle == pytest.approx((160, 120), abs=0.01)
    assert hand.arm == pytest.approx((0, 1))
    assert hand.crop.depth_m == pytest.approx(0.5)  # by the readings, not by the proposal


def test_the_centre_lies_on_the_hand_and_not_between_its_fingers():
    depth = picture()
    depth[90:150, 120:200] = 0.5
    depth[90:150, 154:166] = 0.54  # what is held shows between two halves of the hand
    sight = detector(FirstLook((160, 120, 0.5, 0.9))).see(None, depth, focal_px=FOCAL)
    ((x, y),) = found_at(sight)
    assert sight.labels[120, 160] == OBJECT
    assert (sight.labels[round(y) - 8 : round(y) + 9, round(x) - 8 : round(x) + 9] == HAND).all()
    assert abs(x - 160) < 25
    assert abs(y - 120) < 10


def test_the_centre_of_a_thin_hand_stays_where_it_is():
    """Two centimetres thick, with a ragged outline: no place of it is well inside."""
    found = []
    for seed in range(12):
        rng, depth = np.random.default_rng(seed), picture()
        depth[114:127, 100:221] = 0.5
        for row in (113, 114, 126, 127):
            depth[row, 100:221] = np.where(rng.random(121) < 0.5, 0.5, 1.0)
        sight = detector(FirstLook((160, 120, 0.5, 0.9))).see(None, depth, focal_px=FOCAL)
        found += found_at(sight)
        x, y = found[-1]
        assert sight.labels[round(y), round(x)] == HAND
    xs, ys = np.array(found).T
    assert len(xs) == 12
    assert np.abs(xs - 160).max() < 10
    assert np.abs(ys - 120).max() < 5


def test_labels_lie_where_they_belong():
    depth = picture((160, 120, 0.5))
    depth[96:145, 185:205] = 0.54  # a thing right of the hand
    sight = detector(FirstLook((160, 120, 0.5, 0.9))).see(None, depth, focal_px=FOCAL)
    true = np.where(depth == np.float32(0.5), HAND, np.where(depth == np.float32(0.54), OBJECT, 0))
    for label in (HAND, OBJECT):
        told, wanted = sight.labels == label, true == label
        assert (told & wanted).sum() / (told | wanted).sum() > 0.9
    assert not sight.labels[:60].any()
    assert sight.labels.dtype == np.uint8
    x, _ = found_at(sight)[0]
    assert 160 < x < 190  # the window's centre is that of hand and thing


@pytest.mark.parametrize("arm", [(1.0, 0.0), (0.6, -0.8), (0.0, -1.0)])
def test_labels_lie_there_too_when_the_crop_is_turned(arm):
    depth = picture((160, 120, 0.5))
    depth[96:145, 185:205] = 0.54
    before = [seen_at(160, 120, 0.5, arm)]
    sight = detector(FirstLook(), SecondLook(arm=(0.6, 0.8))).see(None, depth, focal_px=FOCAL, before=before)
    assert sight.road == FOLLOWED
    for label, z in ((HAND, 0.5), (OBJECT, 0.54)):
        told, wanted = sight.labels == label, depth == np.float32(z)
        assert (told & wanted).sum() / (told | wanted).sum() > 0.85
    (hand,) = sight.hands  # which tells of the arm's direction in the crop, (0.6, 0.8), in the picture
    assert hand.arm == pytest.approx((0.6 * arm[1] + 0.8 * arm[0], -0.6 * arm[0] + 0.8 * arm[1]), abs=1e-6)


def test_nothing_is_told_outside_the_crop():
    class AllHand(SecondLook):
        def __call__(self, planes):
            scores, facts = super().__call__(planes)
            scores[:, HAND] = 9
            return [scores, facts]

    sight = detector(FirstLook((160, 120, 0.9, 0.9)), AllHand()).see(
        None, np.full((240, 320), 0.9, "f"), focal_px=FOCAL
    )
    side = SIDE_M * FOCAL / 0.9  # 133 pixels
    rows, columns = np.nonzero(sight.labels)
    for at, middle in ((columns, 160), (rows, 120)):
        assert (at.min(), at.max()) == pytest.approx((middle - side / 2, middle + side / 2), abs=2)
    assert (sight.labels == HAND).sum() == pytest.approx(side**2, rel=0.04)


@pytest.mark.parametrize(("chance", "logit"), [(0.5, 0), (0.8, math.log(4)), (0, math.log(1e-6)), (1, -math.log(1e-6))])
def test_logits_of_chances(chance, logit):
    assert logit_of(chance) == pytest.approx(logit, abs=1e-5)
    assert sigmoid(logit) == pytest.approx(chance, abs=1e-5)


def test_the_surest_of_doubles_is_kept():
    # The two places are 4 cm apart, on one hand; the other hand is 30 cm away.
    first = FirstLook((150, 120, 0.5, 0.9), (174, 120, 0.5, 0.8), (60, 60, 0.5, 0.5))
    sure = SecondLook(told=lambda number, facts: [(1, 2, 4)[number], *facts[1:]])
    sight = detector(first, sure).see(None, picture((162, 120, 0.5), (60, 60, 0.5)), focal_px=FOCAL)
    assert sorted(hand.middle[0] for hand in sight.hands) == pytest.approx([60, 174], abs=0.01)
    assert sure.calls == 1  # all places in one batch


def test_hands_before_each_other_are_two():
    # The middles are 24 pixels apart, within 6 cm at 0.7 m; the nearer hand covers a part of the other.
    first = FirstLook((160, 116, 0.4, 0.9), (160, 140, 0.7, 0.8))
    depth = picture((160, 150, 0.7), (160, 100, 0.4))
    sight = detector(first).see(None, depth, focal_px=FOCAL)
    assert [hand.window.depth_m for hand in sight.hands] == pytest.approx([0.4, 0.7])


def test_a_hand_seen_from_a_place_beside_it_is_one():
    """A place beside a narrow hand has the wall's depth; what is seen there is the same hand."""
    depth = np.full((240, 320), 0.57, np.float32)
    depth[90:151, 150:171] = 0.4
    first = FirstLook((160, 120, 0.4, 0.9), (185, 120, 0.5, 0.8))

    class Narrow(SecondLook):
        def __call__(self, planes):
            scores, facts = super().__call__(planes)
            near = planes[:, 3] < np.median(planes[:, 3], axis=(1, 2), keepdims=True) - 0.5
            scores[:, HAND] = np.where(near, 5, -5)
            return [scores, facts]

    second = Narrow(told=lambda number, facts: facts if number == 0 else [2, -2, -0.22, 0, 0, 1])
    sight = detector(first, second).see(None, depth, focal_px=FOCAL)
    assert len(sight.hands) == 1
    assert sight.hands[0].window.depth_m == pytest.approx(0.4)


def test_of_two_hands_the_nearer_comes_first():
    first = FirstLook((60, 60, 0.6, 0.95), (220, 120, 0.4, 0.3))
    sight = detector(first).see(None, picture((60, 60, 0.6), (220, 120, 0.4)), focal_px=FOCAL)
    assert [hand.window.depth_m for hand in sight.hands] == pytest.approx([0.4, 0.6])


def test_a_hand_beside_its_crop_is_looked_at_again():
    # The middle lies 0.4 of half a side right of the crop's: 0.08 m, or 48 pixels.
    def told(number, facts):
        return [1.0, -2, 0.4, 0, 0, 1] if number == 0 else [2.0, -2, 0, 0, 0, 1]

    second = SecondLook(told=told)
    sight = detector(FirstLook((112, 120, 0.5, 0.9)), second).see(None, picture((160, 120, 0.5)), focal_px=FOCAL)
    assert second.calls == 2
    (hand,) = sight.hands
    assert hand.middle == pytest.approx((160, 120), abs=0.5)
    assert (hand.crop.x, hand.crop.y) == pytest.approx((160, 120), abs=0.5)
    assert hand.confidence == pytest.approx(1 / (1 + math.exp(-2)))


@pytest.mark.parametrize(("first_logit", "second_logit", "calls"), [(2.0, 1.0, 2), (-2.0, 9.0, 1)])
def test_the_look_again_has_to_be_surer_and_worth_it(first_logit, second_logit, calls):
    def told(number, facts):
        return [first_logit if number == 0 else second_logit, -2, 0.4, 0, 0, 1]

    second, least = SecondLook(told=told), SegmentationSettings(hand_confidence_min=0.05)
    depth = picture((112, 120, 0.5))
    sight = detector(FirstLook((112, 120, 0.5, 0.9)), second).see(None, depth, least, focal_px=FOCAL)
    assert second.calls == calls
    assert sight.hands[0].confidence == pytest.approx(1 / (1 + math.exp(-first_logit)))


def test_two_views_see_a_hand_and_its_mirror_image():
    """What the second view says of left and right is turned round, and the mean counts."""

    def told(number, facts):  # the same hand in both: its middle a little to the right, its arm below on the left
        side = -1 if number % 2 else 1
        return [1.0 + number % 2, -2.0 * side, 0.1 * side, 0.05, -0.6 * side, 0.8]

    depth = picture((160, 120, 0.5))
    depth[115:125, 130:140] = 0.7  # on the left alone
    one, both = SecondLook(logit=1.5, left=-2.0, middle=(0.1, 0.05), arm=(-0.6, 0.8)), SecondLook(told=told)
    sights = [
        detector(FirstLook((160, 120, 0.5, 0.9)), second).see(
            None, depth, SegmentationSettings(hand_views=views), focal_px=FOCAL
        )
        for views, second in ((1, one), (2, both))
    ]
    assert (both.calls, both.looks, one.looks) == (1, 2, 1)
    (alone,), (mean,) = (sight.hands for sight in sights)
    assert mean.confidence == pytest.approx(alone.confidence)
    assert mean.left == pytest.approx(alone.left)
    assert mean.middle == pytest.approx(alone.middle)
    assert mean.arm == pytest.approx(alone.arm)
    np.testing.assert_array_equal(sights[1].labels, sights[0].labels)
    assert segmentation_settings(Settings(hand_views=2)).hand_views == 2
    with pytest.raises(ParameterError, match="hand_views is 3; accepted are 1 and 2"):
        SegmentationSettings(hand_views=3)


def test_two_views_of_two_places_keep_to_their_own():
    def told(number, facts):  # two places, then both mirrored
        return [(3.0, 1.0)[number % 2], 0, 0, 0, 0, 1]

    first = FirstLook((80, 120, 0.5, 0.9), (240, 120, 0.5, 0.8))
    depth = picture((80, 120, 0.5), (240, 120, 0.5))
    sight = detector(first, SecondLook(told=told)).see(None, depth, SegmentationSettings(hand_views=2), focal_px=FOCAL)
    told_at = {round(hand.middle[0], -1): hand.confidence for hand in sight.hands}
    assert told_at == {80: pytest.approx(sigmoid(3)), 240: pytest.approx(sigmoid(1))}
    assert sight.labels[120, 80] == sight.labels[120, 240] == HAND


@pytest.mark.parametrize(("logit", "least", "hands"), [(0.1, 0.5, 1), (-0.1, 0.5, 0), (2.0, 0.95, 0), (-3, 0.02, 1)])
def test_the_least_confidence_decides(logit, least, hands):
    limits = SegmentationSettings(hand_confidence_min=least)
    look = detector(FirstLook((160, 120, 0.5, 0.9)), SecondLook(logit=logit))
    sight = look.see(None, picture((160, 120, 0.5)), limits, focal_px=FOCAL)
    assert len(sight.hands) == hands
    assert sight.labels.any() == bool(hands)


def test_confidence_is_calibrated():
    look = detector(FirstLook((160, 120, 0.5, 0.9)), SecondLook(logit=3.0), calibration=(0.5, -1.0))
    (hand,) = look.see(None, picture((160, 120, 0.5)), focal_px=FOCAL).hands
    assert hand.confidence == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_confidence_is_of_both_looks_also_where_a_hand_is_followed():
    look = detector(FirstLook((160, 120, 0.5, 0.8)), SecondLook(logit=3.0), calibration=(0.5, -1.0, 2.0))
    (hand,) = look.see(None, picture((160, 120, 0.5)), focal_px=FOCAL).hands
    assert hand.proposal_score == pytest.approx(0.8)
    expected = 1 / (1 + math.exp(-(0.5 * 3 - 1 + 2 * math.log(4))))
    assert hand.confidence == pytest.approx(expected)
    (again,) = look.see(None, picture((163, 118, 0.5)), focal_px=FOCAL, before=[hand]).hands
    assert again.confidence == pytest.approx(expected)


def test_what_is_too_far_is_no_hand():
    first, depth = FirstLook((160, 120, 0.9, 0.9)), picture((160, 120, 0.9))
    assert len(detector(first).see(None, depth, SegmentationSettings(depth_max_m=1.0), focal_px=FOCAL).hands) == 1
    assert not detector(first).see(None, depth, SegmentationSettings(depth_max_m=0.8), focal_px=FOCAL).hands
    second = SecondLook()
    detector(first, second).see(None, depth, SegmentationSettings(depth_max_m=0.6), focal_px=FOCAL)
    assert not second.calls  # so far away that it is not looked at


def test_a_hand_that_was_found_is_followed():
    first, second = FirstLook((160, 120, 0.5, 0.9)), SecondLook()
    look = detector(first, second)
    sight = look.see(None, picture((160, 120, 0.5)), focal_px=FOCAL)
    again = look.see(None, picture((163, 118, 0.5)), focal_px=FOCAL, before=sight.hands)
    assert (first.calls, again.road) == (1, FOLLOWED)
    assert found_at(again)[0] == pytest.approx((163, 118), abs=0.5)


@pytest.mark.parametrize(
    ("off", "degrees", "stays", "arm_stays"),
    [(0.03, 5.0, True, True), (0.06, 5.0, False, True), (0.03, 10.0, True, False)],
)
def test_a_still_hand_is_looked_at_in_the_same_place(off, degrees, stays, arm_stays):
    """Off by 6 and 12 mm (of half a side); turned by 5 and 10 degrees."""
    arm = (math.sin(math.radians(degrees)), math.cos(math.radians(degrees)))
    look = detector(FirstLook(), SecondLook(middle=(off, 0.0), arm=arm))
    before = [seen_at(160, 120, 0.5)]
    for _ in range(2):
        (hand,) = look.see(None, picture((160, 120, 0.5)), focal_px=FOCAL, before=before).hands
        before = [hand]
    assert ((hand.crop.x, hand.crop.y) == (160, 120)) == stays
    assert (hand.crop.arm == (0.0, 1.0)) == arm_stays
    assert hand.middle == pytest.approx(hand.crop.pixel(47.5 + 48 * off, 47.5))  # what is told is what was seen


LEFT, RIGHT = (152.0, 120.0), (204.0, 120.0)  # 8.7 cm apart at half a metre


@pytest.mark.parametrize(
    ("proposals", "known", "crops"),
    [
        # A still hand's crop is more exact than a proposal of it, whose score it takes.
        ([(168, 126, 0.55, 0.9)], [seen_at(158.0, 121.0, 0.5)], [(158, 121)]),
        ([(168, 126, 0.55, 0.1)], [seen_at(158.0, 121.0, 0.5)], [(158, 121)]),
        ([(60, 60, 0.5, 0.9), (168, 126, 0.55, 0.1)], [seen_at(158.0, 121.0, 0.5)], [(60, 60), (158, 121)]),
        # What is too far away, or as far away as something else, is no proposal of it.
        ([(160, 120, 0.5, 0.9)], [seen_at(195.0, 120.0, 0.5)], [(160, 120)]),
        ([(160, 120, 0.5, 0.9)], [seen_at(158.0, 121.0, 0.8)], [(160, 120)]),
        # Of two hands near each other each has its own, whichever is proposed with more certainty.
        ([(180, 120, 0.5, 0.9), (206, 121, 0.5, 0.6)], [seen_at(*RIGHT, 0.5)], [(180, 120), RIGHT]),
        ([(154, 119, 0.5, 0.6), (206, 121, 0.5, 0.9)], [seen_at(*RIGHT, 0.5), seen_at(*LEFT, 0.5)], [RIGHT, LEFT]),
        ([(150, 120, 0.5, 0.9), (170, 120, 0.5, 0.8)], [seen_at(158.0, 120.0, 0.5)], [(158, 120), (170, 120)]),
        # What is less sure to be a hand gets a second opinion.
        ([(168, 126, 0.55, 0.9)], [dataclasses.replace(seen_at(158.0, 121.0, 0.5), confidence=0.7)], [(168, 126)]),
        ([], [seen_at(158.0, 121.0, 0.5)], []),
    ],
)  # fmt: skip
def test_which_places_are_looked_at_when_hands_are_known(proposals, known, crops):
    seen = []
    first = FirstLook(*proposals)
    look = detector(first)
    look._seen = lambda color, depth, focal, places, views: seen.extend(places) or []
    look.see(None, picture((160, 120, 0.5)), focal_px=FOCAL, before=known, redetect=True)
    assert first.calls == 1
    assert [(place.x, place.y) for place in seen] == [pytest.approx(crop, abs=0.01) for crop in crops]
    for place in seen:  # scores and depths are the proposals'
        assert any((place.score, place.depth_m) == pytest.approx((score, z), rel=1e-3) for *_, z, score in proposals)


@pytest.mark.parametrize(
    "changes",
    [{"middle": (NAN, 120.0)}, {"arm": (NAN, 0.0)}, {"depth_m": 0.0}, {"depth_m": NAN}, {"side_px": -1.0}],
)
@pytest.mark.parametrize("redetect", [False, True])
def test_a_known_hand_that_is_nowhere_is_looked_for(changes, redetect):
    hand = seen_at(160.0, 120.0, 0.5)
    own = {name: value for name, value in changes.items() if name in ("middle", "arm")}
    crop = {name: value for name, value in changes.items() if name not in own}
    nowhere = dataclasses.replace(hand, crop=dataclasses.replace(hand.crop, **crop), **own)
    first = FirstLook((160, 120, 0.5, 0.9))
    sight = detector(first).see(None, picture((160, 120, 0.5)), focal_px=FOCAL, before=[nowhere], redetect=redetect)
    assert (first.calls, len(sight.hands)) == (1, 1)


def test_a_hand_that_moves_is_looked_at_where_it_is_proposed():
    hand = seen_at(187.0, 120.0, 0.5)
    moving = dataclasses.replace(hand, crop=dataclasses.replace(hand.crop, x=160.0))
    look = detector(FirstLook((182, 120, 0.5, 0.9)))
    (found,) = look.see(None, picture((182, 120, 0.5)), focal_px=FOCAL, before=[moving], redetect=True).hands
    assert (found.crop.x, found.crop.y) == pytest.approx((182, 120), abs=0.01)


def test_a_still_hand_keeps_its_crop_where_another_one_is_lost():
    first = FirstLook((168, 126, 0.55, 0.9))
    second = SecondLook(told=lambda number, facts: [-5.0 if number == 1 else 3.0, *facts[1:]])
    before = [seen_at(158.0, 121.0, 0.5), seen_at(280.0, 200.0, 0.5)]
    sight = detector(first, second).see(None, picture((160, 120, 0.5)), focal_px=FOCAL, before=before)
    assert (first.calls, sight.road) == (1, WHOLE_PICTURE)
    (hand,) = sight.hands
    assert (hand.crop.x, hand.crop.y) == (158.0, 121.0)
    assert hand.proposal_score == pytest.approx(0.9)


def test_a_hand_that_drifts_is_never_far_from_its_crop():
    """By 1.5 mm a picture; the second look tells where the hand is."""
    at = 160.0

    def told(number, facts):
        return [*facts[:2], (at - look.crop_x) / (0.2 * FOCAL / 0.5), 0.0, *facts[4:]]

    look = detector(FirstLook(), SecondLook(told=told))
    before = [seen_at(160.0, 120.0, 0.5)]
    for _ in range(60):
        at += 0.0015 * FOCAL / 0.5
        (hand,) = before
        place = hand.middle if math.dist(hand.middle, (hand.crop.x, hand.crop.y)) > 0.008 * FOCAL / 0.5 else None
        look.crop_x = place[0] if place else hand.crop.x
        before = look.see(None, picture((round(at), 120, 0.5)), focal_px=FOCAL, before=before).hands
        assert abs(before[0].crop.x - at) <= 0.0101 * FOCAL / 0.5
    assert at - 160 > 0.08 * FOCAL / 0.5


def test_a_lost_hand_is_looked_for_in_the_whole_picture():
    first = FirstLook((60, 60, 0.5, 0.9))
    second = SecondLook(told=lambda number, facts: [-5.0 if number == 0 else 3.0, *facts[1:]])
    sight = detector(first, second).see(
        None, picture((60, 60, 0.5)), focal_px=FOCAL, before=[seen_at(220.0, 120.0, 0.5)]
    )
    assert (first.calls, sight.road) == (1, WHOLE_PICTURE)
    assert [hand.middle for hand in sight.hands] == [pytest.approx((60, 60), abs=0.01)]


def test_two_hands_followed_into_one_are_looked_for_again():
    first = FirstLook((60, 60, 0.5, 0.9), (200, 120, 0.5, 0.9))
    before = [seen_at(198.0, 120.0, 0.5), seen_at(204.0, 121.0, 0.5)]
    depth = picture((60, 60, 0.5), (200, 120, 0.5))
    sight = detector(first).see(None, depth, focal_px=FOCAL, before=before)
    assert (first.calls, sight.road, len(sight.hands)) == (1, WHOLE_PICTURE, 2)


def test_a_followed_crop_without_a_hand_in_it_is_lost():
    first, second = FirstLook((60, 60, 0.5, 0.9)), SecondLook()
    before = [seen_at(220.0, 120.0, 0.5)]  # where only the wall is: sure of a hand, but no cell of it
    sight = detector(first, second).see(None, picture((60, 60, 0.5)), focal_px=FOCAL, before=before)
    assert (first.calls, sight.road) == (1, WHOLE_PICTURE)
    assert len(sight.hands) == 1


def test_hands_of_somebody_elses_labels_cannot_be_followed():
    first = FirstLook((160, 120, 0.5, 0.9))
    before = [FoundHand(Window(160, 120, 180, 0.5))]
    sight = detector(first).see(None, picture((160, 120, 0.5)), focal_px=FOCAL, before=before)
    assert (first.calls, sight.road, len(sight.hands)) == (1, WHOLE_PICTURE, 1)


@settings(max_examples=25, deadline=None)
@given(dx=st.integers(-60, 60), dy=st.integers(-40, 40), way=st.floats(0, 6.28), x=st.floats(150, 170))
def test_windows_move_by_whole_pixels_with_the_picture(dx, dy, way, x):
    arm = (math.sin(way), math.cos(way))
    depth = picture((160, 120, 0.5))
    look = detector(FirstLook())
    (one,) = look.see(None, depth, focal_px=FOCAL, before=[seen_at(x, 120.3, 0.5, arm)]).hands
    shifted = moved(depth, dx, dy, 1.0)
    (other,) = look.see(None, shifted, focal_px=FOCAL, before=[seen_at(x + dx, 120.3 + dy, 0.5, arm)]).hands
    assert other.window.center_x - one.window.center_x == dx
    assert other.window.center_y - one.window.center_y == dy
    assert (other.window.side_px, other.window.depth_m) == (one.window.side_px, one.window.depth_m)


@pytest.mark.parametrize("nothing", [NAN, 0.0, -1.0, math.inf])
def test_without_any_depth_nothing_is_seen(nothing):
    first, second = FirstLook((160, 120, 0.5, 0.9)), SecondLook()
    depth = np.full((240, 320), nothing, np.float32)
    sight = detector(first, second).see(np.zeros((240, 320, 3), np.uint8), depth, before=[seen_at(160, 120, 0.5)])
    assert (sight.hands, sight.labels.any(), sight.road) == ([], False, WHOLE_PICTURE)
    assert not first.calls + second.calls


def test_one_reading_is_some_depth():
    depth = np.full((240, 320), NAN, np.float32)
    depth[3, 3] = 0.5  # between those that are looked at first
    first = FirstLook()
    detector(first).see(None, depth)
    assert first.calls == 1


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["first", "scores", "facts"])
def test_numbers_that_are_not_finite_are_an_error(bad, place):
    first, second = FirstLook((160, 120, 0.5, 0.9)), SecondLook()

    def spoilt(look, number):
        def answer(planes):
            parts = look(planes)
            parts[number].flat[3] = bad
            return parts

        return answer

    if place == "first":
        look = detector(spoilt(first, 0), second)
    else:
        look = detector(first, spoilt(second, ("scores", "facts").index(place)))
    with pytest.raises(ModelError, match="a number that is not finite"):
        look.see(None, picture((160, 120, 0.5)), focal_px=FOCAL)


@pytest.mark.parametrize("facts", [(1e30, -1e30, 1e30, -1e30, 1e30, 1e30), (9, 0, 0, 0, 0, 0), (9, 0, 5, 5, 1e-30, 0)])
def test_facts_beyond_all_bounds_do_no_harm(facts):
    second = SecondLook(told=lambda _number, _facts: facts)
    sight = detector(FirstLook((160, 120, 0.5, 0.9)), second).see(None, picture((160, 120, 0.5)), focal_px=FOCAL)
    for hand in sight.hands:
        assert math.isfinite(hand.window.center_x + hand.window.center_y)
        assert math.hypot(*hand.arm) == pytest.approx(1)


def test_colour_and_depth_must_fit():
    with pytest.raises(ImageError, match="both must be of one size"):
        detector(FirstLook()).see(np.zeros((10, 10, 3), np.uint8), picture())


@pytest.mark.parametrize("size", [(1, 1), (2, 700), (700, 2), (37, 41)])
def test_pictures_of_any_size(size):
    sight = detector(FirstLook()).see(np.zeros((*size, 3), np.uint8), np.full(size, 0.5, np.float32))
    assert sight.labels.shape == size


def test_labels_alone():
    look, depth = detector(FirstLook((160, 120, 0.5, 0.9))), picture((160, 120, 0.5))
    np.testing.assert_array_equal(
        look.segment(None, depth, focal_px=FOCAL), look.see(None, depth, focal_px=FOCAL).labels
    )


@pytest.mark.parametrize(("scores", "looks"), [((0.6, 0.19, 0.12, 0.11, 0.1), 1), ((0.6, 0.4, 0.3, 0.14, 0.1), 3)])
def test_beside_the_best_only_likely_places_are_looked_at(scores, looks):
    places = [(40 + 56 * n, 120, 0.6, score) for n, score in enumerate(scores)]
    second = SecondLook(logit=-9.0)
    detector(FirstLook(*places), second).see(None, picture(*[place[:3] for place in places]), focal_px=FOCAL)
    assert second.looks == looks
