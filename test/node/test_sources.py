"""Other ways in (compressed images, masks from topics, simulated time), and exceptions inside the node."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Vector3Stamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_processes import Camera, camera_info_message, image_message, node_process, stamp_of
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from synthetic_scenes import make_scene

from tiae_ros.model.folder import read_manifest

pytestmark = pytest.mark.timeout(90)


def test_compressed_images_give_what_raw_ones_give(tmp_path, client, shipped_models):
    scene = make_scene(200, 110)
    for kind, topic in ((PointCloud2, "/tiae/grasps"), (Vector3Stamped, "/tiae/shift")):
        client.listen(kind, topic)
    color = client.publisher(CompressedImage, "color/image/compressed")
    depth = client.publisher(CompressedImage, "depth/image/compressedDepth")
    info = client.publisher(CameraInfo, "color/camera_info")
    jpeg = cv2.imencode(".jpg", scene.color[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    png = bytes(12) + cv2.imencode(".png", scene.depth_mm)[1].tobytes()
    color_png = cv2.imencode(".png", scene.color[..., ::-1])[1].tobytes()
    quant_a, quant_b = 100.0 * 101.0, 1 - 100.0 * 101.0 / 10.0  # as compressed_depth_image_transport has them
    inverse = (quant_a / (scene.depth_mm * 1e-3) + quant_b).astype(np.uint16)
    quantised = struct.pack("<iff", 0, quant_a, quant_b) + cv2.imencode(".png", inverse)[1].tobytes()
    with node_process(tmp_path, {**shipped_models, "image_transport": "compressed"}) as node:
        client.spin_until(lambda: color.get_subscription_count() and depth.get_subscription_count(), 20)
        client.wait_for_publishers()
        for index in range(150):
            stamp = (100 + index) * 100_000_000
            header = image_message(scene.depth_mm, "16UC1", stamp).header
            info.publish(camera_info_message(scene.depth_mm.shape, stamp))
            color.publish(CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=jpeg))
            depth.publish(CompressedImage(header=header, format="16UC1; compressedDepth png", data=png))
            client.spin(0.1)
            if len(client.received["/tiae/shift"]) >= 5:
                break
        client.spin(0.5)
        shift = client.received["/tiae/shift"][-1].vector
        assert shift.x == pytest.approx(200 + 10 - 159.5, abs=15)
        assert shift.y == pytest.approx(110 - 119.5, abs=15)
        for step in range(50):  # a png for colour, and depth in metres as its publisher quantises it
            header = image_message(scene.depth_mm, "16UC1", (1000 + step) * 100_000_000).header
            color.publish(CompressedImage(header=header, format="rgb8; png compressed bgr8", data=color_png))
            depth.publish(CompressedImage(header=header, format="32FC1; compressedDepth png", data=quantised))
            client.spin(0.1)
            if stamp_of(client.received["/tiae/shift"][-1]) >= 100_000_000_000:
                break
        again = client.received["/tiae/shift"][-1]
        assert stamp_of(again) >= 100_000_000_000
        assert (again.vector.x, again.vector.y) == pytest.approx((shift.x, shift.y), abs=6)  # a pixel of the window
        before = len(client.received["/tiae/grasps"])
        bad = CompressedImage(format="jpeg", data=b"\xff\xd8 no picture")
        bad.header = image_message(scene.depth_mm, "16UC1", 200_000_000_000).header
        color.publish(bad)
        depth.publish(CompressedImage(header=bad.header, format="16UC1; compressedDepth png", data=png))
        node.wait_for("neither jpeg nor png, or is cut off", 10)
        assert len(client.received["/tiae/grasps"]) == before


def test_masks_from_topics(tmp_path, client, shipped_models):
    scene = make_scene()
    hand = np.where(scene.depth_mm == 495, 255, 0).astype(np.uint8)
    held = np.where(scene.depth_mm == 505, 255, 0).astype(np.uint8)
    scene.color[:] = 0
    topics = {"/tiae/grasps": PointCloud2, "/tiae/segmentation": Image}
    for topic, kind in topics.items():
        client.listen(kind, topic)
    with node_process(tmp_path, {**shipped_models, "mask_source": "topics"}) as node:
        camera = Camera(client, masks=True)
        camera.wait_for_node()
        client.wait_for_publishers()
        camera.stream_until(scene, lambda: all(client.received[topic] for topic in topics), masks=(hand, held))
        client.spin(0.3)
        assert client.received["/tiae/grasps"][-1].width == 1
        labels = np.frombuffer(client.received["/tiae/segmentation"][-1].data, np.uint8).reshape(hand.shape)
        np.testing.assert_array_equal(labels, (hand > 0) * 1 + (held > 0) * 2)
        assert "hand_mask" in node.output


def test_one_model_for_masks_and_depth_publishes_everything(tmp_path, client, shipped_models, joint_model):
    topics = {"/tiae/grasps": PointCloud2, "/tiae/shift": Vector3Stamped}
    topics |= {f"/tiae/{name}": Image for name in ("descriptor", "restored/hand_mask", "restored/object_mask")}
    topics |= {"/tiae/restored/depth": Image}
    for topic, kind in (topics | {"/diagnostics": DiagnosticArray}).items():
        client.listen(kind, topic)
    parameters = {**shipped_models, "model": joint_model, "depth_model": "none", "diagnostics_period_s": 0.2}
    with node_process(tmp_path, parameters) as node:
        camera = Camera(client)
        camera.wait_for_node()
        client.wait_for_publishers()
        camera.stream_until(make_scene(), lambda: all(client.received[topic] for topic in topics))

        def complete() -> bool:
            """Every frame since all topics are matched has a message on each."""
            stamps = [{stamp_of(m) for m in client.received[topic]} for topic in topics]
            first = max(min(some) for some in stamps)
            return len({frozenset(stamp for stamp in some if stamp >= first) for some in stamps}) == 1

        client.spin_until(complete, 5, "one frame, one result")
        numbers = read_manifest(Path(joint_model)).descriptor_size
        assert {message.width for message in client.received["/tiae/descriptor"]} == {numbers}
        assert {message.height for message in client.received["/tiae/restored/depth"]} == {32}
        depth_m = np.frombuffer(client.received["/tiae/restored/depth"][-1].data, "<f4")
        assert np.nanmedian(depth_m) == pytest.approx(0.5, abs=0.1)
        client.spin_until(lambda: client.received["/diagnostics"], 10, "diagnostics")
        values = {value.key: value.value for value in client.received["/diagnostics"][-1].status[0].values}
        assert values["depth model"] == values["model"]
        assert "[ERROR]" not in node.output


def test_simulated_time_that_stands_still(tmp_path, client, shipped_models):
    """Stamps are copied, not made; diagnostics come by a steady clock."""
    client.listen(PointCloud2, "/tiae/grasps")
    client.listen(DiagnosticArray, "/diagnostics")
    parameters = {**shipped_models, "use_sim_time": True, "diagnostics_period_s": 0.2}
    with node_process(tmp_path, parameters):
        camera = Camera(client)
        camera.wait_for_node()
        client.wait_for_publishers()
        sent = camera.stream_until(make_scene(), lambda: len(client.received["/tiae/grasps"]) >= 3)
        client.spin(0.5)
        stamps = [stamp_of(message) for message in client.received["/tiae/grasps"]]
        assert stamps
        assert set(stamps) <= set(sent)
        assert len(client.received["/diagnostics"]) >= 3


def test_simulated_time_that_runs_and_is_reset(tmp_path, client, shipped_models):
    """Latency is in the clock of the stamps; a reset of the simulation costs nothing but the jump."""
    topic, camera, scene = "/tiae/grasps", Camera(client), make_scene()
    client.listen(PointCloud2, topic)
    client.listen(DiagnosticArray, "/diagnostics")
    clock = client.publisher(Clock, "/clock")

    def play(seconds: float, start_s: int) -> list[int]:
        """Ten frames a second, each with its time on /clock; stamps that were answered."""
        client.received[topic].clear()
        camera.stamp_ns = start_s * 10**9
        for _ in range(round(10 * seconds)):
            now = Clock()
            now.clock.sec, now.clock.nanosec = divmod(camera.stamp_ns + 100_000_000, 10**9)
            clock.publish(now)
            client.spin(0.02)
            camera.shoot(scene, step_ns=100_000_000)
            client.spin(0.08)
        client.spin(0.3)
        return [stamp_of(message) for message in client.received[topic]]

    parameters = {**shipped_models, "use_sim_time": True, "diagnostics_period_s": 0.2}
    with node_process(tmp_path, parameters) as node:
        camera.wait_for_node()
        client.wait_for_publishers()
        # The first ones may be lost: a subscription that is matched here may not yet be there.
        assert any(len(play(2.0, start_s=start)) >= 5 for start in (500, 600, 700))
        after = play(1.5, start_s=20)
        assert len(after) >= 4
        assert after[0] <= 20_500_000_000
        key = "stamp to result p50 / p99"

        def said() -> str:
            """The latency in diagnostics that are stamped in simulated time after the reset."""
            late = [m for m in client.received["/diagnostics"] if m.header.stamp.sec in (21, 22)]
            return next((value.value for m in late for value in m.status[0].values if value.key == key), "")

        median_ms = float(client.spin_until(said, 5, "diagnostics of the time after the reset").partition(" /")[0])
        assert 0 <= median_ms < 500
        assert node.output.count("stamps jumped back") == 1


@pytest.fixture
def inner_node(client, shipped_models):
    """The node in this process, so that a test can make its insides fail."""
    from rclpy.parameter import Parameter

    from tiae_ros.node.node import PerceptionNode

    overrides = [Parameter(name, value=value) for name, value in shipped_models.items()]
    node = PerceptionNode(context=client._context, parameter_overrides=overrides, namespace="/inner")
    client._executor.add_node(node)
    yield node
    node.stop()
    client._executor.remove_node(node)
    node.destroy_node()


def test_an_exception_costs_its_frame_alone(client, inner_node, monkeypatch, capfd):
    from tiae_ros.perception import Pipeline

    client.listen(PointCloud2, "/inner/tiae/grasps")
    assert client.change_state("configure", "/inner/tiae")
    assert client.change_state("activate", "/inner/tiae")
    camera = Camera(client, "/inner/")
    camera.wait_for_node()
    describe = Pipeline.describe

    def failing(*arguments):
        raise ZeroDivisionError("a fault of our own")

    monkeypatch.setattr(Pipeline, "describe", failing)
    camera.stream_until(make_scene(), lambda: inner_node._statistics.snapshot().drops.get("exception"))
    monkeypatch.setattr(Pipeline, "describe", describe)
    assert not client.received["/inner/tiae/grasps"]
    camera.stream_until(make_scene(), lambda: client.received["/inner/tiae/grasps"])
    log = capfd.readouterr().err
    assert "ZeroDivisionError: a fault of our own" in log
    assert "Traceback" in log


def test_deactivate_keeps_the_models_and_cleanup_frees_them(client, inner_node):
    import gc
    import weakref

    def ask(transition: str) -> None:
        assert client.change_state(transition, "/inner/tiae")

    ask("configure")
    ask("activate")
    models = [weakref.ref(m) for m in (inner_node._pipeline.grasp_model, inner_node._pipeline.depth_model)]
    ask("deactivate")
    assert all(model() is not None for model in models)
    ask("cleanup")
    gc.collect()
    assert all(model() is None for model in models)


@pytest.mark.parametrize("where", ["network", "elsewhere"])
def test_15_out_of_memory_costs_the_frame(client, inner_node, monkeypatch, where):
    from tiae_ros import Autoencoder
    from tiae_ros.vision import sight

    client.listen(PointCloud2, "/inner/tiae/grasps")
    client.listen(DiagnosticArray, "/diagnostics")
    assert client.change_state("configure", "/inner/tiae")
    assert client.change_state("activate", "/inner/tiae")
    camera = Camera(client, "/inner/")
    camera.wait_for_node()

    def failing(*arguments, **named):
        raise MemoryError("Unable to allocate 2 GiB")

    owner, name = (Autoencoder, "describe") if where == "network" else (sight, "find_windows")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        camera.stream_until(make_scene(), lambda: inner_node._statistics.snapshot().drops.get("out of memory"))
        assert not client.received["/inner/tiae/grasps"]

        def said() -> bool:
            statuses = [m.status[0] for m in client.received["/diagnostics"]]
            return any(s.level == DiagnosticStatus.ERROR and "2 GiB" in s.message for s in statuses)

        client.spin_until(said, 5, "diagnostics that say it")
    camera.stream_until(make_scene(), lambda: client.received["/inner/tiae/grasps"])


def test_what_fails_later_leaves_the_descriptor(client, inner_node, monkeypatch):
    """The descriptor of each frame comes first, also where the decoder then fails; the next frame works."""
    from tiae_ros import Autoencoder

    topics = {name: f"/inner/tiae/{name}" for name in ("descriptor", "grasps", "shift", "restored/hand_mask")}
    for name, topic in topics.items():
        client.listen({"grasps": PointCloud2, "shift": Vector3Stamped}.get(name, Image), topic)
    assert client.change_state("configure", "/inner/tiae")
    assert client.change_state("activate", "/inner/tiae")
    camera = Camera(client, "/inner/")
    camera.wait_for_node()
    client.wait_for_publishers()

    def failing(*arguments):
        raise MemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def arrived(name: str) -> list[int]:
        return [stamp_of(message) for message in client.received[topics[name]]]

    with monkeypatch.context() as patch:
        patch.setattr(Autoencoder, "restore_described", failing)
        alone = camera.stream_until(make_scene(), lambda: len(arrived("descriptor")) >= 3)
        client.spin(0.2)
        assert inner_node._statistics.snapshot().drops["out of memory"] >= 3
        assert not any(arrived(name) for name in topics if name != "descriptor")
        assert set(arrived("descriptor")) <= set(alone)
    client.received[topics["descriptor"]].clear()
    camera.stream_until(make_scene(), lambda: len(arrived("restored/hand_mask")) >= 3)
    client.spin(0.2)
    whole = [set(arrived(name)) for name in topics]
    assert len(set.intersection(*whole)) >= 3


def test_18_nobody_looks_nothing_is_drawn(client, inner_node, monkeypatch):
    from tiae_ros.node import node as module

    drawn, draw = [], module.draw
    monkeypatch.setattr(module, "draw", lambda *what: drawn.append(1) or draw(*what))
    client.listen(PointCloud2, "/inner/tiae/grasps")
    assert client.change_state("configure", "/inner/tiae")
    assert client.change_state("activate", "/inner/tiae")
    camera = Camera(client, "/inner/")
    camera.wait_for_node()
    camera.stream_until(make_scene(), lambda: len(client.received["/inner/tiae/grasps"]) >= 3)
    assert not drawn
    client.listen(Image, "/inner/tiae/debug_image")
    camera.stream_until(make_scene(), lambda: client.received["/inner/tiae/debug_image"])
    assert drawn


def test_an_exception_in_a_transition_is_logged(client, inner_node, monkeypatch, capfd):
    from tiae_ros.node import node as module

    def failing(*arguments):
        raise ZeroDivisionError("a fault of our own")

    load = module.load_pipeline
    monkeypatch.setattr(module, "load_pipeline", failing)
    assert not client.change_state("configure", "/inner/tiae")
    assert client.state("/inner/tiae") == "unconfigured"
    log = capfd.readouterr().err
    assert "configure failed" in log
    assert "ZeroDivisionError: a fault of our own" in log
    assert "Traceback" in log
    assert inner_node._configure_error == "ZeroDivisionError: a fault of our own"
    monkeypatch.setattr(module, "load_pipeline", load)
    assert client.change_state("configure", "/inner/tiae")
    assert client.state("/inner/tiae") == "inactive"


def test_a_latched_camera_info_is_received(tmp_path, client, shipped_models):
    """Published once, before the node is there; the override of one topic leaves the others as they were."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    info = client.node.create_publisher(CameraInfo, "color/camera_info", latched)
    scene = make_scene()
    info.publish(camera_info_message(scene.depth_mm.shape, 10**9))
    client.listen(PointCloud2, "/tiae/grasps")
    override = ["-p", "qos_overrides./color/camera_info.subscription.durability:=transient_local"]
    with node_process(tmp_path, shipped_models, arguments=override):
        camera = Camera(client, reliable=False, camera_info=False)
        camera.wait_for_node()
        client.wait_for_publishers()
        camera.stream_until(scene, lambda: client.received["/tiae/grasps"])
        for topic in ("/color/image", "/depth/image"):
            (there,) = client.node.get_subscriptions_info_by_topic(topic)
            assert there.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
            assert there.qos_profile.durability == DurabilityPolicy.VOLATILE
    position = np.frombuffer(client.received["/tiae/grasps"][-1].data, "<f4")[:3]
    assert np.isfinite(position).all()
