"""A model on disk, of either kind: whole, or refused in one line that says what is wrong and where."""

import argparse
import dataclasses
import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiae_ros import load_model
from tiae_ros.cli import main
from tiae_ros.commands.train import run_options
from tiae_ros.errors import ModelError, OutputError
from tiae_ros.model import folder as folder_module
from tiae_ros.model.folder import (
    CLOSE_UP,
    CLOSE_UP_INT8,
    DECODER,
    ENCODER,
    MANIFEST,
    NETWORK,
    NETWORK_INT8,
    POSE,
    PROPOSALS,
    PROPOSALS_INT8,
    PROTOTYPES,
    WEIGHTS,
    read_folder,
    read_manifest,
    write_folder,
)
from tiae_ros.model.hand_detector import load_detector
from tiae_ros.model.hand_pose import load_hand_pose
from tiae_ros.model.segmenter import load_segmentation
from tiae_ros.model.shipped import find_model

KINDS = {
    "autoencoder": ("depth", load_model, (ENCODER, DECODER, PROTOTYPES, WEIGHTS)),
    "segmentation": ("segmentation", load_segmentation, (NETWORK, NETWORK_INT8, WEIGHTS)),
    "detector": ("detector", load_detector, (PROPOSALS, CLOSE_UP, PROPOSALS_INT8, CLOSE_UP_INT8, WEIGHTS)),
    "hand_pose": ("hand_pose", load_hand_pose, (POSE, WEIGHTS)),
}
FILES = [(kind, name) for kind, (_, _, names) in KINDS.items() for name in names]
every_file = pytest.mark.parametrize(("folder", "name"), FILES, indirect=["folder"])


@pytest.fixture(params=KINDS)
def folder(request, tmp_path):
    """A copy of a shipped model of each kind."""
    return shutil.copytree(find_model(KINDS[request.param][0]), tmp_path / request.param)


def load(folder):
    return KINDS[folder.name][1](folder)


def edit(folder, **changes):
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def put(folder, name, content, *, listed):
    """Replace a file; listed: as the manifest says, too."""
    (folder / name).write_bytes(content)
    if listed:
        files = dict(read_manifest(folder).files)
        edit(folder, files={**files, name: folder_module.digest(content)})


def refused(folder, where=None) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    assert str(where or folder) in message
    return message


def test_shipped_models_are_whole(folder):
    load(folder)
    assert set(read_manifest(folder).files) == set(KINDS[folder.name][2])
    assert not list(folder.glob("*.new"))


def test_what_is_absent_is_named(folder, tmp_path):
    with pytest.raises(ModelError, match=r"nowhere'.*does not exist.*shipped models"):
        KINDS[folder.name][1](tmp_path / "nowhere")
    with pytest.raises(ModelError, match="is a file"):
        KINDS[folder.name][1](folder / MANIFEST)
    (folder / MANIFEST).unlink()
    assert "absent" in refused(folder, folder / MANIFEST)


@every_file
def test_every_file_listed_is_needed(folder, name):
    (folder / name).unlink()
    message = refused(folder, folder / name)
    assert "absent" in message
    assert "unfinished" not in message
    (folder / "checkpoint.safetensors").write_bytes(b"x")
    assert f"tiae train --resume --out {folder}" in refused(folder)


@every_file
def test_truncated_files_are_refused(folder, name):
    content = (folder / name).read_bytes()
    for size in (0, 1, 7, 100, len(content) // 2, len(content) - 1):
        (folder / name).write_bytes(content[:size])
        refused(folder, folder / name)
    os.truncate(folder / name, 1 << 30)  # a sparse file: refused before it is read
    assert "accepted are 1 to" in refused(folder, folder / name)


@every_file
def test_one_flipped_bit_is_noticed(folder, name):
    content = (folder / name).read_bytes()
    for place in (0, len(content) // 2, len(content) - 1):
        altered = bytearray(content)
        altered[place] ^= 1
        (folder / name).write_bytes(altered)
        assert "damaged or altered" in refused(folder, folder / name)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@every_file
@pytest.mark.parametrize("listed", [True, False])
def test_pickles_are_never_opened(folder, name, listed, tmp_path):
    trap = tmp_path / "executed"
    archive = io.BytesIO()  # as torch.save packs it
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Bomb(trap)))
    for content in (*(pickle.dumps(Bomb(trap), protocol) for protocol in (2, 4)), archive.getvalue()):
        put(folder, name, content, listed=listed)
        assert "pickle" in refused(folder, folder / name)
    assert not trap.exists()


