"""The node's own segmentation by a network: taken, refused, done without, and failing; one real node process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_processes import Camera, Client, node_process, pixels_of
from sensor_msgs.msg import Image, PointCloud2
from synthetic_scenes import make_scene

pytestmark = pytest.mark.timeout(120)

NODE = "/seg/tiae"


@pytest.fixture(scope="module")
def node(tmp_path_factory, fresh_models):
    """An unconfigured node; what a test configures it cleans up."""
    parameters = {**fresh_models, "autostart": False, "diagnostics_period_s": 0.2}
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


def test_the_network_s_labels_become_windows_and_diagnostics_name_it(client, node, active, network_folder):
    camera = active(segmentation_method="network", segmentation_model=str(network_folder), depth_max_m=0.6)
    assert found(client, camera) == {0, 1}  # this network takes all for hand that is near enough
    assert client.received[f"{NODE}/grasps"][-1].width == 1
    node.wait_for("segmentation network all-hand, device cpu", 5)
    client.spin_until(lambda: facts(client).get("segmentation") == "network all-hand", 5, "diagnostics that name it")


def test_12_auto_goes_on_classically_without_a_damaged_network_and_warns(
    client, node, active, network_folder, tmp_path
):
    folder = tmp_path / "damaged"
    shutil.copytree(network_folder, folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    camera = active(segmentation_method="auto", segmentation_model=str(folder))
    assert found(client, camera) == {0, 1}  # the network would take the wall too
    node.wait_for(r"\[WARN\].*classical segmentation takes the network's place: .*damaged or altered", 5)

    def warned() -> bool:
        return any(
            s.level == DiagnosticStatus.WARN and "classical segmentation takes the network's place" in s.message
            for s in statuses(client)
        )

    camera.stream_until(make_scene(), warned)
    assert facts(client)["segmentation"] == "classical"


def test_12_networks_that_cannot_be_used_fail_configure_with_one_line(
    client, node, fresh_models, network_folder, tmp_path
):
    def broken(name: str, change: Any) -> str:
        shutil.copytree(network_folder, tmp_path / name)
        change(tmp_path / name)
        return str(tmp_path / name)

    def flip_a_bit(folder: Path) -> None:
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    def claim_other_widths(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**manifest, "widths": [8, 8, 8, 16]}))

    faults = {
        str(tmp_path / "nowhere"): "there is no model",
        broken("bit", flip_a_bit): "damaged or altered",
        broken("widths", claim_other_widths): "does not fit its manifest",
        broken("manifest", lambda folder: (folder / "manifest.json").write_text("{")): "not JSON",
        broken("weights", lambda folder: (folder / "model.safetensors").unlink()): "is absent",
        fresh_models["model"]: "a segmentation network has 'tiae_segmentation'",
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


def test_16_a_network_s_numbers_that_are_not_finite_cost_the_frame(client, node, active, network_folder, tmp_path):
    import torch

    from tiae_ros.vision.segmentation.network import load_network, save_segmentation

    network = load_network(network_folder)
    with torch.no_grad():
        network.head.bias[0] = float("nan")
    save_segmentation(network, tmp_path / "nan")
    camera = active(segmentation_method="network", segmentation_model=str(tmp_path / "nan"))
    said = "segmentation network all-hand gave a number that is not finite; the result is withheld"

    def counted() -> bool:
        keys = {value.key for status in statuses(client) for value in status.values}
        return "dropped: non-finite network output" in keys and any(
            status.level == DiagnosticStatus.ERROR and said in status.message for status in statuses(client)
        )

    camera.stream_until(make_scene(), counted)
    node.wait_for(rf"\[ERROR\].*{said}", 5)
    assert not client.received[f"{NODE}/grasps"]
    assert node.alive
