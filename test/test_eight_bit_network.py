"""The segmentation network in 8 bits: steps and convolutions by hand, when it is taken, and what its labels cost."""

import dataclasses
import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_scenes import FOCAL, make_scene
from test_segmentation_network import TINY, frame_arrays, write_frames
from torch import nn

from tiae_ros.errors import ModelError
from tiae_ros.model.folder import MANIFEST
from tiae_ros.model.segmenter import choose_segmentation
from tiae_ros.streams.bags import Bag
from tiae_ros.vision import eight_bit_network
from tiae_ros.vision.eight_bit_network import EightBitConvolution, Steps, eight_bits_help, range_names
from tiae_ros.vision.segmentation.network import (
    SegmentationNetwork,
    Segmenter,
    load_network,
    load_segmenter,
    save_segmentation,
)
from tiae_ros.vision.segmentation.planes import INPUTS
from tiae_training.segmentation.training import SegmentationTraining, activation_ranges, card_text, main

ROOT = Path(__file__).resolve().parent.parent
needs_vnni = pytest.mark.skipif(not eight_bits_help(), reason="8 bits do not help on this CPU or with this PyTorch")


def lively_network(seed=0):
    """Not trained, but normalised to what the frames are like, so that every layer has something to say."""
    torch.manual_seed(seed)
    network = SegmentationNetwork(TINY)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.2, 0.5)
    network.train()(torch.randn(8, INPUTS, 32, 48))
    return network.eval()


def calibrated(network, seed=0):
    settings = SegmentationTraining(height=32, width=48, seed=seed)
    ranges = activation_ranges(network, frame_arrays(6), settings, looks=12)
    network.manifest = dataclasses.replace(network.manifest, activation_ranges=ranges)
    return network


@pytest.fixture
def folder(tmp_path):
    save_segmentation(calibrated(lively_network()), tmp_path / "tiny")
    return tmp_path / "tiny"


def whole(values, steps):
    """(N, C, H, W) float32 -> uint8, channels last."""
    held = (values / steps.size + steps.zero).round().clamp(0, 255).to(torch.uint8)
    return held.contiguous(memory_format=torch.channels_last)


def number(held, steps):
    return steps.size * (held.float() - steps.zero)


def test_steps_reach_over_the_range_and_hold_0_exactly():
    assert Steps.over(0.0, 510.0) == Steps(2.0, 0)
    assert Steps.over(-51.0, 204.0) == Steps(1.0, 51)
    assert Steps.over(-0.3, 0.7).zero == 76  # 0.3 / (1 / 255) = 76.5, to the even one


def test_names_are_the_places_of_the_network_in_order():
    assert range_names((0, 1, 0, 0)) == [
        *("down.0.0", "down.1.0", "down.1.1", "down.2.0", "down.3.0"),
        *("sum.2", "up.2", "sum.1", "up.1", "sum.0", "up.0"),
    ]


