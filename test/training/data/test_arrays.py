"""Array files: every way a file can be wrong is one line that says so."""

import contextlib
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiae_ros.errors import DataError, OutputError
from tiae_training.data import arrays as arrays_module
from tiae_training.data.arrays import load_arrays, save_arrays, split

GOOD = np.zeros((6, 1, 32, 32), np.uint8)


def test_bytes_become_floats(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    save_arrays(tmp_path / "a.npz", {"images": pixels, "labels": np.array([3]), "label_names": np.array(["a"] * 4)})
    arrays = load_arrays(tmp_path / "a.npz")
    assert arrays.images.dtype == np.float32
    assert arrays.images.max() == 1.0
    assert arrays.labels.tolist() == [3]
    assert arrays.label_names == ("a",) * 4
    assert arrays.targets is arrays.images


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pictures": GOOD}, "no array `images`"),
        ({"images": GOOD[0]}, r"\(N, C, H, W\)"),
        ({"images": GOOD[:, :, :0]}, r"\(N, C, H, W\)"),
        ({"images": GOOD[:0]}, "hold 0 windows"),
        ({"images": GOOD[:1]}, "hold 1 windows"),
        ({"images": GOOD.astype(np.int32)}, "int32"),
        ({"images": np.full(GOOD.shape, np.nan, np.float32)}, "NaN"),
        ({"images": np.full(GOOD.shape, 255.0, np.float32)}, "between 255 and 255"),
        ({"images": GOOD, "labels": np.zeros(5, int)}, r"labels have shape \(5,\)"),
        ({"images": GOOD, "labels": np.zeros(6)}, "float64"),
        ({"images": GOOD, "clean": GOOD[:5]}, "clean has shape"),
        ({"images": GOOD, "joints": np.zeros((6, 2))}, "0 joint_names"),
        ({"images": GOOD, "labels": np.arange(6), "label_names": np.array(["a"] * 5)}, "between 0 and 5; there are 5"),
        ({"images": GOOD, "labels": np.arange(6) - 1, "label_names": np.array(["a"] * 6)}, "between -1 and 4"),
        ({"images": GOOD, "metric_size_m": np.array(-1.0)}, "metric_size_m is -1.0; accepted is one number above 0"),
        ({"images": GOOD, "range_m": np.array(np.nan)}, "range_m is nan"),
        ({"images": GOOD, "range_m": np.ones(6)}, "accepted is one number above 0"),
        ({"images": GOOD, "joints": np.full((6, 1), np.nan), "joint_names": np.array(["a"])}, "NaN"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, arrays, said):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=said) as caught:
        load_arrays(tmp_path / "a.npz", at_least=2)
    assert str(tmp_path / "a.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_npz_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("not a zip")
    np.save(tmp_path / "single.npy", GOOD)
    np.savez(tmp_path / "objects.npz", images=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "whole.npz", images=np.random.default_rng(0).random((6, 1, 32, 32)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:20_000])
    for name in ("text.npz", "single.npy", "objects.npz", "cut.npz", "absent.npz", "."):
        with pytest.raises(DataError):
            load_arrays(tmp_path / name)


def test_an_output_is_whole_or_not_there(tmp_path):
    save_arrays(tmp_path / "out.npz", {"images": GOOD})
    with pytest.raises(OutputError, match="exists already"):
        save_arrays(tmp_path / "out.npz", {"images": GOOD[:2]})
    assert len(load_arrays(tmp_path / "out.npz")) == 6
    save_arrays(tmp_path / "out.npz", {"images": GOOD[:2]}, overwrite=True)
    assert len(load_arrays(tmp_path / "out.npz")) == 2
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_arrays(tmp_path / "file" / "out.npz", {"images": GOOD})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "out.npz"]


def test_a_split_keeps_every_row_once(tmp_path):
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1).repeat(4, 2).repeat(4, 3)
    save_arrays(tmp_path / "a.npz", {"images": images, "labels": np.arange(10)})
    kept, held_out = split(load_arrays(tmp_path / "a.npz"), 0.3, seed=1)
    assert (len(kept), len(held_out)) == (7, 3)
    assert sorted([*kept.labels, *held_out.labels]) == list(range(10))
    assert np.array_equal((held_out.images[:, 0, 0, 0] * 255).round().astype(int), held_out.labels)


@pytest.mark.parametrize(
    "arrays",
    [
        {"channels": np.array("hand")},
        {"label_names": np.array("hand")},
        {"joints": np.zeros((6, 1)), "joint_names": np.array("hand")},
        {"joints": np.full((6, 1), "bent"), "joint_names": np.array(["hand"])},
    ],
)
def test_names_and_angles_of_another_kind_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", images=GOOD, **arrays)
    with pytest.raises(DataError, match="accepted"):
        load_arrays(tmp_path / "a.npz")


