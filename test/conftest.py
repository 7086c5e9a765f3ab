"""Fixtures that several test files share."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).resolve().parents[1] / "models"
# Files that take longest begin first, so that no worker is alone with one in the end; those that compute and those that
# mostly wait for other processes take turns.
LONGEST = (
    "repository/test_opencv.py",
    "node/test_faults.py",
    "training/world/test_world.py",
    "node/test_lifecycle.py",
    "training/recipes/test_recipes.py",
    "docs/test_tutorial.py",
    "docs/test_readme.py",
    "node/test_scenarios.py",
    "training/test_training.py",
    "node/test_sources.py",
    "training/test_distributed.py",
    "commands/test_play.py",
    "training/simulator/test_simulator.py",
    "node/test_recordings.py",
    "model/test_folder.py",
    "commands/test_play_recordings.py",
    "repository/test_packaging.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Files outside test/launch are ordinary ones, whatever plugins there are.

    launch_testing's would import each of them here to look for a launch description; a skip at the top of one then
    drops its whole folder without a word.
    """
    return None if module_path.parent.name == "launch" else pytest.Module.from_parent(parent, path=module_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0].removeprefix("test/"), len(places)))


@pytest.fixture(scope="session")
def shipped_models() -> dict[str, str]:
    """The shipped mask model and depth model, as node parameters; drawn hands are found classically."""
    return {
        "model": str(MODELS / "grasp"),
        "depth_model": str(MODELS / "depth"),
        "segmentation_method": "classical",
        "device": "cpu",
    }


@pytest.fixture(scope="session")
def joint_model() -> str:
    """Folder of the shipped model for masks and depth in one."""
    return str(MODELS / "hands")


@pytest.fixture(scope="session")
def network_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmentation network that takes all within `depth_max_m` for hand; its other weights are random."""
    torch = pytest.importorskip("torch", reason="models are made with torch, which is not installed")
    from tiae_training.networks.segmentation import SegmentationNetwork
    from tiae_training.segmentation.folder import save_segmentation, segmentation_manifest

    torch.manual_seed(0)
    network = SegmentationNetwork(widths=(8, 8, 8, 8), blocks=(0, 0, 1, 1))
    with torch.no_grad():
        network.head.bias[4:8] += 100  # the second of three classes, four cells each
    folder = tmp_path_factory.mktemp("segmentation") / "all_hand"
    save_segmentation(network, folder, segmentation_manifest(network, model_id="all-hand"))
    return folder


@pytest.fixture(scope="session")
def traced_once() -> Iterator[None]:
    """Networks of one structure are traced once for all that is exported from now on."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    from kept_exports import kept_exports

    with kept_exports():
        yield


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


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """`tiae play` by this process, which has to refuse what it is told; its one line."""
    from tiae_ros.cli import main

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(*words: str) -> str:
        assert main(["play", *words]) == 2
        written = capsys.readouterr()
        (line,) = (written.out + written.err).strip().splitlines()
        assert line.startswith("tiae play: error: ")
        return line

    yield ask
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start `tiae play`; ended with the test."""
    from ros_processes import Process

    processes: list[Process] = []

    def start(*words: str) -> Process:
        processes.append(Process(["play", *words], tmp_path / f"play_{len(processes)}.log"))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
