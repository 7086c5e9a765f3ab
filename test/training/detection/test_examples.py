"""From frames to examples: what must be found, grids and kept crops against their truth, rows on disk."""

import dataclasses

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")

from drawn_frames import ARM, FOCAL, HAND, HELD, WALL_M, empty_frame, hand_frame, hand_rows

from tiae_ros.errors import DataError
from tiae_training.detection.examples import (
    GRID_HEIGHT,
    GRID_WIDTH,
    KEPT_CELLS,
    KEPT_SIDE_M,
    MOST_HANDS,
    RowsWriter,
    crop_rows,
    grid_row,
    hands_of,
    is_apart,
    kept_crop,
    read_rows,
)
from tiae_training.detection.prepare import prepare, real_frames, shards_of


def test_what_must_be_found():
    whole = 0.0070 * (FOCAL / 0.6) ** 2  # pixels of 70 square centimetres at 0.6 m
    rows = hand_rows(
        [
            (240, 180, 0, 1, 0.6, False, int(0.26 * whole)),
            (100, 180, 0, 1, 0.6, True, int(0.24 * whole)),  # too little of it is seen
            (-1, 180, 0, 1, 0.6, False, int(whole)),  # its middle lies outside
            (240, 359, 0, 1, 0.6, False, int(whole)),
        ]
    )
    hands = hands_of(dataclasses.replace(empty_frame(), hands=rows))
    assert hands.plain.tolist() == [True, False, False, False]
    assert hands.left.tolist() == [False, True, False, False]
    small = {**rows, "size_m": np.full(4, 0.09)}  # a child's hand has a quarter of the pixels
    assert hands_of(dataclasses.replace(empty_frame(), hands=small)).plain.tolist() == [True, True, False, False]
    assert len(hands_of(empty_frame()).plain) == 0


def test_a_grid_row_has_the_hand_where_its_cells_are():
    row = grid_row(hand_frame())
    assert row["color"].shape == (GRID_HEIGHT, GRID_WIDTH, 3)
    assert row["labels"].shape == row["depth_mm"].shape == (GRID_HEIGHT, GRID_WIDTH)
    scale = GRID_WIDTH / 480
    assert row["focal"] == pytest.approx(FOCAL * scale)
    x, y, ax, ay, length, plain = row["hands"][0]
    assert (x, y) == pytest.approx(((240 + 0.5) * scale - 0.5, (180 + 0.5) * scale - 0.5))
    assert (ax, ay, plain) == (0, 1, 1)
    assert length == pytest.approx(FOCAL * scale * 0.18 / 0.6, rel=1e-4)
    assert np.isnan(row["hands"][1:]).all()
    assert len(row["hands"]) == MOST_HANDS
    assert row["labels"][round(y), round(x)] == HAND
    assert row["depth_mm"][round(y), round(x)] == 600
    assert row["depth_mm"][0, 0] == 1000 * WALL_M
    ys, xs = np.nonzero(row["labels"] == HELD)
    assert (xs.mean(), ys.mean()) == pytest.approx((x, y - 5.5 * FOCAL * scale / 60), abs=0.7)


def test_frames_of_another_shape_lie_in_the_upper_left():
    row = grid_row(hand_frame(60, 200, size=(400, 120)))
    scale = GRID_HEIGHT / 400
    assert row["hands"][0, 1] == pytest.approx((200 + 0.5) * scale - 0.5)
    assert row["focal"] == pytest.approx(FOCAL * scale)
    assert not row["depth_mm"][:, round(120 * scale) + 1 :].any()


@pytest.mark.parametrize("left", [False, True])
def test_a_kept_crop_shows_60_cm_around_the_hand(left):
    frame = hand_frame(200.0, 150.0, left=left)
    row = kept_crop(frame, np.array([200.0, 150.0]), 0.6, 0, hands_of(frame))
    assert row["labels"].shape == (KEPT_CELLS, KEPT_CELLS)
    assert row["facts"].tolist() == pytest.approx([1, float(left), 0, 1, 0.6, FOCAL / 0.6])
    per_cm = KEPT_CELLS / KEPT_SIDE_M / 100
    middle = (KEPT_CELLS - 1) / 2
    for label, x, y in ((HELD, 0, -5.5), (ARM, 0, 17)):
        ys, xs = np.nonzero(row["labels"] == label)
        assert (xs.mean(), ys.mean()) == pytest.approx((middle + x * per_cm, middle + y * per_cm), abs=0.7)
    assert row["labels"][round(middle), round(middle + (5.5 if left else -5.5) * per_cm)] == HAND  # the thumb
    assert row["labels"][round(middle), round(middle + (-5.5 if left else 5.5) * per_cm)] == 0
    assert row["depth_mm"][80, 80] == 600


def test_a_kept_crop_has_the_labels_of_its_hand_alone():
    frame = hand_frame()
    other = dataclasses.replace(frame, owner=frame.owner * 2)  # all is another hand's
    assert not kept_crop(other, np.array([240.0, 180.0]), 0.6, 0, hands_of(frame))["labels"].any()
    nobody = kept_crop(frame, np.array([240.0, 180.0]), 0.6, None, hands_of(frame))
    assert not nobody["labels"].any()
    assert nobody["facts"].tolist() == pytest.approx([0, 0, 0, 0, 0.6, FOCAL / 0.6])


