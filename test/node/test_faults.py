"""A camera with every fault a camera can have, and the node in its own process that has to survive it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from damaged_models import with_nan
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PointStamped, Vector3Stamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_processes import Camera, Client, image_message, node_process, pixels_of, stamp_of
from sensor_msgs.msg import Image, PointCloud2
from synthetic_scenes import add_hand, make_scene, moved

pytestmark = pytest.mark.timeout(90)

SPACE = "/faults"
KINDS = {
    "grasps": PointCloud2,
    "descriptor": Image,
    "shift": Vector3Stamped,
    "position": PointStamped,
    "restored/depth": Image,
}
MAX_AGE_S = 0.8


@pytest.fixture(scope="module")
def node(tmp_path_factory, shipped_models):
    """One node for all faults: what one test does to it, the next one must not feel."""
    folder = tmp_path_factory.mktemp("faults")
    parameters = {**shipped_models, "diagnostics_period_s": 0.2, "max_age_s": MAX_AGE_S}
    with node_process(folder, parameters, arguments=["-r", f"__ns:={SPACE}"]) as process:
        yield process
        assert "Traceback" not in process.output


class Bench:
    """Camera on one side, results on the other."""

    def __init__(self, client: Client, **camera: Any) -> None:
        self.client = client
        for name, kind in KINDS.items():
            client.listen(kind, f"{SPACE}/tiae/{name}")
        client.listen(DiagnosticArray, "/diagnostics")
        self.camera = Camera(client, f"{SPACE}/", **camera)
        self.camera.wait_for_node()
        client.wait_for_publishers()

    def messages(self, name: str) -> dict[int, Any]:
        return {stamp_of(m): m for m in self.client.received[f"{SPACE}/tiae/{name}"]}

    def result(self, scene: Any, **changes: Any) -> dict[str, Any]:
        """All outputs of one frame; frames lost on the way (best effort) are sent again."""
        for _ in range(20):
            stamp = self.camera.shoot(scene, step_ns=100_000_000, **changes)
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:
                self.client.spin(0.05)
                if stamp in self.messages("grasps"):
                    self._wait_for_the_rest(stamp)
                    return {name: self.messages(name).get(stamp) for name in KINDS}
        raise AssertionError("no result")

    def _wait_for_the_rest(self, stamp: int) -> None:
        """What belongs to a frame's list of grasps; a position is not always among it."""
        expected = set(KINDS) - {"grasps", "position"} if self.messages("grasps")[stamp].width else set()
        deadline = time.monotonic() + 2.0
        while any(stamp not in self.messages(name) for name in expected) and time.monotonic() < deadline:
            self.client.spin(0.02)
        self.client.spin(0.1)

    def no_result(self, scene: Any, frames: int = 5, **changes: Any) -> None:
        """Frames that must not lead to any output."""
        sent = []
        for _ in range(frames):
            sent.append(self.camera.shoot(scene, step_ns=100_000_000, **changes))
            self.client.spin(0.08)
        self.client.spin(0.3)
        for name in KINDS:
            assert not set(sent) & set(self.messages(name))

    def status(self) -> DiagnosticStatus:
        """The next one."""
        self.client.received["/diagnostics"].clear()
        self.client.spin_until(lambda: self.client.received["/diagnostics"], what="diagnostics")
        return self.client.received["/diagnostics"][-1].status[0]

    def status_until(self, level: bytes, text: str = "", timeout_s: float = 8.0) -> DiagnosticStatus:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            status = self.status()
            if status.level == level and text in status.message:
                return status
        raise AssertionError(f"last status: {status.level} {status.message}")

    def dropped(self) -> dict[str, int]:
        pairs = {v.key: v.value for v in self.status().values}
        return {key[9:]: int(value) for key, value in pairs.items() if key.startswith("dropped: ")}


@pytest.fixture
def bench(client, node):
    one = Bench(client)
    for _ in range(10):  # until camera info has arrived
        if one.result(make_scene())["position"] is not None:
            return one
    raise AssertionError("no metric output")


def shift_of(outputs: dict[str, Any]) -> np.ndarray:
    return np.array([outputs["shift"].vector.x, outputs["shift"].vector.y])


def test_01_a_stalled_camera_is_stale_and_recovers(bench, node):
    bench.result(make_scene())
    status = bench.status_until(DiagnosticStatus.STALE, f"no colour on {SPACE}/color/image for")
    assert "no result for" in status.message
    count = len(bench.messages("descriptor"))
    bench.client.spin(0.5)
    assert len(bench.messages("descriptor")) == count  # nothing old is repeated
    bench.camera.stream(make_scene(), 1.0, rate_hz=10)
    bench.camera.stream(make_scene(), 0.5, rate_hz=10)
    assert bench.status().level in (DiagnosticStatus.OK, DiagnosticStatus.WARN)


