"""The simulator of people: bodies and hands, things, holding, scenes, shards and the two commands that use them.

All in one file: the first body takes seconds to build.
"""

import dataclasses
import json
import math
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")
pytest.importorskip("mujoco", reason="grasps need MuJoCo (extra `sim`)")
pytest.importorskip("anny", reason="people need anny (extra `sim`)")
pytest.importorskip("moderngl", reason="pictures need moderngl (extra `sim`)")

import torch

from tiae_ros.cli import main
from tiae_ros.errors import DataError, OutputError, ParameterError
from tiae_ros.model.folder import CLOSE_UP_INT8, read_folder
from tiae_ros.model.hand_detector import CALIBRATION
from tiae_ros.model.hand_detector import load_detector as open_detector
from tiae_training.data.arrays import load_arrays
from tiae_training.detection import prepare, recipe
from tiae_training.simulator.grasping import make_stage
from tiae_training.simulator.hand import (
    FINGERS,
    JOINT_LIMITS,
    JOINT_NAMES,
    SPLAY,
    THUMB_ALONG,
    HandWriter,
    draw_subject,
)
from tiae_training.simulator.rendering import import_mujoco
from tiae_training.simulator.simulator import Simulator
from tiae_training.workers import each_in_order
from tiae_training.world import clothes, shards
from tiae_training.world.hand_poses import ALL_GRASPS, as_row, draw_free_pose, fingers_cross, within_limits
from tiae_training.world.holding import STYLES, close_on, hold, hold_as, skin_points
from tiae_training.world.people import MONK_SKIN_TONES, draw_person
from tiae_training.world.renderer import Camera, Light, Renderer, Solid, look_at
from tiae_training.world.scene import WorldSettings
from tiae_training.world.shapes import bent_tube, box, ellipsoid, extruded, lathed, rod, superquadric
from tiae_training.world.shards import render_in_processes, render_shards, shard_numbers, stored_frames
from tiae_training.world.skeleton import (
    FINGER_NAMES,
    ArmPose,
    Skeleton,
    fingertips,
    hand_rest,
    hand_transforms,
    palm_in_body,
    rotation_about,
    segment,
)
from tiae_training.world.things import FAMILIES, Part, Thing, draw_thing

