"""The walls between the rooms: the method and the vision know nothing of ROS, the package is cheap to import."""

import subprocess
import sys

import pytest

import tiae_ros

_BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(f"{{name}} must not be needed here")

sys.meta_path.insert(0, Blocker())
import importlib, pkgutil
for package in {packages!r}:
    module = importlib.import_module(package)
    for item in pkgutil.walk_packages(module.__path__, package + "."):
        if item.name not in {apart!r}:
            importlib.import_module(item.name)
"""
ROS = ("rclpy", "sensor_msgs", "std_msgs", "geometry_msgs", "cv_bridge")
# The only modules of vision that may need torch.
NETWORK = tuple(
    f"tiae_ros.vision.{name}" for name in ("segmentation_network", "eight_bit_network", "second_look", "layers")
)


@pytest.mark.parametrize(
    ("packages", "blocked", "apart"),
    [
        (("tiae_ros.core",), (*ROS, "cv2", "rosbags", "mujoco", "sklearn"), ()),
        (("tiae_ros.vision",), (*ROS, "torch", "rosbags", "mujoco", "sklearn"), NETWORK),
        (("tiae_ros.vision",), (*ROS, "rosbags", "mujoco", "sklearn"), ()),
    ],
)
def test_a_room_imports_without_what_it_must_not_know(packages, blocked, apart):
    code = _BLOCKER.format(packages=packages, blocked=blocked, apart=apart)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


def test_the_public_names_are_these():
    assert sorted(tiae_ros.__all__) == [
        "Inference",
        "ModelError",
        "TiaeError",
        "TransformInvariantAutoencoder",
        "load_model",
        "save_model",
    ]
    for name in tiae_ros.__all__:
        assert getattr(tiae_ros, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tiae_ros.nonsense
