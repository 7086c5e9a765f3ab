"""One frame -> everything that is published, without ROS: messages to pictures, and the pipeline's steps."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_scenes import FOCAL, HEIGHT, WIDTH, Scene, add_hand, make_scene, moved

from tiae_ros import Perception
from tiae_ros.drawing import draw
from tiae_ros.errors import ImageError, ModelError, ParameterError
from tiae_ros.node.frames import Frame, decode_frame
from tiae_ros.node.warm_up import drawn_images, warm_up
from tiae_ros.parameters import Settings
from tiae_ros.perception import DEPTH_CHANNELS, GRASP_CHANNELS, FrameDropped, Pipeline, Result, load_checked
from tiae_ros.vision.cut_windows import cut_depth
from tiae_ros.vision.labels import HAND, OBJECT
from tiae_ros.vision.segmentation.classical import ClassicalSegmentation
from tiae_ros.vision.sight import FOLLOWED, WHOLE_PICTURE, Sight

HEADER = SimpleNamespace(frame_id="camera")


def image(pixels: np.ndarray, encoding: str, /, **fields: Any) -> SimpleNamespace:
    height, width, step = *pixels.shape[:2], pixels[0].nbytes
    data = np.ascontiguousarray(pixels).tobytes()
    usual = {"encoding": encoding, "height": height, "width": width, "step": step, "is_bigendian": 0, "data": data}
    return SimpleNamespace(header=HEADER, **{**usual, **fields})


def camera_info(focal: float = FOCAL, width: int = WIDTH, height: int = HEIGHT) -> SimpleNamespace:
    k = [focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1]
    return SimpleNamespace(header=HEADER, width=width, height=height, k=k)


def frame_of(scene: Scene, **parts: Any) -> Frame:
    images = {"color": image(scene.color, "rgb8"), "depth": image(scene.depth_mm, "16UC1")}
    return Frame(**{**images, "camera_info": camera_info(), **parts})


def process(pipeline: Pipeline, frame: Frame, given: Settings | None = None) -> Result:
    """From messages to everything but the restored depth."""
    given = given or Settings()
    images, _ = decode_frame(frame, given)
    return pipeline.restore(pipeline.describe(images, given))


def two_hands() -> Scene:
    scene = make_scene(80, 120)
    add_hand(scene.color, scene.depth_mm, 230, 120)
    return scene


@pytest.fixture(scope="module")
def pipeline(shipped_models):
    return Pipeline(
        load_checked(shipped_models["model"], GRASP_CHANNELS, "cpu"),
        load_checked(shipped_models["depth_model"], DEPTH_CHANNELS, "cpu"),
        ClassicalSegmentation(),
    )


@pytest.fixture(scope="module")
def joint(joint_model):
    """A pipeline whose one model restores masks and depth."""
    return Pipeline(load_checked(joint_model, GRASP_CHANNELS, "cpu"), None, ClassicalSegmentation())


class Recording(ClassicalSegmentation):
    """Finds hands as ever; keeps how many it was to follow, and whether to look at the whole picture all the same."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []

    def see(self, *given: Any, before: Any = (), redetect: bool = False, **more: Any) -> Sight:
        self.asked.append((len(before), redetect))
        return replace(super().see(*given, **more), road=FOLLOWED if before and not redetect else WHOLE_PICTURE)


@pytest.mark.parametrize(
    ("follow_frames", "stamps", "asked"),
    [
        (2, range(10), [(0, False), *3 * [(1, False), (1, False), (1, True)]]),
        (1, range(5), [(0, False), *2 * [(1, False), (1, True)]]),
        (0, range(3), 3 * [(0, True)]),
        (2, [0, 1, 20, 21, 3, 4], 3 * [(0, False), (1, False)]),  # a pause of almost two seconds; time goes back
    ],
)
def test_hands_are_followed_for_some_frames(pipeline, follow_frames, stamps, asked):
    recording = Recording()
    looking = Pipeline(pipeline.grasp_model, pipeline.depth_model, recording)
    given = Settings().with_changes({"follow_frames": follow_frames})
    images, _ = decode_frame(frame_of(make_scene()), given)
    for number in stamps:
        looking.describe(replace(images, stamp_s=0.1 * number), given)
    assert recording.asked == asked
    looking.forget()
    looking.describe(images, given)
    assert recording.asked[-1][0] == 0


