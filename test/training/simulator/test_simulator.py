"""The simulator: the same bytes for the same seed, joints within limits, truth that fits."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tiae_ros.cli import main
from tiae_ros.errors import DataError, MissingExtraError, OutputError, ParameterError

DATA = Path(__file__).resolve().parents[2] / "data"

pytest.importorskip("mujoco", reason="the extra `sim` is not installed: pip install -e '.[sim]'")

from tiae_training.simulator import rendering  # noqa: E402

try:
    rendering.make_context_current(64, 48)
except MissingExtraError as error:
    pytest.skip(f"no headless OpenGL on this machine: {error}", allow_module_level=True)

from tiae_training.data.windows import WindowSize  # noqa: E402
from tiae_training.simulator import GRASP_NAMES, JOINT_LIMITS, JOINT_NAMES, SLIDE_GRASPS, Sample, Simulator  # noqa: E402
from tiae_training.simulator.grasping import grasp_thing, make_stage  # noqa: E402
from tiae_training.simulator.grasps import BY_NAME  # noqa: E402
from tiae_training.simulator.hand import HandWriter, draw_subject  # noqa: E402
from tiae_training.simulator.photographs import collect_photographs, load_photographs  # noqa: E402
from tiae_training.simulator.recording import write_bag  # noqa: E402
from tiae_training.simulator.simulator import (  # noqa: E402
    SimulatorSettings,
    palm_direction,
    render_scene,
    set_camera,
)
from tiae_training.simulator.skin import skins_of  # noqa: E402
from tiae_training.simulator.window_set import window_rows  # noqa: E402

EMPTY_HANDED = {"open_hand", "pointing", "fist", "pinch"}
ARRAYS = ("rgb", "depth_m", "clean_depth_m", "labels", "joints", "k")


def assert_same(first: Sample, second: Sample) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    assert (first.grasp, first.subject, first.left) == (second.grasp, second.subject, second.left)


@pytest.fixture(scope="module")
def one_of_each() -> list[Sample]:
    """One sample of every grasp."""
    settings = SimulatorSettings(seed=5, views_per_scene=1)
    return [render_scene(settings, number)[0] for number in range(len(GRASP_NAMES))]


def test_keypoints_are_the_hands(one_of_each):
    """Tips as far from the wrist as the truth says, and most of them on the hand or on what it holds."""
    on_hand = []
    for sample in one_of_each:
        palm, points = sample.palm, sample.palm.keypoints_px(sample.k)
        tips = np.linalg.norm((palm.keypoints_m[[4, 8, 12, 16, 20]] - palm.keypoints_m[0]), axis=1)
        np.testing.assert_allclose(tips * 1000, np.linalg.norm(palm.tips_mm, axis=1), atol=1e-3)
        height, width = sample.labels.shape
        x, y = np.rint(points[:, 0]).astype(int), np.rint(points[:, 1]).astype(int)
        within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        on_hand.append((sample.labels[y[within], x[within]] > 0).mean())
    assert np.mean(on_hand) > 0.85


def test_hands_in_any_pose_and_on_their_way():
    settings = SimulatorSettings(seed=6, views_per_scene=4, grasps=("mug",), free_share=0.5, closing_share=0.5)
    samples = [sample for number in range(3) for sample in render_scene(settings, number)]
    free, closing = ([s for s in samples if (s.grasp == "free") == wanted] for wanted in (True, False))
    assert free
    assert closing
    for sample in samples:
        for name, angle in zip(JOINT_NAMES, sample.joints, strict=True):
            low, high = JOINT_LIMITS[name]
            assert low - 1e-5 <= angle <= high + 1e-5
    assert not any((sample.labels == 2).any() for sample in free)
    assert {sample.grasp for sample in closing} == {"mug"}
    fingers = [n for n, name in enumerate(JOINT_NAMES) if not name.startswith("wrist")]
    first = closing[0].joints[fingers]
    assert any(np.abs(sample.joints[fingers] - first).max() > 0.2 for sample in closing)


def test_gloves_are_of_any_colour_and_skin_is_not() -> None:
    def redder(share: float) -> list[bool]:
        """Of a few hands: is there more red than blue in them?"""
        samples = [Simulator(seed=seed, glove_share=share, colour_noise=0).sample() for seed in range(6)]
        means = [sample.rgb[sample.labels == 1].mean(0) for sample in samples]
        return [bool(mean[0] > mean[2]) for mean in means]

    assert sum(redder(0.0)) >= 5
    assert 1 <= sum(redder(1.0)) <= 4


# --- what is in a sample -----------------------------------------------------------------------------------------


def test_a_seed_decides_every_byte() -> None:
    first, second, other = Simulator(seed=3), Simulator(seed=3), Simulator(seed=4)
    for _ in range(5):
        assert_same(first.sample(), second.sample())
    assert not np.array_equal(first.sample().rgb, other.sample().rgb)


def test_number_of_workers_does_not_change_the_bytes() -> None:
    settings = SimulatorSettings(seed=9, views_per_scene=1, grasps=("mug", "fist"))
    rows = {}
    for workers in (1, 2):
        stream = window_rows(settings, WindowSize(), workers)
        rows[workers] = [next(stream) for _ in range(6)]
        stream.close()  # type: ignore[attr-defined]
    for one, two in zip(rows[1], rows[2], strict=True):
        np.testing.assert_array_equal(one.masks, two.masks)
        np.testing.assert_array_equal(one.depth, two.depth)
        assert one.hand.subject == two.hand.subject


def test_shapes_types_and_names(one_of_each: list[Sample]) -> None:
    assert len(JOINT_NAMES) == 25
    assert len(SLIDE_GRASPS) == 13
    for name, sample in zip(GRASP_NAMES, one_of_each, strict=True):
        assert sample.grasp == name
        assert sample.rgb.shape == (120, 160, 3)
        assert sample.rgb.dtype == np.uint8
        assert sample.depth_m.shape == sample.clean_depth_m.shape == sample.labels.shape == (120, 160)
        assert sample.depth_m.dtype == sample.clean_depth_m.dtype == np.float32
        assert sample.labels.dtype == np.uint8
        assert sample.k[0, 2] == (160 - 1) / 2


def test_joints_are_within_their_limits(one_of_each: list[Sample]) -> None:
    limits = np.array([JOINT_LIMITS[name] for name in JOINT_NAMES], np.float32)
    for sample in one_of_each:
        assert sample.joints.shape == (25,)
        assert (sample.joints >= limits[:, 0] - 1e-6).all(), sample.grasp
        assert (sample.joints <= limits[:, 1] + 1e-6).all(), sample.grasp


def test_labels_and_depth_agree(one_of_each: list[Sample]) -> None:
    for sample in one_of_each:
        hand, thing = sample.labels == 1, sample.labels == 2
        assert hand.sum() > 60, sample.grasp
        assert (thing.sum() == 0) == (sample.grasp in EMPTY_HANDED), sample.grasp
        assert np.isfinite(sample.clean_depth_m).all()
        assert sample.clean_depth_m[hand | thing].min() > 0.2
        if thing.any():
            # What is held is where the hand is.
            nearest = np.abs(
                np.median(sample.clean_depth_m[thing]) - np.percentile(sample.clean_depth_m[hand], [5, 50])
            )
            assert nearest.min() < 0.15, sample.grasp
        seen = np.isfinite(sample.depth_m) & (hand | thing)
        assert seen.sum() > 0.4 * (hand | thing).sum(), sample.grasp
        assert np.median(np.abs(sample.depth_m - sample.clean_depth_m)[seen]) < 0.012, sample.grasp


@pytest.mark.parametrize("name", [name for name in GRASP_NAMES if name not in EMPTY_HANDED])
def test_fingers_stop_at_the_thing(name: str) -> None:
    """Fingers touch what they hold, and stop well before where the servos pull them."""
    grasp = BY_NAME[name]
    touching = 0
    for trial in range(4):
        rng = np.random.default_rng([trial, 1])
        held = grasp_thing(grasp, HandWriter(draw_subject(trial), left=bool(trial % 2)), rng)
        touching += bool(held.closing.touching[-1])
        thing = held.closing.thing_pose
        assert np.linalg.norm(thing[-1, :3] - thing[0, :3]) < 0.045, "pushed out of the hand"
        pulled = np.array([grasp.closing.get(joint, np.nan) for joint in JOINT_NAMES])
        assert np.nanmax(pulled - held.closing.joints[-1]) > 0.15, "nothing stopped the fingers"
    assert touching == 4


def test_left_hand_mirrors_the_right() -> None:
    subject = draw_subject(4)
    right, left = (make_stage(HandWriter(subject, side), []) for side in (False, True))
    rng = np.random.default_rng(0)
    angles = {name: rng.uniform(*JOINT_LIMITS[name]) for name in JOINT_NAMES}
    for stage in (right, left):
        for name, angle in angles.items():
            stage.data.joint(name).qpos[0] = angle
        rendering.import_mujoco().mj_kinematics(stage.model, stage.data)
    mirrored = left.data.geom_xpos[left.hand_geoms] * [1, -1, 1]
    np.testing.assert_allclose(mirrored, right.data.geom_xpos[right.hand_geoms], atol=1e-9)


def skin_arrays(content: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces, and the sum of each vertex's weights in a MuJoCo skin file."""
    vertices, texture, faces, bones = np.frombuffer(content, "<i4", 4)
    at = 16
    points = np.frombuffer(content, "<f4", 3 * vertices, at).reshape(-1, 3)
    at += 12 * vertices + 8 * texture
    triangles = np.frombuffer(content, "<i4", 3 * faces, at).reshape(-1, 3)
    at += 12 * faces
    sums = np.zeros(vertices)
    for _ in range(bones):
        at += 40 + 28
        count = int(np.frombuffer(content, "<i4", 1, at)[0])
        followers = np.frombuffer(content, "<i4", count, at + 4)
        sums[followers] += np.frombuffer(content, "<f4", count, at + 4 + 4 * count)
        at += 4 + 8 * count
    assert at == len(content)
    return points, triangles, sums


