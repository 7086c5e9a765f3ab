"""A model on disk: whole, or refused in one line that says what is wrong and where."""

import dataclasses
import json
import os
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiae_ros import ModelError, TransformInvariantAutoencoder, load_model, save_model
from tiae_ros.core import model_files


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(3)
    model = TransformInvariantAutoencoder(("hand_mask", "object_mask"), descriptor_size=5)
    save_model(model, tmp_path / "model")
    return tmp_path / "model"


def edit(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(folder) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_a_saved_model_is_the_same_when_loaded(folder):
    torch.manual_seed(3)
    model = TransformInvariantAutoencoder(("hand_mask", "object_mask"), descriptor_size=5)
    images = np.random.default_rng(0).random((3, 2, 32, 32), dtype=np.float32)
    loaded = load_model(folder)
    assert np.array_equal(loaded.encode(images), model.encode(images))
    assert loaded.manifest.channels == ("hand_mask", "object_mask")
    assert not list(folder.glob("*.new"))


def test_rounded_weights_take_half_the_space_and_lose_nothing_more(tmp_path):
    torch.manual_seed(3)
    model = TransformInvariantAutoencoder(2)
    save_model(model, tmp_path / "whole")
    images = torch.rand(3, 2, 32, 32)
    exact = model.restore(images)
    model_files.round_weights(model.network)
    rounded = model.restore(images)
    save_model(model, tmp_path / "half")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.55 * sizes[1]
    again = load_model(tmp_path / "half")
    assert all(weight.dtype == torch.float32 for weight in again.network.parameters())
    assert torch.equal(again.restore(images), rounded)
    assert (rounded - exact).abs().max() < 0.02


def test_matrices_are_rounded_to_steps_of_each_output_and_vectors_are_not():
    # The largest of the first output is below 128, so that its step is 1; that of the second below 1/16, so 1/2048.
    values = torch.tensor([[100.7, -3.4, 1e-9, 64.5], [-0.0615, 0.0335, 3 / 2048, 0.0]])
    wanted = torch.tensor([[101.0, -3.0, 0.0, 64.0], [-126 / 2048, 69 / 2048, 3 / 2048, 0.0]])
    found = model_files.rounded(values)
    assert torch.equal(found, wanted)
    vector = values[0]
    assert model_files.rounded(vector) is vector
    for beyond in (1e6, float("inf"), float("nan")):  # what float16 does not hold
        whole = torch.tensor([[beyond, 1.003]])
        assert model_files.rounded(whole) is whole


def test_rounded_matrices_stay_as_they_are():
    torch.manual_seed(1)
    kernels = torch.randn(500, 4, 3, 3) * torch.logspace(-3, 3, 500)[:, None, None, None]
    kernels[0] = 0
    kernels[1, 0, 0, 0] = 127.9 / 128  # no 128th step is made of it, or its output would have other steps next time
    kernels[1, 0, 0, 1:] = 0.1
    once = model_files.rounded(kernels)
    assert torch.equal(model_files.rounded(once), once)
    assert float((once - kernels).norm() / kernels.norm()) < 0.02


def test_prototypes_name_what_is_near(tmp_path):
    model = TransformInvariantAutoencoder(1, descriptor_size=2)
    manifest = dataclasses.replace(model.manifest, prototype_names=("mug", "pen"), prototype_radius=1.0)
    model = TransformInvariantAutoencoder(manifest=manifest)
    model.prototypes.copy_(torch.tensor([[0.0, 0.0], [5.0, 0.0]]))
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.label(np.array([0.5, 0.5])) == "mug"
    assert loaded.label(np.array([4.5, 0.0])) == "pen"
    assert loaded.label(np.array([2.5, 0.0])) == ""
    assert TransformInvariantAutoencoder(1).label(np.zeros(30)) == ""


def test_absent(tmp_path, folder):
    assert "does not exist" in refused(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    assert "is a file" in refused(tmp_path / "file")
    (folder / "model.safetensors").unlink()
    assert "absent" in refused(folder)
    assert "unfinished" not in refused(folder)
    (folder / "checkpoint.safetensors").write_bytes(b"x")
    assert f"tiae train --resume --out {folder}" in refused(folder)
    (folder / "manifest.json").unlink()
    assert "absent" in refused(folder)


@pytest.mark.parametrize("size", [0, 1, 7, 100, 20_000])
def test_truncated_weights(folder, size):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    refused(folder)


def test_one_flipped_bit(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "damaged or altered" in refused(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format_version": 2}, "format_version is 2"),
        ({"network": "resnet"}, "known networks"),
        ({"window_size": 100_000}, "window_size"),
        ({"window_size": 30}, "multiple of 4"),
        ({"window_size": "32"}, "window_size"),
        ({"descriptor_size": 6}, "does not fit"),
        ({"channels": ["one"]}, "does not fit"),
        ({"channels": []}, "channels"),
        ({"channels": "hand"}, "channels"),
        ({"transforms": {"shift": {"radius_px": "eight"}}}, "transforms"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"weights_sha256": "0" * 64}, "damaged or altered"),
    ],
)
def test_a_manifest_that_does_not_fit(folder, changes, said):
    edit(folder, **changes)
    assert said in refused(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "NaN", '{"format_version": 1}', "[" * 100_000])
def test_a_manifest_that_is_no_manifest(folder, text):
    (folder / "manifest.json").write_text(text)
    refused(folder)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_refused_and_never_opened(folder, tmp_path):
    trap = tmp_path / "executed"
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb(trap)))
    assert "pickle" in refused(folder)
    torch.save({"x": Bomb(trap)}, folder / "model.safetensors")
    assert "pickle" in refused(folder)
    assert not trap.exists()


def test_a_manifest_names_no_file(folder):
    """Path tricks: no field is a path; one that looks like it is an unknown field."""
    edit(folder, weights="../../etc/passwd")
    assert "unknown field" in refused(folder)


def test_an_interrupted_save_is_completed_by_the_next_load(folder, monkeypatch):
    """Killed between the two moves: new weights, old manifest."""
    torch.manual_seed(4)
    newer = TransformInvariantAutoencoder(("hand_mask", "object_mask"), descriptor_size=5)
    real = os.replace

    def killed(source, target):
        if str(target).endswith("manifest.json"):
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(model_files.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_model(newer, folder)
    monkeypatch.undo()
    images = np.random.default_rng(0).random((1, 2, 32, 32), dtype=np.float32)
    assert np.array_equal(load_model(folder).encode(images), newer.encode(images))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_a_model_error(folder, data):
    """Bytes of either file replaced at random: load_model works or raises ModelError, nothing else."""
    name = data.draw(st.sampled_from(["model.safetensors", "manifest.json"]))
    path = folder / name
    original = path.read_bytes()
    content = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        limit = 600 if data.draw(st.booleans()) else len(content)
        content[data.draw(st.integers(0, min(limit, len(content)) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        load_model(folder)
    except ModelError:
        pass
    finally:
        path.write_bytes(original)


def test_a_shipped_model_is_found_by_its_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_model("grasp").manifest.channels == ("hand_mask", "object_mask")
    assert load_model("models/depth").manifest.channels == ("depth",)
    with pytest.raises(ModelError, match=r"no model 'gras'.*depth, grasp"):
        load_model("gras")


@pytest.mark.parametrize("device", ["cuda:77", "banana", 3.5])
def test_a_device_that_is_not_there_is_a_model_error(folder, device):
    with pytest.raises(ModelError, match="devices of this machine: cpu"):
        load_model(folder, device=device)
    assert load_model(folder, device="auto").device.type in ("cpu", "cuda")
