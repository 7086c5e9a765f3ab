"""One frame -> everything that is published, without ROS; and the counts, mailbox and decoders beside it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_scenes import FOCAL, HEIGHT, WIDTH, Scene, add_hand, make_scene, moved

from tiae_ros import TransformInvariantAutoencoder
from tiae_ros.errors import ImageError, ModelError, ParameterError
from tiae_ros.node.frames import Frame
from tiae_ros.node.mailbox import Mailbox
from tiae_ros.node.model_folders import DEPTH_CHANNELS, GRASP_CHANNELS, find_device, find_model, load_checked
from tiae_ros.node.statistics import Statistics
from tiae_ros.node.warm_up import drawn_images
from tiae_ros.parameters import Settings
from tiae_ros.perception import FrameDropped, Pipeline, Wanted
from tiae_ros.streams.compressed_images import decode_compressed_color, decode_compressed_depth, picture_size
from tiae_ros.vision.cut_windows import cut_depth

HEADER = SimpleNamespace(frame_id="camera")


def image(pixels: np.ndarray, encoding: str, /, **fields: Any) -> SimpleNamespace:
    message = SimpleNamespace(
        header=HEADER,
        encoding=encoding,
        height=pixels.shape[0],
        width=pixels.shape[1],
        step=pixels[0].nbytes,
        is_bigendian=0,
        data=np.ascontiguousarray(pixels).tobytes(),
    )
    vars(message).update(fields)
    return message


def camera_info(focal: float = FOCAL, width: int = WIDTH, height: int = HEIGHT) -> SimpleNamespace:
    k = [focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1]
    return SimpleNamespace(header=HEADER, width=width, height=height, k=k)


def frame_of(scene: Scene, **parts: Any) -> Frame:
    images = {"color": image(scene.color, "rgb8"), "depth": image(scene.depth_mm, "16UC1")}
    return Frame(**{**images, "camera_info": camera_info(), **parts})


@pytest.fixture(scope="module")
def pipeline(fresh_models):
    return Pipeline(
        load_checked(fresh_models["model"], GRASP_CHANNELS, "cpu"),
        load_checked(fresh_models["depth_model"], DEPTH_CHANNELS, "cpu"),
    )


def test_everything_moves_by_whole_pixels_with_the_picture(pipeline):
    scene = make_scene()
    here = pipeline.process(frame_of(scene), Settings())
    for dx, dy in ((-60, -40), (20, 40), (60, -2)):
        there = pipeline.process(frame_of(moved(scene, dx, dy)), Settings())
        np.testing.assert_allclose(there.shifts[0] - here.shifts[0], [dx, dy], atol=1)
        np.testing.assert_allclose(there.descriptors, here.descriptors, atol=1e-2)
        expected = np.array([dx, dy, 0]) * here.positions[0, 2] / FOCAL
        np.testing.assert_allclose(there.positions[0] - here.positions[0], expected, atol=0.003)


def test_shapes(pipeline):
    size = pipeline.grasp_model.manifest.window_size
    result = pipeline.process(frame_of(make_scene()), Settings(), Wanted(segmentation=True, debug_image=True))
    assert result.restored_depth_m is result.debug_image is None  # they come after what is waited for
    pipeline.restore_depth(result, Settings())
    pipeline.draw(result)
    assert result.descriptors.shape == (1, pipeline.grasp_model.manifest.descriptor_size)
    assert result.shifts.shape == (1, 2)
    assert result.positions.shape == (1, 3)
    assert result.restored_masks.shape == (2, size, size)
    assert result.restored_depth_m.shape == (size, size)
    assert result.restored_k.shape == (3, 3)
    assert result.segmentation.shape == (HEIGHT, WIDTH)
    assert result.debug_image.shape == (HEIGHT, WIDTH + HEIGHT // 3, 3)
    assert {"decode", "segment", "window", "network"} <= result.timings_s.keys()


@pytest.mark.parametrize("given", [Settings(), Settings(mask_source="topics")])
def test_the_first_passes_go_all_the_way(pipeline, given):
    frame = Frame(**drawn_images())
    result = pipeline.process(frame, given, Wanted(segmentation=True))
    pipeline.restore_depth(result, given)
    assert len(result.windows) == 1
    for label, mask in ((1, frame.hand_mask), (2, frame.object_mask)):
        drawn = np.frombuffer(mask.data, np.uint8).reshape(result.segmentation.shape) > 0
        found = result.segmentation == label
        assert (drawn & found).sum() > 0.7 * (drawn | found).sum()
    assert result.restored_depth_m is not None


def test_warming_up_leaves_faults_to_the_first_frame(pipeline):
    broken = Pipeline(Broken(pipeline.grasp_model, math.nan), pipeline.depth_model)
    broken.warm_up(Settings())
    with pytest.raises(FrameDropped, match="not finite"):
        broken.process(frame_of(make_scene()), Settings())


def test_pictures_are_not_made_when_nobody_wants_them(pipeline):
    result = pipeline.process(frame_of(make_scene()), Settings())
    assert result.segmentation is None
    assert result.debug_image is None


def test_one_model_for_masks_and_depth_restores_both_from_one_inference(pipeline, joint_model, monkeypatch):
    joint = Pipeline(load_checked(joint_model, GRASP_CHANNELS, "cpu"), None)
    joint.warm_up(Settings())
    passes, describe = [], joint.grasp_model.describe
    monkeypatch.setattr(joint.grasp_model, "describe", lambda windows: passes.append(windows) or describe(windows))
    scene = make_scene(80, 120)
    add_hand(scene.color, scene.depth_mm, 230, 120)
    result = joint.process(frame_of(scene), Settings())
    joint.restore_depth(result, Settings())
    joint.draw(result)
    (windows,) = passes
    assert windows.shape == (2, 3, 32, 32)
    assert result.descriptors.shape[0] == result.shifts.shape[0] == 2
    assert result.restored_masks.shape == (2, 32, 32)
    assert result.debug_image is not None
    # What it sees of depth is what a depth model would see, and it is put back in the same way.
    main = cut_depth(result.scene.depth_m, result.scene.labels, result.windows[0])
    np.testing.assert_array_equal(windows[0, 2:], main)
    np.testing.assert_array_equal(windows[:, :2], result.scene.masks)
    near = np.nanmedian(result.restored_depth_m)
    assert near == pytest.approx(result.windows[0].depth_m, abs=0.1)
    assert joint.depth_model_id == joint.grasp_model.manifest.model_id
    assert (pipeline.depth_model_id, Pipeline(pipeline.grasp_model, None).depth_model_id) == ("untrained", "")


def test_a_joint_model_leaves_depth_to_a_depth_model_that_is_there(pipeline, joint_model):
    both = Pipeline(load_checked(joint_model, GRASP_CHANNELS, "cpu"), pipeline.depth_model)
    result = both.process(frame_of(make_scene()), Settings())
    both.restore_depth(result, Settings())
    by_itself = result.restored_depth_m
    both.depth_model = Broken(pipeline.depth_model, math.nan)
    with pytest.raises(FrameDropped, match="not finite"):
        both.restore_depth(result, Settings())
    assert np.isfinite(by_itself).any()


def test_models_with_windows_of_different_sizes_are_refused(pipeline):
    other = TransformInvariantAutoencoder(channels=("depth",), window_size=48)
    with pytest.raises(ModelError, match="has windows of 48 pixels, but model untrained has 32"):
        Pipeline(pipeline.grasp_model, other)


def test_two_hands_nearest_first_and_no_more_than_asked_for(pipeline):
    scene = make_scene(80, 120)
    add_hand(scene.color, scene.depth_mm, 230, 120)
    scene.depth_mm[:, 160:][scene.depth_mm[:, 160:] < 600] -= 60  # the right one is nearer
    result = pipeline.process(frame_of(scene), Settings())
    assert len(result.windows) == 2
    assert result.shifts[0, 0] > 0 > result.shifts[1, 0]
    assert len(pipeline.process(frame_of(scene), Settings(max_grasps=1)).windows) == 1


def test_masks_from_topics_take_the_place_of_segmentation(pipeline):
    scene = make_scene()
    scene.color[:] = 0  # our own segmentation would find nothing
    hand = np.where(scene.depth_mm == 495, 255, 0).astype(np.uint8)
    held = np.where(scene.depth_mm == 505, 255, 0).astype(np.uint8)
    frame = frame_of(scene, hand_mask=image(hand, "mono8"), object_mask=image(held, "mono8"))
    given = Settings(mask_source="topics")
    result = pipeline.process(frame, given, Wanted(segmentation=True))
    np.testing.assert_array_equal(result.segmentation, (hand > 0) * 1 + (held > 0) * 2)
    assert len(result.windows) == 1
    small = image(hand[::2, ::2], "mono8")
    with pytest.raises(FrameDropped, match="hand mask is 160x120 but colour is 320x240"):
        pipeline.process(frame_of(scene, hand_mask=small, object_mask=image(held, "mono8")), given)
    with pytest.raises(FrameDropped, match="cannot be a mask"):
        pipeline.process(
            frame_of(scene, hand_mask=image(scene.depth_mm, "16UC1"), object_mask=image(held, "mono8")), given
        )


def test_camera_info_of_another_resolution_is_scaled(pipeline):
    scene = make_scene()
    one = pipeline.process(frame_of(scene), Settings())
    info = camera_info(2 * FOCAL, 2 * WIDTH, 2 * HEIGHT)
    other = pipeline.process(frame_of(scene, camera_info=info), Settings())
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-6)
    assert other.warnings == {}


class Broken:
    """A model of which one half of a pass goes wrong."""

    def __init__(self, model: Any, fault: Exception | float, half: str = "decoder") -> None:
        self._model, self._fault, self._half = model, fault, half
        self.manifest, self.device = model.manifest, model.device

    def describe(self, windows: np.ndarray) -> Any:
        description = self._model.describe(windows)
        self._spoil("encoder", description.descriptor)
        return description

    def restore_described(self, description: Any) -> Any:
        inference = self._model.restore_described(description)
        self._spoil("decoder", inference.placed)
        return inference

    def infer(self, windows: np.ndarray) -> Any:
        return self.restore_described(self.describe(windows))

    def _spoil(self, half: str, values: np.ndarray) -> None:
        if half == self._half and isinstance(self._fault, Exception):
            raise self._fault
        if half == self._half:
            values.flat[0] = self._fault


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), "out of memory"),
        (MemoryError(), "out of memory"),
        (math.nan, "non-finite network output"),
        (math.inf, "non-finite network output"),
    ],
)
@pytest.mark.parametrize(
    ("which", "half"), [("grasp_model", "encoder"), ("grasp_model", "decoder"), ("depth_model", "decoder")]
)
def test_a_network_that_fails_costs_what_it_was_to_yield_and_nothing_else(pipeline, which, half, fault, reason):
    """The encoder the frame, the decoder all but the descriptor, the depth model the restored depth."""
    broken = Pipeline(pipeline.grasp_model, pipeline.depth_model)
    setattr(broken, which, Broken(getattr(pipeline, which), fault, half))
    frame, whole = frame_of(make_scene()), pipeline.process(frame_of(make_scene()), Settings())
    if half == "encoder":
        with pytest.raises(FrameDropped) as caught:
            broken.describe(frame, Settings())
    elif which == "grasp_model":
        described = broken.describe(frame, Settings())
        with pytest.raises(FrameDropped) as caught:
            broken.restore(described)
        np.testing.assert_array_equal(described.descriptors, whole.descriptors)
    else:
        result = broken.process(frame, Settings())
        with pytest.raises(FrameDropped) as caught:
            broken.restore_depth(result, Settings())
        assert result.restored_depth_m is None
        for name in ("descriptors", "shifts", "positions", "confidences", "restored_masks"):
            np.testing.assert_array_equal(getattr(result, name), getattr(whole, name))
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)
    setattr(broken, which, getattr(pipeline, which))
    result = broken.process(frame, Settings())
    broken.restore_depth(result, Settings())
    assert result.windows
    assert np.isfinite(result.restored_depth_m).any()


fields = st.fixed_dictionaries(
    {},
    optional={
        "encoding": st.sampled_from(["rgb8", "bgr8", "mono8", "16UC1", "32FC1", "bayer_rggb8", "", "yuv422"]),
        "height": st.integers(0, 2**32 - 1) | st.integers(0, 40),
        "width": st.integers(0, 2**32 - 1) | st.integers(0, 40),
        "step": st.integers(0, 2**32 - 1) | st.integers(0, 200),
        "is_bigendian": st.integers(0, 255),
        "data": st.binary(max_size=4096),
    },
)


@settings(deadline=None, max_examples=200)
@given(fields, fields)
def test_any_header_over_any_data_is_a_result_or_a_dropped_frame(pipeline, color_fields, depth_fields):
    chance = np.random.default_rng(0)
    color = image(chance.integers(0, 255, (30, 40, 3)).astype(np.uint8), "rgb8", **color_fields)
    depth = image(chance.integers(0, 2000, (30, 40)).astype(np.uint16), "16UC1", **depth_fields)
    try:
        result = pipeline.process(Frame(color=color, depth=depth), Settings(), Wanted(True, True))
    except FrameDropped:
        return
    for values in (result.descriptors, result.shifts, result.confidences):
        assert np.isfinite(values).all()


# --- compressed images ---------------------------------------------------------------------------------------


def test_compressed_colour_and_depth(pipeline):
    scene = make_scene(seed=2)
    png = cv2.imencode(".png", scene.color[..., ::-1])[1].tobytes()
    jpeg = cv2.imencode(".jpg", scene.color[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    np.testing.assert_array_equal(decode_compressed_color(png), scene.color)
    assert np.abs(decode_compressed_color(jpeg).astype(int) - scene.color).mean() < 3
    assert picture_size(png) == picture_size(jpeg) == (WIDTH, HEIGHT)
    depth_png = bytes(12) + cv2.imencode(".png", scene.depth_mm)[1].tobytes()
    depth = decode_compressed_depth(depth_png, "16UC1; compressedDepth png")
    np.testing.assert_allclose(depth, scene.depth_mm * 1e-3, rtol=1e-6)
    frame = Frame(
        color=SimpleNamespace(header=HEADER, format="rgb8; jpeg compressed bgr8", data=jpeg),
        depth=SimpleNamespace(header=HEADER, format="16UC1; compressedDepth png", data=depth_png),
        camera_info=camera_info(),
    )
    raw = pipeline.process(frame_of(scene), Settings())
    np.testing.assert_allclose(pipeline.process(frame, Settings()).shifts, raw.shifts, atol=2)


def test_compressed_float_depth_is_inverse_depth():
    metres = np.linspace(0.4, 4.0, 64, dtype=np.float32).reshape(8, 8)
    quant_a, quant_b = 100.0 * 101.0, 1 - 100.0 * 101.0 / 10.0  # of compressed_depth_image_transport
    values = (quant_a / metres + quant_b).astype(np.uint16)
    values[0, 0] = 0
    header = np.array([0], "<i4").tobytes() + np.array([quant_a, quant_b], "<f4").tobytes()
    depth = decode_compressed_depth(header + cv2.imencode(".png", values)[1].tobytes(), "32FC1; compressedDepth png")
    assert np.isnan(depth[0, 0])
    np.testing.assert_allclose(depth.ravel()[1:], metres.ravel()[1:], rtol=2e-3)


@pytest.mark.parametrize("message_format", ["16UC1", "16UC1; compressedDepth", "16UC1; compressedDepth png"])
def test_depth_of_older_publishers_names_no_compression(message_format):
    data = bytes(12) + cv2.imencode(".png", np.full((4, 4), 700, np.uint16))[1].tobytes()
    np.testing.assert_allclose(decode_compressed_depth(data, message_format), 0.7, rtol=1e-6)


@pytest.mark.parametrize("message_format", ["16UC1; compressedDepth rvl", "rgb8; jpeg compressed bgr8", "", "png"])
def test_depth_of_other_formats_is_refused_with_those_accepted(message_format):
    with pytest.raises(ImageError, match="accepted are '16UC1; compressedDepth png'"):
        decode_compressed_depth(bytes(100), message_format)


def test_a_small_message_cannot_claim_a_huge_picture():
    png = bytearray(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    png[16:24] = (65535).to_bytes(4, "big") * 2
    with pytest.raises(ImageError, match="claims 65535x65535"):
        decode_compressed_color(bytes(png))


def test_a_png_chunk_cannot_claim_more_than_there_is():
    png = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    at = png.index(b"IDAT") - 4
    for damaged in (png[:at] + (2**31 - 1).to_bytes(4, "big") + png[at + 4 :], png[:-6], png[: at + 2]):
        started = time.monotonic()
        with pytest.raises(ImageError, match="cut-off png"):
            decode_compressed_color(damaged)
        assert time.monotonic() - started < 0.5


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.integers(0, 400), st.booleans())
def test_damaged_compressed_images_are_refused(noise, cut, as_png):
    picture = cv2.imencode(".png" if as_png else ".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    damaged = picture[:cut] + noise
    for decode in (
        decode_compressed_color,
        lambda data: decode_compressed_depth(bytes(12) + data, "16UC1; compressedDepth png"),
    ):
        with contextlib.suppress(ImageError):
            assert decode(damaged).ndim in (2, 3)


# --- models and devices --------------------------------------------------------------------------------------


def test_models_are_found_by_folder_or_by_name(tmp_path, monkeypatch, fresh_models):
    folder = tmp_path / "share" / "tiae_ros" / "models" / "mine"
    folder.mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert find_model("mine") == folder
    monkeypatch.chdir(tmp_path)
    assert find_model("./share/tiae_ros/models/mine").samefile(folder)
    with pytest.raises(ModelError, match=r"there is no model 'yours'.*shipped models: .*mine"):
        find_model("yours")
    with pytest.raises(
        ModelError,
        match=r"for the channels depth; accepted here: hand_mask, object_mask \| hand_mask, object_mask, depth",
    ):
        load_checked(fresh_models["depth_model"], GRASP_CHANNELS, "cpu")


def test_devices():
    assert find_device("cpu") == ("cpu", "")
    device, remark = find_device("auto")
    assert (device == "cpu") == bool(remark)
    with pytest.raises(ParameterError, match="devices of this machine: cpu"):
        find_device("cuda:99")


# --- counts and the mailbox ----------------------------------------------------------------------------------


def test_rates_latencies_and_drops_by_hand():
    now = [100.0]
    counts = Statistics(clock=lambda: now[0])
    for _ in range(30):
        now[0] += 0.1
        counts.event("colour")
        counts.latency("network", 0.002)
    counts.latency("network", 0.010)
    counts.drop("too old")
    now[0] += 0.5
    snapshot = counts.snapshot()
    assert snapshot.rates_hz["colour"] == pytest.approx(25 / 3, abs=0.5)
    assert snapshot.ages_s["colour"] == pytest.approx(0.5)
    assert snapshot.totals["colour"] == 30
    assert snapshot.latency_ms["network"] == pytest.approx((2.0, 10.0))
    assert snapshot.drops == snapshot.recent_drops == {"too old": 1}
    now[0] += 60
    later = counts.snapshot()
    assert later.rates_hz["colour"] == 0
    assert later.recent_drops == {}
    assert later.drops == {"too old": 1}


def test_the_mailbox_keeps_the_newest_and_wakes_its_reader():
    mailbox: Mailbox[int] = Mailbox()
    assert mailbox.put(1) is False
    assert mailbox.put(2) is True
    assert mailbox.get() == 2
    got = []
    reader = threading.Thread(target=lambda: got.extend([mailbox.get(), mailbox.get()]))
    reader.start()
    mailbox.put(3)
    while not got and reader.is_alive():
        time.sleep(0.01)
        mailbox.close()
    reader.join(5)
    assert got in ([3, None], [None, None])
    assert mailbox.get() is None