@pytest.mark.parametrize("left", [False, True])
def test_skin_is_closed_and_follows_the_bones(left: bool) -> None:
    skins = skins_of(HandWriter(draw_subject(3), left, "sleeve", 0.08, smooth=True))
    assert set(skins) == {"hand", "arm", "sleeve"}
    for content in skins.values():
        points, triangles, sums = skin_arrays(content)
        np.testing.assert_allclose(sums, 1.0, atol=1e-5)
        corners = points[triangles].astype(float)
        volume = np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
        assert volume > 1e-4  # a hand has about 0.35 litres
    points, triangles, _ = skin_arrays(skins["hand"])
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, shared = np.unique(edges, axis=0, return_counts=True)
    assert (shared % 2 == 0).all()


def test_smooth_hand_has_the_outline_of_its_capsules() -> None:
    pictures = {}
    for smooth in (False, True):
        settings = SimulatorSettings(seed=8, sensor="none", grasps=("pointing",), views_per_scene=2, smooth_skin=smooth)
        pictures[smooth] = render_scene(settings, 0)
    for plain, smooth_one in zip(pictures[False], pictures[True], strict=True):
        np.testing.assert_array_equal(plain.joints, smooth_one.joints)
        one, two = plain.labels == 1, smooth_one.labels == 1
        assert (one & two).sum() / (one | two).sum() > 0.85
        both = one & two
        assert np.median(np.abs(plain.clean_depth_m - smooth_one.clean_depth_m)[both]) < 0.004


