"""The shipped models in the node: the recorded bag, the same bag moved, and real camera frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
pytest.importorskip("rosbags", reason="reading bags needs the package rosbags")

import cv2
from geometry_msgs.msg import PointStamped, Vector3Stamped
from ros_processes import Camera, Client, Process, node_process, pixels_of, stamp_of
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from synthetic_scenes import Scene, moved, write_bag

from tiae_ros.streams.bags import Bag

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).resolve().parents[2]
BAG = ROOT / "test" / "data" / "grasps"
MOVE = (24, -16)
EVERY = 6
KINDS = {
    "grasps": PointCloud2,
    "descriptor": Image,
    "shift": Vector3Stamped,
    "position": PointStamped,
    "restored/depth": Image,
    "restored/camera_info": CameraInfo,
}


def scenes_of(path: Path, every: int) -> tuple[list[Scene], tuple[float, ...]]:
    """Frames of a bag with colour and depth, and its camera matrix."""
    with Bag(path) as bag:
        frames = list(bag.rgbd_frames())[::every]
    scenes = [Scene(f.color, np.rint(np.nan_to_num(f.depth_m) * 1000).astype(np.uint16)) for f in frames]
    return scenes, tuple(frames[-1].k.ravel())


def by_index(stamps: list[int], messages: list[Any]) -> dict[int, Any]:
    return {stamps.index(stamp_of(message)): message for message in messages}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Stamps and results of the recorded bag's frames, as they are and moved."""
    if not BAG.is_dir():
        pytest.skip("the recorded bag test/data/grasps is not there")
    folder = tmp_path_factory.mktemp("recordings")
    scenes, k = scenes_of(BAG, EVERY)
    found = {}
    with Client() as client, node_process(folder, {"device": "cpu"}, arguments=["-r", "__ns:=/camera"]):
        for name, kind in KINDS.items():
            client.listen(kind, f"/camera/tiae/{name}")
        client.wait_for_publishers()
        for index, (dx, dy) in enumerate(((0, 0), MOVE)):
            path = folder / f"bag_{index}"
            # The first frame twice: by the second one, camera info has arrived.
            stamps = write_bag(
                path,
                [moved(scene, dx, dy) for scene in [scenes[0], *scenes]],
                rate_hz=6,
                k=k,
                start_ns=(1_700_000_000 + 100 * index) * 10**9,
            )
            client.received.clear()
            player = Process(["play", "--bag", str(path), "--quiet"], folder / f"player_{index}.log")
            try:
                client.spin_until(lambda: not player.alive, 60, "the player's end")  # noqa: B023
                client.spin(1.0)
            finally:
                player.kill()
            found[dx, dy] = {name: by_index(stamps, client.received[f"/camera/tiae/{name}"]) for name in KINDS}
            found[dx, dy]["frames"] = len(stamps)
    return found


def test_most_recorded_frames_give_a_grasp(recordings):
    run = recordings[0, 0]
    assert len(run["grasps"]) >= 0.8 * run["frames"]
    assert len(run["descriptor"]) >= 0.8 * len(run["grasps"])
    for message in run["grasps"].values():
        assert np.isfinite(np.frombuffer(message.data, "<f4")[3:]).all()
    restored = [np.isfinite(pixels_of(message)).mean() for message in run["restored/depth"].values()]
    assert np.median(restored) > 0.02  # there is a hand in it


def test_moving_it_keeps_the_descriptor(recordings):
    """The median over frames: where the arm leaves the picture, more or less of it is seen after the move.

    The detector's crop does not move by whole cells, so its outlines differ a little.
    """
    here, there = recordings[0, 0], recordings[MOVE]
    both = sorted(here["shift"].keys() & there["shift"].keys() & here["position"].keys())
    assert len(both) >= 6
    moves = np.array(
        [
            (
                there["shift"][i].vector.x - here["shift"][i].vector.x,
                there["shift"][i].vector.y - here["shift"][i].vector.y,
            )
            for i in both
        ]
    )
    np.testing.assert_allclose(np.median(moves, axis=0), MOVE, atol=1.0)
    # Within one window pixel (0.3 m of the scene over 32 pixels) in most frames.
    side_px = 0.3 * 261.6 / np.array([here["position"][i].point.z for i in both])
    error = np.abs(moves - MOVE).max(axis=1)
    assert np.mean(error <= 1.0 + side_px / 32) >= 0.8
    descriptors = np.array([pixels_of(here["descriptor"][i])[0] for i in both])
    others = np.array([pixels_of(there["descriptor"][i])[0] for i in both])
    spread = np.linalg.norm(descriptors - descriptors.mean(axis=0), axis=1).mean()
    assert np.median(np.linalg.norm(descriptors - others, axis=1)) <= 0.35 * spread


def window_center(info: CameraInfo, k: list[float]) -> tuple[float, float]:
    """Where the window's middle lies in the image: a ray through it, seen by both cameras."""
    middle = (info.width - 1) / 2
    ray_x, ray_y = (middle - info.k[2]) / info.k[0], (middle - info.k[5]) / info.k[4]
    return k[0] * ray_x + k[2], k[4] * ray_y + k[5]


@pytest.mark.parametrize(("method", "within_px", "wanted"), [("classical", 0, 8), ("network", 2, 10)])
def test_real_frames_have_windows_on_the_hand(tmp_path, client, real_frames_folder, method, within_px, wanted):
    """12 frames of a stereo camera; how often the window's centre, as published, lies on labelled hand or bottle.

    within_px: or beside it by so many of the window's 32 pixels, as between the fingers and what they hold.
    """
    for name, kind in KINDS.items():
        client.listen(kind, f"/tiae/{name}")
    hits = frames = 0
    with node_process(tmp_path, {"device": "cpu", "segmentation_method": method}) as node:
        camera = Camera(client)
        camera.wait_for_node()
        client.wait_for_publishers()
        for path in sorted(real_frames_folder.glob("*_color.jpg")):
            color = cv2.imread(str(path))[..., ::-1]
            depth = cv2.imread(str(path).replace("_color.jpg", "_depth_mm.png"), cv2.IMREAD_UNCHANGED)
            label = cv2.imread(str(path).replace("_color.jpg", "_label.png"), cv2.IMREAD_UNCHANGED)
            scene = Scene(np.ascontiguousarray(color), depth)
            k = [345.0, 0.0, 319.5, 0.0, 345.0, 179.5, 0.0, 0.0, 1.0]
            stamp = 0
            for _ in range(6):  # best effort: a frame may be lost on the way
                stamp = camera.shoot(scene, step_ns=10**9, info={"k": k})
                client.spin(0.4)
                if any(stamp_of(m) == stamp for m in client.received["/tiae/grasps"]):
                    client.spin(0.2)  # the frame's other messages
                    break
            frames += 1
            for message in client.received["/tiae/restored/camera_info"]:
                if stamp_of(message) == stamp:
                    x, y = (round(value) for value in window_center(message, k))
                    away = cv2.distanceTransform((~np.isin(label, (1, 2))).view(np.uint8), cv2.DIST_L2, 5)[y, x]
                    hits += away <= within_px * k[0] / message.k[0]  # pixels of the picture per window pixel
        assert node.alive
        assert "Traceback" not in node.output
    assert frames == 12
    for message in client.received["/tiae/grasps"]:
        rows = np.frombuffer(message.data, "<f4").reshape(message.width, message.point_step // 4)
        assert np.isfinite(rows[:, 3:]).all()
    assert hits >= wanted, f"{hits} of {frames}"
