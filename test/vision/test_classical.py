"""Segmentation on drawn scenes whose labels are known, on real frames where they are there, and on faults."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_frames import iou, moved

from tiae_ros.errors import ImageError, ParameterError
from tiae_ros.vision.find_windows import find_windows
from tiae_ros.vision.segmentation.classical.segment import segment, skin_score
from tiae_ros.vision.segmentation.settings import SegmentationSettings

FOCAL = 300.0
WIDTH, HEIGHT = 320, 240
SKIN = (205, 150, 125)
SKINS = {
    "light": (235, 195, 175),
    "medium": (205, 150, 125),
    "brown": (140, 90, 65),
    "dark": (85, 55, 42),
}
TABLE = (120, 125, 130)
NOISE_M = 0.002


class Scene:
    """A table seen from above at a slant, and what is put on it; labels are drawn along."""

    def __init__(self, seed: int = 0, table: tuple[int, int, int] = TABLE) -> None:
        self.random = np.random.default_rng(seed)
        self.color = np.empty((HEIGHT, WIDTH, 3), np.float32)
        self.color[:] = table
        # A plane: 1/depth is affine in the row; from 1.0 m at the top to 0.7 m at the bottom.
        inverse = np.linspace(1 / 1.0, 1 / 0.7, HEIGHT, dtype=np.float32)
        self.depth = np.repeat((1 / inverse)[:, None], WIDTH, axis=1)
        self.labels = np.zeros((HEIGHT, WIDTH), np.uint8)

    def put(self, mask: np.ndarray, color: tuple[int, int, int], depth_m: float, label: int = 0) -> Scene:
        self.color[mask] = color
        self.depth[mask] = depth_m
        self.labels[mask] = label
        return self

    def hand(self, x=150, y=100, *, depth_m=0.5, skin=SKIN, forearm=True) -> Scene:
        """A palm with four fingers to the left, its forearm to the right; (x, y) is the palm's centre."""
        drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.circle(drawn, (x, y), 24, 1, -1)
        for index in range(4):
            row = y - 18 + 12 * index
            cv2.line(drawn, (x, row), (x - 48, row), 1, 8)
        if forearm:
            cv2.line(drawn, (x, y), (WIDTH + 40, y + 30), 1, 30)
        return self.put(drawn > 0, skin, depth_m, 1)

    def box(self, x, y, width, height, *, depth_m, color=(40, 60, 120), label=0) -> Scene:
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[y : y + height, x : x + width] = True
        return self.put(mask & (self.labels != 1), color, depth_m, label)

    def holding(self, x=150, y=100, **how) -> Scene:
        """A hand whose fingers lie on a box of 10 x 6 cm."""
        self.box(x - 78, y - 18, 60, 36, depth_m=how.get("depth_m", 0.5) + 0.01, label=2)
        return self.hand(x, y, **how)

    def picture(self, *, light: float = 1.0, cast=(1.0, 1.0, 1.0), holes: float = 0.0):
        """rgb and depth as a camera would give them."""
        rgb = self.color * light * np.array(cast, np.float32)
        rgb = cv2.GaussianBlur(rgb, (3, 3), 0.7) + self.random.normal(0, 3, rgb.shape)
        depth = self.depth + self.random.normal(0, NOISE_M, self.depth.shape).astype(np.float32)
        depth[self.random.random(depth.shape) < holes] = np.nan
        return np.clip(rgb, 0, 255).astype(np.uint8), depth.astype(np.float32)


# --- what is there

CONDITIONS = {  # the table's and the hand's colour, how it is seen, least overlap with hand and with object
    "usual": ({}, {}, {}, 0.85, 0.7),
    **{
        f"{name}-{light}": ({}, {"skin": skin}, {"light": light}, 0.75, 0)
        for name, skin in SKINS.items()
        for light in (0.55, 1.0)
    },
    "warm": ({}, {}, {"cast": (1.15, 1.0, 0.8)}, 0.75, 0),
    "cool": ({}, {}, {"cast": (0.9, 1.0, 1.1)}, 0.75, 0),
    "wood": ({"table": (170, 130, 95)}, {}, {}, 0.75, 0),
    "holes": ({}, {}, {"holes": 0.15}, 0.75, 0.5),
    "many holes": ({}, {}, {"holes": 0.45}, 0.75, 0.5),
}


