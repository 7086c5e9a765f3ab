"""Where camera drivers publish, and what they have to be told for it (checked against their sources).

NAME is what the driver was started with (its argument camera_name; of oak: name). One table for the launch file's
argument `camera` and for `camera_topics`, which knows a driver by its names below NAME.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Driver:
    """Topics of one driver."""

    package: str
    color: str
    depth: str
    camera_info: str
    default_name: str
    """What NAME is when nobody says otherwise; "" when the topics begin without it."""
    needs: str = ""
    """What it has to be told to register depth to colour."""

    def topics(self, name: str = "") -> dict[str, str]:
        """The node's inputs -> topics of the driver that was started with this name."""
        named = {"color/image": self.color, "depth/image": self.depth, "color/camera_info": self.camera_info}
        chosen = name.strip("/") or self.default_name
        return {own: topic.replace("/NAME", f"/{chosen}" if chosen else "") for own, topic in named.items()}

    def knows(self, color: str, depth: str) -> bool:
        """Whether these two are its colour and depth, whatever is in front of them."""
        tails = [topic.partition("NAME")[2] for topic in (self.color, self.depth)]
        starts = [topic.removesuffix(tail) for topic, tail in zip((color, depth), tails, strict=True)]
        return starts[0] == starts[1] and starts[0] + tails[0] == color and starts[1] + tails[1] == depth


DRIVERS = {
    "realsense": Driver(  # realsense2_camera 4.x, rs_launch.py
        "realsense2_camera",
        "/camera/NAME/color/image_raw",
        "/camera/NAME/aligned_depth_to_color/image_raw",
        "/camera/NAME/color/camera_info",
        "camera",
        "align_depth.enable:=true",
    ),
    "orbbec": Driver(  # orbbec_camera 2.x, the launch file of the camera's series; astra_camera has the same names
        "orbbec_camera",
        "/NAME/color/image_raw",
        "/NAME/depth/image_raw",
        "/NAME/color/camera_info",
        "camera",
        "depth_registration:=true",
    ),
    "oak": Driver(  # depthai_ros_driver; depth is aligned to the colour camera unless it is told otherwise
        "depthai_ros_driver", "/NAME/rgb/image_raw", "/NAME/stereo/image_raw", "/NAME/rgb/camera_info", "oak"
    ),
    "zed": Driver(  # zed_wrapper 5.1 and newer
        "zed_wrapper",
        "/NAME/zed_node/rgb/color/rect/image",
        "/NAME/zed_node/depth/depth_registered",
        "/NAME/zed_node/rgb/color/rect/camera_info",
        "zed",
    ),
    "zed4": Driver(  # zed_wrapper before 5.1
        "zed_wrapper",
        "/NAME/zed_node/rgb/image_rect_color",
        "/NAME/zed_node/depth/depth_registered",
        "/NAME/zed_node/rgb/camera_info",
        "zed",
    ),
    "kinect": Driver(  # azure_kinect_ros_driver; its topics begin with the namespace that it was started in
        "azure_kinect_ros_driver",
        "/NAME/rgb/image_raw",
        "/NAME/depth_to_rgb/image_raw",
        "/NAME/rgb/camera_info",
        "",
    ),
}


def driver_of(color: str, depth: str) -> Driver | None:
    """The driver whose colour and depth these are; None when no known one publishes them."""
    return next((driver for driver in DRIVERS.values() if driver.knows(color, depth)), None)