X, Y, Z = np.eye(3)
SHOWN = ("bottle", "pinch")  # the only named grasps of the rendered shards
SETTINGS = WorldSettings(
    seed=3, width=160, height=120, people=(10, 12), grasps=SHOWN, scenes=2, views=2, empty_share=0.1
)  # fmt: skip
PLAIN = {
    "capture_output": True, "text": True, "timeout": 200, "env": {**os.environ, "OMP_NUM_THREADS": "1"},
}  # fmt: skip
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads of torch that share a core with others spend their time waiting for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def person():
    return draw_person(11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three shards of two scenes, rendered by one process."""
    folder = tmp_path_factory.mktemp("shards") / "frames"
    assert [path.name for path in render_shards(folder, SETTINGS, 3)] == [f"frames-0000{n}.npz" for n in range(3)]
    return folder


@pytest.fixture(scope="module")
def frames(folder):
    return [frame for n in range(3) for frame in stored_frames(folder / f"frames-0000{n}.npz")]


def one_pose(rest, **angles):
    turns, heads = hand_transforms(rest, {name: np.array([angle]) for name, angle in angles.items()})
    return turns, heads, fingertips(rest, turns, heads)


# --- people and their skeletons ---------------------------------------------------------------------------------------


def test_a_number_is_always_the_same_person():
    one = draw_person(7)
    draw_person.cache_clear()
    again, other = draw_person(7), draw_person(8)
    np.testing.assert_array_equal(one.vertices, again.vertices)
    np.testing.assert_array_equal(one.skin, again.skin)
    assert not np.array_equal(one.vertices, other.vertices)


def test_people_have_the_sizes_and_colours_of_people():
    people = [draw_person(number) for number in range(6)]
    assert all(0.10 < p.hand_length_m < 0.25 for p in people)
    assert all(p.skin.min() > 0 and p.skin[1] <= p.skin[0] for p in people)
    np.testing.assert_allclose(people[0].rig.weights.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(people[0].normals, axis=1), 1, atol=1e-4)
    assert MONK_SKIN_TONES[0].tolist() == pytest.approx([0xF6 / 255, 0xED / 255, 0xE4 / 255])


@pytest.mark.parametrize("side", ["R", "L"])
def test_at_zero_fingers_are_straight_along_the_axes_of_the_simulator(person, side):
    rest = hand_rest(person, side)
    _, heads, tips = one_pose(rest)
    for number, finger in enumerate(FINGER_NAMES):
        first = segment(finger, 0)
        steps = np.diff(np.vstack([heads[0, first : first + 3], tips[0, number]]), axis=0)
        along = (
            np.array(THUMB_ALONG) if finger == "thumb" else np.array([np.cos(SPLAY[finger]), np.sin(SPLAY[finger]), 0])
        )
        for step in steps:
            np.testing.assert_allclose(step / np.linalg.norm(step), along / np.linalg.norm(along), atol=1e-6)


def test_joints_mean_what_they_mean_on_the_simulators_hand(person):
    """Each joint by itself, then all at once: fingertips point where those of the simulator's hand do."""
    mujoco = import_mujoco()
    stage = make_stage(HandWriter(draw_subject(1), False, "no_forearm"), [])
    model, data = stage.model, stage.data
    rng, rest = np.random.default_rng(0), hand_rest(person, "R")
    movable = [name for name in JOINT_NAMES if not name.startswith("wrist")]
    poses = [{name: 0.7 * JOINT_LIMITS[name][1]} for name in movable]
    poses += [{name: rng.uniform(*JOINT_LIMITS[name]) for name in movable} for _ in range(5)]
    for pose in poses:
        for name in movable:
            data.joint(name).qpos[0] = pose.get(name, 0.0)
        mujoco.mj_forward(model, data)
        palm = data.body("palm").xmat.reshape(3, 3)
        _, heads, tips = one_pose(rest, **pose)
        for number, finger in enumerate(FINGER_NAMES):
            site = "thumb_tip" if finger == "thumb" else f"{finger}_distal_tip"
            theirs = palm.T @ (data.site(site).xpos - data.body(f"{finger}_distal").xpos)
            ours = tips[0, number] - heads[0, segment(finger, 2)]
            cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
            assert cosine > np.cos(np.radians(0.5)), (pose, finger)


def test_a_left_hand_is_the_mirror_image(person):
    right, left = (hand_rest(person, side) for side in "RL")
    np.testing.assert_allclose(left.tips, right.tips, atol=2e-3)
    np.testing.assert_allclose(left.heads, right.heads, atol=2e-3)
    pose = within_limits(dict.fromkeys(JOINT_NAMES, 0.5))
    skeleton = Skeleton.at_rest(person)
    for side in "RL":
        skeleton.reach(side, ArmPose(np.array([-0.2, -0.35, 0.1]), pronation=0.4, wrist_flexion=0.3), pose)
    for name in ("wrist", "finger1-3", "finger3-2", "finger5-3", "lowerarm01"):
        one, other = (skeleton.heads[person.rig.number(f"{name}.{side}")] for side in "RL")
        np.testing.assert_allclose(one * [-1, 1, 1], other, atol=5e-3)
    vertices, normals = skeleton.skin()
    low, high = (np.sort(vertices[person.rig.vertices_of("finger", side=side)][:, 2])[[0, -1]] for side in "RL")
    np.testing.assert_allclose(low, high, atol=5e-3)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("side", ["R", "L"])
def test_an_arm_reaches_and_keeps_its_lengths(person, side):
    rig, skeleton = person.rig, Skeleton.at_rest(person)
    mirror = np.array([-1.0 if side == "L" else 1.0, 1, 1])
    wanted = skeleton.heads[rig.number(f"upperarm01.{side}")] * mirror + [-0.05, -0.30, -0.10]
    skeleton.reach(side, ArmPose(wanted), dict.fromkeys(JOINT_NAMES, 0.3))
    np.testing.assert_allclose(skeleton.heads[rig.number(f"wrist.{side}")] * mirror, wanted, atol=1e-6)
    for one, other in (("upperarm01", "lowerarm01"), ("lowerarm01", "wrist"), ("finger2-1", "finger2-2")):
        pair = [rig.number(f"{name}.{side}") for name in (one, other)]
        now, before = (np.linalg.norm(np.subtract(*heads[pair])) for heads in (skeleton.heads, person.heads))
        assert now == pytest.approx(before, rel=1e-4)
    axes, wrist = palm_in_body(skeleton, side)
    np.testing.assert_allclose(wrist, skeleton.heads[rig.number(f"wrist.{side}")], atol=1e-6)
    assert np.linalg.det(axes) == pytest.approx(1)


def test_what_is_too_far_is_reached_for(person):
    skeleton = Skeleton.at_rest(person)
    shoulder = skeleton.heads[person.rig.number("upperarm01.R")]
    skeleton.reach("R", ArmPose(shoulder - 3.0 * Y), {})
    way = skeleton.heads[person.rig.number("wrist.R")] - shoulder
    assert way[1] < -0.2
    np.testing.assert_allclose(way[[0, 2]], 0, atol=1e-6)


def test_skin_at_rest_is_the_body(person):
    vertices, _ = Skeleton.at_rest(person).skin()
    np.testing.assert_allclose(vertices, person.vertices, atol=1e-5)


def test_rotations_by_hand():
    np.testing.assert_allclose(rotation_about(Z, np.pi / 2) @ X, Y, atol=1e-12)
    np.testing.assert_allclose(rotation_about(X, np.array([0.0, np.pi]))[1] @ Y, -Y, atol=1e-12)


# --- shapes -----------------------------------------------------------------------------------------------------------

SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1.0]])
CONE = np.array([[0.04, -0.05], [0.02, 0.05]])
SHAPES = {
    "box": (box((0.03, 0.02, 0.05)), 8 * 0.03 * 0.02 * 0.05),
    "ellipsoid": (ellipsoid((0.03, 0.02, 0.05)), 4 / 3 * np.pi * 0.03 * 0.02 * 0.05),
    "superquadric": (superquadric((0.03, 0.03, 0.03), 1.0, 1.0), 4 / 3 * np.pi * 0.03**3),
    "diamond": (superquadric((0.03, 0.03, 0.03), 2.0, 2.0), 8 * 0.03**3 / 6),
    "lathed": (lathed(CONE), np.pi * 0.1 / 3 * (0.04**2 + 0.04 * 0.02 + 0.02**2)),
    "extruded": (extruded(0.03 * SQUARE, 0.01), 0.06**2 * 0.02),
    "cylinder": (rod(0.05 * X, -0.05 * X, 0.02, round_ends=False), np.pi * 0.02**2 * 0.1),
    "capsule": (rod(0.03 * Y, -0.03 * Y, 0.02, round_ends=True), np.pi * 0.02**2 * 0.06 + 4 / 3 * np.pi * 0.02**3),
    "tube": (
        bent_tube(np.linspace(-0.05, 0.05, 9)[:, None] * Z, 0.02),
        np.pi * 0.02**2 * 0.1 + 4 / 3 * np.pi * 0.02**3,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_inside_has_the_shapes_volume(name):
    shape, volume = SHAPES[name]
    points = np.random.default_rng(0).uniform(-0.08, 0.08, (60_000, 3))
    assert shape.inside(points).mean() * 0.16**3 == pytest.approx(volume, rel=0.05)


@pytest.mark.parametrize("name", SHAPES)
def test_the_surface_is_where_the_inside_ends(name):
    shape, _ = SHAPES[name]
    turn = rotation_about(np.array([0.6, 0.0, 0.8]), 0.7)
    shape = shape.moved(turn, np.array([0.1, -0.2, 0.3]), scale=1.5)
    centre, vertices = np.array([0.1, -0.2, 0.3]), shape.vertices
    if name != "tube":  # whose ends are open
        assert shape.inside(centre + 0.93 * (vertices - centre)).all()
    assert not shape.inside(centre + 1.12 * (vertices - centre)).any()
    lengths = np.linalg.norm(shape.normals, axis=1)
    assert ((np.abs(lengths - 1) < 1e-4) | (lengths < 1e-4)).all()  # none at a pole
    assert shape.triangles.max() < len(vertices)


def test_a_vessel_is_open_at_its_top():
    vessel = lathed(np.array([[0.03, 0.0], [0.04, 0.1]]), hollow_m=0.003)
    floor = vessel.vertices[np.hypot(*vessel.vertices[:, :2].T) < 1e-9][:, 2]
    assert sorted(set(np.round(floor, 6))) == [0.0, 0.003]


def test_things_are_always_the_same_of_all_families_and_can_be_gripped():
    things = [draw_thing(number) for number in range(60)]
    assert {thing.family for thing in things} == {thing.family for thing in map(draw_thing, range(60))}
    assert len({thing.family for thing in things}) >= len(FAMILIES) - 1
    for thing, again in zip(things, map(draw_thing, range(60)), strict=True):
        for part, same in zip(thing.parts, again.parts, strict=True):
            np.testing.assert_array_equal(part.shape.vertices, same.shape.vertices)
        assert thing.grips
        size = np.ptp(np.concatenate([part.shape.vertices for part in thing.parts]), axis=0)
        assert 0.005 < size.max() < 0.6
        assert all(0 < grip.radius < 0.12 and np.linalg.norm(grip.along) == pytest.approx(1) for grip in thing.grips)
    large = things[0].scaled(2.0)
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (500, 3))
    np.testing.assert_array_equal(large.inside(2 * points), things[0].inside(points))


# --- poses and holding ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["R", "L"])
def test_free_poses_keep_limits_and_do_not_cross(person, side):
    rng, rest = np.random.default_rng(0), hand_rest(person, side)
    poses = [draw_free_pose(rng, rest, ALL_GRASPS) for _ in range(40)]
    for pose in poses:
        assert all(JOINT_LIMITS[name][0] <= angle <= JOINT_LIMITS[name][1] for name, angle in pose.items())
    assert sum(fingers_cross(rest, pose) for pose in poses) <= 2
    assert np.std([as_row(pose) for pose in poses], axis=0).max() > 0.3
    assert fingers_cross(rest, {"index_mcp_abduction": -0.35, "middle_mcp_abduction": 0.35})


def cylinder(radius):
    shape = rod(-0.1 * Y, 0.1 * Y, radius, round_ends=False)
    return Thing("rod", (Part(shape),), (), 0.0)


@pytest.mark.parametrize("side", ["R", "L"])
@pytest.mark.parametrize("radius", [0.012, 0.022, 0.03])
def test_fingers_close_until_they_touch_and_not_through(person, side, radius):
    rest, skin = hand_rest(person, side), skin_points(person, side)
    size = person.hand_length_m / 0.187
    thing = cylinder(radius * size)
    place = np.array([0.5 * person.hand_length_m, 0, -(0.02 * size + radius * size)])
    opening = as_row({f"{finger}_pip_flexion": 0.2 for finger in FINGERS})
    closing = as_row({f"{f}_{j}_flexion": a for f in FINGERS for j, a in (("mcp", 1.5), ("pip", 1.75), ("dip", 1.1))})
    pose, touching = close_on(rest, skin, thing, np.eye(3), place, opening, closing)
    assert {"index", "middle", "ring"} <= touching

    def inside(row, grown=0.0):
        turns, heads = hand_transforms(rest, {name: row[None, n] for n, name in enumerate(JOINT_NAMES)})
        local = skin.points - rest.heads[skin.owner]
        points = heads[0, skin.owner] + np.einsum("pij,pj->pi", turns[0, skin.owner], local)
        return cylinder(radius * size + grown).inside(points - place)[skin.finger > 0]

    assert not inside(pose).any()
    assert inside(pose, grown=0.006).any()  # it is touched, up to the last step
    assert inside(closing).any()  # closing further would have gone through
    assert ((pose >= opening - 1e-9) & (pose <= closing + 1e-9)).all()


def test_nothing_in_the_hand_is_closed_on_freely(person):
    rest, skin = hand_rest(person, "R"), skin_points(person, "R")
    opening, closing = as_row({}), as_row({f"{finger}_pip_flexion": 1.5 for finger in FINGERS})
    far = np.array([1.0, 0, 0])
    pose, touching = close_on(rest, skin, cylinder(0.02), np.eye(3), far, opening, closing)
    assert not touching
    np.testing.assert_allclose(pose, closing)


@pytest.mark.parametrize("phase", [0.5, 3.0])
def test_socks_cover_the_toes_or_there_are_none(person, phase):
    outfit = dataclasses.replace(clothes.draw_outfit(np.random.default_rng(0)), phase=phase)
    assert outfit.barefoot == (phase < 1)
    drawn = [clothes.draw_outfit(np.random.default_rng(seed)).barefoot for seed in range(600)]
    assert 0.14 < np.mean(drawn) < 0.26
    _, _, legs = clothes.dressed(person, outfit, person.vertices, person.normals, {})
    worn = np.zeros(len(person.vertices), bool)
    worn[legs.triangles] = True
    foot, toes = (person.rig.vertices_of(bone) for bone in ("foot", "toe"))
    if outfit.barefoot:
        assert not worn[toes].any()
    else:
        assert worn[foot].all()
        assert worn[toes].all()


def test_things_are_held_within_limits(person):
    rng, styles, held = np.random.default_rng(0), set(), 0
    for number in range(14):
        got = hold(person, "R", draw_thing(number), rng)
        if got is None:
            continue
        held += 1
        styles.add(got.grasp)
        assert got.touching
        assert all(JOINT_LIMITS[name][0] <= angle <= JOINT_LIMITS[name][1] for name, angle in got.pose.items())
        assert np.linalg.det(got.rotation) == pytest.approx(1)
        assert np.linalg.norm(got.place) < 0.5
    assert held >= 10
    assert styles <= set(STYLES)
    assert len(styles) >= 3
    stopped = next(filter(None, (hold(person, "L", draw_thing(n), rng, moment=0.4) for n in range(20))))
    assert not stopped.touching


def test_named_grasps_are_brought_over(person):
    got = hold_as(person, "R", "bottle", np.random.default_rng(0))
    assert (got.grasp, got.touching) == ("bottle", True)
    assert got.thing.parts
    bare = hold_as(person, "L", "fist", np.random.default_rng(0))
    assert not bare.thing.parts
    assert bare.pose["middle_pip_flexion"] > 0.8


# --- cameras ----------------------------------------------------------------------------------------------------------


def test_a_camera_looks_where_it_is_told():
    eye, target = np.array([0.3, -0.5, 0.4]), np.array([0.0, 0.1, 0.0])
    for roll in (0.0, 1.0, -3.0):
        camera = Camera(look_at(eye, target, roll), eye, 100.0, 160, 120)
        np.testing.assert_allclose(camera.axes @ camera.axes.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(camera.axes) == pytest.approx(1)
        np.testing.assert_allclose(
            camera.pixels(target[None])[0], [79.5, 59.5, np.linalg.norm(target - eye)], atol=1e-9
        )
    upright = Camera(look_at(eye, target, 0.0), eye, 100.0, 160, 120)
    assert upright.pixels(target[None] + 0.1 * Z)[0, 1] < 59.5  # up is up


# --- scenes and shards ------------------------------------------------------------------------------------------------


def test_labels_owners_and_truth_agree(frames):
    assert 8 <= len(frames) <= 12
    hands = 0
    for frame in frames:
        assert frame.color.shape == (120, 160, 3)
        assert set(np.unique(frame.labels)) <= {0, 1, 2, 3}
        np.testing.assert_array_equal(frame.owner > 0, frame.labels > 0)
        truth = frame.hands
        for row in range(len(truth.get("number", ()))):
            hands += 1
            own = (frame.owner == truth["number"][row] + 1) & (frame.labels == 1)
            assert own.sum() == truth["shown_px"][row] >= 60
            assert truth["holds"][row] or not ((frame.owner == truth["number"][row] + 1) & (frame.labels == 2)).any()
            ys, xs = np.nonzero(own)
            reach = 1.2 * truth["size_m"][row] * frame.focal_px / truth["distance_m"][row]
            assert np.hypot(xs - truth["middle_px"][row][0], ys - truth["middle_px"][row][1]).max() < reach + 2
            assert np.linalg.norm(truth["arm_px"][row]) == pytest.approx(1)
            assert np.linalg.norm(truth["view"][row]) == pytest.approx(1)
            assert 0.05 < truth["distance_m"][row] < 2
            assert 10 <= truth["person"][row] < 12
            limits = np.array([JOINT_LIMITS[name] for name in JOINT_NAMES])
            joints = truth["joints"][row]
            assert ((joints >= limits[:, 0] - 1e-9) & (joints <= limits[:, 1] + 1e-9)).all()
            assert (np.linalg.norm(truth["tips_mm"][row], axis=1) < 1300 * truth["size_m"][row]).all()
    assert hands >= 6


def test_no_hand_is_without_its_label(monkeypatch):
    """In scenes of nobody's hand, too, somebody's may come into view."""
    from tiae_training.world import scene

    told, dressed = [], scene.dressed
    monkeypatch.setattr(scene, "dressed", lambda *words: told.append(set(words[4])) or dressed(*words))
    monkeypatch.setattr(scene, "_view", lambda *_: None)
    empty = dataclasses.replace(SETTINGS, empty_share=1.0, views=1)

    class Nothing:
        pictures = 1

        def put(self, _solid):
            pass

    for number in range(6):
        list(scene.frames_of_scene(empty, number, Nothing()))
    assert 1 <= len(told) < 6
    assert all(sides == {"R", "L"} for sides in told)


def test_held_out_grasps_never_appear(frames):
    names = {str(name) for frame in frames for name in frame.hands.get("grasp", ())}
    assert names <= {*SHOWN, *STYLES, "free"}


def test_the_same_bytes_however_the_work_is_shared(folder, tmp_path):
    (alone,) = render_shards(tmp_path / "part", SETTINGS, 3, (1, 2))
    together = list(render_in_processes(tmp_path / "processes", SETTINGS, 3, (0, 2), workers=2))
    assert (alone.name, [path.name for path in together]) == (
        "frames-00001.npz",
        ["frames-00000.npz", "frames-00002.npz"],
    )
    for path in (alone, *together):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_both_simulators_draw_in_one_process():
    def sample():
        return Simulator(seed=1, width=64, height=48, smooth_skin=False).sample().rgb

    first, renderer = sample(), Renderer(64, 48)
    shape = box((0.2, 0.2, 0.2))
    solid = Solid.of(shape.vertices, shape.normals, shape.triangles, (0.5, 0.5, 0.5), 7.0)
    camera = Camera(look_at(np.array([0.0, -1, 0]), np.zeros(3), 0.0), np.array([0.0, -1, 0]), 60.0, 64, 48)
    renderer.put(solid)
    before = renderer.draw(camera, Light(), np.zeros(3))
    np.testing.assert_array_equal(sample(), first)  # OpenGL has one current context in a thread
    for one, other in zip(renderer.draw(camera, Light(), np.zeros(3)), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert before[1][24, 32] == pytest.approx(0.8, abs=0.01)
    assert set(np.unique(before[2])) == {0, 7}
    renderer.close()
    np.testing.assert_array_equal(sample(), first)


def test_shards_are_whole_or_not_there(folder, tmp_path, monkeypatch):
    def interrupted(*_arguments):
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(shards, "frames_of_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(render_shards(tmp_path / "a", SETTINGS, 1))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["settings.json"]
    monkeypatch.setattr(shards, "frames_of_scene", lambda *_: iter(()))
    monkeypatch.setattr(shards.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match=r"cannot write .*frames-00000.npz: No space left on device"):
        list(render_shards(tmp_path / "a", SETTINGS, 1))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["settings.json"]
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(list(render_shards(folder, SETTINGS, 3))) == 3  # they are there, so that nothing is rendered
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_shard_without_a_frame_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "frames_of_scene", lambda *_: iter(()))
    (path,) = render_shards(tmp_path, SETTINGS, 1)
    assert list(stored_frames(path)) == []
    assert shards.frame_count(path) == 0
    assert oct(path.stat().st_mode & 0o044) == oct(0o044 & ~current_umask())  # others may read what others render


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_one_folder_holds_one_world(folder, tmp_path):
    other = dataclasses.replace(SETTINGS, seed=4)
    with pytest.raises(DataError, match="holds frames of other settings"):
        list(render_shards(folder, other, 1))
    told = json.loads((folder / "settings.json").read_text())
    del told["clean"]  # of a release that did not know it
    (tmp_path / "settings.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="holds frames of other settings"):
        list(render_shards(tmp_path, other, 1))
    assert list(render_shards(tmp_path, SETTINGS, 0)) == []
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        list(render_shards(tmp_path, SETTINGS, 1))


def test_parts_share_all_shards():
    assert sorted(n for part in range(3) for n in shard_numbers(8, (part, 3))) == list(range(8))
    with pytest.raises(DataError, match="give i/n with 0 <= i < n"):
        shard_numbers(8, (3, 3))


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "array", "picture", "absent"])
def test_damaged_shards_are_refused(folder, tmp_path, damage):
    path, content = tmp_path / "frames-00000.npz", (folder / "frames-00000.npz").read_bytes()
    if damage in ("array", "picture"):
        with np.load(folder / "frames-00000.npz") as file:
            arrays = dict(file)
        if damage == "array":
            del arrays["labels_end"]
        else:
            arrays["depth"] = np.zeros_like(arrays["depth"])
        np.savez(path, **arrays)
    elif damage != "absent":
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"no shard"}[damage])
    with pytest.raises(DataError, match=r"frames-00000.npz"):
        list(stored_frames(path))
    if damage not in ("array", "picture"):
        with pytest.raises(DataError, match=r"frames-00000.npz"):
            shards.frame_count(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"people": (5, 5)}, "people 5:5 is empty"),
        ({"things": (-1, 5)}, "things -1:5 is empty"),
        ({"grasps": ("bottle", "banana")}, "unknown grasp banana; accepted: cup"),
        ({"grasps": ()}, "none given"),
        ({"nearest_m": 2.0}, "are no range"),
        ({"empty_share": 1.5}, "empty_share is 1.5; it must be within 0 to 1"),
        ({"width": 4000}, "width is 4000; it must be within 32 to 1600"),
        ({"height": 0}, "height is 0"),
        ({"views": 0}, "views is 0"),
        ({"scenes": 0}, "scenes is 0"),
        ({"empty_share": math.nan}, "empty_share is nan"),
    ],
)
def test_impossible_worlds_are_refused(changes, said):
    with pytest.raises(ParameterError, match=said):
        WorldSettings(**changes)


