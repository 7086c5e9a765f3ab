"""The node's own segmentation by a hand detector: taken, refused, mended and failing; one real node process."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from damaged_models import with_nan
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_processes import Camera, Client, node_process, pixels_of
from sensor_msgs.msg import Image, PointCloud2
from synthetic_scenes import make_scene

from tiae_ros.model.folder import CLOSE_UP, ENCODER, MANIFEST, PROPOSALS, read_folder, write_folder

pytestmark = pytest.mark.timeout(120)

NODE = "/seg/tiae"
NAME = "network near-is-hand (float32)"


@pytest.fixture(scope="module")
def node(tmp_path_factory, shipped_models):
    """An unconfigured node; what a test configures it cleans up."""
    parameters = {**shipped_models, "autostart": False, "diagnostics_period_s": 0.2}
    folder = tmp_path_factory.mktemp("node_segmentation")
    with node_process(folder, parameters, arguments=["-r", "__ns:=/seg"], wait_for="") as process:
        yield process
        assert "Traceback" not in process.output


@pytest.fixture
def active(client, node):
    """A function that activates the node with parameters; it is unconfigured again afterwards."""
    states = []
    for name, kind in (("grasps", PointCloud2), ("segmentation", Image)):
        client.listen(kind, f"{NODE}/{name}")
    client.listen(DiagnosticArray, "/diagnostics")

    def activate(**parameters: Any) -> Camera:
        for name, value in parameters.items():
            assert client.set_parameter(name, value, NODE) == (True, "")
        assert client.change_state("configure", NODE), node.output
        states.append("cleanup")
        assert client.change_state("activate", NODE)
        states.append("deactivate")
        camera = Camera(client, "/seg/")
        camera.wait_for_node()
        client.wait_for_publishers()
        return camera

    yield activate
    for transition in reversed(states):
        assert client.change_state(transition, NODE)
    client.set_parameter("depth_max_m", 1.5, NODE)


def statuses(client: Client) -> list[DiagnosticStatus]:
    return [m.status[0] for m in client.received["/diagnostics"] if m.status[0].name == f"{NODE[1:]}: perception"]


def facts(client: Client) -> dict[str, str]:
    return {value.key: value.value for status in statuses(client)[-1:] for value in status.values}


def found(client: Client, camera: Camera) -> set[int]:
    """Labels of one answered frame."""
    topics = (f"{NODE}/segmentation", f"{NODE}/grasps")
    camera.stream_until(make_scene(), lambda: all(client.received[topic] for topic in topics))
    return {int(label) for label in np.unique(pixels_of(client.received[f"{NODE}/segmentation"][-1]))}


def test_what_the_detector_sees_becomes_windows(client, node, active, detector_folder):
    camera = active(segmentation_method="network", segmentation_model=str(detector_folder), depth_max_m=0.6)
    assert found(client, camera) == {0, 1}  # this detector takes all for hand that stands out towards the camera
    assert client.received[f"{NODE}/grasps"][-1].width == 1
    node.wait_for(re.escape(f"segmentation {NAME}, device cpu"), 5)
    client.spin_until(lambda: facts(client).get("segmentation") == NAME, 5, "diagnostics that name it")


def test_12_auto_needs_its_detector_until_mended(client, node, active, detector_folder, tmp_path):
    """Nothing takes the detector's place: configure fails, log and diagnostics say why, and it works once mended."""
    folder = tmp_path / "mended"
    assert client.set_parameter("segmentation_method", "auto", NODE)[0]
    assert client.set_parameter("segmentation_model", str(folder), NODE)[0]
    for reason in ("there is no model", "damaged or altered"):
        if reason == "damaged or altered":
            shutil.copytree(detector_folder, folder)
            (folder / CLOSE_UP).write_bytes(b"no graph")
        client.received["/diagnostics"].clear()
        assert not client.change_state("configure", NODE)
        assert client.state(NODE) == "unconfigured"
        node.wait_for(rf"\[ERROR\].*configure failed: .*{reason}", 5)

        def said() -> bool:
            lines = [s.message for s in statuses(client) if s.level == DiagnosticStatus.ERROR]
            return any("configuration failed" in line and reason in line for line in lines)  # noqa: B023

        client.spin_until(said, 5, "diagnostics that name the fault")
    shutil.copy(detector_folder / CLOSE_UP, folder)
    camera = active(depth_max_m=0.6)
    assert found(client, camera) == {0, 1}
    client.spin_until(lambda: facts(client).get("segmentation") == NAME, 5, "diagnostics that name it")


def test_12_unusable_detectors_fail_configure_with_one_line(
    client, node, shipped_models, detector_folder, old_network, tmp_path
):
    def broken(name: str, change: Callable[[Path], Any]) -> str:
        shutil.copytree(detector_folder, tmp_path / name)
        change(tmp_path / name)
        return str(tmp_path / name)

    def flip_a_bit(folder: Path) -> None:
        content = (folder / CLOSE_UP).read_bytes()
        (folder / CLOSE_UP).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    def put_another_graph(folder: Path) -> None:
        graph = read_folder(shipped_models["model"]).files[ENCODER]
        content = read_folder(folder)
        write_folder(folder, content.manifest, {**content.files, PROPOSALS: graph})

    faults = {
        broken("bit", flip_a_bit): "damaged or altered",
        broken("graph", put_another_graph): "does not take inputs",
        broken("manifest", lambda folder: (folder / MANIFEST).write_text("{")): "not valid JSON",
        broken("look", lambda folder: (folder / CLOSE_UP).unlink()): "is absent",
        shipped_models["model"]: "holds a model of kind autoencoder; needed here is one of kind detector",
        str(old_network): "take the shipped detector .* tiae train detector",
    }
    assert client.set_parameter("segmentation_method", "network", NODE)[0]
    for model, reason in faults.items():
        assert client.set_parameter("segmentation_model", model, NODE)[0]
        assert not client.change_state("configure", NODE)
        assert len(node.wait_for(f"configure failed: .*{reason}.*", 5)) < 400
        assert client.state(NODE) == "unconfigured"
    # Masks from topics need no detector, whatever is wrong with it.
    assert client.set_parameter("mask_source", "topics", NODE)[0]
    assert client.change_state("configure", NODE)
    assert client.change_state("cleanup", NODE)
    assert client.set_parameter("mask_source", "segmentation", NODE)[0]


def test_16_non_finite_scores_cost_the_frame(client, node, active, detector_folder, tmp_path):
    spoilt = with_nan(detector_folder, tmp_path / "nan")
    camera = active(segmentation_method="network", segmentation_model=spoilt)
    said = f"segmentation {NAME} gave a number that is not finite; the result is withheld"

    def counted() -> bool:
        keys = {value.key for status in statuses(client) for value in status.values}
        return "dropped: non-finite network output" in keys and any(
            status.level == DiagnosticStatus.ERROR and said in status.message for status in statuses(client)
        )

    camera.stream_until(make_scene(), counted)
    node.wait_for(rf"\[ERROR\].*{re.escape(said)}", 5)
    assert not client.received[f"{NODE}/grasps"]
    assert node.alive