def test_everything_moves_by_whole_pixels(pipeline):
    scene = make_scene()
    here = process(pipeline, frame_of(scene))
    for dx, dy in ((-60, -40), (20, 40), (60, -2)):
        there = process(pipeline, frame_of(moved(scene, dx, dy)))
        np.testing.assert_allclose(there.shifts[0] - here.shifts[0], [dx, dy], atol=1)
        np.testing.assert_allclose(there.descriptors, here.descriptors, atol=1e-2)
        expected = np.array([dx, dy, 0]) * here.positions[0, 2] / FOCAL
        np.testing.assert_allclose(there.positions[0] - here.positions[0], expected, atol=0.003)


def test_shapes(pipeline):
    manifest = pipeline.grasp_model.manifest
    size = manifest.window_size
    result = process(pipeline, frame_of(make_scene()))
    depth_m = pipeline.restore_depth(result, Settings())
    assert result.descriptors.shape == (1, manifest.descriptor_size)
    assert result.shifts.shape == (1, 2)
    assert result.positions.shape == (1, 3)
    assert result.restored_masks.shape == (2, size, size)
    assert depth_m.shape == (size, size)
    assert result.restored_k.shape == (3, 3)
    assert result.labels.shape == (HEIGHT, WIDTH)
    assert draw(result.images.color, result, depth_m).shape == (HEIGHT, WIDTH + HEIGHT // 3, 3)
    assert {"segment", "window", "network", "restoration"} <= result.timings_s.keys()


def test_the_python_door_gives_the_same(shipped_models, pipeline):
    scene = two_hands()
    result = process(pipeline, frame_of(scene))
    depth_m = (scene.depth_mm * 1e-3).astype(np.float32)
    grasps = Perception(**shipped_models).frame(scene.color, depth_m, camera_info().k)
    np.testing.assert_allclose([grasp.descriptor for grasp in grasps], result.descriptors, atol=1e-5)
    np.testing.assert_allclose([grasp.shift_px for grasp in grasps], result.shifts, atol=1e-3)
    np.testing.assert_allclose([grasp.position_m for grasp in grasps], result.positions, atol=1e-5)
    for index, grasp in enumerate(grasps):
        np.testing.assert_allclose(grasp.depth_m, pipeline.restore_depth(result, Settings(), index), atol=1e-4)
    assert len(grasps) == 2
    assert pipeline.restore_depth(result, Settings(), 2) is None
    with pytest.raises(ImageError):
        Perception(**shipped_models).frame(scene.color[::2], depth_m)
    with pytest.raises(ImageError, match="whole numbers; it must be in metres"):
        Perception(**shipped_models).frame(scene.color, scene.depth_mm)
    with pytest.raises(ImageError, match="it must be in metres, float32: of millimetres a thousandth"):
        Perception(**shipped_models).frame(scene.color, scene.depth_mm.astype(np.float32))
    with pytest.raises(ParameterError, match="accepted are the 3x3 numbers of a camera matrix"):
        Perception(**shipped_models).frame(scene.color, depth_m, [1, 2])


def test_the_python_door_refuses_what_is_no_camera_matrix(shipped_models):
    scene = two_hands()
    depth_m = (scene.depth_mm * 1e-3).astype(np.float32)
    k = np.reshape(camera_info().k, (3, 3))
    perception = Perception(**shipped_models)
    for other in (k * 0, k * np.nan, -k, k * 2, k.T):  # transposed, it would put hands somewhere else
        with pytest.raises(ParameterError, match="accepted are the 3x3 numbers of a camera matrix"):
            perception.frame(scene.color, depth_m, other)
    for depth in (depth_m * 1j, depth_m.astype("datetime64[s]")):
        with pytest.raises(ImageError, match="it must be in metres"):
            perception.frame(scene.color, depth, k)


@pytest.mark.parametrize("given", [Settings(), Settings(mask_source="topics")])
def test_the_first_passes_go_all_the_way(pipeline, given):
    frame = Frame(**drawn_images())
    result = process(pipeline, frame, given)
    assert len(result.windows) == 1
    for label, mask in ((HAND, frame.hand_mask), (OBJECT, frame.object_mask)):
        drawn = np.frombuffer(mask.data, np.uint8).reshape(result.labels.shape) > 0
        found = result.labels == label
        assert (drawn & found).sum() > 0.7 * (drawn | found).sum()
    assert pipeline.restore_depth(result, given) is not None


def test_warming_up_leaves_faults_to_frames(pipeline):
    broken = Pipeline(Broken(pipeline.grasp_model, math.nan), pipeline.depth_model, pipeline.segmentation)
    warm_up(broken, Settings())
    with pytest.raises(FrameDropped, match="not finite"):
        process(broken, frame_of(make_scene()))


def test_colours_nobody_needs_are_not_decoded(pipeline):
    hand = image(np.full((HEIGHT, WIDTH), 255, np.uint8), "mono8")
    frame = frame_of(make_scene(), hand_mask=hand, object_mask=hand)
    for source, needed in (("topics", False), ("segmentation", True)):
        images, _ = decode_frame(frame, Settings(mask_source=source), need_color=False)
        assert (images.color is not None) == needed


def test_a_joint_model_needs_one_pass(pipeline, joint, monkeypatch):
    warm_up(joint, Settings())
    passes, describe = [], joint.grasp_model.describe
    monkeypatch.setattr(joint.grasp_model, "describe", lambda windows: passes.append(windows) or describe(windows))
    result = process(joint, frame_of(two_hands()))
    depth_m = joint.restore_depth(result, Settings())
    (windows,) = passes
    assert windows.shape == (2, 3, 32, 32)
    assert result.descriptors.shape[0] == result.shifts.shape[0] == 2
    assert result.restored_masks.shape == (2, 32, 32)
    # What it sees of depth is what a depth model would see, and it is put back in the same way.
    main = cut_depth(result.images.depth_m, result.labels, result.windows[0])
    np.testing.assert_array_equal(windows[0, 2:], main)
    assert np.nanmedian(depth_m) == pytest.approx(result.windows[0].depth_m, abs=0.1)
    assert joint.depth_model_id == joint.grasp_model.manifest.model_id
    assert (pipeline.depth_model_id, Pipeline(pipeline.grasp_model).depth_model_id) == ("depth", "")


def test_a_depth_model_takes_depth_over(pipeline, joint):
    both = Pipeline(joint.grasp_model, pipeline.depth_model, pipeline.segmentation)
    result = process(both, frame_of(make_scene()))
    assert np.isfinite(both.restore_depth(result, Settings())).any()
    both.depth_model = Broken(pipeline.depth_model, math.nan)
    with pytest.raises(FrameDropped, match="not finite"):
        both.restore_depth(result, Settings())


@pytest.mark.timeout(600)  # the first export of a process takes a busy machine minutes
def test_windows_of_an_odd_size(tmp_path, traced_once):
    """They stand about the same centre as those of 32 pixels, and what is restored lies on the picture."""
    torch = pytest.importorskip("torch", reason="models are made with torch, which is not installed")
    from tiae_training import TransformInvariantAutoencoder
    from tiae_training.export import save_model

    torch.manual_seed(0)
    model = TransformInvariantAutoencoder.fresh(GRASP_CHANNELS[-1], 33)
    save_model(model, tmp_path)
    odd = Pipeline(load_checked(str(tmp_path), GRASP_CHANNELS, "cpu"), None, ClassicalSegmentation())
    warm_up(odd, Settings())
    here, there = (process(odd, frame_of(scene)) for scene in (make_scene(), moved(make_scene(), 20, 40)))
    depth_m = odd.restore_depth(here, Settings())
    assert here.seen.shape == here.placed.shape == (1, 3, 33, 33)
    assert depth_m.shape == (33, 33)
    np.testing.assert_allclose(there.shifts[0] - here.shifts[0], [20, 40], atol=1)
    window = here.windows[0]
    towards = (window.center_x - (WIDTH - 1) / 2) / FOCAL, (window.center_y - (HEIGHT - 1) / 2) / FOCAL, 1.0
    np.testing.assert_allclose(here.restored_k @ towards, [16, 16, 1], atol=1e-6)  # the middle pixel
    assert draw(here.images.color, here, depth_m).shape == (HEIGHT, WIDTH + HEIGHT // 3, 3)


def test_models_with_other_windows_are_refused(pipeline):
    other = SimpleNamespace(manifest=replace(pipeline.depth_model.manifest, window_size=48))
    with pytest.raises(ModelError, match="depth model depth has windows of 48 pixels, but model grasp has 32"):
        Pipeline(pipeline.grasp_model, other)


def test_without_segmentation_labels_have_to_come(pipeline):
    with pytest.raises(ModelError, match="has no segmentation"):
        process(Pipeline(pipeline.grasp_model), frame_of(make_scene()))


def test_two_hands_nearest_first_and_limited(pipeline):
    scene = two_hands()
    scene.depth_mm[:, 160:][scene.depth_mm[:, 160:] < 600] -= 60  # the right one is nearer
    result = process(pipeline, frame_of(scene))
    assert len(result.windows) == 2
    assert result.shifts[0, 0] > 0 > result.shifts[1, 0]
    assert len(process(pipeline, frame_of(scene), Settings(max_grasps=1)).windows) == 1


def test_masks_from_topics_replace_segmentation(pipeline):
    scene = make_scene()
    scene.color[:] = 0  # our own segmentation would find nothing
    hand = np.where(scene.depth_mm == 495, 255, 0).astype(np.uint8)
    held = image(np.where(scene.depth_mm == 505, 255, 0).astype(np.uint8), "mono8")
    given = Settings(mask_source="topics")
    result = process(pipeline, frame_of(scene, hand_mask=image(hand, "mono8"), object_mask=held), given)
    np.testing.assert_array_equal(result.labels, (hand > 0) * 1 + (scene.depth_mm == 505) * 2)
    assert len(result.windows) == 1
    small = image(hand[::2, ::2], "mono8")
    with pytest.raises(FrameDropped, match="hand mask is 160x120 but colour is 320x240"):
        process(pipeline, frame_of(scene, hand_mask=small, object_mask=held), given)
    with pytest.raises(FrameDropped, match="cannot be a mask"):
        process(pipeline, frame_of(scene, hand_mask=image(scene.depth_mm, "16UC1"), object_mask=held), given)


def test_camera_info_of_another_resolution_is_scaled(pipeline):
    scene = make_scene()
    frame = frame_of(scene, camera_info=camera_info(2 * FOCAL, 2 * WIDTH, 2 * HEIGHT))
    one, other = process(pipeline, frame_of(scene)), process(pipeline, frame)
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-6)
    assert decode_frame(frame, Settings())[1] == {}


def test_compressed_frames_give_what_raw_ones_give(pipeline):
    scene = make_scene(seed=2)
    data = cv2.imencode(".png", scene.color[..., ::-1])[1].tobytes()
    png = bytes(12) + cv2.imencode(".png", scene.depth_mm)[1].tobytes()
    color = SimpleNamespace(header=HEADER, format="rgb8; png compressed bgr8", data=data)
    depth = SimpleNamespace(header=HEADER, format="16UC1; compressedDepth png", data=png)
    compressed = process(pipeline, frame_of(scene, color=color, depth=depth))
    np.testing.assert_allclose(compressed.shifts, process(pipeline, frame_of(scene)).shifts, atol=1e-3)


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
        (MemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory"),
        (MemoryError(), "out of memory"),
        (math.nan, "non-finite network output"),
        (math.inf, "non-finite network output"),
    ],
)
@pytest.mark.parametrize(
    ("which", "half"), [("grasp_model", "encoder"), ("grasp_model", "decoder"), ("depth_model", "decoder")]
)
def test_a_failing_network_costs_its_own_yield(pipeline, which, half, fault, reason):
    """The encoder the frame, the decoder all but the descriptor, the depth model the restored depth."""
    broken = Pipeline(pipeline.grasp_model, pipeline.depth_model, pipeline.segmentation)
    setattr(broken, which, Broken(getattr(pipeline, which), fault, half))
    whole = process(pipeline, frame_of(make_scene()))
    images, _ = decode_frame(frame_of(make_scene()), Settings())
    if half == "encoder":
        with pytest.raises(FrameDropped) as caught:
            broken.describe(images, Settings())
    elif which == "grasp_model":
        described = broken.describe(images, Settings())
        with pytest.raises(FrameDropped) as caught:
            broken.restore(described)
        np.testing.assert_array_equal(described.descriptors, whole.descriptors)
    else:
        result = broken.restore(broken.describe(images, Settings()))
        with pytest.raises(FrameDropped) as caught:
            broken.restore_depth(result, Settings())
        for name in ("descriptors", "shifts", "positions", "confidences", "restored_masks"):
            np.testing.assert_array_equal(getattr(result, name), getattr(whole, name))
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value)


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
def test_any_header_gives_results_or_is_dropped(pipeline, color_fields, depth_fields):
    chance = np.random.default_rng(0)
    color = image(chance.integers(0, 255, (30, 40, 3)).astype(np.uint8), "rgb8", **color_fields)
    depth = image(chance.integers(0, 2000, (30, 40)).astype(np.uint16), "16UC1", **depth_fields)
    try:
        result = process(pipeline, Frame(color=color, depth=depth))
    except FrameDropped:
        return
    for values in (result.descriptors, result.shifts, result.confidences):
        assert np.isfinite(values).all()