def test_subjects_differ_and_stay_the_same_person() -> None:
    assert draw_subject(7) == draw_subject(7)
    lengths = np.array([draw_subject(number).length_m for number in range(300)])
    assert 0.155 < lengths.min() < 0.170
    assert 0.200 < lengths.max() < 0.220
    assert lengths.mean() == pytest.approx(0.187, abs=0.002)


def test_intrinsics_are_those_of_the_picture() -> None:
    """The middle of a ball is where the intrinsics project it, at its depth."""
    rng = np.random.default_rng(0)
    held = grasp_thing(BY_NAME["ball"], HandWriter(draw_subject(1), False, "no_forearm"), rng)
    stage = held.stage
    settings = SimulatorSettings(width=160, height=120)
    stage.model.geom_rgba[stage.hand_geoms, 3] = 0.0  # nothing in front of the ball
    rendering.import_mujoco().mj_forward(stage.model, stage.data)
    centre = stage.data.geom_xpos[stage.things[0][0]].copy()
    camera, up = centre + np.array([0.1, 0.2, -0.45]), palm_direction((0.1, 1, 0.2), False)
    target = centre + np.array([0.03, -0.02, 0.0])
    set_camera(settings, stage.model, camera, target, up, 0.3, focal=170.0)
    rendering.import_mujoco().mj_forward(stage.model, stage.data)
    view = rendering.View(stage.model, stage.data, 160, 120)
    _, depth, geoms = view.render()
    view.close()
    rows, columns = np.nonzero(np.isin(geoms, stage.things[0]))
    axes = stage.data.cam_xmat[0].reshape(3, 3)
    seen = axes.T @ (centre - camera)
    expected_x = 170.0 * seen[0] / -seen[2] + (160 - 1) / 2
    expected_y = -170.0 * seen[1] / -seen[2] + (120 - 1) / 2
    assert 0.5 * (columns.min() + columns.max()) == pytest.approx(expected_x, abs=0.8)
    assert 0.5 * (rows.min() + rows.max()) == pytest.approx(expected_y, abs=0.8)
    radius = float(stage.model.geom_size[stage.things[0][0], 0])
    assert depth[np.isin(geoms, stage.things[0])].min() == pytest.approx(-seen[2] - radius, abs=0.002)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"grasps": ("teapot",)}, "teapot"),
        ({"subjects": (5, 5)}, "5:5"),
        ({"view": "below"}, "below"),
        ({"sensor": "sonar"}, "sonar"),
        ({"width": 4}, "4x120"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ParameterError, match=named) as caught:
        Simulator(seed=0, **settings)
    assert "\n" not in str(caught.value)


