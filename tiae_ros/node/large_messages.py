"""Fast DDS set-up for a process that publishes images.

The default shared-memory segment holds 512 KB; a larger message (a picture of 640x480, the debug picture of one too)
travels as UDP fragments, most of which a best-effort subscriber loses. A larger segment on the publishing side alone is
enough, and talks to default peers.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.metadata
import os
import tempfile
from collections.abc import MutableMapping

SEGMENT_BYTES = 16 * 1024 * 1024
_OLD, _NEW = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
_DISTRIBUTIONS_OF_OLD = ("humble", "iron", "jazzy")
_FIRST_RCLPY_OF_NEW = 8  # rclpy 7 is Jazzy's, 9 is Kilted's

PROFILE = f"""<?xml version="1.0" encoding="UTF-8" ?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <transport_descriptors>
    <transport_descriptor>
      <transport_id>large_shared_memory</transport_id>
      <type>SHM</type>
      <segment_size>{SEGMENT_BYTES}</segment_size>
    </transport_descriptor>
    <transport_descriptor>
      <transport_id>udp</transport_id>
      <type>UDPv4</type>
    </transport_descriptor>
  </transport_descriptors>
  <participant profile_name="large_messages" is_default_profile="true">
    <rtps>
      <userTransports>
        <transport_id>large_shared_memory</transport_id>
        <transport_id>udp</transport_id>
      </userTransports>
      <useBuiltinTransports>false</useBuiltinTransports>
    </rtps>
  </participant>
</profiles>
"""


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


def publish_large_messages(environment: MutableMapping[str, str] = os.environ) -> str:
    """Give this process the large segment; call it before rclpy.init. Returns the file, "" when left as it is.

    A profile that the user has set, or another middleware, is left alone.
    """
    other = environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") not in (
        "rmw_fastrtps_cpp",
        "rmw_fastrtps_dynamic_cpp",
    )
    if other or environment.get(_OLD) or environment.get(_NEW):
        return ""
    with tempfile.NamedTemporaryFile("w", prefix="tiae_fastdds_", suffix=".xml", delete=False) as file:
        file.write(PROFILE)
    atexit.register(remove_profile, file.name)
    environment[profile_variable(environment)] = file.name
    return file.name


def remove_profile(path: str) -> None:
    """Away with the file, "" or already gone too. It is read once, when the process makes its first ROS node."""
    with contextlib.suppress(OSError):
        os.unlink(path)