def test_models_for_other_channels_are_refused(shipped_models):
    accepted = r"for the channels depth; accepted here: hand_mask, object_mask \| hand_mask, object_mask, depth"
    with pytest.raises(ModelError, match=accepted):
        load_checked(shipped_models["depth_model"], GRASP_CHANNELS, "cpu")


def test_a_smaller_picture_than_its_camera_info_is_in_the_same_place(pipeline):
    scene = make_scene()
    whole = process(pipeline, frame_of(scene))
    smaller = process(pipeline, frame_of(Scene(scene.color[::2, ::2].copy(), scene.depth_mm[::2, ::2].copy())))
    np.testing.assert_allclose(smaller.positions[0], whole.positions[0], atol=0.005)
    np.testing.assert_allclose(smaller.windows[0].side_px, whole.windows[0].side_px / 2, rtol=0.01)


def test_a_portrait_picture_has_metres_by_its_own_camera_info_only(pipeline):
    scene = make_scene(120, 170, width=HEIGHT, height=WIDTH)
    upright = process(pipeline, frame_of(scene, camera_info=camera_info(width=HEIGHT, height=WIDTH)))
    assert np.isfinite(upright.positions).all()
    images, warnings = decode_frame(frame_of(scene), Settings())
    assert images.k is None
    assert "turned by 90 degrees" in warnings["camera info"]
    assert np.isnan(pipeline.restore(pipeline.describe(images, Settings())).positions).all()


