"""The one topic finder: names of drivers, encodings, frames, transports; what cannot be told is said."""

from __future__ import annotations

import pytest
from written_bags import START_NS, camera_info, compressed, image, write_messages

from tiae_ros.errors import BagError, TopicError
from tiae_ros.streams.bags import Bag
from tiae_ros.streams.camera_topics import (
    CAMERA_INFO_TYPE,
    COMPRESSED_IMAGE_TYPE,
    IMAGE_TYPE,
    SeenTopic,
    find_camera_topics,
)

# What each driver publishes besides points: its images with their encodings and frames, a camera info beside each.
REALSENSE = {
    "/camera/camera/color/image_raw": ("rgb8", "color"),
    "/camera/camera/depth/image_rect_raw": ("16UC1", "depth"),
    "/camera/camera/aligned_depth_to_color/image_raw": ("16UC1", "color"),
    "/camera/camera/infra1/image_rect_raw": ("mono8", "infra1"),
    "/camera/camera/infra2/image_rect_raw": ("mono8", "infra2"),
}
KINECT = {
    "/rgb/image_raw": ("bgra8", "rgb"),
    "/depth/image_raw": ("16UC1", "depth"),
    "/depth_to_rgb/image_raw": ("16UC1", "rgb"),
    "/rgb_to_depth/image_raw": ("bgra8", "depth"),
    "/ir/image_raw": ("mono16", "depth"),
}
ZED = {
    "/zed/zed_node/rgb/color/rect/image": ("bgra8", "left"),
    "/zed/zed_node/rgb/color/raw/image": ("bgra8", "left"),
    "/zed/zed_node/left/color/rect/image": ("bgra8", "left"),
    "/zed/zed_node/right/color/rect/image": ("bgra8", "right"),
    "/zed/zed_node/left/gray/rect/image": ("mono8", "left"),
    "/zed/zed_node/depth/depth_registered": ("32FC1", "left"),
    "/zed/zed_node/confidence/confidence_map": ("32FC1", "left"),
}
OAK = {
    "/oak/rgb/image_raw": ("bgr8", "oak_rgb"),
    "/oak/rgb/image_rect": ("bgr8", "oak_rgb"),
    "/oak/stereo/image_raw": ("16UC1", "oak_rgb"),
    "/oak/left/image_raw": ("mono8", "oak_left"),
    "/oak/right/image_raw": ("mono8", "oak_right"),
}
ORBBEC = {  # of astra_camera, too
    "/camera/color/image_raw": ("rgb8", "color"),
    "/camera/depth/image_raw": ("16UC1", "color"),
    "/camera/ir/image_raw": ("mono16", "depth"),
}
OLD_ZED = {
    "/zed2i/zed_node/rgb/image_rect_color": ("bgra8", "left"),
    "/zed2i/zed_node/rgb_raw/image_raw_color": ("bgra8", "left"),
    "/zed2i/zed_node/depth/depth_registered": ("32FC1", "left"),
}
OPENNI = {
    "/camera/rgb/image_raw": ("rgb8", "rgb"),
    "/camera/depth/image_raw": ("16UC1", "depth"),
    "/camera/depth_registered/image_raw": ("16UC1", "rgb"),
}
KINECT_2 = {"/kinect2/qhd/image_color_rect": ("bgr8", "rgb"), "/kinect2/qhd/image_depth_rect": ("16UC1", "rgb")}
GAZEBO = {"/depth_camera/image_raw": ("rgb8", "camera"), "/depth_camera/depth/image_raw": ("32FC1", "camera")}
CAMERAS = {
    "realsense": (REALSENSE, "/camera/camera/color/image_raw", "/camera/camera/aligned_depth_to_color/image_raw"),
    "kinect": (KINECT, "/rgb/image_raw", "/depth_to_rgb/image_raw"),
    "zed": (ZED, "/zed/zed_node/rgb/color/rect/image", "/zed/zed_node/depth/depth_registered"),
    "old zed": (OLD_ZED, "/zed2i/zed_node/rgb/image_rect_color", "/zed2i/zed_node/depth/depth_registered"),
    "oak": (OAK, "/oak/rgb/image_raw", "/oak/stereo/image_raw"),
    "orbbec": (ORBBEC, "/camera/color/image_raw", "/camera/depth/image_raw"),
    "openni": (OPENNI, "/camera/rgb/image_raw", "/camera/depth_registered/image_raw"),
    "kinect 2": (KINECT_2, *KINECT_2),
    "gazebo": (GAZEBO, *GAZEBO),
}


def as_recorded(images):
    """With what a bag's first messages say."""
    infos = {name.rpartition("/")[0] + "/camera_info": frame for name, (_, frame) in images.items()}
    return [
        *(SeenTopic(name, IMAGE_TYPE, *known) for name, known in images.items()),
        *(SeenTopic(name, CAMERA_INFO_TYPE, None, frame) for name, frame in infos.items()),
        SeenTopic("/tf", "tf2_msgs/msg/TFMessage"),
    ]


def as_running(images):
    """With what a running graph says: names and types, each image in every transport that is installed."""
    found = [SeenTopic(topic.name, topic.type) for topic in as_recorded(images)]
    packed = [
        SeenTopic(f"{name}/{plugin}", COMPRESSED_IMAGE_TYPE)
        for name in images
        for plugin in ("compressed", "compressedDepth", "zstd")
        if plugin != "zstd"
    ]
    return [*packed, *found, SeenTopic("/camera/theora", "theora_image_transport/msg/Packet")]


