"""Forward kinematics: cases computed by hand, and MuJoCo's own models of the Shadow and the Adroit hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from tiae_ros.imitation.fingertips import Fingertips, rotation_of
from tiae_ros.imitation.hand_files import find_hand, shipped_hands
from tiae_ros.imitation.robot_hand import load_hand, read_hand

pytestmark = pytest.mark.timeout(60)


def template(**changes):
    content = yaml.safe_load(find_hand("shadow").with_name("template.yaml").read_text("utf-8")) | changes
    return read_hand(yaml.safe_dump(content, sort_keys=False).encode(), "t")


def test_a_straight_and_a_bent_finger():
    """In the template's base link z points to the fingertips and y to the thumb: palm x = z, y = y, z = -x."""
    hand = template()
    tips = Fingertips(hand)
    assert tips.fingers == ("thumb", "index")
    np.testing.assert_allclose(tips.positions(np.zeros(3)), [[110, 60, -20], [175, 20, 0]], atol=1e-9)
    # The index bends by 90 degrees about y, and its last joint by as much again: 45 mm to the palm, 40 mm back.
    bent = tips.positions(np.array([0.0, 0.0, np.pi / 2]))
    np.testing.assert_allclose(bent[1], [90 - 40, 20, -45], atol=1e-9)
    # The thumb turns by 90 degrees about -z of its base at (0, 30, 30): (20, 30, 80) from there becomes (30, -20, 80).
    turned = tips.positions(np.array([np.pi / 2, 0.0, 0.0]))
    np.testing.assert_allclose(turned[0], [30 + 80, 30 - 20, -30], atol=1e-9)
    np.testing.assert_allclose(tips.knuckles(np.zeros(3)), [[30, 30, 0], [90, 20, 0]], atol=1e-9)