def test_lens_distortion_counts_in_positions_and_in_the_windows_camera(pipeline):
    scene = make_scene(60, 60)
    straight = process(pipeline, frame_of(scene))
    info = camera_info()
    info.d, info.distortion_model = [-0.3, 0.0, 0.0, 0.0, 0.0], "plumb_bob"
    bent = process(pipeline, frame_of(scene, camera_info=info))
    point = bent.positions[0].astype(np.float64)
    seen = cv2.projectPoints(point.reshape(1, 1, 3), np.zeros(3), np.zeros(3), np.reshape(info.k, (3, 3)),
                             np.array(info.d))[0].ravel()  # fmt: skip
    centre = bent.shifts[0] + [(WIDTH - 1) / 2, (HEIGHT - 1) / 2]
    np.testing.assert_allclose(seen, centre, atol=0.1)
    assert np.abs(point - straight.positions[0]).max() > 0.003
    # The camera of the window sees the point where the window shows it, without distortion.
    in_window = bent.restored_k @ (point / point[2])
    expected = straight.restored_k @ (straight.positions[0] / straight.positions[0, 2])
    np.testing.assert_allclose(in_window, expected, atol=0.05)
    images, _ = decode_frame(replace(frame_of(scene, camera_info=info), rectified=True), Settings())
    assert images.k is None  # there is no P