def test_01_a_camera_without_depth_is_named(bench, node):
    bench.result(make_scene())
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        bench.camera.stamp_ns += 100_000_000
        bench.camera.color.publish(image_message(make_scene().color, "rgb8", bench.camera.stamp_ns))
        status = bench.status()
        if status.level == DiagnosticStatus.STALE and "no depth on" in status.message:
            assert "no colour on" not in status.message
            return
    raise AssertionError(status.message)


def test_02_depth_may_change_its_encoding(bench, node):
    scene = make_scene(seed=3)
    millimetres = bench.result(scene)
    metres = (scene.depth_mm * 1e-3).astype("<f4")
    fields = {"encoding": "32FC1", "step": 4 * metres.shape[1], "data": metres.tobytes()}
    as_float = bench.result(scene, depth=fields)
    np.testing.assert_allclose(shift_of(as_float), shift_of(millimetres), atol=0.05)
    np.testing.assert_allclose(pixels_of(as_float["descriptor"]), pixels_of(millimetres["descriptor"]), atol=1e-3)
    np.testing.assert_allclose(shift_of(bench.result(scene)), shift_of(millimetres), atol=1e-3)


def test_02_unknown_encodings_bring_one_error(bench, node):
    scene = make_scene()
    before = len(node.output)
    bench.no_result(scene, color={"encoding": "yuv422"})
    bench.no_result(scene, depth={"encoding": "rgb8", "step": 960, "data": bytes(960 * 240)})
    log = node.output[before:]
    assert log.count("'yuv422'") == 1
    assert "[ERROR]" in log
    assert "accepted are rgb8, bgr8" in log
    assert "'rgb8' cannot be used as depth; accepted are 16UC1" in log
    assert bench.dropped()["colour image"] >= 1
    bench.result(scene)


@pytest.mark.parametrize("encoding", ["bgr8", "rgba8", "bgra8", "mono8"])
def test_02_colour_encodings(bench, node, encoding):
    scene = make_scene(seed=4)
    alpha = np.full((*scene.color.shape[:2], 1), 255, np.uint8)
    pixels = {
        "bgr8": scene.color[..., ::-1],
        "rgba8": np.concatenate([scene.color, alpha], axis=2),
        "bgra8": np.concatenate([scene.color[..., ::-1], alpha], axis=2),
        "mono8": scene.color[..., 0],
    }[encoding]
    pixels = np.ascontiguousarray(pixels)
    fields = {"encoding": encoding, "step": pixels[0].nbytes, "data": pixels.tobytes()}
    outputs = bench.result(scene, color=fields)
    if encoding != "mono8":  # grey has no skin colour
        np.testing.assert_allclose(shift_of(outputs), shift_of(bench.result(scene)), atol=0.05)


def test_03_depth_without_readings_is_skipped(bench, node):
    scene = make_scene()
    scene.depth_mm[:] = 0
    bench.no_result(scene)
    assert "only 0.0% of the depth image are readings" in node.output
    assert bench.dropped()["too few depth readings"] >= 1


def test_03_invalid_depth_values_never_reach_an_output(bench, node):
    scene = make_scene(seed=5)
    metres = (scene.depth_mm * 1e-3).astype("<f4")
    chance = np.random.default_rng(0)
    for value in (np.nan, np.inf, -np.inf, 0.0, -1.0, 65535.0, 1e-30, 3e38):
        metres[chance.random(metres.shape) < 0.04] = value
    fields = {"encoding": "32FC1", "step": 4 * metres.shape[1], "data": metres.tobytes()}
    outputs = bench.result(scene, depth=fields)
    for name in ("grasps", "descriptor"):
        assert np.isfinite(np.frombuffer(outputs[name].data, "<f4")).all()
    restored = pixels_of(outputs["restored/depth"])
    assert ((restored > 0.1) & (restored < 2.0) | np.isnan(restored)).all()


def test_04_sizes_of_one_ratio_are_matched(bench, node):
    scene = make_scene(seed=6)
    half = np.ascontiguousarray(scene.depth_mm[::2, ::2])
    fields = {"height": 120, "width": 160, "step": 320, "data": half.tobytes()}
    outputs = bench.result(scene, depth=fields)
    np.testing.assert_allclose(shift_of(outputs), shift_of(bench.result(scene)), atol=6)


def test_04_sizes_of_other_ratios_are_dropped(bench, node):
    scene = make_scene()
    other = np.ascontiguousarray(scene.depth_mm[:200])
    bench.no_result(scene, depth={"height": 200, "step": 640, "data": other.tobytes()})
    assert "depth is 320x200 but colour is 320x240" in node.output