def test_crops_of_a_frame_are_its_hands_and_places_that_are_none():
    frame = hand_frame()
    rows = crop_rows(frame, np.random.default_rng(0), negatives=40)
    assert [row["facts"][0] for row in rows].count(1) == 1
    assert 10 < len(rows) <= 41
    hidden = dataclasses.replace(frame, hands={**frame.hands, "shown_px": np.array([5])})
    assert not [row for row in crop_rows(hidden, np.random.default_rng(0), 3) if row["facts"][0]]


def test_a_place_is_apart_from_13_cm_on():
    hands = hands_of(hand_frame(240.0, 180.0, 0.6))
    cm = FOCAL / 0.6 / 100
    assert not is_apart(240 + 12.5 * cm, 180, 0.6, FOCAL, hands)
    assert is_apart(240, 180 - 13.5 * cm, 0.6, FOCAL, hands)
    assert is_apart(0, 0, 1.0, FOCAL, hands_of(empty_frame()))


def test_rows_are_read_as_they_were_added(tmp_path):
    writer = RowsWriter(tmp_path / "rows", 3)
    writer.add({"a": np.full((2, 2), n, np.uint8), "b": np.float32(n)} for n in range(2))
    assert writer.count == 2
    writer.close()
    rows = read_rows(tmp_path / "rows")
    assert {name: array.shape for name, array in rows.items()} == {"a": (2, 2, 2), "b": (2,)}
    assert rows["a"][1].tolist() == [[1, 1], [1, 1]]
    assert isinstance(rows["a"], np.memmap)
    writer = RowsWriter(tmp_path / "rows", 1)
    writer.add({"a": np.zeros((2, 2), np.uint8), "b": np.float32(n)} for n in range(5))
    writer.close()
    assert len(read_rows(tmp_path / "rows")["b"]) == 1


def test_without_shards_there_is_nothing_to_learn(tmp_path):
    with pytest.raises(DataError, match=r"hold no shards of frames; `tiae simulate people` makes them"):
        shards_of([tmp_path])


def test_real_rooms_are_frames_without_a_hand(tmp_path):
    color = np.zeros((48, 64, 3), np.uint8)
    color[..., 2] = 200  # red, as OpenCV has it
    depth = np.full((48, 64), 800, np.uint16)
    depth[:24] = 0
    cv2.imwrite(str(tmp_path / "room_color.png"), color)
    cv2.imwrite(str(tmp_path / "room_depth_mm.png"), depth)
    (frame,) = real_frames(tmp_path)
    assert frame.color.shape == (360, 480, 3)
    assert frame.color[100, 100].tolist() == [200, 0, 0]
    assert np.isnan(frame.depth_m[:180]).all()
    np.testing.assert_allclose(frame.depth_m[180:], 0.8)
    assert frame.focal_px == pytest.approx(0.8203125 * 480)
    assert not hands_of(frame).plain.any()
    (tmp_path / "room_depth_mm.png").unlink()
    with pytest.raises(DataError, match=r"room_depth_mm\.png cannot be read as a picture"):
        list(real_frames(tmp_path))
    cv2.imwrite(str(tmp_path / "room_depth_mm.png"), color)
    with pytest.raises(DataError, match="is no depth in millimetres; needed is a png of 16 bits and one channel"):
        list(real_frames(tmp_path))
    with pytest.raises(DataError, match=r"holds no pictures learn\*"):
        list(real_frames(tmp_path, "learn*"))


def test_examples_are_of_these_frames(tmp_path, monkeypatch):
    """Not of others of the same name, nor of what was begun and not ended."""
    from tiae_training.detection import recipe

    made = []

    def prepare(shards, real, work, **_):
        made.append([path.parent.name for path in shards])
        if len(made) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "prepare", prepare)
    for name in ("one", "two"):
        (tmp_path / name / "frames").mkdir(parents=True)
        (tmp_path / name / "frames" / "frames-00000.npz").write_bytes(name.encode())
    one, two = ([tmp_path / name / "frames" / "frames-00000.npz"] for name in ("one", "two"))
    recipe.prepare_once(one, [], tmp_path, 0)
    recipe.prepare_once(one, [], tmp_path, 0)
    assert len(made) == 1
    with pytest.raises(KeyboardInterrupt):
        recipe.prepare_once(two, [], tmp_path, 0)
    recipe.prepare_once(one, [], tmp_path, 0)
    assert len(made) == 3
    recipe.prepare_once(one, [hand_frame()], tmp_path, 0)
    assert len(made) == 4


def test_prepared_examples_are_all_frames_the_real_ones_last(tmp_path, monkeypatch):
    from tiae_training.detection import prepare as module

    frames = [hand_frame(seed=n) for n in range(3)]
    monkeypatch.setattr(module, "stored_frames", lambda path: iter(frames))
    monkeypatch.setattr(module, "frame_count", lambda path: len(frames))
    prepare([tmp_path / "a", tmp_path / "b"], [empty_frame()], tmp_path / "work", negatives=1)
    assert len(read_rows(tmp_path / "work" / "grids")["focal"]) == 7
    assert np.load(tmp_path / "work" / "real.npy").tolist() == [6]
    facts = read_rows(tmp_path / "work" / "crops")["facts"]
    assert (np.asarray(facts[:, 0]) == 1).sum() == 6