@pytest.mark.parametrize(("folder", "name"), [f for f in FILES if f[1] != WEIGHTS], indirect=["folder"])
def test_garbage_is_refused_though_listed(folder, name):
    for content in (b"garbage, but with its digest", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4', ("):
        put(folder, name, content, listed=True)
        refused(folder, folder / name)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.zeros((3, 96), np.float16), r"holds \(3, 96\)"),
        (np.zeros((1008, 96), "U1"), "holds"),
        (np.array([{}], object), "cannot be read"),
    ],
)
@pytest.mark.parametrize("folder", ["autoencoder"], indirect=True)
def test_prototypes_that_do_not_fit(folder, rows, said):
    content = io.BytesIO()
    np.save(content, rows, allow_pickle=True)
    put(folder, PROTOTYPES, content.getvalue(), listed=True)
    with pytest.raises(ModelError, match=said):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format_version": 3}, "format_version is 3"),
        ({"format_version": "2"}, "format_version is '2'"),
        ({"format_version": True}, "format_version is True"),
        ({"format_version": None}, "format_version is None"),
        ({"format_version": 1}, "tiae export --run"),
        ({"kind": "other"}, "accepted are autoencoder, segmentation"),
        ({"window_size": 100_000}, "window_size"),
        ({"window_size": "32"}, "window_size"),
        ({"descriptor_size": -1}, "descriptor_size"),
        ({"channels": []}, "channels"),
        ({"channels": "hand"}, "channels"),
        ({"network": ["standard"]}, "network"),
        ({"training": 3}, "training"),
        ({"transforms": {"shift": {"radius_px": "eight"}}}, "transforms"),
        ({"transforms": {"shift": {"radius_px": 10**400}}}, "transforms"),
        ({"prototype_radius": 10**400}, "prototype_radius"),
        ({"measures": {"dispersion": "low"}}, "measures"),
        ({"preprocessing": {"metric_size_m": "x"}}, "metric_size_m is 'x'; accepted is a number of metres above 0"),
        ({"preprocessing": {"range_m": 0}}, "range_m is 0"),
        ({"model_id": "\ud800"}, "model_id"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"weights": "../../etc/passwd"}, "unknown field 'weights'"),
        ({"files": {}}, "files lack"),
        ({"files": {"encoder.onnx": None}}, "files"),
    ],
)
def test_a_manifest_that_does_not_fit(folder, changes, said):
    edit(folder, **changes)
    assert said in refused(folder, folder / MANIFEST)


@pytest.mark.parametrize(
    "name", ["../x", "../autoencoder/encoder.onnx", "/etc/passwd", "card.md", "x.onnx", "", MANIFEST, "checkpoint.bin"]
)
def test_other_file_names_are_refused(folder, name):
    edit(folder, files={**read_manifest(folder).files, name: "0" * 64})
    assert f"files name {name!r}; accepted are" in refused(folder, folder / MANIFEST)


def test_files_of_the_other_kind(folder):
    other = NETWORK if folder.name == "autoencoder" else ENCODER
    edit(folder, files={**read_manifest(folder).files, other: "0" * 64})
    assert f"files name '{other}'" in refused(folder)


def test_models_of_the_other_kind(folder):
    other = next(kind for kind in KINDS if kind != folder.name)
    with pytest.raises(ModelError, match=f"of kind {folder.name}; needed here is one of kind {other}"):
        KINDS[other][1](folder)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"NaN", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_manifest(folder, text):
    (folder / MANIFEST).write_bytes(text)
    refused(folder, folder / MANIFEST)