@pytest.mark.parametrize("topics", [as_recorded, as_running])
@pytest.mark.parametrize("camera", CAMERAS)
def test_names_of_drivers(camera, topics):
    images, color, depth = CAMERAS[camera]
    seen = topics(images)
    for order in (seen, seen[::-1]):
        found = find_camera_topics(order)
        assert (found.color, found.depth, found.transport) == (color, depth, "raw")
        assert found.camera_info == color.rpartition("/")[0] + "/camera_info"
        assert color in found.told
        assert not found.doubt
        assert find_camera_topics(order, one_transport=True).inputs["depth/image"] == depth


@pytest.mark.parametrize("camera", CAMERAS)
def test_compressed_alone(camera):
    images, color, depth = CAMERAS[camera]
    seen = [topic for topic in as_running(images) if topic.type != IMAGE_TYPE]
    found = find_camera_topics(seen, one_transport=True)
    assert found.transport == "compressed"
    assert found.inputs["color/image/compressed"] == f"{color}/compressed"
    assert found.inputs["depth/image/compressedDepth"] == f"{depth}/compressedDepth"


def test_two_cameras_are_asked_about_and_one_answer_is_enough():
    seen = [
        topic
        for side in ("left_arm", "right_arm")
        for topic in as_recorded({f"/{side}{n}": (e, f"{side}_{f}") for n, (e, f) in ORBBEC.items()})
    ]
    with pytest.raises(TopicError) as caught:
        find_camera_topics(seen, options="color:= and depth:=")
    assert "several colour topics (/left_arm/camera/color/image_raw, /right_arm/camera/color/image_raw)" in str(caught)
    assert "name the topics by color:= and depth:=" in str(caught)
    found = find_camera_topics(seen, color="/right_arm/camera/color/image_raw")
    assert found.depth == "/right_arm/camera/depth/image_raw"
    assert found.camera_info == "/right_arm/camera/color/camera_info"
    assert find_camera_topics(seen, depth="/left_arm/camera/depth/image_raw").color.startswith("/left_arm")


def test_depth_that_is_not_registered_is_taken_and_doubted():
    alone = {n: known for n, known in REALSENSE.items() if "aligned" not in n and "infra" not in n}
    found = find_camera_topics(as_recorded(alone))
    assert found.depth == "/camera/camera/depth/image_rect_raw"
    assert "align_depth.enable:=true" in found.doubt


def test_odd_names_need_encodings():
    odd = {"/sensor/a": ("bgr8", ""), "/sensor/b": ("16UC1", ""), "/tiae/restored/depth": ("32FC1", "")}
    found = find_camera_topics(as_recorded(odd))
    assert (found.color, found.depth) == ("/sensor/a", "/sensor/b")
    with pytest.raises(TopicError, match="no depth image; of its other image topics") as caught:
        find_camera_topics(as_running(odd))
    assert "/sensor/b" in str(caught)


def test_transports_that_differ_are_no_camera_for_the_node():
    seen = [
        SeenTopic("/c/color/image_raw/compressed", COMPRESSED_IMAGE_TYPE, "rgb8; jpeg compressed bgr8"),
        SeenTopic("/c/depth/image_raw", IMAGE_TYPE, "16UC1"),
    ]
    assert find_camera_topics(seen).transport == "mixed"
    with pytest.raises(TopicError, match="must both be raw or both compressed"):
        find_camera_topics(seen, one_transport=True)


def test_a_png_by_the_transport_of_colour_is_depth_where_its_format_says_so():
    seen = [
        SeenTopic("/c/color/image_raw/compressed", COMPRESSED_IMAGE_TYPE, "rgb8; jpeg compressed bgr8"),
        SeenTopic("/c/depth/image_raw/compressed", COMPRESSED_IMAGE_TYPE, "16UC1; png compressed"),
    ]
    assert find_camera_topics(seen).depth == "/c/depth/image_raw/compressed"


def test_a_camera_info_that_cannot_be_told_is_not_guessed():
    images = [SeenTopic("/a/color", IMAGE_TYPE), SeenTopic("/a/depth", IMAGE_TYPE)]
    infos = [SeenTopic(f"/x/{name}", CAMERA_INFO_TYPE) for name in ("one", "two")]
    found = find_camera_topics(images + infos)
    assert found.camera_info is None
    assert "which of /x/one, /x/two belongs to colour cannot be told" in found.told
    assert find_camera_topics(images + infos[:1]).camera_info == "/x/one"


def test_in_a_bag_the_first_messages_say_what_a_topic_is(tmp_path):
    from synthetic_scenes import FOCAL, make_scene

    scene, stamp = make_scene(), START_NS
    info = camera_info(stamp, scene.color.shape[1], scene.color.shape[0], FOCAL, frame_id="color")
    other = image(stamp, scene.depth_mm, "16UC1", frame_id="depth")
    depth = compressed(stamp, scene.depth_mm, "16UC1; compressedDepth png")
    messages = [
        ("/camera/camera/color/image_raw", IMAGE_TYPE, stamp, image(stamp, scene.color, "rgb8", frame_id="color")),
        ("/camera/camera/color/camera_info", CAMERA_INFO_TYPE, stamp, info),
        ("/camera/camera/depth/image_rect_raw", IMAGE_TYPE, stamp, other),
        ("/camera/camera/aligned_depth_to_color/image_raw/compressedDepth", COMPRESSED_IMAGE_TYPE, stamp, depth),
    ]
    with Bag(write_messages(tmp_path / "bag", messages)) as bag:
        found = bag.camera_topics()
        assert found.depth.startswith("/camera/camera/aligned_depth_to_color")
        assert found.transport == "mixed"
        (frame,) = bag.rgbd_frames(found)
        assert frame.k[0, 0] == FOCAL
        with pytest.raises(BagError, match="colour and depth must both be raw or both compressed"):
            bag.camera_topics(depth=found.depth, one_transport=True)
