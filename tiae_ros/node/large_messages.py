"""Fast DDS set-up for a process that publishes images.

The default shared-memory segment holds 512 KB; a larger message (a picture of 640x480, the debug picture of one too)
travels as UDP fragments, most of which a best-effort subscriber loses. A larger segment on the publishing side alone is
enough, and talks to default peers.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import MutableMapping
from pathlib import Path

PROFILE = Path(__file__).with_name("large_messages.xml")
"""The Fast DDS profile; a file of the package, so that nothing has to be written anywhere."""
_OLD, _NEW = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
_DISTRIBUTIONS_OF_OLD = ("humble", "iron", "jazzy")
_FIRST_RCLPY_OF_NEW = 8  # rclpy 7 is Jazzy's, 9 is Kilted's
# By what else a user chooses transports; a profile beside it would win, and e.g. a container be left without UDP.
_OF_THE_USER = (_OLD, _NEW, "FASTDDS_BUILTIN_TRANSPORTS")
_FILES_OF_THE_USER = ("DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml")  # read from the working folder


def profile_variable(environment: MutableMapping[str, str] = os.environ) -> str:
    """The variable that this distribution's Fast DDS reads (never set both)."""
    distribution = environment.get("ROS_DISTRO", "")
    if distribution:
        return _OLD if distribution in _DISTRIBUTIONS_OF_OLD else _NEW
    for package in ("ros-rclpy", "rclpy"):
        try:
            major = int(importlib.metadata.version(package).partition(".")[0])
        except (importlib.metadata.PackageNotFoundError, ValueError):
            continue
        return _OLD if major < _FIRST_RCLPY_OF_NEW else _NEW
    return _NEW


def publish_large_messages(environment: MutableMapping[str, str] = os.environ) -> bool:
    """Give this process the large segment; call it before rclpy.init. Whether it was done.

    Transports that the user has chosen, in whatever way, and another middleware are left alone.
    """
    other = environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") not in (
        "rmw_fastrtps_cpp",
        "rmw_fastrtps_dynamic_cpp",
    )
    if other or any(environment.get(name) for name in _OF_THE_USER) or any(map(os.path.exists, _FILES_OF_THE_USER)):
        return False
    environment[profile_variable(environment)] = str(PROFILE)
    return True