@pytest.mark.parametrize(
    ("folder", "changes"),
    [
        ("autoencoder", {"descriptor_size": 95, "prototype_names": []}),
        ("autoencoder", {"channels": ["one", "two"]}),
        ("autoencoder", {"window_size": 64}),
    ],
    indirect=["folder"],
)
def test_graphs_that_do_not_fit_the_manifest(folder, changes):
    files = dict(read_manifest(folder).files)
    del files[PROTOTYPES]
    edit(folder, **{"files": files, "prototype_names": [], **changes})
    assert "copy the model folder again" in refused(folder)


@pytest.mark.parametrize("folder", ["segmentation"], indirect=True)
def test_a_segmentation_of_another_graph(folder):
    put(folder, NETWORK_INT8, (find_model("depth") / ENCODER).read_bytes(), listed=True)
    assert "does not take inputs" in refused(folder, folder / NETWORK_INT8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_a_model_error(folder, data):
    """Bytes of a file replaced at random: loading works or raises ModelError, nothing else."""
    path = folder / data.draw(st.sampled_from([MANIFEST, *KINDS[folder.name][2]]))
    original = path.read_bytes()
    content = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        limit = 600 if data.draw(st.booleans()) else len(content)
        content[data.draw(st.integers(0, min(limit, len(content)) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        load(folder)
    except ModelError:
        pass
    finally:
        path.write_bytes(original)


class Killed(BaseException):
    pass


def killed_at(monkeypatch, step, save) -> bool:
    """Save, and stop before the given write, move or removal; whether it came that far."""
    steps = iter(range(1_000))

    def stopping(call):
        def one(*arguments, **named):
            if next(steps) == step:
                raise Killed
            return call(*arguments, **named)

        return one

    def half_written(path, content):
        if next(steps) == step:
            path.write_bytes(content[: len(content) // 2])
            raise Killed
        path.write_bytes(content)  # without waiting for the disk

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "write_durably", half_written)
        patch.setattr(folder_module.os, "replace", stopping(os.replace))
        patch.setattr(folder_module.Path, "unlink", stopping(folder_module.Path.unlink))
        try:
            save()
        except Killed:
            return True
    return False


def other_model(content, model_id):
    """The same graphs, told apart by a comment in each; without the torch weights."""
    comment = b"\x32" + bytes([len(model_id)]) + model_id.encode()  # doc_string, field 6
    files = {name: data + comment * name.endswith(".onnx") for name, data in content.files.items() if name != WEIGHTS}
    return dataclasses.replace(content.manifest, model_id=model_id), files


def test_interrupted_saves_leave_a_whole_model(folder, monkeypatch, tmp_path):
    """Killed at every step, of a second save and of the third one after it; never a mixture, and never stuck.

    The third one for one kind: what completes a save (`_complete_interrupted_save`) sees no kinds.
    """
    old = read_folder(folder)
    second, third = other_model(old, "second"), other_model(old, "third")
    whole = {old.manifest.model_id: old.files, "second": second[1], "third": third[1]}

    def stored(path, *accepted):
        found = read_folder(path)
        assert found.files == whole[found.manifest.model_id]
        assert found.manifest.model_id in accepted
        return found.manifest.model_id

    first_step = 0
    seen = set()
    while True:
        again = shutil.copytree(folder, tmp_path / f"killed{first_step}" / folder.name)
        if not killed_at(monkeypatch, first_step, lambda path=again: write_folder(path, *second)):
            break
        seen.add(stored(again, old.manifest.model_id, "second"))
        for step in range(0, 40, 3) if folder.name == "segmentation" else ():
            copy = shutil.copytree(again, tmp_path / "again" / folder.name)
            if not killed_at(monkeypatch, step, lambda path=copy: write_folder(path, *third)):
                assert stored(copy, "third")
                shutil.rmtree(tmp_path / "again")
                break
            stored(copy, old.manifest.model_id, "second", "third")
            write_folder(copy, *third)
            assert stored(copy, "third")
            shutil.rmtree(tmp_path / "again")
        shutil.rmtree(again.parent)
        first_step += 1
    assert seen == {old.manifest.model_id, "second"}
    assert first_step >= 2 * len(second[1]) + 2
    assert stored(again, "second") == "second"
    assert not (again / WEIGHTS).exists()
    load(again)


def test_an_interrupted_first_save_can_be_read(folder, monkeypatch, tmp_path):
    content = read_folder(folder)
    path, step, read = tmp_path / "first", 0, 0
    while killed_at(monkeypatch, step, lambda: write_folder(path, content.manifest, content.files)):
        if any((path / name).exists() for name in content.files):  # moving has begun
            assert read_folder(path, content.manifest.kind).files == content.files
            read += 1
        shutil.rmtree(path)
        step += 1
    assert read >= len(content.files)


def test_saving_where_one_cannot_is_refused(folder, tmp_path):
    (tmp_path / "file").write_text("x")
    content = read_folder(folder)
    with pytest.raises(OutputError, match="cannot write the model folder"):
        write_folder(tmp_path / "file" / "model", content.manifest, content.files)
    with pytest.raises(ModelError, match="files name"):
        write_folder(tmp_path / "model", content.manifest, {**content.files, "../x": b"x"})
    assert not (tmp_path / "x").exists()


def test_shipped_models_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_model("grasp").manifest.channels == ("hand_mask", "object_mask")
    assert load_model("models/depth").manifest.channels == ("depth",)
    assert load_segmentation("segmentation").name.startswith("network")
    with pytest.raises(ModelError, match=r"no model 'gras'.*depth, detector, grasp"):
        load_model("gras")
    for name in ("~nosuchuser/x", "x" * 5000, "a\0b"):
        with pytest.raises(ModelError, match=r"cannot be the path of a model|there is no model"):
            load_model(name)
    for name in ("grasp", "segmentation"):  # a folder that is called so by chance
        (tmp_path / name).mkdir()
    assert load_model("grasp").manifest.channels == ("hand_mask", "object_mask")
    assert load_segmentation("segmentation").name.startswith("network")
    shutil.rmtree(tmp_path / "grasp")
    shutil.copytree(find_model("depth"), tmp_path / "grasp")
    assert find_model("grasp") != tmp_path / "grasp"
    for here in ("./grasp", "grasp/", Path("grasp"), tmp_path / "grasp"):  # each of these is the folder here
        assert load_model(here).manifest.channels == ("depth",)
    assert load_model(Path("models/grasp")).manifest.channels == ("hand_mask", "object_mask")
    with pytest.raises(ModelError, match=r"no model '\./hands', the folder does not exist"):
        load_model("./hands")
    with pytest.raises(ModelError, match=r"no model '\./models/hands'"):
        load_model("./models/hands")


def test_commands_take_a_local_folder_of_a_shipped_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(find_model("depth"), tmp_path / "grasp")
    assert main(["info", "./grasp"]) == 0
    assert "hand_mask" not in capsys.readouterr().out
    images = np.zeros((2, 2, 32, 32), np.float32)
    np.savez(tmp_path / "windows.npz", images=images)
    for words in (
        ["restore", "--model", "./grasp", "--data", "windows.npz", "--out", "o.npz"],
        ["evaluate", "--model", "./grasp", "--data", "windows.npz"],
        ["explore", "--model", "./grasp", "--data", "windows.npz"],
    ):
        assert main(words) == 2, words
        assert "1 channel" in (told := capsys.readouterr().err) or "depth" in told, told
    assert main(["export", "--run", "./nothing", "--out", "e"]) == 2
    assert "./nothing" in capsys.readouterr().err


def test_a_runs_config_names_the_model_that_was_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(find_model("depth"), tmp_path / "grasp")
    for asked, kept in (("grasp", "grasp"), ("./grasp", str(tmp_path / "grasp"))):
        options = run_options(
            argparse.Namespace(start=asked), dataclasses.make_dataclass("NoSettings", [])(), ["start"]
        )
        assert options == {"start": kept}