@pytest.mark.parametrize(("table", "hand", "seen", "of_hand", "of_object"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_hand_and_what_it_holds(table, hand, seen, of_hand, of_object):
    scene = Scene(**table).holding(**hand)
    labels = segment(*scene.picture(**seen), focal_px=FOCAL)
    assert labels.dtype == np.uint8
    assert labels.shape == (HEIGHT, WIDTH)
    assert iou(labels == 1, scene.labels == 1) > of_hand
    assert iou(labels == 2, scene.labels == 2) > of_object


def test_a_large_hole_in_the_hand():
    scene = Scene().holding()
    color, depth = scene.picture()
    depth[90:115, 140:170] = np.nan
    labels = segment(color, depth, focal_px=FOCAL)
    assert iou(labels == 1, scene.labels == 1) > 0.8


def test_edges_that_the_sensor_fattens():
    scene = Scene().holding()
    color, depth = scene.picture()
    fattened = cv2.erode(depth, np.ones((5, 5), np.uint8))  # the nearest of the neighbours
    labels = segment(color, fattened, focal_px=FOCAL)
    assert iou(labels == 1, scene.labels == 1) > 0.75
    assert iou(labels == 2, scene.labels == 2) > 0.6


def test_an_empty_hand_holds_nothing():
    scene = Scene().hand()
    labels = segment(*scene.picture(), focal_px=FOCAL)
    assert iou(labels == 1, scene.labels == 1) > 0.85
    assert (labels == 2).sum() < 100


def test_what_stands_apart_is_background():
    scene = Scene().hand().box(30, 60, 40, 60, depth_m=0.65)
    labels = segment(*scene.picture(), focal_px=FOCAL)
    assert not (labels[60:120, 30:70] == 2).any()


def test_what_is_behind_the_hand_is_background():
    scene = Scene().box(60, 60, 60, 80, depth_m=0.65).hand()
    labels = segment(*scene.picture(), focal_px=FOCAL)
    assert (labels == 2).sum() < 100


def test_the_table_is_not_held():
    scene = Scene().hand(depth_m=0.80)  # flat on the table
    labels = segment(*scene.picture(), focal_px=FOCAL)
    assert (labels == 2).mean() < 0.01


def test_two_hands():
    scene = Scene().hand(200, 60).put(np.roll(Scene().hand(90, 60, forearm=False).labels > 0, 100, 0), SKIN, 0.55, 1)
    labels = segment(*scene.picture(), focal_px=FOCAL)
    assert iou(labels == 1, scene.labels == 1) > 0.8


# --- nothing is there


EMPTY = {
    "table": Scene(),
    "things": Scene().box(30, 60, 40, 60, depth_m=0.6).box(150, 90, 80, 60, depth_m=0.55, color=(60, 140, 70)),
    "skin-coloured wall": Scene(table=SKIN),
}


@pytest.mark.parametrize("scene", EMPTY.values(), ids=EMPTY)
def test_nothing_else_is_taken_for_a_hand(scene):
    assert not segment(*scene.picture(), focal_px=FOCAL).any()


def test_a_hand_out_of_reach_is_left_alone():
    scene = Scene().hand()
    color, depth = scene.picture()
    assert not segment(color, depth * 4, focal_px=FOCAL).any()


# --- depth alone


def test_depth_alone_finds_the_nearest_thing():
    scene = Scene().holding()
    _, depth = scene.picture()
    labels = segment(None, depth, focal_px=FOCAL)
    assert iou(labels == 1, scene.labels > 0) > 0.8
    assert not segment(None, Scene().picture()[1], focal_px=FOCAL).any()


# --- moving the picture


@settings(deadline=None, max_examples=30)
@given(dx=st.integers(-60, 20), dy=st.integers(-40, 40), long_side=st.sampled_from([80, 160]))
def test_the_labels_move_with_the_picture(dx, dy, long_side):
    how = SegmentationSettings(grid_long_side=long_side)  # cells of 4 and of 2 pixels
    color, depth = Scene().holding(190, 110).picture()
    labels = segment(color, depth, how, focal_px=FOCAL)
    color_moved, depth_moved = moved(color, dx, dy, 0), moved(depth, dx, dy, np.nan)
    labels_moved = segment(color_moved, depth_moved, how, focal_px=FOCAL)
    inside = moved(np.ones_like(labels), dx, dy, 0) > 0
    # Where the forearm is cut off, a few cells may differ.
    assert (labels_moved != moved(labels, dx, dy, 0))[inside].mean() < 0.003
    window, other = (find_windows(*frame, FOCAL)[0] for frame in ((labels, depth), (labels_moved, depth_moved)))
    assert abs(other.center_x - window.center_x - dx) <= 0.5 * window.side_px / 32
    assert abs(other.center_y - window.center_y - dy) <= 0.5 * window.side_px / 32


@settings(deadline=None, max_examples=15)
@given(dx=st.integers(-60, 20), dy=st.integers(-40, 40))
def test_by_depth_alone_the_labels_move_too(dx, dy):
    _, depth = Scene().holding(190, 110).picture()
    labels = segment(None, depth, focal_px=FOCAL)
    labels_moved = segment(None, moved(depth, dx, dy, np.nan), focal_px=FOCAL)
    inside = moved(np.ones_like(labels), dx, dy, 0) > 0
    assert (labels_moved != moved(labels, dx, dy, 0))[inside].mean() < 0.003


# --- faults


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0, 65.535, 65535.0, 1e-30, 3e38])
@pytest.mark.parametrize("with_color", [True, False])
def test_bad_depth(bad, with_color):
    color, depth = Scene().holding().picture()
    color = color if with_color else None
    nothing = np.full_like(depth, bad)
    assert not segment(color, nothing, focal_px=FOCAL).any()
    depth[::3, ::2] = bad
    labels = segment(color, depth, focal_px=FOCAL)
    assert set(np.unique(labels)) <= {0, 1, 2}
    assert (labels == 1).any()


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 5), (7, 1), (2, 3), (17, 33), (120, 160), (101, 347), (1, 700), (3, 900)]
)
def test_any_size(shape):
    random = np.random.default_rng(0)
    color = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    depth = random.uniform(0.3, 0.8, shape).astype(np.float32)
    for picture in (color, None):
        labels = segment(picture, depth)
        assert labels.shape == shape
        assert set(np.unique(labels)) <= {0, 1, 2}


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), cells=st.sampled_from([2, 8, 40]), with_color=st.booleans())
def test_noise_of_any_grain_does_not_break_it(seed, cells, with_color):
    random = np.random.default_rng(seed)
    color = cv2.resize(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8), (160, 120), interpolation=0)
    depth = cv2.resize(random.uniform(-0.2, 1.5, (cells, cells)).astype(np.float32), (160, 120), interpolation=0)
    depth[random.random(depth.shape) < 0.2] = np.nan
    labels = segment(color if with_color else None, depth)
    assert set(np.unique(labels)) <= {0, 1, 2}
    for window in find_windows(labels, depth, FOCAL):
        assert np.isfinite([window.center_x, window.center_y, window.side_px, window.depth_m]).all()