def test_missing_mujoco_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(MissingExtraError, match=r"\[sim\].*libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri"):
        rendering.import_mujoco()
    assert main(["simulate", "--out", "w.npz", "--count", "4"]) == 2


# --- motion, files, command --------------------------------------------------------------------------------------


def test_sequence_moves_smoothly_and_keeps_its_margins() -> None:
    simulator = Simulator(seed=2, width=320, height=240)
    samples = list(simulator.sequence(36, grasps=("cup",), arm_length_m=0.1, margin_px=(45, 30)))
    assert len(samples) == 36
    joints = np.stack([sample.joints for sample in samples])
    assert np.abs(np.diff(joints, axis=0)).max() < 0.6
    held = [bool((sample.labels == 2).any()) for sample in samples]
    assert not held[0]
    assert not held[-1]
    assert sum(held) > 15
    for sample in samples:
        rows, columns = np.nonzero(sample.labels)
        assert columns.min() >= 40
        assert columns.max() < 280
        assert rows.min() >= 26
        assert rows.max() < 214


def test_margins_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(ParameterError, match="margins of 150 and 110 px"):
        list(Simulator(seed=2, width=320, height=240).sequence(3, grasps=("cup",), margin_px=(150, 110)))


def test_bag_holds_the_samples_byte_by_byte(tmp_path: Path) -> None:
    from tiae_ros.streams.bags import Bag

    contents = []
    for run in ("a", "b"):
        simulator = Simulator(seed=6, width=64, height=48)
        samples = list(simulator.sequence(4, grasps=("mug",)))
        path = tmp_path / run / "bag"
        truth = write_bag(samples, path, rate_hz=10.0)
        contents.append({file.name: file.read_bytes() for file in path.iterdir()})
    assert contents[0] == contents[1]
    assert truth["labels"].shape == (4, 48, 64)
    with Bag(path) as bag:
        frames = list(bag.rgbd_frames())
    assert [frame.stamp_ns for frame in frames] == truth["stamp_ns"].tolist()
    for frame, sample in zip(frames, samples, strict=True):
        np.testing.assert_array_equal(frame.color, sample.rgb)
        np.testing.assert_allclose(frame.depth_m, sample.depth_m, atol=0.00051)
        np.testing.assert_allclose(frame.k, sample.k)
    with pytest.raises(OutputError, match="exists already"):
        write_bag(samples, path)


