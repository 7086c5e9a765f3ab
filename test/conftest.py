"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def fresh_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of an untrained mask model and depth model, as node parameters; drawn hands are found classically."""
    import torch

    from tiae_ros import TransformInvariantAutoencoder, save_model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    save_model(TransformInvariantAutoencoder(channels=("hand_mask", "object_mask")), folder / "grasp")
    save_model(TransformInvariantAutoencoder(channels=("depth",)), folder / "depth")
    return {
        "model": str(folder / "grasp"),
        "depth_model": str(folder / "depth"),
        "segmentation_method": "classical",
        "device": "cpu",
    }


@pytest.fixture(scope="session")
def joint_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of an untrained model for masks and depth in one."""
    import torch

    from tiae_ros import TransformInvariantAutoencoder, save_model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "joint"
    save_model(TransformInvariantAutoencoder(channels=("hand_mask", "object_mask", "depth")), folder)
    return str(folder)


@pytest.fixture(scope="session")
def network_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmentation network that takes all within `depth_max_m` for hand; its other weights are random."""
    import torch

    from tiae_ros.vision.segmentation.network import SegmentationManifest, SegmentationNetwork, save_segmentation

    torch.manual_seed(0)
    network = SegmentationNetwork(SegmentationManifest(model_id="all-hand", widths=(8, 8, 8, 8), blocks=(0, 0, 1, 1)))
    with torch.no_grad():
        network.head.bias[4:8] += 100  # the second of three classes, four cells each
    folder = tmp_path_factory.mktemp("segmentation") / "all_hand"
    save_segmentation(network, folder)
    return folder


@pytest.fixture(scope="session")
def session_client() -> Iterator[Any]:
    """One participant for all tests: discovery between processes takes up to seconds."""
    pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
    from ros_processes import Client

    with Client() as one:
        yield one


@pytest.fixture
def client(session_client: Any) -> Iterator[Any]:
    """The test's own side of the topics, with nothing left of the test before."""
    session_client.reset()
    yield session_client
    session_client.reset()


@pytest.fixture(scope="session")
def real_frames_folder() -> Path:
    """Real RGB-D frames that lie beside the project and do not belong to it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data" / "real_rgbd_desk"
    if not folder.is_dir():
        pytest.skip(f"the real camera frames are not there ({folder.name} beside the project)")
    return folder