@needs_vnni
def test_a_convolution_worked_out_by_hand():
    layer = nn.Conv2d(1, 1, 3, padding=1).requires_grad_(False)
    layer.weight.copy_(torch.tensor([[[[0.0, 0.0, 0.0], [127.0, 64.0, 0.0], [0.0, 0.0, 0.0]]]]))  # size 1
    layer.bias.fill_(5.0)
    images = torch.tensor([[[[12, 10, 13]]]], dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    given = Steps(0.5, 10)  # 1, 0, 1.5, and 0 around
    with torch.inference_mode():
        exact = EightBitConvolution(layer, given, None)(images)
        held = EightBitConvolution(layer, given, Steps(2.0, 3))(images)
        there = torch.tensor([[[[8, 0, 4]]]], dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
        summed = EightBitConvolution(layer, given, Steps(2.0, 3)).onto(images, there, Steps(0.5, 0))
    assert exact.flatten().tolist() == [64 + 5, 127 + 5, 96 + 5]
    assert held.flatten().tolist() == [38, 69, 54]  # 34.5 + 3 and 50.5 + 3, to the even one
    assert summed.flatten().tolist() == [40, 69, 54]  # 36.5 + 3, 66 + 3, 51.5 + 3


@needs_vnni
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("low", "activation"), [(0.0, "relu"), (-1.0, "relu"), (-1.0, "none")])
@pytest.mark.parametrize(("inputs", "outputs", "side"), [(12, 12, 3), (12, 32, 3), (32, 12, 1), (8, 3, 3)])
def test_a_convolution_is_the_float_one_to_half_a_step(inputs, outputs, side, low, activation, stride):
    torch.manual_seed(inputs + outputs)
    layer = nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2).requires_grad_(False)
    given, made = Steps.over(low, 2.0), Steps.over(-3.0, 3.0)
    images = whole(torch.empty(2, inputs, 10, 14).uniform_(low, 2.0), given)
    sizes = layer.weight.abs().amax((1, 2, 3), keepdim=True) / 127
    rounded = nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2).requires_grad_(False)
    rounded.weight.copy_((layer.weight / sizes).round() * sizes)
    rounded.bias.copy_(layer.bias)
    with torch.inference_mode():
        plain, near = layer(number(images, given)), rounded(number(images, given))
        if activation == "relu":
            plain, near = plain.relu(), near.relu()
        exact = EightBitConvolution(layer, given, None, activation=activation)(images)
        held = EightBitConvolution(layer, given, made, activation=activation)(images)
    torch.testing.assert_close(exact, near, atol=1e-4, rtol=1e-4)
    assert (number(held, made) - near.clamp(-3, 3)).abs().max() <= 0.51 * made.size
    # Weights are off by half a step each at most.
    reach = nn.functional.conv2d(
        number(images, given).abs(), 0.5 * sizes.expand_as(layer.weight), None, stride, side // 2
    )
    assert ((exact - plain).abs() <= reach + 1e-4).all()


@needs_vnni
def test_kernels_of_zeros_give_the_bias():
    layer = nn.Conv2d(8, 4, 3, padding=1).requires_grad_(False)
    layer.weight.zero_()
    images = whole(torch.rand(1, 8, 6, 6), Steps.over(-1, 1))
    with torch.inference_mode():
        made = EightBitConvolution(layer, Steps.over(-1, 1), None)(images)
    torch.testing.assert_close(made, layer.bias[:, None, None].expand(1, 4, 6, 6))


@needs_vnni
@pytest.mark.parametrize("shape", [(32, 48), (33, 17), (120, 160), (1, 1)])
def test_scores_are_nearly_those_of_float32(shape):
    network = calibrated(lively_network())
    planes = np.random.default_rng(1).normal(0, 0.5, (INPUTS, *shape)).astype(np.float32)
    plain, eight = Segmenter(network, eight_bits=False), Segmenter(network)
    assert (plain.precision, eight.precision) == ("float32", "int8")
    exact, near = plain.scores(planes), eight.scores(planes)
    assert near.shape == exact.shape == (3, *shape)
    assert np.abs(near - exact).mean() < 0.05 * max(exact.std(), 0.1)


@needs_vnni
def test_scores_depend_on_nothing_seen_before():
    """The sum overwrites what it is added to; that must be nothing that is used again."""
    segmenter = Segmenter(calibrated(lively_network()))
    chance = np.random.default_rng(2)
    first, other = chance.normal(size=(2, INPUTS, 32, 48)).astype(np.float32)
    before = segmenter.scores(first).copy()
    segmenter.scores(other)
    segmenter.scores(other[:, :20, :30])
    np.testing.assert_array_equal(segmenter.scores(first), before)


def test_ranges_are_of_every_place_and_the_same_each_time():
    network = lively_network()
    ranges = calibrated(network).manifest.activation_ranges
    assert list(ranges) == range_names(TINY.blocks)
    assert all(low == 0 < high for name, (low, high) in ranges.items() if not name.startswith("sum"))
    assert all(low < 0 < high for name, (low, high) in ranges.items() if name.startswith("sum"))
    assert calibrated(lively_network()).manifest.activation_ranges == ranges


def test_a_range_is_what_the_layers_reach(monkeypatch):
    network = SegmentationNetwork(TINY).eval().requires_grad_(False)
    first = network.down[0][0]
    first[0].weight.zero_()
    first[0].weight[0, 0, 1, 1] = 3.0
    frames = frame_arrays(4)
    monkeypatch.setattr(
        "tiae_training.segmentation.training.augmented",
        lambda *_: (np.full((32, 48, INPUTS), 2.0, np.float32), np.zeros((32, 48), np.uint8)),
    )
    ranges = activation_ranges(network, frames, SegmentationTraining(height=32, width=48), looks=2)
    assert ranges["down.0.0"] == (0.0, pytest.approx(6.0, rel=1e-4))  # 3 times 2, running statistics are 0 and 1