def test_arrays_not_per_window_stay(tmp_path):
    np.savez(
        tmp_path / "a.npz", images=GOOD, seed=np.array(3), background=GOOD.copy(), joints=np.eye(6, dtype=np.float32),
        joint_names=np.array(list("abcdef")), subjects=np.arange(6),
    )  # fmt: skip
    taken = load_arrays(tmp_path / "a.npz").take(np.array([4, 2]))
    assert int(taken.others["seed"]) == 3
    assert len(taken.others["background"]) == 6
    assert taken.others["joint_names"].tolist() == list("abcdef")
    assert taken.others["subjects"].tolist() == [4, 2]
    assert taken.others["joints"].tolist() == [[0, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0]]


NAMES = ("hand_mask", "object_mask", "depth")


def told_apart(count=6):
    """Windows whose channels are told by their values."""
    return np.float32([0.1, 0.2, 0.3])[None, :, None, None] * np.ones((count, 3, 8, 8), np.float32)


def test_channels_are_taken_by_name(tmp_path):
    order = [2, 0, 1]
    shown = {"images": told_apart()[:, order], "clean": told_apart()[:, order], "background": told_apart(2)[:, order]}
    np.savez(tmp_path / "a.npz", channels=np.array([NAMES[i] for i in order]), **shown)
    arrays = load_arrays(tmp_path / "a.npz").in_order(NAMES)
    assert arrays.channels == NAMES
    for values in (arrays.images, arrays.targets, arrays.others["background"]):
        np.testing.assert_array_equal(values, told_apart(len(values)))
    assert arrays.in_order(NAMES) is arrays
    for others in (("hand_mask", "object_mask", "heat"), NAMES[:2], ()):
        with pytest.raises(DataError, match=r"hold hand_mask, object_mask, depth; needed are"):
            arrays.in_order(others)
    assert arrays.in_order(("channel_0", "channel_1", "channel_2")) is arrays  # of a model that knows no names
    np.savez(tmp_path / "unnamed.npz", images=told_apart())
    unnamed = load_arrays(tmp_path / "unnamed.npz")
    assert unnamed.in_order(NAMES) is unnamed
    with pytest.raises(DataError, match="3 channels without names"):
        unnamed.in_order(NAMES[:2])


@pytest.mark.parametrize("names", [NAMES[:2], ("depth",) * 3, ("hand_mask", "", "depth")])
def test_names_unlike_their_channels_are_refused(tmp_path, names):
    np.savez(tmp_path / "a.npz", images=told_apart(), channels=np.array(names))
    with pytest.raises(DataError, match="a name of its own for each of the 3 channels"):
        load_arrays(tmp_path / "a.npz")


def npz(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def header(shape, kind="|u1"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_files_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch):
    """A few kilobytes that say they hold gigabytes, and a header that does: nothing of it is made room for."""
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file, file.open("images.npy", "w") as one:
        one.write(header((1, 1, 8, 1 << 23)) + bytes(1 << 26))
    monkeypatch.setattr(arrays_module, "_memory_left", lambda: 100_000_000)
    claims = npz(tmp_path / "claims.npz", {"images.npy": header((1 << 40, 1, 8, 8))})
    nothing = npz(tmp_path / "nothing.npz", {"images.npy": header((6, 1, 8, 8)) + bytes(384),
                                             "label_names.npy": header((1 << 60,), "<U0")})  # fmt: skip
    many = npz(tmp_path / "many.npz", {f"{number}.npy": header((1,)) + b"0" for number in range(1001)})
    tracemalloc.start()
    for path, said in (
        (tmp_path / "bomb.npz", "holds arrays of 0.0671 GB; accepted is up to half of the memory"),
        (claims, "is said to be .*, and is cut off"),
        (nothing, "accepted are numbers and text"),
        (many, "1001 arrays"),
    ):
        with pytest.raises(DataError, match=said):
            load_arrays(path)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_a_data_error(tmp_path, data):
    """Bytes of a file changed, or put into it, at random: it is read, or refused in one line."""
    path = tmp_path / "any.npz"
    names = {"channels": np.array(["a", "b", "c"]), "labels": np.zeros(2, int), "label_names": np.array(["x"])}
    (np.savez if data.draw(st.booleans()) else np.savez_compressed)(path, images=told_apart(2), **names)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        load_arrays(path)