@pytest.mark.parametrize("value", [1, 7, 255])
def test_masks_are_whatever_is_above_0(value):
    scene = make_scene()
    masks = {
        name: image(np.where(scene.depth_mm == depth, value, 0).astype(np.uint8), "mono8")
        for name, depth in (("hand_mask", 495), ("object_mask", 505))
    }
    images, warnings = decode_frame(frame_of(scene, **masks), Settings(mask_source="topics"))
    np.testing.assert_array_equal(images.labels == HAND, scene.depth_mm == 495)
    np.testing.assert_array_equal(images.labels == OBJECT, scene.depth_mm == 505)
    assert ("hand mask" in warnings) == (value == 1)


def test_images_of_other_frames_and_units_are_warned_of():
    scene = make_scene()
    depth = image(scene.depth_mm * 10, "16UC1")
    depth.header = SimpleNamespace(frame_id="camera_depth")
    images, warnings = decode_frame(frame_of(scene, depth=depth), Settings())
    assert images.k is not None
    assert "of frame 'camera_depth' but colour is of 'camera'" in warnings["frame of depth"]
    assert "depth_unit_m" in warnings["depth unit"]
    images, warnings = decode_frame(frame_of(scene, depth=depth), Settings(depth_unit_m=0.0001))
    assert list(warnings) == ["frame of depth"]
    np.testing.assert_allclose(images.depth_m, scene.depth_mm * 1e-3, rtol=1e-5)


def test_the_python_door_tells_the_hands_joints(tmp_path, shipped_models):
    pytest.importorskip("onnx", reason="small models are made with onnx, which is not installed")
    from made_hand_pose import make_hand_pose

    scene = two_hands()
    depth_m = (scene.depth_mm * 1e-3).astype(np.float32)
    assert Perception(**shipped_models).frame(scene.color, depth_m)[0].hand is None
    told = Perception(**shipped_models, hand_pose_model=make_hand_pose(tmp_path / "linear", "grasp", slope=1e-4))
    grasps = told.frame(scene.color, depth_m)
    assert [grasp.hand.joints.shape for grasp in grasps] == [(25,)] * 2
    assert grasps[0].hand.tips_mm.shape == (5, 3)
    assert 187 < grasps[0].hand.length_mm < 190
    assert grasps[0].hand.known in (True, False)
    with pytest.raises(ModelError, match="was trained on the auto-encoder"):
        Perception(**shipped_models, hand_pose_model=make_hand_pose(tmp_path / "other", "hands"))