def test_without_ranges_it_stays_float32(tmp_path):
    save_segmentation(lively_network(), tmp_path / "plain")
    content = json.loads((tmp_path / "plain" / MANIFEST).read_text())
    assert content.pop("activation_ranges") == {}
    (tmp_path / "plain" / MANIFEST).write_text(json.dumps(content))  # as older releases wrote it
    assert load_segmenter(tmp_path / "plain").precision == "float32"
    assert choose_segmentation("network", str(tmp_path / "plain")).name == "network segmentation"


def no_capabilities():
    return {"avx2": True, "avx512_vnni": False}


def fails(*_arguments, **_named):
    raise AttributeError("'_OpNamespace' 'onednn' object has no attribute 'qconv_prepack'")


def wrong(*_arguments, **_named):
    return False


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (torch.cpu, "get_capabilities", no_capabilities),
        (eight_bit_network, "EightBitConvolution", fails),
        (eight_bit_network, "_operators_agree", wrong),
    ],
)
def test_where_it_does_not_help_float32_is_taken(folder, monkeypatch, owner, name, value):
    monkeypatch.setattr(owner, name, value, raising=False)
    eight_bits_help.cache_clear()
    try:
        segmenter = load_segmenter(folder)
    finally:
        eight_bits_help.cache_clear()
    assert segmenter.precision == "float32"
    depth = make_scene(80, 60, scale=0.5, width=160, height=120).depth_mm.astype(np.float32) / 1000
    labels = segmenter.segment(None, depth, focal_px=FOCAL / 2)
    np.testing.assert_array_equal(
        labels, load_segmenter(folder, eight_bits=False).segment(None, depth, focal_px=FOCAL / 2)
    )


def test_the_operators_are_asked_once_and_leave_no_trace(monkeypatch):
    eight_bits_help.cache_clear()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = eight_bits_help()
    assert torch.equal(torch.rand(1), expected)
    monkeypatch.setattr(eight_bit_network, "_operators_agree", fails)
    assert eight_bits_help() == answer


@needs_vnni
def test_the_check_notices_other_numbers(monkeypatch):
    right = EightBitConvolution.__call__
    monkeypatch.setattr(EightBitConvolution, "__call__", lambda self, images: right(self, images) * 1.01)
    eight_bits_help.cache_clear()
    try:
        assert not eight_bits_help()
    finally:
        eight_bits_help.cache_clear()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["head.bias", "up.1.0.weight", "down.2.0.1.running_var"])
def test_weights_that_are_not_finite_are_not_hidden(name, value):
    network = calibrated(lively_network())
    network.state_dict()[name].flatten()[0] = value
    segmenter = Segmenter(network)
    finite = name.endswith("running_var") and value == float("inf")  # what is divided by it is 0
    assert segmenter.precision == ("int8" if finite and eight_bits_help() else "float32")
    if not finite:
        with pytest.raises(ModelError, match="not finite"):
            segmenter.scores(np.ones((INPUTS, 32, 32), np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"up.0": [0.0, float("nan")]}, "up.0"),
        ({"up.0": [0.0, float("inf")]}, "up.0"),
        ({"up.0": [0.0, 1e300]}, "up.0"),
        ({"up.0": [0.0, 0.0]}, "up.0"),
        ({"up.0": [-1.0, 1.0]}, "from 0 to 0"),
        ({"sum.0": [0.5, 1.0]}, "sum.0"),
        ({"sum.0": [-1e300, 1.0]}, "sum.0"),
        ({"sum.0": [0.0, -1.0]}, "sum.0"),
        ({"up.0": [0.0]}, "two numbers"),
        ({"up.0": 3.0}, "two numbers"),
        ({"up.0": "01"}, "two numbers"),
        ({"up.0": [False, True]}, "two numbers"),
        ({"up.0": None}, "two numbers"),
        ({"up.0": [0.0, 10**400]}, "up.0"),
        ({"up.9": [0.0, 1.0]}, "up.9"),
    ],
)
def test_a_damaged_range_is_refused(folder, change, message):
    content = json.loads((folder / MANIFEST).read_text())
    content["activation_ranges"].update(change)
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message) as caught:
        load_segmenter(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("ranges", [[1], 3, None, "all", {"up.0": [0.0, 1.0]}])
def test_ranges_that_are_none_or_not_all_are_refused(folder, ranges):
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**content, "activation_ranges": ranges}))
    with pytest.raises(ModelError, match="activation_ranges"):
        load_segmenter(folder)


