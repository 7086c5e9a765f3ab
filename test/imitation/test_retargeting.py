"""Human hands -> robot joints: pinches touch, an open hand is open, a fist is closed, limits hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import yaml

pytest.importorskip("cv2", reason="OpenCV is not installed, which the simulator needs")

from human_fingers import FIST, HUMAN, OPEN, TIPS, human_hand, pose, random_pinches

from tiae_ros.imitation.hand_files import find_hand, shipped_hands
from tiae_ros.imitation.human_hand import FINGERS, JOINT_NAMES
from tiae_ros.imitation.retargeting import Retargeting
from tiae_ros.imitation.robot_hand import load_hand, read_hand
from tiae_training.simulator.hand import draw_subject

pytestmark = pytest.mark.timeout(120)


def within_limits(hand, angles):
    return (hand.lower <= angles).all() and (angles <= hand.upper).all()


@pytest.mark.parametrize(
    ("name", "side", "count", "share"), [("shadow", "right", 60, 0.9), ("allegro", "left", 25, 0.9)]
)
def test_a_pinch_of_the_human_hand_is_one_of_the_robots(name, side, count, share):
    """Cold, from one frame each: harder than in motion, where the last solution is near."""
    hand = load_hand(name, side)
    retargeting = Retargeting(hand)
    apart = []
    for finger, joints in random_pinches(count, seed=3):
        if FINGERS[finger] not in retargeting.tips.fingers:
            continue
        retargeting.reset()
        angles = retargeting.retarget(TIPS.positions(joints), joints)
        assert within_limits(hand, angles)
        tips = retargeting.tips.positions(angles)
        apart.append(np.linalg.norm(tips[0] - tips[retargeting.tips.fingers.index(FINGERS[finger])]))
    assert np.mean(np.array(apart) <= 8.0) >= share


def test_a_pinch_that_is_seen_touches_where_the_tips_are_a_little_off():
    """What a camera tells of two tips is a centimetre off; that they touch, it tells more surely."""
    retargeting = Retargeting(load_hand("shadow"))
    apart: dict[str, list[float]] = {"by the tips": [], "seen": [], "seen to be none": []}
    for finger, joints in random_pinches(30, seed=4):
        tips = TIPS.positions(joints)
        away = tips[0] - tips[finger]
        tips[0] += 22.0 * away / max(float(np.linalg.norm(away)), 1e-6)
        seen = np.zeros(4)
        seen[finger - 1] = 0.9
        for how, pinch in (("by the tips", None), ("seen", seen), ("seen to be none", np.zeros(4))):
            retargeting.reset()
            placed = retargeting.tips.positions(retargeting.retarget(tips, joints, pinch=pinch))
            apart[how].append(float(np.linalg.norm(placed[0] - placed[finger])))
    assert np.mean(np.array(apart["seen"]) <= 8.0) >= 0.9
    assert np.mean(np.array(apart["by the tips"]) <= 8.0) < 0.5
    assert apart["seen to be none"] == apart["by the tips"]  # the tips still tell


def test_a_fist_does_not_pinch():
    """In a fist the thumb is near the other tips, and what is seen of them tells a pinch now and then."""
    retargeting = Retargeting(load_hand("shadow"))
    found = {}
    for name, joints in (("fist", FIST), ("open", OPEN)):
        for seen in (0.0, 0.9):
            retargeting.reset()
            pinch = np.array([0.0, 0.0, seen, seen])
            found[name, seen] = retargeting.retarget(TIPS.positions(joints), joints, pinch=pinch)
    np.testing.assert_allclose(found["fist", 0.9], found["fist", 0.0], atol=0.01)
    assert np.abs(found["open", 0.9] - found["open", 0.0]).max() > 0.3
    retargeting.reset()
    pinch = np.array([0.0, 0.0, 0.9, 0.9])
    unknown = retargeting.retarget(TIPS.positions(FIST), None, pinch=pinch)  # without joints a pinch is believed
    retargeting.reset()
    assert np.abs(unknown - retargeting.retarget(TIPS.positions(FIST), None, pinch=np.zeros(4))).max() > 0.1


@pytest.mark.parametrize("name", shipped_hands())
def test_open_is_open_and_a_fist_is_closed(name):
    hand = load_hand(name)
    retargeting = Retargeting(hand)
    opened = retargeting.retarget(TIPS.positions(OPEN), OPEN)
    closed = retargeting.retarget(TIPS.positions(FIST), FIST)
    bends = [k for k, joint in enumerate(hand.active) if joint.human.endswith(("mcp_flexion", "pip_flexion"))]
    bends = [k for k in bends if not hand.active[k].human.startswith("thumb")]
    assert np.abs(opened[bends]).max() < 0.25  # 14 degrees
    assert closed[bends].mean() > 1.2  # 70 degrees
    tips = retargeting.tips
    reach = np.linalg.norm(tips.positions(hand.rest) - tips.knuckles(hand.rest), axis=-1)[1:]
    away = np.linalg.norm(tips.positions(closed) - tips.knuckles(closed), axis=-1)[1:]
    assert (away < 0.8 * reach).all()  # Inspire's fingers bend no farther than to .76


def test_tips_lie_where_they_belong():
    hand = load_hand("shadow")
    retargeting = Retargeting(hand)
    joints = pose(mcp_flexion=0.5, pip_flexion=0.6, dip_flexion=0.3, thumb_cmc_abduction=0.3)
    tips = TIPS.positions(joints)
    angles = retargeting.retarget(tips, joints)
    off = np.linalg.norm(retargeting.tips.positions(angles) - retargeting.targets(tips), axis=-1)
    assert off.max() < 6.0


def test_the_size_of_the_operator_does_not_matter():
    hand = load_hand("shadow")
    small = dataclasses.replace(draw_subject(0), length_m=0.150, breadth_m=0.088 * 150 / 187, thickness=1.0)
    small = dataclasses.replace(small, finger_length=dict.fromkeys(FINGERS, 1.0))
    joints = pose(mcp_flexion=0.7, pip_flexion=0.5, dip_flexion=0.3)
    of_small = type(TIPS)(human_hand(small)).positions(joints)
    got = Retargeting(hand).retarget(of_small, joints, length_mm=150.0)
    np.testing.assert_allclose(got, Retargeting(hand).retarget(TIPS.positions(joints), joints), atol=0.06)


def test_fingers_alone_are_enough_and_the_wrist_rests_then():
    hand = load_hand("shadow")
    retargeting = Retargeting(hand)
    angles = retargeting.retarget(TIPS.positions(FIST))
    assert angles[hand.names.index("rh_FFJ3")] + angles[hand.names.index("rh_FFJ2")] > 2.0
    joints = FIST.copy()
    joints[JOINT_NAMES.index("wrist_flexion")] = 0.3
    joints[JOINT_NAMES.index("thumb_ip_flexion")] = np.nan
    turned = retargeting.retarget(TIPS.positions(FIST), joints)
    assert angles[hand.names.index("rh_WRJ1")] == 0.0
    assert turned[hand.names.index("rh_WRJ1")] == pytest.approx(0.3, abs=1e-3)


def test_a_wrist_that_is_not_known_stays():
    hand = load_hand("shadow")
    retargeting, wrist = Retargeting(hand), hand.names.index("rh_WRJ1")
    known, unknown = FIST.copy(), FIST.copy()
    known[JOINT_NAMES.index("wrist_flexion")], unknown[JOINT_NAMES.index("wrist_flexion")] = 0.3, np.nan
    tips = TIPS.positions(FIST)
    assert retargeting.retarget(tips, unknown)[wrist] == 0.0  # never known: at rest
    assert retargeting.retarget(tips, known)[wrist] == pytest.approx(0.3, abs=1e-3)
    for joints in (unknown, None, np.full(25, np.nan)):
        assert retargeting.retarget(tips, joints)[wrist] == pytest.approx(0.3, abs=1e-3)
    retargeting.reset()
    assert retargeting.retarget(tips, unknown)[wrist] == 0.0


def test_the_last_joint_never_bends_more_than_the_one_before():
    hand = load_hand("shadow")
    retargeting = Retargeting(hand)
    rng = np.random.default_rng(0)
    for _ in range(30):
        joints = rng.uniform(HUMAN.lower, HUMAN.upper)
        angles = retargeting.retarget(TIPS.positions(joints), joints)
        assert within_limits(hand, angles)
        for finger in ("FF", "MF", "RF", "LF"):
            last, before = (angles[hand.names.index(f"rh_{finger}J{k}")] for k in (1, 2))
            assert last <= before


def test_the_same_frame_again_changes_little():
    """A still hand keeps the robot still: the pull to the last pose does not let it wander."""
    hand = load_hand("shadow")
    retargeting = Retargeting(hand)
    _, joints = random_pinches(1, seed=9)[0]
    tips = TIPS.positions(joints)
    for _ in range(15):
        angles = retargeting.retarget(tips, joints)
    assert np.abs(retargeting.retarget(tips, joints) - angles).max() < np.radians(1.0)


def test_a_hand_without_fingers_follows_joint_by_joint():
    content = yaml.safe_load(find_hand("shadow").with_name("template.yaml").read_text("utf-8")) | {"fingers": {}}
    hand = read_hand(yaml.safe_dump(content, sort_keys=False).encode(), "t")
    joints = pose(index_mcp_flexion=0.8)
    retargeting, tips = Retargeting(hand), TIPS.positions(joints)
    np.testing.assert_allclose(retargeting.retarget(tips, joints), [0, 0, 0.8])
    np.testing.assert_allclose(retargeting.retarget(tips), [0, 0, 0.8])  # not known: it stays


def test_without_fingers_no_joint_is_above_the_one_it_must_not_exceed():
    content = yaml.safe_load(find_hand("shadow").read_text("utf-8")) | {"fingers": {}}
    hand = read_hand(yaml.safe_dump(content, sort_keys=False).encode(), "t")
    joints = pose(index_pip_flexion=0.3, index_dip_flexion=0.9)
    angles = Retargeting(hand).retarget(TIPS.positions(joints), joints)
    assert [angles[hand.names.index(f"rh_FFJ{k}")] for k in (1, 2)] == [pytest.approx(0.3)] * 2


def test_what_a_caller_must_not_do():
    retargeting = Retargeting(load_hand("inspire"))
    with pytest.raises(ValueError, match=r"\(5, 3\) finite"):
        retargeting.retarget(np.full((5, 3), np.nan))
    with pytest.raises(ValueError, match=r"joints must be \(25,\)"):
        retargeting.retarget(np.zeros((5, 3)), np.zeros(21))
    for pinch in (np.zeros(5), np.full(4, np.nan)):
        with pytest.raises(ValueError, match=r"pinch must be \(4,\) finite"):
            retargeting.retarget(np.zeros((5, 3)), pinch=pinch)
