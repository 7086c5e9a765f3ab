"""From trained weights to a folder that runs without torch: every network, and folders of release 0.1."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from small_training import patterns

from tiae_ros import load_model
from tiae_ros.cli import main
from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.model.folder import DECODER, ENCODER, NETWORK_INT8, WEIGHTS, read_folder, read_manifest
from tiae_ros.model.segmenter import load_segmentation
from tiae_ros.model.shipped import find_model
from tiae_training import TransformInvariantAutoencoder, load_network
from tiae_training.data.arrays import save_arrays
from tiae_training.explore.decoder_graph import read_decoder
from tiae_training.export import example_inputs, export_graph, graphs_of, save_model
from tiae_training.networks.config import NETWORKS
from tiae_training.networks.pattern import FINDS_POSE
from tiae_training.networks.segmentation import SegmentationNetwork
from tiae_training.segmentation.folder import save_segmentation, segmentation_manifest
from tiae_training.train.run import started_settings, take_up

SIZE = 16
PARTS = {"trunk": "eyes", "linear_encoder": "describe_straight", "linear_decoder": "expand_straight",
         "head": "describe", "pose_head": "correct", "decoder": "expand"}  # fmt: skip
OLD_PARTS = {  # network -> its name and, part by part, those of its parameters in release 0.1
    "standard": ("voting-half", {**PARTS, "find_pose": "find_centre"}),
    "static": ("still", {**PARTS, "trunk.1": "describe.0", "trunk.2": "describe.1", "head": "describe.3"}),
    "slide-fc": ("slide-fc", {}),
}


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """With no weight at 0 and statistics of normalisation of their own, as after a training."""
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value += 0.05 * (torch.rand_like(value) if "running_var" in name else torch.randn_like(value))
    return network.eval()


def fresh(network: str, size: int = SIZE, channels: tuple[str, ...] = ("figure",)) -> TransformInvariantAutoencoder:
    torch.manual_seed(0)
    model = TransformInvariantAutoencoder.fresh(channels, window_size=size, descriptor_size=9, network=network)
    shaken(model.network)
    return model.eval()


def windows(count: int, channels: int = 1, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(count).random((count, channels, size, size), dtype=np.float32)


@pytest.fixture
def traced_anew(traced_once, monkeypatch):
    """Exports as they are outside of tests."""
    monkeypatch.setattr(torch.onnx, "export", torch.onnx.export.__wrapped__)


@pytest.mark.parametrize("network", NETWORKS)
def test_engine_and_torch_agree_whatever_the_batch(network, tmp_path, traced_anew):
    channels = ("hand_mask", "object_mask", "depth") if network.endswith("masks-and-depth") else ("depth",)
    size = 32 if network.startswith("slide") else SIZE
    model = fresh(network, size, channels)
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    for count in (1, 7):
        images = windows(count, len(channels), size)
        with torch.inference_mode():
            descriptors, parameters = model.network.forward_encoder(torch.from_numpy(images))
            restored = model.decode(descriptors)
        assert loaded.encode(images) == pytest.approx(descriptors.numpy(), abs=1e-4)
        assert loaded.restore(images) == pytest.approx(restored.numpy(), abs=1e-4)
        assert loaded.estimate_shift(images) == pytest.approx(parameters[:, :2].numpy(), abs=1e-4)


@pytest.mark.timeout(600)  # the first export of a process takes a busy machine minutes
@pytest.mark.parametrize(("network", "size"), [("pose", 30), ("pose-small", 29), ("pose-small", 8), ("depth", 45)])
def test_engine_and_torch_agree_whatever_the_size(network, size, tmp_path):
    model, images = fresh(network, size, ("depth",)), windows(3, size=size)
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    with torch.inference_mode():
        descriptors, parameters = model.network.forward_encoder(torch.from_numpy(images))
        restored = model.decode(descriptors)
    said = loaded.describe(images)
    assert said.descriptor == pytest.approx(descriptors.numpy(), abs=1e-4)
    assert said.parameters == pytest.approx(parameters.numpy(), abs=1e-4)
    assert loaded.decode(said.descriptor) == pytest.approx(restored.numpy(), abs=1e-4)
    assert read_decoder(read_folder(tmp_path).files[DECODER]).unknown() == []


def operations_and_weights(content: bytes) -> tuple[list[str], list[bytes]]:
    graph = onnx.load_from_string(content).graph
    return [node.op_type for node in graph.node], sorted(tensor.raw_data for tensor in graph.initializer)


def test_what_tests_trace_once_is_what_torch_exports(traced_once, monkeypatch):
    graphs = []
    for seed in (1, 2):
        model = fresh("standard", channels=("figure", "ground"))
        with torch.no_grad():
            for weight in model.network.parameters():
                weight.mul_(1.0 + 0.1 * seed)
        graphs.append((graphs_of(model)[ENCODER], example_inputs(model, ENCODER)))
    first, second = (operations_and_weights(export_graph(*given)) for given in graphs)
    assert first != second
    monkeypatch.setattr(torch.onnx, "export", torch.onnx.export.__wrapped__)
    assert operations_and_weights(export_graph(*graphs[1])) == second


def test_a_run_is_exported_again(trained, tmp_path, capsys):
    assert main(["export", "--run", str(trained[1]), "--out", str(tmp_path)]) == 0
    assert "engine and torch give the same" in capsys.readouterr().out
    assert dataclasses.replace(read_manifest(tmp_path), files={}) == dataclasses.replace(trained[0].manifest, files={})
    images = patterns(7).images
    assert load_model(tmp_path).encode(images) == pytest.approx(load_model(trained[1]).encode(images), abs=1e-6)


def test_what_differs_is_not_written(tmp_path):
    model = fresh("standard")
    with torch.no_grad():
        next(model.network.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match="and the torch network differ by nan"):
        save_model(model, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_segmentation_is_exported_as_it_is(tmp_path, capsys):
    assert main(["export", "--run", "segmentation", "--out", str(tmp_path / "new"), "--test", "absent.npz"]) == 2
    assert "absent.npz" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main(["export", "--run", "segmentation", "--out", str(tmp_path / "new")]) == 0
    shipped, written = (read_folder(find_model(name)) for name in ("segmentation", str(tmp_path / "new")))
    assert written.manifest.measures == shipped.manifest.measures
    for name in (NETWORK_INT8, WEIGHTS):
        assert written.files[name] == shipped.files[name]


def test_figures_go_with_their_graph(tmp_path):
    network = shaken(SegmentationNetwork([8, 8, 8, 8], [0, 0, 1, 1]))
    manifest = segmentation_manifest(network, measures={"hand_iou": 0.9, "hand_iou_int8": 0.8})
    save_segmentation(network, tmp_path / "old", manifest)
    assert main(["export", "--run", str(tmp_path / "old"), "--out", str(tmp_path / "new")]) == 0
    assert read_manifest(tmp_path / "new").measures == {"hand_iou": 0.9}


def write_old(folder, tensors, **manifest) -> str:
    """A folder of release 0.1."""
    folder.mkdir()
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")
    fields = {"model_id": "old", "training": {"data": "old.npz"}, "measures": {"dispersion": 0.5}, "format_version": 1}
    (folder / "manifest.json").write_text(json.dumps(fields | manifest))
    return str(folder)


def old_autoencoder(folder, model: TransformInvariantAutoencoder, network: str, parts: dict[str, str]) -> str:
    def old(name: str) -> str:
        new = max((part for part in parts if name.startswith(f"{part}.")), key=len, default=None)
        return f"network.{parts[new]}{name[len(new) :]}" if new else f"network.{name}"

    tensors = {old(name): value for name, value in model.network.state_dict().items()}
    return write_old(
        folder, {**tensors, "prototypes": torch.ones(1, 9)}, network=network, channels=["figure"], window_size=SIZE,
        descriptor_size=9, transforms={"shift": {"radius_px": 3}}, preprocessing={}, prototype_names=["one"],
        prototype_radius=2.0, training={"settings": {"network": network, "gathering_weight": 0.5}},
    )  # fmt: skip


@pytest.mark.parametrize("network", OLD_PARTS)
def test_an_old_autoencoder_is_converted(network, tmp_path):
    model = fresh(network)
    old = old_autoencoder(tmp_path / "old", model, *OLD_PARTS[network])
    with pytest.raises(ModelError, match="tiae export --run OLD_FOLDER --out NEW_FOLDER"):
        load_model(old)
    assert main(["export", "--run", old, "--out", str(tmp_path / "new")]) == 0
    loaded = load_model(tmp_path / "new")
    with torch.inference_mode():
        descriptors = model.encode(torch.from_numpy(windows(5)))
    assert loaded.encode(windows(5)) == pytest.approx(descriptors.numpy(), abs=1e-4)
    assert loaded.manifest.network_name == network
    assert loaded.manifest.measures == {"dispersion": 0.5}
    assert loaded.manifest.training["settings"] == {"network": network, "contrastive_weight": 0.5}
    assert loaded.label(np.ones(9, np.float32)) == "one"
    assert loaded.label(np.zeros(9, np.float32)) == ""


def test_an_old_segmentation_is_converted(tmp_path):
    widths, blocks = [8, 8, 8, 8], [0, 0, 1, 1]
    network = shaken(SegmentationNetwork(widths, blocks))
    network.load_state_dict({name: t.half().to(t.dtype) for name, t in network.state_dict().items()})
    more = {"format": "tiae_segmentation", "widths": widths, "blocks": blocks}
    old = write_old(tmp_path / "old", network.state_dict(), second_look=False, **more)
    with pytest.raises(ModelError, match="tiae export --run OLD_FOLDER"):
        load_segmentation(old)
    assert main(["export", "--run", old, "--out", str(tmp_path / "new")]) == 0
    planes = np.random.default_rng(0).random((1, 9, 32, 48), dtype=np.float32)
    with torch.inference_mode():
        scores = network(torch.from_numpy(planes)).numpy()
    assert load_segmentation(tmp_path / "new").scores(planes[0]) == pytest.approx(scores[0], abs=1e-4)
    assert read_manifest(tmp_path / "new").measures == {"dispersion": 0.5}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": "voting"}, "network 'voting' is no longer there; train again"),
        ({"format": "tiae_segmentation", "second_look": True}, "second look, which is no longer there; train again"),
        ({"network": "slide-fc"}, "cannot be converted"),
    ],
)
def test_old_folders_that_cannot_be_converted(changes, said, tmp_path, capsys):
    old = write_old(tmp_path / "old", {}, **changes)
    assert main(["export", "--run", old, "--out", str(tmp_path / "new")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "new").exists()


def test_fine_tuning_takes_network_and_size_from_start(tmp_path, capsys):
    model = fresh("pose")
    model.manifest = dataclasses.replace(model.manifest, transforms={"shift": {"radius_px": 3}})
    save_model(model, tmp_path / "first")
    save_arrays(tmp_path / "data.npz", {"images": patterns(64).images, "channels": np.array(["figure"])})
    words = ["train", "--data", str(tmp_path / "data.npz"), "--out", str(tmp_path / "second"), "--restarts", "0"]
    words += ["--start", str(tmp_path / "first"), "--epochs", "1", "--device", "cpu", "--shift-radius", "3"]
    assert main([*words, "--network", "standard"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "network is standard, but the model to start from has pose; leave it out" in said
    assert main([*words, "--learning-rate", "1e-7"]) in (0, 1)  # so short a training may end collapsed
    second = load_network(tmp_path / "second")
    assert (second.manifest.network_name, second.manifest.descriptor_size) == ("pose", 9)
    assert "--start first" in second.manifest.training["command"]
    for one, other in zip(model.network.parameters(), second.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_what_finds_poses_goes_on_from_what_finds_shifts():
    planes = ("hand_mask", "object_mask", "depth")
    start = fresh("masks-and-depth", channels=planes)
    settings = started_settings({"network": "pose-masks-and-depth", "transforms": "shift,rotation"}, start)
    assert (settings.network, settings.descriptor_size) == ("pose-masks-and-depth", 9)
    model = fresh("pose-masks-and-depth", channels=planes)
    votes = {name: value.clone() for name, value in model.network.state_dict().items() if name.startswith(FINDS_POSE)}
    assert take_up(model, start) == "pose"
    taken, given = model.network.state_dict(), start.network.state_dict()
    assert len(votes) > 10
    for name, value in taken.items():
        torch.testing.assert_close(value, votes[name] if name in votes else given[name], atol=0, rtol=0)
    said = "network is pose, but the model to start from has masks-and-depth; leave it out, or give steerable-"
    with pytest.raises(ParameterError, match=said):
        started_settings({"network": "pose", "transforms": "shift,rotation"}, start)
    with pytest.raises(
        ParameterError, match="transforms are shift; accepted is a list with rotation or scale or mirror"
    ):
        started_settings({"network": "pose-masks-and-depth"}, start)
    with pytest.raises(ParameterError, match=r"has pose-masks-and-depth; leave it out$"):
        started_settings({"network": "masks-and-depth"}, model)
    with pytest.raises(ParameterError, match=r"of other parts: .*trunk residual .needed is plain"):
        take_up(fresh("pose", channels=planes), start)


def test_what_goes_on_keeps_the_transforms_that_were_learnt():
    start = fresh("pose")
    learnt = {"transforms": "shift,rotation", "rotation_deg": 90.0, "upright_fraction": 0.0, "epochs": 3}
    start.manifest = dataclasses.replace(start.manifest, training={"settings": learnt})
    kept, anew = (started_settings(asked, start) for asked in ({"rotation_deg": 20.0}, {"transforms": "shift,scale"}))
    assert (kept.transforms, kept.rotation_deg, kept.upright_fraction, kept.epochs) == ("shift,rotation", 20.0, 0.0, 40)
    assert (anew.transforms, anew.rotation_deg, anew.upright_fraction) == ("shift,scale", 180.0, 0.6)