def test_a_model_is_calibrated_by_command(tmp_path, capsys):
    network = lively_network()
    save_segmentation(network, tmp_path / "old", training={"seed": 0}, measures={"hand_iou": 0.5, "hand_iou_int8": 0.4})
    data = str(write_frames(tmp_path / "frames.npz", frame_arrays(4)))
    words = ["--calibrate", str(tmp_path / "old"), "--out", str(tmp_path / "new"), "--height", "32", "--width", "48"]
    with pytest.raises(SystemExit):
        main(words)
    assert "--data is needed" in capsys.readouterr().err
    assert main([*words, "--data", data]) == 0
    old, new = (load_network(tmp_path / name).manifest for name in ("old", "new"))
    assert not old.activation_ranges
    assert list(new.activation_ranges) == range_names(TINY.blocks)
    assert new.weights_sha256 == old.weights_sha256
    assert new.measures == {"hand_iou": 0.5}  # what was measured in 8 bits was by other ranges
    assert new.training["seed"] == 0
    assert "--calibrate" in new.training["calibration"]
    assert "8 bits" in (tmp_path / "new" / "card.md").read_text()
    assert "8 bits" not in card_text(old)


def test_averages_and_trained_networks_are_calibrated_by_themselves(tmp_path):
    data = str(write_frames(tmp_path / "frames.npz", frame_arrays(4)))
    save_segmentation(calibrated(lively_network()), tmp_path / "start")
    size = ["--height", "32", "--width", "48"]
    train = ["--data", data, "--start", str(tmp_path / "start"), "--steps", "1", "--batch-size", "2", *size]
    assert main([*train, "--out", str(tmp_path / "trained")]) == 0
    mean = ["--average", str(tmp_path / "trained"), str(tmp_path / "start"), *size]
    assert main([*mean, "--out", str(tmp_path / "by_test"), "--test", data]) == 0
    assert main([*mean, "--out", str(tmp_path / "by_data"), "--data", data]) == 0
    assert main([*mean, "--out", str(tmp_path / "without")]) == 0
    found = {
        name: load_network(tmp_path / name).manifest for name in ("start", "trained", "by_test", "by_data", "without")
    }
    assert list(found["trained"].activation_ranges) == range_names(TINY.blocks)
    assert found["trained"].activation_ranges != found["start"].activation_ranges
    assert found["by_test"].activation_ranges == found["by_data"].activation_ranges
    assert ("object_iou_int8" in found["by_test"].measures) == eight_bits_help()
    assert not found["without"].activation_ranges
    assert "frames" not in found["by_data"].training  # it was not trained on them


@needs_vnni
def test_the_shipped_network_gives_nearly_the_same_labels_on_the_recorded_bag():
    eight, plain = (load_segmenter(ROOT / "models" / "segmentation", eight_bits=chosen) for chosen in (True, False))
    assert (eight.precision, plain.precision) == ("int8", "float32")
    equal, overlaps = [], []
    with Bag(ROOT / "test" / "data" / "grasps") as bag:
        for seen in itertools.islice(bag.rgbd_frames(), 0, None, 3):
            found, wanted = (segmenter.segment(seen.color, seen.depth_m) for segmenter in (eight, plain))
            equal.append((found == wanted).mean())
            overlaps.append(((found == wanted) & (wanted > 0)).sum() / ((found > 0) | (wanted > 0)).sum())
    assert len(equal) >= 5
    assert np.mean(equal) > 0.999
    # A region that is barely sure, or that a hand is followed into, is there in one and not in the other.
    assert np.median(overlaps) > 0.98
    assert np.mean(overlaps) > 0.95