def test_roll_pitch_yaw_are_about_fixed_axes():
    np.testing.assert_allclose(rotation_of((np.pi / 2, 0, 0)) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation_of((np.pi / 2, 0, np.pi / 2)) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation_of((np.pi / 2, 0, np.pi / 2)) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", shipped_hands())
def test_motion_is_the_slope_of_positions(name, side):
    hand = load_hand(name, side)
    tips = Fingertips(hand)
    angles = hand.lower + 0.37 * (hand.upper - hand.lower)
    places, motion = tips.motion(angles)
    np.testing.assert_allclose(places, tips.positions(angles), atol=1e-9)
    steps = 1e-5 * np.eye(len(angles))
    slope = (tips.positions(angles + steps) - tips.positions(angles - steps)) / 2e-5  # (A, F, 3)
    np.testing.assert_allclose(motion, slope.transpose(1, 2, 0), atol=1e-4)


@pytest.mark.parametrize("name", shipped_hands())
def test_a_left_hand_is_the_mirror_image(name):
    right, left = load_hand(name), load_hand(name, "left")
    content = yaml.safe_load(find_hand(name).read_text("utf-8")).get("left", {})
    prefix, names = content.get("prefix", ("", "")), content.get("names", {})
    negated = content.get("negate", [])
    angles = right.lower + 0.3 * (right.upper - right.lower)
    moved = {}
    for joint, angle in zip(right.names, angles, strict=True):
        mirrored = names.get(joint, prefix[1] + joint[len(prefix[0]) :])
        moved[mirrored] = -angle if joint in negated else angle
    places = Fingertips(left).positions(left.in_order(list(moved), list(moved.values())))
    np.testing.assert_allclose(places, Fingertips(right).positions(angles), atol=1e-9)


@pytest.mark.parametrize("name", shipped_hands())
def test_bending_closes_every_finger(name):
    """Fingertips come nearer to the palm's side (z falls) when what follows a human flexion bends."""
    hand = load_hand(name)
    tips = Fingertips(hand)
    for finger in hand.fingers[1:]:
        angles = hand.rest.copy()
        for k, joint in enumerate(hand.active):
            if joint.human == f"{finger.name}_mcp_flexion":
                angles[k] += 0.5 * joint.factor
        row = tips.fingers.index(finger.name)
        assert (tips.positions(angles) - tips.positions(hand.rest))[row, 2] < -20


# Joints of the Shadow hand: our name -> (name in the model, sign).
OF_SHADOW = {f"rh_{finger}J{k}": (f"{finger}J{k - 1}", 1) for finger in ("FF", "MF", "RF", "LF") for k in (1, 2, 3, 4)}
OF_SHADOW |= {f"rh_{finger}J4": (f"{finger}J3", -1) for finger in ("FF", "MF")}
OF_SHADOW |= {"rh_LFJ5": ("LFJ4", 1), "rh_THJ5": ("THJ4", 1), "rh_THJ4": ("THJ3", 1), "rh_THJ3": ("THJ2", 1)}
OF_SHADOW |= {"rh_THJ2": ("THJ1", -1), "rh_THJ1": ("THJ0", -1)}


@pytest.mark.parametrize(
    ("name", "scene", "prefix", "mapping", "tolerance_mm"),
    [
        # Its thumb stands 0.4 mm, its little finger 2 mm elsewhere than in the maker's description.
        ("shadow", "hand/reach.xml", "robot0:", OF_SHADOW, (0.6, 0.01, 0.01, 0.01, 3.0)),
        ("adroit", "adroit_hand/adroit_pen.xml", "", None, (0.1, 0.01, 0.01, 0.01, 0.01)),
        ("adroit", "hand/reach.xml", "robot0:", None, (0.1, 0.01, 0.01, 0.01, 0.1)),
    ],
)
def test_fingertips_are_mujocos(name, scene, prefix, mapping, tolerance_mm):
    mujoco = pytest.importorskip("mujoco", reason="mujoco is not installed")
    robotics = pytest.importorskip("gymnasium_robotics", reason="gymnasium-robotics is not installed")
    path = Path(robotics.__file__).parent / "envs" / "assets" / scene
    try:
        model = mujoco.MjModel.from_xml_path(str(path))
    except ValueError:  # its files are for MuJoCo 2: later releases know no such attributes
        model = mujoco.MjModel.from_xml_string(_kinematics_of(path))
    data = mujoco.MjData(model)
    hand = load_hand(name)
    mapping = mapping or {joint: (joint, 1) for joint in hand.names}
    tips = Fingertips(hand)
    rng = np.random.default_rng(0)
    for _ in range(10):
        angles = rng.uniform(hand.lower, hand.upper)
        for joint, angle in zip(hand.names, angles, strict=True):
            if joint in mapping:
                theirs, sign = mapping[joint]
                data.joint(prefix + theirs).qpos[0] = sign * angle
        mujoco.mj_kinematics(model, data)
        palm = data.body(f"{prefix}palm")
        sites = [data.site(f"{prefix}S_{short}tip").xpos for short in ("th", "ff", "mf", "rf", "lf")]
        want = (np.array(sites) - palm.xpos) @ palm.xmat.reshape(3, 3) @ hand.palm * 1000
        apart = np.linalg.norm(tips.positions(angles) - want, axis=-1)
        assert (apart <= tolerance_mm).all(), apart


def _kinematics_of(path: Path) -> str:
    """Bodies, joints and sites of the hand alone, from the file that describes it."""
    import xml.etree.ElementTree as ElementTree

    robot = path.parent / ("robot.xml" if path.parent.name == "hand" else "adroit_model.xml")
    root = ElementTree.parse(robot).getroot()
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("geom", "inertial") or (child.tag == "site" and "S_" not in child.get("name", "")):
                parent.remove(child)
        for key in ("class", "childclass", "user", "damping", "armature"):
            parent.attrib.pop(key, None)
        if parent.tag == "body":  # a body must weigh something
            ElementTree.SubElement(parent, "inertial", pos="0 0 0", mass="1", diaginertia="1 1 1")
    bodies = "".join(ElementTree.tostring(child, encoding="unicode") for child in root)
    return f'<mujoco><compiler angle="radian"/><worldbody>{bodies}</worldbody></mujoco>'