def test_inputs_are_left_as_they_were():
    color, depth = Scene().holding().picture(holes=0.1)
    color_before, depth_before = color.copy(), depth.copy()
    segment(color, depth, focal_px=FOCAL)
    np.testing.assert_array_equal(color, color_before)
    np.testing.assert_array_equal(depth, depth_before)


def test_the_same_picture_gives_the_same_labels():
    picture = Scene().holding().picture(holes=0.1)
    np.testing.assert_array_equal(segment(*picture), segment(*picture))


def test_sizes_that_differ_are_refused_with_both():
    color, depth = Scene().picture()
    with pytest.raises(ImageError, match=r"320x240.*160x240"):
        segment(color, depth[:, ::2])


def test_what_is_no_picture_is_refused():
    color, depth = Scene().picture()
    for bad_color, bad_depth in (
        (color[:, :, 0], depth),
        (color.astype(np.float32), depth),
        (color, depth[None]),
        (None, np.zeros((0, 5), np.float32)),
    ):
        with pytest.raises(ImageError):
            segment(bad_color, bad_depth)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("depth_max_m", 0.0),
        ("depth_max_m", float("nan")),
        ("band_m", -1.0),
        ("grid_long_side", 4),
        ("skin_min", 50.0),
        ("hand_area_min_m2", 1.0),
        ("gap_m", float("inf")),
        ("contact_m", True),
        ("plane_share", "much"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ParameterError, match=name):
        SegmentationSettings(**{name: value})