def test_recorded_test_bag_is_as_its_readme_says() -> None:
    from tiae_ros.streams.bags import Bag

    size = sum(file.stat().st_size for file in (DATA / "grasps").iterdir())
    assert size <= 6e6
    with np.load(DATA / "grasps_truth.npz") as truth:
        labels, stamps = truth["labels"], truth["stamp_ns"]
        assert set(truth["grasp"].tolist()) == {"mug", "scissors_1", "pen_1"}
    with Bag(DATA / "grasps") as bag:
        frames = [(frame.stamp_ns, frame.color.shape, frame.depth_m.shape) for frame in bag.rgbd_frames()]
    assert [frame[0] for frame in frames] == stamps.tolist()
    assert {frame[1:] for frame in frames} == {((240, 320, 3), (240, 320))}
    _, rows, columns = np.nonzero(labels)
    assert columns.min() >= 45
    assert columns.max() < 320 - 45
    assert rows.min() >= 30
    assert rows.max() < 240 - 30


def test_command_writes_windows_for_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tiae_training.data.arrays import load_arrays

    out = tmp_path / "w_{channels}.npz"
    words = ["simulate", "--out", str(out), "--count", "8", "--seed", "1", "--channels", "masks", "depth", "both"]
    assert main([*words, "--subjects", "40:50", "--grasps", "mug,pen_1", "--workers", "1"]) == 0
    masks, depth, both = (load_arrays(tmp_path / f"w_{kind}.npz") for kind in ("masks", "depth", "both"))
    assert masks.images.shape == (8, 2, 32, 32)
    assert depth.images.shape == depth.targets.shape == (8, 1, 32, 32)
    np.testing.assert_array_equal(both.images, np.concatenate([masks.images, depth.images], axis=1))
    assert masks.label_names == ("mug", "pen_1")
    subjects = masks.others["subjects"]
    assert ((subjects >= 40) & (subjects < 50)).all()
    assert masks.others["joints"].shape == (8, 25)
    capsys.readouterr()
    assert main([*words, "--workers", "1"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_segmented_windows_keep_true_masks_to_restore(tmp_path: Path) -> None:
    from tiae_training.data.arrays import load_arrays

    words = [
        "simulate",
        "--count",
        "24",
        "--seed",
        "1",
        "--grasps",
        "mug,pen_1",
        "--workers",
        "1",
        "--channels",
        "both",
    ]
    for name, share in (("true", "0"), ("half", "0.5"), ("again", "0.5")):
        assert main([*words, "--out", str(tmp_path / f"{name}.npz"), "--segmented-share", share]) == 0
    true, half, again = (load_arrays(tmp_path / f"{name}.npz") for name in ("true", "half", "again"))
    np.testing.assert_array_equal(true.images[:, :2], true.targets[:, :2])
    changed = (half.images[:, :2] != half.targets[:, :2]).any(axis=(1, 2, 3))
    assert 4 <= changed.sum() <= 20
    hand, wanted = half.images[:, 0] >= 0.5, half.targets[:, 0] >= 0.5
    overlap = (hand & wanted).sum((1, 2)) / (hand | wanted).sum((1, 2))
    assert overlap.min() > 0.2
    assert overlap[~changed].min() == 1
    np.testing.assert_array_equal(half.images, again.images)
    assert main([*words, "--out", str(tmp_path / "x.npz"), "--segmented-share", "2"]) == 2
    assert main([*words, "--out", str(tmp_path / "x.npz"), "--segmented-share", "1", "--segmentation", "no"]) == 2


def test_command_writes_frames_with_and_without_hands(tmp_path: Path) -> None:
    out = tmp_path / "frames.npz"
    words = ["--count", "36", "--seed", "3", "--channels", "frames", "--width", "96", "--height", "72"]
    assert main(["simulate", "--out", str(out), *words, "--workers", "1"]) == 0
    with np.load(out) as frames:
        assert frames["color"].shape == (36, 72, 96, 3)
        assert frames["depth_mm"].shape == frames["segmentation"].shape == (36, 72, 96)
        assert frames["k"].shape == (36, 3, 3)
        named = frames["labels"] >= 0
        hand = (frames["segmentation"] == 1).any(axis=(1, 2))
        held = (frames["segmentation"] == 2).any(axis=(1, 2))
    assert 0 < (~hand).sum() < 18
    assert not (held & ~named).any()
    assert (hand & ~named).any()  # a hand that reaches for something


def test_a_share_of_frames_has_no_hand(tmp_path: Path) -> None:
    out = tmp_path / "empty.npz"
    words = ["--count", "6", "--channels", "frames", "--width", "48", "--height", "36", "--empty-share", "1"]
    assert main(["simulate", "--out", str(out), *words, "--workers", "1"]) == 0
    with np.load(out) as frames:
        assert not frames["segmentation"].any()
        assert (frames["labels"] == -1).all()


def test_photographs_that_packages_carry(tmp_path: Path) -> None:
    copied = collect_photographs(tmp_path / "photographs")
    assert len(copied) >= 10
    assert len(load_photographs(str(tmp_path / "photographs"))) == len(copied)


def test_photographs_hang_behind_the_hand_only(tmp_path: Path) -> None:
    import cv2

    green = np.zeros((300, 400, 3), np.uint8)
    green[..., 1] = 255
    cv2.imwrite(str(tmp_path / "green.png"), green)
    with_photo = SimulatorSettings(seed=3, sensor="none", views_per_scene=8, photographs=str(tmp_path))
    samples = render_scene(with_photo, 0)
    is_green = [(sample.rgb == [0, 255, 0]).all(axis=2) for sample in samples]
    assert 0 < sum(bool(part.any()) for part in is_green) < 8
    for part, sample in zip(is_green, samples, strict=True):
        assert not (part & (sample.labels > 0)).any()
    with pytest.raises(DataError, match="holds no photographs"):
        load_photographs(str(tmp_path / "empty"))


def test_things_beside_the_hand_are_background() -> None:
    settings = SimulatorSettings(seed=2, grasps=("fist",), bystanders=3, views_per_scene=1)
    plain = SimulatorSettings(seed=2, grasps=("fist",), bystanders=0, views_per_scene=1)
    assert not np.array_equal(render_scene(settings, 0)[0].rgb, render_scene(plain, 0)[0].rgb)
    for number in range(6):
        assert not (render_scene(settings, number)[0].labels == 2).any()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--count", "0"], "--count is 0"),
        (["--count", "4", "--grasps", "teapot"], "teapot"),
        (["--count", "4", "--subjects", "ten"], "FIRST:END"),
        (["--count", "4", "--channels", "masks", "depth"], "{channels}"),
        (["--count", "4", "--window-size", "1000"], "1000"),
    ],
)
def test_command_says_what_is_wrong_in_one_line(
    words: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--out", str(tmp_path / "w.npz"), *words]) == 2
    message = capsys.readouterr().err.strip()
    assert named in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_speed(capsys: pytest.CaptureFixture[str]) -> None:
    simulator = Simulator(seed=1)
    for _ in range(6):
        simulator.sample()
    started, used = time.perf_counter(), time.process_time()
    for _ in range(60):
        simulator.sample()
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    with capsys.disabled():
        print(f"\nsimulator: {60 / wall:.0f} samples/s at 160x120 in one process ({1e3 * cpu / 60:.0f} ms of CPU each)")
    assert 60 / wall > 4  # a machine that others use too; alone it is ten times that
