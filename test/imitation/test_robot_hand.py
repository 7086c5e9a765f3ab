"""Files of robot hands: the shipped ones, and what is refused with one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from tiae_ros.errors import HandError
from tiae_ros.imitation.hand_files import find_hand, shipped_hands
from tiae_ros.imitation.human_hand import JOINT_NAMES, KNUCKLES_MM, LENGTH_MM, REACH_MM
from tiae_ros.imitation.robot_hand import load_hand, read_hand

pytestmark = pytest.mark.timeout(60)
TEMPLATE = find_hand("shadow").with_name("template.yaml").read_text("utf-8")


def described() -> dict:
    return yaml.safe_load(TEMPLATE)


def read(content: dict, side: str = "right"):
    return read_hand(yaml.safe_dump(content, sort_keys=False).encode(), "my.yaml", side)


def test_these_hands_are_shipped():
    assert list(shipped_hands()) == ["adroit", "allegro", "inspire", "leap", "shadow"]
    sizes = {name: (len(load_hand(name).names), len(load_hand(name).joints)) for name in shipped_hands()}
    assert sizes == {"adroit": (24, 24), "allegro": (16, 16), "inspire": (6, 12), "leap": (16, 16), "shadow": (24, 24)}


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", shipped_hands())
def test_a_shipped_hand_is_whole(name, side):
    hand = load_hand(name, side)
    assert hand.name == name
    assert hand.side == side
    np.testing.assert_allclose(hand.palm @ hand.palm.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(hand.palm) == pytest.approx(1)
    assert (hand.lower <= hand.rest).all()
    assert (hand.rest <= hand.upper).all()
    assert hand.fingers[0].name == "thumb"
    matrix, offsets = hand.coupling()
    for angles in (hand.lower, hand.upper, hand.rest):  # what is moved along stays within its limits, too
        for joint, angle in zip(hand.joints, matrix @ angles + offsets, strict=True):
            assert joint.lower - 0.02 <= angle <= joint.upper + 0.02


def test_names_of_left_hands():
    assert load_hand("shadow", "left").names == tuple(name.replace("rh_", "lh_") for name in load_hand("shadow").names)
    right, left = load_hand("allegro"), load_hand("allegro", "left")
    assert left.names == right.names
    assert [link.joint for link in left.fingers[1].chain] == [f"joint_{k}.0" for k in (8, 9, 10, 11)]
    leap = load_hand("leap", "left")
    k = leap.names.index("13")
    assert (leap.lower[k], leap.upper[k]) == (-2.443, 0.47)


def test_links_of_left_hands():
    left = load_hand("shadow", "left")
    assert left.base_link == "lh_palm"
    assert [finger.tip_link for finger in left.fingers] == ["lh_thtip", "lh_fftip", "lh_mftip", "lh_rftip", "lh_lftip"]
    content = described()
    content["palm"]["base_link"] = "base"  # without the prefix: a link that both hands have
    assert read(content, "left").base_link == "base"
    assert read(content, "left").fingers[0].tip_link == "left_thumb_tip"


def test_joints_that_nothing_moves():
    for name in shipped_hands():
        assert load_hand(name).idle == ()
    content = described()
    content["joints"]["right_spare"] = {"lower": 0, "upper": 1, "speed": 1, "acceleration": 10}
    assert read(content).idle == ("right_spare",)
    content["joints"]["right_last"] = {"lower": 0, "upper": 1, "mimic": "right_spare"}
    content["fingers"]["thumb"]["chain"].append({"joint": "right_last", "axis": [1, 0, 0]})
    assert read(content).idle == ()


def test_a_joint_state_in_another_order():
    hand = read(described())
    angles = hand.in_order(["elbow", "right_index_bend", "right_thumb_turn"], [9.0, 0.1, 0.2])
    np.testing.assert_array_equal(angles, [0.2, np.nan, 0.1])


def test_our_human_is_the_simulators():
    hand = pytest.importorskip("tiae_training.simulator.hand", reason="the simulator's packages are not installed")
    from human_fingers import REFERENCE

    assert hand.JOINT_NAMES == JOINT_NAMES
    assert 1000 * REFERENCE.length_m == LENGTH_MM
    for k, finger in enumerate(hand.FINGERS, start=1):
        np.testing.assert_allclose(1000 * REFERENCE.knuckle(finger), KNUCKLES_MM[k], atol=0.1)
        assert 1000 * REFERENCE.phalanges(finger).sum() == pytest.approx(REACH_MM[k], abs=0.1)
    assert 1000 * REFERENCE.phalanges("thumb").sum() == pytest.approx(REACH_MM[0], abs=0.1)


def change(*path, to=None, drop=False, rename=None):
    """A change at a place of the template."""

    def apply(content):
        *way, last = path
        for key in way:
            content = content[key]
        if rename:
            content[rename] = content.pop(last)
        elif drop:
            del content[last]
        else:
            content[last] = to

    return apply


def below(other, lower=0.0):
    return {"lower": lower, "upper": 1.3, "speed": 2.0, "acceleration": 10.0, "not_above": other}


def both(*changes):
    def apply(content):
        for one in changes:
            one(content)

    return apply


TURN = ("joints", "right_thumb_turn")
chained = both(
    change(*TURN, to=below("right_thumb_bend")),
    change("joints", "right_thumb_bend", to=below("right_index_bend")),
)
REFUSED = [
    (change("format", to=2), "format is 2: this version reads format 1; write format: 1"),
    (change("name", to="my hand"), "name is 'my hand': accepted are letters, digits, _ and -"),
    (change("format", to=True), "format is True: this version reads format 1; write format: 1"),
    (change("title", to=3), "title is 3: it must be a text"),
    (change("source", drop=True), "source is missing; `tiae imitate hands template` prints its form"),
    (change("side", to="left"), "side is 'left': describe the right hand, side: right"),
    (change("palm", rename="plam"), "plam is not known; did you mean palm?"),
    (change("chosen", to=["sped"]), "chosen[0] is 'sped': did you mean speed?"),
    (change("chosen", to="speed"), "chosen is 'speed': it must be a list"),
    (change("scale", to=100), "scale is 100: it must be within 0.2 … 5"),
    (change("joints", to={}), "joints is {}: it must be a mapping"),
    (change("joints", to=[1]), "joints is [1]: it must be a mapping"),
    (change(*TURN, "lower", to=2.0), "joints.right_thumb_turn.lower is 2.0: it must be below upper, 1.3"),
    (change(*TURN, "lower", to="a"), "right_thumb_turn.lower is 'a': it must be a number within -6.283 … 6.283 rad"),
    (change(*TURN, "lower", to="1.2.3e4"), "right_thumb_turn.lower is '1.2.3e4': it must be a number within"),
    (change(*TURN, "lower", to="1e999"), "right_thumb_turn.lower is '1e999': it must be within"),
    (change(*TURN, "factor", to=2), "right_thumb_turn.factor is 2: without human or mimic there is nothing it applies"),
    (change(*TURN, "offset", to=0), "right_thumb_turn.offset is 0: without human or mimic there is nothing it applies"),
    (
        change("joints", "right_index_last", "not_above", to="right_index_bend"),
        "right_index_last.not_above is 'right_index_bend': a joint with mimic has no motor",
    ),
    (
        change(*TURN, to=below("right_index_bend", lower=0.1)),
        "not_above is 'right_index_bend': this joint's lower limit, 0.1, must not be above the other's, 0",
    ),
    (chained, "right_thumb_turn.not_above is 'right_thumb_bend': that joint has a not_above of its own"),
    (
        both(change(*TURN, to=below("right_index_bend")), change("rest", "right_thumb_turn", to=0.2)),
        "rest: right_thumb_turn is at 0.2, above right_index_bend at 0; by its not_above it must not be",
    ),
    (
        change("fingers", "index", "tip", "xyz", to=[0, 0, -0.045]),
        "fingers.index.tip: it lies 0.0 mm from the finger's knuckle, right_index_bend, in the rest pose; at least 5",
    ),
    (change(*TURN, "lower", to=float("nan")), "joints.right_thumb_turn.lower is nan: it must be within"),
    (change(*TURN, "upper", to=90), "joints.right_thumb_turn.upper is 90: it must be within -6.283 … 6.283 rad"),
    (change(*TURN, "upper", to=True), "joints.right_thumb_turn.upper is True: it must be a number"),
    (change(*TURN, "speed", to=0), "joints.right_thumb_turn.speed is 0: it must be within 0.001 … 100 rad/s"),
    (change(*TURN, "acceleration", drop=True), "joints.right_thumb_turn.acceleration is missing"),
    (change(*TURN, "human", to="thumb"), "joints.right_thumb_turn.human is 'thumb': accepted are wrist_flexion,"),
    (change(*TURN, "velocity", to=1), "joints.right_thumb_turn.velocity is not known; accepted are lower, upper"),
    (change(*TURN, "not_above", to="right_thumb_turn"), "not_above is 'right_thumb_turn': it must be another joint"),
    (change("joints", "right_index_last", "mimic", to="x"), "right_index_last.mimic is 'x': it must be another joint"),
    (change("joints", "right_index_last", "factor", to=2), "at 1.5 rad of it this joint is at 3, outside its limits"),
    (change("joints", "right_index_last", "human", to="index_dip_flexion"), "a joint follows either a human joint or"),
    (change("palm", "to_thumb_side", to=[0, 0, 0]), "palm.to_thumb_side is [0, 0, 0]: it must not be zero"),
    (change("palm", "to_thumb_side", to=[0, 1, 1]), "it must be square to to_fingertips, not at 45 degrees"),
    (change("palm", "to_thumb_side", to=[0, 1]), "palm.to_thumb_side is [0, 1]: it must be three numbers: [x, y, z]"),
    (change("fingers", "index", rename="pinky"), "there is no finger 'pinky'; accepted are thumb, index, middle"),
    (change("fingers", to={}), None),  # a hand that follows joint by joint
    (change("fingers", "thumb", "chain", to=[]), "fingers.thumb.chain is []: at least one entry must have a joint"),
    (change("fingers", "thumb", "chain", 0, "joint", to="x"), "fingers.thumb.chain[0].joint is 'x': accepted are"),
    (change("fingers", "thumb", "chain", 0, "axis", drop=True), "fingers.thumb.chain[0].axis is missing"),
    (change("fingers", "thumb", "chain", 0, "axis", to=[0, 0, 0]), "thumb.chain[0].axis is [0, 0, 0]: it must not"),
    (change("fingers", "thumb", "chain", 0, "xyz", to=[0, 30, 30]), "xyz[1] is 30: it must be within -0.5 … 0.5 m"),
    (change("fingers", "index", "chain", 0, "axis", to=[1, 0, 0]), "a fixed link has no axis"),
    (change("fingers", "thumb", "chain", 1, "joint", to="right_thumb_turn"), "joint right_thumb_turn is in it twice"),
    (change("fingers", "index", "knuckle", to="right_thumb_turn"), "index.knuckle is 'right_thumb_turn': accepted"),
    (change("fingers", "index", "tip", "xyz", drop=True), "fingers.index.tip.xyz is missing"),
    (change("rest", "right_thumb_turn", to=2.0), "rest.right_thumb_turn is 2.0: it must be within 0 … 1.3 rad"),
    (change("rest", "thumb", to=0.0), "there is no joint 'thumb' without mimic; known are right_thumb_turn"),
    (change("left", "prefix", to=["rh_", "lh_"]), "left.prefix is ['rh_', 'lh_']: it must be two texts"),
    (change("left", "negate", to=["x"]), "left.negate[0] is 'x': accepted are right_thumb_turn"),
    (change("left", "names", to={"right_thumb_turn": "left_thumb_bend"}), "two joints of the left hand have"),
]  # fmt: skip


@pytest.mark.parametrize(("apply", "line"), REFUSED, ids=[str(line)[:40] for _, line in REFUSED])
def test_what_is_refused_says_so_in_one_line(apply, line):
    content = described()
    apply(content)
    if line is None:
        assert read(content).fingers == ()
        return
    with pytest.raises(HandError) as error:
        read(content)
    said = str(error.value)
    assert said.startswith("my.yaml: ")
    assert line in said
    assert "\n" not in said
    assert len(said) < 800


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "it holds NoneType; it must be a mapping"),
        (b"a: [", "line 1: this is no YAML that can be read"),
        (b"format: 1\nname: a\nformat: 1\n", "line 3: this is no YAML that can be read: 'format' is there twice"),
        (b"\xff\xfe\xfa", "this is no YAML that can be read"),
        (b"!!python/object/apply:os.system ['true']", "this is no YAML that can be read"),
        (b"[" * 5000, "this is no YAML that can be read"),
        (b"#" * 1_000_001, "a hand's file has at most 1000000"),
        (b"1.5: {}\n", "it must be a name; write it in quotes"),
        (b"? 0x" + b"f" * 5000 + b"\n: 1\n", "is a number of too many digits: it must be a name"),
    ],
    ids=["empty", "cut", "twice", "bytes", "python", "deep", "large", "number", "digits"],
)
def test_what_is_no_hand_at_all(content, line):
    with pytest.raises(HandError, match=r"^my\.yaml") as error:
        read_hand(content, "my.yaml")
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    mine = tmp_path / "mine.yaml"
    mine.write_text(TEMPLATE)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(HandError, match=r"mine\.yaml: it cannot be read: Permission denied$"):
        load_hand(str(mine))


def test_a_hand_that_is_not_there(tmp_path):
    with pytest.raises(
        HandError, match=r"there is no hand 'shadw'; give a file .* adroit, allegro, inspire, leap, shadow"
    ):
        load_hand("shadw")
    with pytest.raises(HandError, match="there is no such file"):
        load_hand(str(tmp_path / "absent.yaml"))
    with pytest.raises(HandError, match=r"~nouser/x\.yaml cannot be the file of a hand: Could not determine home"):
        load_hand("~nouser/x.yaml")
    with pytest.raises(HandError, match=r"^a{100}….* cannot be the file of a hand: File name too long$"):
        load_hand("a" * 300 + ".yaml")
    with pytest.raises(HandError, match="cannot be the file of a hand: embedded null"):
        load_hand("a\0.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(HandError, match="there is no such file"):
        load_hand(str(tmp_path / "folder.yaml"))
    with pytest.raises(HandError, match="side 'up' is not known; accepted are right, left"):
        load_hand("shadow", "up")