def test_grey_scores_nothing_and_skin_scores_high():
    grey = np.array([[[10, 10, 10], [128, 128, 128], [250, 250, 250]]], np.uint8)
    np.testing.assert_allclose(skin_score(grey), 0, atol=0.5)
    skin = np.array([list(SKINS.values())], np.uint8)
    assert skin_score(skin).min() > 10
    others = np.array([[[40, 60, 120], [60, 140, 70], [180, 60, 200], [120, 40, 160]]], np.uint8)
    assert skin_score(others).max() < 6


def test_it_is_fast_enough_for_a_camera():
    color, depth = Scene().holding().picture()
    color = cv2.resize(color, (640, 480))
    depth = cv2.resize(depth, (640, 480), interpolation=cv2.INTER_NEAREST)
    times = []
    for _ in range(7):
        start = time.thread_time()
        segment(color, depth, focal_px=2 * FOCAL)
        times.append(time.thread_time() - start)
    # About 10 ms on a laptop; 33 ms is a camera's frame.
    assert np.median(times) < 0.033


# --- the recorded bag, and real frames

BAG = Path(__file__).parents[1] / "data" / "grasps"


def test_the_recorded_bag():
    """Simulated hands with sleeves, seen by a noisy sensor; the labels are the simulator's."""
    pytest.importorskip("rosbags", reason="the package rosbags is not installed")
    from tiae_ros.streams.bags import Bag

    if not BAG.exists():
        pytest.skip(f"no bag at {BAG}")
    truth = np.load(BAG.with_name("grasps_truth.npz"))
    focal = float(truth["k"][0, 0])
    overlaps, inside = [], []
    with Bag(BAG) as bag:
        for frame, true in zip(bag.rgbd_frames(), truth["labels"], strict=True):
            labels = segment(frame.color, frame.depth_m, focal_px=focal)
            overlaps.append(iou(labels == 1, true == 1))
            windows = find_windows(labels, frame.depth_m, focal)
            inside.append(bool(windows) and true[round(windows[0].center_y), round(windows[0].center_x)] > 0)
    assert np.mean(np.array(overlaps) > 0.7) > 0.6
    assert np.mean(inside) > 0.85


BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def real_frames():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import real_frames as benchmark
    finally:
        sys.path.remove(str(BENCHMARKS))
    return benchmark


def test_real_frames():
    benchmark = real_frames()
    names = benchmark.frame_names(benchmark.FRAMES)
    if not names:
        pytest.skip(f"no real camera frames in {benchmark.FRAMES}")
    rows = [benchmark.measure(path, benchmark.FOCAL_PX) for path in names]
    assert all(row["finite"] for row in rows)
    assert sum(row["inside"] for row in rows) >= 10
    assert np.mean([row["hand_iou"] for row in rows]) > 0.8
