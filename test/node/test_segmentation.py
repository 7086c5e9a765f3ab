"""The node's own segmentation by a network: taken, refused, mended and failing; one real node process."""

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

from tiae_ros.model.folder import ENCODER, MANIFEST, NETWORK, read_folder, write_folder

pytestmark = pytest.mark.timeout(120)

NODE = "/seg/tiae"
NAME = "network all-hand (float32)"


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


def test_the_network_s_labels_become_windows(client, node, active, network_folder):
    camera = active(segmentation_method="network", segmentation_model=str(network_folder), depth_max_m=0.6)
    assert found(client, camera) == {0, 1}  # this network takes all for hand that is near enough
    assert client.received[f"{NODE}/grasps"][-1].width == 1
    node.wait_for(re.escape(f"segmentation {NAME}, device cpu"), 5)
    client.spin_until(lambda: facts(client).get("segmentation") == NAME, 5, "diagnostics that name it")


def test_12_auto_needs_its_network_until_mended(client, node, active, network_folder, tmp_path):
    """Nothing takes the network's place: configure fails, log and diagnostics say why, and it works once mended."""
    folder = tmp_path / "mended"
    assert client.set_parameter("segmentation_method", "auto", NODE)[0]
    assert client.set_parameter("segmentation_model", str(folder), NODE)[0]
    for reason in ("there is no model", "damaged or altered"):
        if reason == "damaged or altered":
            shutil.copytree(network_folder, folder)
            (folder / NETWORK).write_bytes(b"no graph")
        client.received["/diagnostics"].clear()
        assert not client.change_state("configure", NODE)
        assert client.state(NODE) == "unconfigured"
        node.wait_for(rf"\[ERROR\].*configure failed: .*{reason}", 5)

        def said() -> bool:
            lines = [s.message for s in statuses(client) if s.level == DiagnosticStatus.ERROR]
            return any("configuration failed" in line and reason in line for line in lines)  # noqa: B023

        client.spin_until(said, 5, "diagnostics that name the fault")
    shutil.copy(network_folder / NETWORK, folder)
    camera = active(depth_max_m=0.6)
    assert found(client, camera) == {0, 1}
    client.spin_until(lambda: facts(client).get("segmentation") == NAME, 5, "diagnostics that name it")


def test_12_unusable_networks_fail_configure_with_one_line(client, node, shipped_models, network_folder, tmp_path):
    def broken(name: str, change: Callable[[Path], Any]) -> str:
        shutil.copytree(network_folder, tmp_path / name)
        change(tmp_path / name)
        return str(tmp_path / name)

    def flip_a_bit(folder: Path) -> None:
        content = (folder / NETWORK).read_bytes()
        (folder / NETWORK).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    def put_another_graph(folder: Path) -> None:
        graph = read_folder(shipped_models["model"]).files[ENCODER]
        write_folder(folder, read_folder(folder).manifest, {NETWORK: graph})

    faults = {
        broken("bit", flip_a_bit): "damaged or altered",
        broken("graph", put_another_graph): "does not take inputs",
        broken("manifest", lambda folder: (folder / MANIFEST).write_text("{")): "not valid JSON",
        broken("network", lambda folder: (folder / NETWORK).unlink()): "is absent",
        shipped_models["model"]: "holds a model of kind autoencoder; needed here is one of kind segmentation",
    }
    assert client.set_parameter("segmentation_method", "network", NODE)[0]
    for model, reason in faults.items():
        assert client.set_parameter("segmentation_model", model, NODE)[0]
        assert not client.change_state("configure", NODE)
        assert len(node.wait_for(f"configure failed: .*{reason}.*", 5)) < 400
        assert client.state(NODE) == "unconfigured"
    # Masks from topics need no network, whatever is wrong with it.
    assert client.set_parameter("mask_source", "topics", NODE)[0]
    assert client.change_state("configure", NODE)
    assert client.change_state("cleanup", NODE)
    assert client.set_parameter("mask_source", "segmentation", NODE)[0]


def test_16_non_finite_scores_cost_the_frame(client, node, active, network_folder, tmp_path):
    spoilt = with_nan(network_folder, tmp_path / "nan")
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