def test_05_padded_rows_are_read(bench, node):
    scene = make_scene(seed=7)
    padded = np.zeros((240, 320 * 3 + 20), np.uint8)
    padded[:, :960] = scene.color.reshape(240, 960)
    fields = {"step": padded.shape[1], "data": padded.tobytes()}
    np.testing.assert_allclose(shift_of(bench.result(scene, color=fields)), shift_of(bench.result(scene)), atol=1e-3)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"data": b"\0" * 1000}, "too short"),
        ({"data": b"\0" * (320 * 240 * 3 + 1)}, "too long"),
        ({"data": b""}, "too short"),
        ({"step": 0}, "step of 0 bytes"),
        ({"step": 959}, "step of 959 bytes"),
        ({"height": 0, "data": b""}, "at least 1"),
        ({"width": 0, "step": 0, "data": b""}, "at least 1"),
        ({"height": 65535, "width": 65535, "step": 65535 * 3}, "65535x65535"),
        ({"height": 2**32 - 1, "width": 2**32 - 1, "step": 2**32 - 1}, "too short"),
    ],
)
def test_05_06_headers_unlike_their_data_are_dropped(bench, node, fields, reason):
    bench.no_result(make_scene(), frames=2, color=fields)
    bench.status_until(DiagnosticStatus.ERROR, reason)  # the log has one line of those that differ in numbers alone


def test_06_one_pixel_holds_no_hand(bench, node):
    scene = make_scene(width=1, height=1, hand=False)
    outputs = bench.result(scene)
    assert outputs["grasps"].width == 0
    assert outputs["descriptor"] is None


def test_07_big_endian_depth_is_the_same_depth(bench, node):
    scene = make_scene(seed=8)
    swapped = scene.depth_mm.astype(">u2")
    one, other = bench.result(scene), bench.result(scene, depth={"is_bigendian": 1, "data": swapped.tobytes()})
    np.testing.assert_array_equal(pixels_of(one["descriptor"]), pixels_of(other["descriptor"]))


def test_08_disordered_duplicate_and_future_stamps(bench, node):
    scene = make_scene()
    bench.result(scene)
    start = bench.camera.stamp_ns + 100_000_000
    # Depth first, then colour; colour twice; one colour image from tomorrow.
    bench.camera.depth.publish(image_message(scene.depth_mm, "16UC1", start))
    bench.client.spin(0.1)
    bench.camera.color.publish(image_message(scene.color, "rgb8", start))
    bench.camera.color.publish(image_message(scene.color, "rgb8", start))
    bench.camera.color.publish(image_message(scene.color, "rgb8", start + 86_400 * 10**9))
    bench.client.spin(0.5)
    stamps = [stamp_of(m) for m in bench.client.received[f"{SPACE}/tiae/grasps"]]
    assert stamps.count(start) == 1
    bench.camera.stamp_ns = start
    assert bench.result(scene)["descriptor"] is not None


def test_09_frames_work_after_a_jump_back(bench, node):
    scene = make_scene()
    bench.result(scene)
    for _ in range(2):
        bench.camera.stamp_ns -= 3600 * 10**9
        before = len(bench.client.received[f"{SPACE}/tiae/grasps"])
        bench.camera.shoot(scene)
        bench.client.spin(0.6)
        assert len(bench.client.received[f"{SPACE}/tiae/grasps"]) == before + 1
    assert "stamps jumped back" in node.output


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"k": [0.0] * 9}, "not calibrated"),
        ({"k": [float("nan")] * 9}, "not calibrated"),
        ({"frame_id": "somewhere_else"}, "is of frame 'somewhere_else'"),
        ({"width": 111}, "is for 111x240"),
    ],
)
def test_10_unusable_camera_info_withholds_metres_only(bench, node, fields, reason):
    bench.result(make_scene(), info=fields)
    outputs = bench.result(make_scene(), info=fields)
    assert outputs["position"] is None
    assert outputs["shift"] is not None
    row = np.frombuffer(outputs["grasps"].data, "<f4")
    assert np.isnan(row[:3]).all()
    assert np.isfinite(row[3:]).all()
    bench.status_until(DiagnosticStatus.WARN, reason)


def test_10_without_camera_info_pixels_are_published(client, node):
    assert client.change_state("deactivate", f"{SPACE}/tiae")  # forgets the camera info of other tests
    assert client.change_state("activate", f"{SPACE}/tiae")
    bench = Bench(client, camera_info=False)
    outputs = bench.result(make_scene())
    assert outputs["position"] is None
    assert outputs["shift"] is not None
    bench.camera.stream(make_scene(), 1.5, rate_hz=10)
    node.wait_for("no camera info yet: positions in metres are withheld", 5)