# --- on the command line ----------------------------------------------------------------------------------------------


def refused(capsys, *words):
    assert main([*words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_people_on_the_command_line(tmp_path, capsys):
    out = tmp_path / "frames"
    words = [
        "simulate",
        "people",
        "--out",
        str(out),
        "--shards",
        "2",
        "--shard",
        "1/2",
        "--scenes",
        "1",
        "--views",
        "1",
    ]
    words += ["--width", "96", "--height", "72", "--people", "10:12", "--workers", "1", "--leave-out", "fist,cup"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{out / 'frames-00001.npz'}\n"
    told = json.loads((out / "settings.json").read_text())
    assert set(ALL_GRASPS) - set(told["grasps"]) == {"fist", "cup"}
    assert (told["people"], told["scenes"], told["seed"]) == ([10, 12], 1, 1)
    assert "holds frames of other settings" in refused(capsys, *words, "--seed", "9")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shards", "0"], "--shards is 0, --workers"),
        (["--workers", "0"], "--workers 0; both must be at least 1"),
        (["--shard", "2/2"], "--shard '2/2' is not I/N with I below N, for example 0/4"),
        (["--shard", "x"], "--shard 'x' is not I/N"),
        (["--people", "9"], "--people '9' is not FIRST:END"),
        (["--things", "5:5"], "things 5:5 is empty"),
        (["--leave-out", "banana"], "--leave-out has no grasp banana; there are cup, mug"),
        (["--leave-out", ",".join(ALL_GRASPS)], "none given"),
        (["--width", "9999"], "width is 9999"),
    ],
)
def test_impossible_people_are_one_line(tmp_path, capsys, words, said):
    out = tmp_path / "frames"
    assert said in refused(capsys, "simulate", "people", "--out", str(out), *(["--shards", "1", *words]))
    assert not out.exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    words = ["simulate", "people", "--out", str(tmp_path / "file" / "frames"), "--shards", "1", "--workers", "1"]
    assert "cannot write to" in refused(capsys, *words)


def test_windows_on_the_command_line(folder, tmp_path, capsys):
    words = ["simulate", "windows", "--frames", str(folder), "--out", str(tmp_path / "w_{channels}.npz")]
    words += ["--channels", "masks", "both", "--workers", "1"]
    assert main(words) == 0
    both, masks = (load_arrays(tmp_path / f"w_{kind}.npz") for kind in ("both", "masks"))
    assert len(both) == len(masks) > 0
    assert both.channels == ("hand_mask", "object_mask", "depth")
    assert both.others["tips_mm"].shape == (len(both), 5, 3)
    assert set(both.others["subjects"].tolist()) <= {10, 11}
    assert "exists" in refused(capsys, *words)
    assert "put {channels} into --out" in refused(capsys, *words[:-1], "1", "--out", str(tmp_path / "one.npz"))
    assert "--count is 0" in refused(capsys, *words, "--count", "0", "--overwrite")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small detector to go on training from."""
    from drawn_detector import near_is_hand

    from tiae_training.detection.folder import detector_manifest, save_detector

    folder = tmp_path_factory.mktemp("start") / "tiny"
    detector = near_is_hand()
    save_detector(detector, folder, detector_manifest(detector))
    return folder


def through_pickles(make, jobs, workers):
    """As `each_in_order`; all jobs and results could go to another process and back, also where there is one job."""
    make, jobs = pickle.loads(pickle.dumps((make, list(jobs))))
    return (pickle.loads(pickle.dumps(result)) for result in each_in_order(make, jobs, workers))


def test_a_detector_is_trained_on_the_command_line(folder, tiny, tmp_path, capsys, monkeypatch):
    """Both looks in processes of their own the first time; one shard is looked at by this process."""
    for module in (prepare, recipe):
        monkeypatch.setattr(module, "each_in_order", through_pickles)
    out, frames = tmp_path / "mine", tmp_path / "frames"
    frames.mkdir()
    shutil.copy(folder / "frames-00000.npz", frames)
    words = ["train", "detector", "--data", str(frames), "--test", str(folder), "--start", str(tiny)]
    words += ["--out", str(out), "--proposal-batch", "2", "--close-batch", "2", "--close-steps", "2"]
    words += ["--proposal-steps", "2"]
    assert main([*words, "--workers", "2"]) == 0
    assert f"{out}: written" in capsys.readouterr().out
    content = read_folder(out)
    assert CLOSE_UP_INT8 in content.files
    training = content.manifest.training
    assert training["frames"] == shards.frame_count(frames / "frames-00000.npz")
    assert training["settings"]["close_steps"] == 2
    assert training["command"].startswith("tiae train detector --data frames --test frames --start tiny")
    assert str(tmp_path) not in training["command"]
    assert "calibration_error" in content.manifest.measures or "found" in content.manifest.measures
    assert len(content.manifest.preprocessing[CALIBRATION]) == 3
    assert open_detector(out, precision="int8").name == "network mine (int8)"
    assert "give another --out or --overwrite" in refused(capsys, *words)
    # The same again trains nothing again but the last part; with other settings all of it.
    work = tmp_path / "mine_work"
    before = {path.name: path.stat().st_mtime_ns for path in work.glob("*_alone.pt")}
    assert sorted(before) == ["close_up_alone.pt", "proposals_alone.pt"]
    assert main([*words, "--overwrite", "--workers", "1"]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in work.glob("*_alone.pt")} == before
    assert main([*words, "--overwrite", "--workers", "1", "--seed", "1"]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in work.glob("*_alone.pt")} != before


def test_batches_that_processes_cannot_share_are_refused(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tiae_training.processes.process_count", lambda: 2)
    words = ["train", "detector", "--data", str(folder), "--out", str(tmp_path / "none"), "--proposal-batch", "3"]
    assert "proposal_batch is 3 for 2 processes; accepted is a multiple of them" in refused(capsys, *words)


def test_two_processes_train_a_detector(folder, tiny, tmp_path):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words += [
        "-m",
        "--",
        "tiae_training.detection",  # torchrun takes --start for an option of its own without --
        "--data",
        str(folder),
        "--start",
        str(tiny),
        "--device",
        "cpu",
    ]
    words += ["--close-batch", "2", "--close-steps", "2", "--proposal-steps", "2", "--workers", "1"]
    done = subprocess.run([*words, "--proposal-batch", "2", "--out", str(tmp_path / "mine")], **PLAIN)
    assert done.returncode == 0, done.stderr
    assert open_detector(tmp_path / "mine").name.startswith("network mine")
    assert done.stdout.count("written") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "ABSENT"], "hold no shards of frames"),
        (["--start", "ABSENT"], "there is no model"),
        (["--close-batch", "0"], "close_batch is 0; accepted is 1 to 4096"),
        (["--learning-rate", "2"], "learning_rate is 2.0"),
        (["--colorless-share", "1.5"], "colorless_share is 1.5; accepted is 0 to 1"),
        (["--proposal-steps", "-1"], "proposal_steps is -1"),
    ],
)
def test_impossible_trainings_are_one_line(folder, tmp_path, capsys, words, said):
    words = [str(tmp_path / "absent") if word == "ABSENT" else word for word in words]
    out = tmp_path / "mine"
    assert said in refused(capsys, "train", "detector", "--data", str(folder), "--out", str(out), *words)
    assert not out.exists()


def test_a_detector_does_not_replace_a_file(folder, tmp_path, capsys):
    (tmp_path / "mine").write_text("")
    said = refused(capsys, "train", "detector", "--data", str(folder), "--out", str(tmp_path / "mine"))
    assert "is a file; --out takes a folder" in said