def test_11_incompatible_qos_is_an_error(tmp_path, client, shipped_models):
    overrides = ["-p", "qos_overrides./color/image.subscription.reliability:=reliable"]
    with node_process(tmp_path, shipped_models, arguments=overrides) as node:
        camera = Camera(client, reliable=False)
        node.wait_for(r"\[ERROR\].*a publisher of /color/image offers an incompatible QoS policy: RELIABILITY", 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        client.node.create_subscription(Image, "/tiae/descriptor", lambda message: None, latched)
        node.wait_for(
            r"\[ERROR\].*a subscriber of /tiae/descriptor requests an incompatible QoS policy: DURABILITY", 10
        )
        assert camera


def test_16_non_finite_network_output_is_withheld(tmp_path, client, shipped_models):
    parameters = {**shipped_models, "model": with_nan(shipped_models["model"], tmp_path / "nan")}
    client.listen(PointCloud2, "/tiae/grasps")
    with node_process(tmp_path, parameters) as node:
        camera = Camera(client)
        camera.wait_for_node()
        camera.stream_until(make_scene(), lambda: "[ERROR]" in node.output)
        node.wait_for(r"\[ERROR\].*gave a number that is not finite; the result is withheld", 5)
        assert not client.received["/tiae/grasps"]
        assert node.alive


def test_16_non_finite_restored_depth_is_withheld_alone(tmp_path, client, shipped_models):
    parameters = {**shipped_models, "depth_model": with_nan(shipped_models["depth_model"], tmp_path / "nan")}
    for name, kind in (*KINDS.items(), ("restored/hand_mask", Image)):
        client.listen(kind, f"/tiae/{name}")
    client.listen(DiagnosticArray, "/diagnostics")
    with node_process(tmp_path, {**parameters, "diagnostics_period_s": 0.2}) as node:
        camera = Camera(client)
        camera.wait_for_node()
        client.wait_for_publishers()
        camera.stream_until(make_scene(), lambda: "[ERROR]" in node.output and client.received["/tiae/position"])
        node.wait_for(r"\[ERROR\].*gave a number that is not finite; the result is withheld", 5)

        def counted() -> bool:
            statuses = [message.status[0] for message in client.received["/diagnostics"]]
            keys = {value.key for status in statuses for value in status.values}
            return "dropped: non-finite network output" in keys and any(
                status.level == DiagnosticStatus.ERROR and "not finite" in status.message for status in statuses
            )

        client.spin_until(counted, 5, "diagnostics that count it")
        assert not client.received["/tiae/restored/depth"]
        for name in ("grasps", "descriptor", "shift", "restored/hand_mask"):
            assert client.received[f"/tiae/{name}"], name
        assert node.alive


def test_17_a_fast_camera_does_not_grow_latency(bench, node):
    scene = make_scene()
    bench.result(scene)
    sent: dict[int, float] = {}
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        sent[bench.camera.shoot(scene, step_ns=5_000_000)] = time.monotonic()
        bench.client.spin(0.002)
    bench.client.spin(0.5)
    topic = f"{SPACE}/tiae/grasps"
    arrived = zip(bench.client.received[topic], bench.client.arrived[topic], strict=True)
    delays = [when - sent[stamp_of(m)] for m, when in arrived if stamp_of(m) in sent]
    assert len(delays) > 20
    assert np.median(delays[len(delays) // 2 :]) < 0.3
    assert len(sent) - len(delays) < 3 or bench.dropped()["newer frame came"] > 0


def test_20_parameters_change_between_frames(bench, node):
    scene = make_scene(90, 120)
    add_hand(scene.color, scene.depth_mm, 240, 120)
    assert bench.result(scene)["grasps"].width == 2
    assert bench.client.set_parameter("max_grasps", 1, f"{SPACE}/tiae")[0]
    outputs = bench.result(scene)
    assert outputs["grasps"].width == 1
    assert outputs["descriptor"].height == 1
    assert bench.client.set_parameter("max_grasps", 2, f"{SPACE}/tiae")[0]
    outputs = bench.result(scene)
    assert outputs["grasps"].width == outputs["descriptor"].height == 2


def test_an_empty_scene_gives_an_empty_list(bench, node):
    outputs = bench.result(make_scene(hand=False))
    assert outputs["grasps"].width == 0
    assert len(outputs["grasps"].data) == 0
    assert all(outputs[name] is None for name in KINDS if name != "grasps")


def test_cut_off_hands_give_finite_results(bench, node):
    for dx, dy in ((140, 0), (-140, 0), (0, 110), (0, -110)):
        outputs = bench.result(moved(make_scene(), dx, dy))
        assert np.isfinite(np.frombuffer(outputs["grasps"].data, "<f4")).all()
