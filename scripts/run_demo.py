"""Plays a recorded RGB-D bag over ROS 2 topics, runs the node on it, and draws what arrives on the topics.

Three processes: `tiae play` is the camera, `tiae node` the node, this one a subscriber like any other. Everything
drawn and counted here was received over DDS. Run by scripts/demo, which sets up the environment.

    OUT/frame_*.png    camera with masks | input window | restored, moved onto the input | restored depth | robot hand
    OUT/sheet.png      the same for several frames, one below the other
    OUT/table.md       topics, messages, rates, latencies
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import demo_robot
import numpy as np

from tiae_ros import palette
from tiae_ros.commands.own_process import running
from tiae_ros.errors import TiaeError
from tiae_ros.streams.bags import Bag
from tiae_ros.streams.camera_topics import CameraTopics
from tiae_ros.streams.image_decoding import decode_message
from tiae_ros.streams.pictures import color_of, depth_of

ROOT = Path(__file__).resolve().parent.parent
OUR_BAG = ROOT / "test" / "data" / "grasps"
INPUTS = ("color", "depth", "camera-info")
NODE = "/tiae"
TILE = 240  # pixels of one picture's height
COLORS = {1: palette.HAND, 2: palette.OBJECT}  # of labels


def main() -> int:
    with contextlib.ExitStack() as page:
        return demonstrate(page)


def demonstrate(page: contextlib.ExitStack) -> int:
    """All of it; `page` ends the live page afterwards."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", type=Path, default=OUR_BAG, help="rosbag2 to play")
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for pictures and table")
    parser.add_argument("--rate", type=float, default=1.0, help="speed of playing")
    parser.add_argument("--frames", type=int, default=6, help="frames to draw")
    parser.add_argument("--view", action="store_true", help="show a live page in a browser, until Ctrl-C")
    for name in INPUTS:
        parser.add_argument(f"--{name}", metavar="TOPIC", help=f"the bag's topic for {name} (found by its messages)")
    options = parser.parse_args()
    if not options.bag.exists():
        parser.error(f"bag {options.bag} does not exist")
    say(
        started, f"demo: {options.bag.name} is played over ROS 2 topics through the node; pictures go to {options.out}/"
    )
    given = {name: getattr(options, name.replace("-", "_")) for name in INPUTS}
    try:
        topics = camera_topics(options.bag, given)
    except TiaeError as error:
        return fail(str(error))
    if options.out.is_file():
        return fail(f"--out {options.out} is a file; give a folder")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.out).close()
    except OSError as error:
        return fail(f"--out {options.out} cannot be written into ({error.strerror}); give another folder")

    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from tiae_ros.node.large_messages import publish_large_messages

    publish_large_messages()
    import rclpy

    say(started, f"camera: {topics.told}")
    display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and sys.stdout.isatty()
    view = None
    if options.view or display:
        view = page.enter_context(running("view", "--node", NODE, *(["--open"] if display else [])))
    rclpy.init()
    received = Received()
    subscriber = rclpy.create_node("demo_subscriber")
    subscribe(subscriber, received, topics)
    try:
        robot = demo_robot.node_words() if demo_robot.is_there() else []
        with running("node", "--ros-args", *node_words(topics), *robot):
            say(started, "node started, loading its models")
            spin_until(subscriber, lambda: subscriber.count_subscribers(topics.color) >= 2, 60.0, "the node")
            say(started, f"node active; playing {options.bag}")
            # The node and this process: what is played before both have found the player would be lost to one.
            played = list(topics.inputs.values())
            with running(
                "play",
                "--bag",
                options.bag,
                "--rate",
                options.rate,
                "--subscribers",
                2,
                "--clock",
                "--quiet",
                "--topics",
                *played,
            ) as player:
                spin_until(
                    subscriber,
                    lambda: player.poll() is not None,
                    600.0,
                    "the bag's end",
                    say_progress(started, received),
                )
                if player.returncode:
                    return fail("the player failed; its message is above")
            spin_for(subscriber, 1.0)
    finally:
        subscriber.destroy_node()
        rclpy.try_shutdown()
    drawn = draw_frames(received, options.out, options.frames)
    table = received.table()
    (options.out / "table.md").write_text(table)
    print(f"\n{table}")
    if not drawn:
        return fail("no grasp was received, so there is nothing to draw")
    say(started, last_line(received, options.out, ours=options.bag == OUR_BAG))
    if options.view and view.poll() is None:
        say(started, "the page stays, with the bag again and again, until Ctrl-C")
        with contextlib.suppress(KeyboardInterrupt):
            stay_on(options.bag, topics, view)
            return fail("the page or the player has ended by itself; its message is above")
    elif options.view:
        return fail("the page has ended by itself; its message is above")
    return 0


def node_words(topics: CameraTopics) -> list[str]:
    """Arguments of the node that make it listen to these topics."""
    remapped = [word for own, topic in topics.inputs.items() for word in ("-r", f"{own}:={topic}")]
    return [*remapped, "-p", f"image_transport:={topics.transport}"]


def stay_on(bag: Path, topics: CameraTopics, view: subprocess.Popen[bytes]) -> None:
    """The node on the bag, for who looks at the page, until Ctrl-C or the end of one of them."""
    played = topics.inputs.values()
    with (
        running("node", "--ros-args", *node_words(topics)),
        running("play", "--bag", bag, "--loop", "--quiet", "--wait", 60, "--topics", *played) as player,
    ):
        while view.poll() is None and player.poll() is None:
            time.sleep(0.2)


def last_line(received: Received, out: Path, *, ours: bool) -> str:
    """What was seen, where to look at it, and what to do next."""
    names = ", ".join(f"{name} {count}" for name, count in received.names.most_common())
    grasps, frames = (len(received.messages[name]) for name in ("~/descriptor", "color/image"))
    after = "scripts/demo --bag YOUR_BAG" if ours else "tiae extract --bag YOUR_BAG --out windows.npz"
    seen = f"{grasps} grasps in {frames} frames{f' ({names})' if names else ''}"
    return f"{seen}; look at {out / 'sheet.png'}; next: {after}"


def camera_topics(bag: Path, given: dict[str, str | None]) -> CameraTopics:
    """Colour, depth and camera info of a bag; those that are not given are found. Raises TiaeError."""
    with Bag(bag) as opened:
        found = opened.camera_topics(*given.values(), one_transport=True)
    if found.camera_info is None:
        raise TiaeError(f"bag {bag} has no camera info, without which nothing is in metres; record it, too")
    return found


@dataclass
class Received:
    """Every message that came, by topic and stamp, and when."""

    messages: dict[str, dict[int, Any]] = field(default_factory=lambda: defaultdict(dict))
    arrivals: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    labels: list[tuple[float, str]] = field(default_factory=list)  # of grasps, as the node calls them, and when

    def keep(self, name: str, message: Any) -> None:
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        self.messages[name][stamp] = message
        self.arrivals[name][stamp] = time.monotonic()

    @property
    def names(self) -> Counter[str]:
        """How often each name came."""
        return Counter(name for _, name in self.labels if name)

    def name_at(self, stamp: int) -> str:
        """A name has no stamp: it is the first that came after its grasps; "" is unknown."""
        came = self.arrivals["~/grasps"].get(stamp, np.inf)
        return next((name for arrival, name in self.labels if arrival >= came), "")

    def table(self) -> str:
        """Topics with counts, rates and the time from the camera image's arrival here to the topic's, Markdown."""
        camera = self.arrivals["color/image"]
        lines = ["| topic | messages | Hz | latency p50 | p99 |", "|---|---|---|---|---|"]
        for name, arrivals in self.arrivals.items():
            times = sorted(arrivals.values())
            rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0
            line = f"| {name} | {len(times)} | {rate:.1f} |"
            delays = [1e3 * (t - camera[stamp]) for stamp, t in arrivals.items() if stamp in camera]
            if name.startswith("~") and delays:
                line += f" {statistics.median(delays):.1f} ms | {np.quantile(delays, 0.99):.1f} ms |"
            else:
                line += " | |"
            lines.append(line)
        return "\n".join(lines) + "\n"


def subscribe(node: Any, received: Received, topics: CameraTopics) -> None:
    """Listen to the camera and to everything of the node that has a stamp."""
    from geometry_msgs.msg import PointStamped, Vector3Stamped
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2
    from std_msgs.msg import String

    outputs = {"descriptor": Image, "grasps": PointCloud2, "shift": Vector3Stamped, "position": PointStamped,
               "restored/depth": Image, "restored/camera_info": CameraInfo, "restored/hand_mask": Image,
               "restored/object_mask": Image, "segmentation": Image, "joint_targets": JointState}  # fmt: skip
    picture = CompressedImage if topics.color_compressed else Image
    listen = [
        ("color/image", topics.color, picture),
        ("depth/image", topics.depth, picture),
        ("color/camera_info", topics.camera_info, CameraInfo),
    ]
    listen += [(f"~/{name}", f"{NODE}/{name}", kind) for name, kind in outputs.items()]
    for name, topic, kind in listen:

        def callback(message: Any, name: str = name) -> None:
            received.keep(name, message)

        node.create_subscription(kind, topic, callback, qos_profile_sensor_data)

    def keep_name(message: Any) -> None:
        received.labels.append((time.monotonic(), message.data))

    node.create_subscription(String, f"{NODE}/grasp_label", keep_name, qos_profile_sensor_data)


def draw_frames(received: Received, out: Path, count: int) -> int:
    """Draw frames evenly spread over those in which a grasp was restored; how many."""
    needed = ("color/image", "depth/image", "color/camera_info", "~/segmentation", "~/restored/camera_info",
              "~/restored/hand_mask", "~/restored/object_mask", "~/restored/depth")  # fmt: skip
    stamps = sorted(set.intersection(*(set(received.messages[name]) for name in needed)))
    if not stamps:
        return 0
    chosen = [stamps[i] for i in np.unique(np.linspace(0, len(stamps) - 1, count + 2)[1:-1].round().astype(int))]
    rows = []
    for number, stamp in enumerate(chosen):
        row = draw_frame({name: stored[stamp] for name, stored in received.messages.items() if stamp in stored})
        for shade, width in ((0, 0, 0), 3), (palette.WINDOW, 1):  # readable on whatever is behind it
            text = received.name_at(stamp) or "unknown"
            cv2.putText(row, text, (8, TILE - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.6, shade, width, cv2.LINE_AA)
        write_png(out / f"frame_{number}.png", row)
        rows.append(row)
    titles = ["camera, hand and object", "input window", "restored, moved onto input", "input depth", "restored depth"]
    titles += [demo_robot.TITLE] if demo_robot.is_there() else []
    widths = [rows[0].shape[1] - (len(titles) - 1) * TILE] + (len(titles) - 1) * [TILE]
    header = np.full((28, rows[0].shape[1], 3), 255, np.uint8)
    for title, left in zip(titles, np.cumsum([0, *widths]), strict=False):
        cv2.putText(header, title, (int(left) + 4, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    write_png(out / "sheet.png", np.concatenate([header, *rows]))
    return len(chosen)


def draw_frame(frame: dict[str, Any]) -> np.ndarray:
    """One row of pictures of one frame, from its messages: (TILE, W, 3) rgb."""
    color, labels = color_of(frame["color/image"])[0], decode_message(frame["~/segmentation"])
    info = frame["~/restored/camera_info"]
    window = window_matrix(info.k, frame["color/camera_info"].k)
    size = info.width
    camera = color.copy()
    for label, paint in COLORS.items():
        camera[labels == label] = (0.5 * camera[labels == label] + 0.5 * np.array(paint)).astype(np.uint8)
    corners = (np.array([[-0.5, -0.5], [size - 0.5, size - 0.5]]) * window[:2] + window[2:]).round().astype(int)
    cv2.rectangle(camera, *map(tuple, corners.tolist()), palette.WINDOW, 2)
    camera = cv2.resize(camera, (round(TILE * camera.shape[1] / camera.shape[0]), TILE), interpolation=cv2.INTER_AREA)
    masks = np.stack([cut((labels == label).astype(np.float32), window, size) for label in COLORS])
    restored = np.stack(
        [decode_message(frame[f"~/restored/{n}_mask"]).astype(np.float32) / 255 for n in ("hand", "object")]
    )
    depth_m = np.nan_to_num(depth_of(frame["depth/image"]))
    seen = cut_depth_picture(np.where(labels > 0, depth_m, 0), window, size)
    clean = decode_message(frame["~/restored/depth"])
    both = np.concatenate([seen[np.isfinite(seen)], clean[np.isfinite(clean)]])
    low, high = np.quantile(both, [0.02, 0.98]) if len(both) else (0.0, 1.0)
    tiles = [
        camera,
        enlarge(paint_masks(masks)),
        enlarge(paint_masks(restored, outline=masks)),
        enlarge(paint_depth(seen, low, high)),
        enlarge(paint_depth(clean, low, high)),
    ]
    if demo_robot.is_there():
        tiles.append(demo_robot.tile(frame.get("~/joint_targets"), TILE))
    return np.concatenate(tiles, 1)


def window_matrix(window_k: Any, whole_k: Any) -> np.ndarray:
    """(scale x, scale y, offset x, offset y): window pixel -> pixel of the colour image.

    Both camera matrices (row-major 3×3) see along the same rays: x_image = (x_window - cx_window) fx / fx_window + cx.
    """
    scale = np.array([whole_k[0] / window_k[0], whole_k[4] / window_k[4]])
    return np.concatenate([scale, np.array([whole_k[2], whole_k[5]]) - np.array([window_k[2], window_k[5]]) * scale])


def cut(image: np.ndarray, window: np.ndarray, size: int) -> np.ndarray:
    """The window's area averages of an image."""
    many = 8  # samples per window pixel and axis
    matrix = np.array([[window[0] / many, 0, window[2] + window[0] * (0.5 / many - 0.5)],
                       [0, window[1] / many, window[3] + window[1] * (0.5 / many - 0.5)]])  # fmt: skip
    fine = cv2.warpAffine(image, matrix, (size * many, size * many), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)


def cut_depth_picture(depth_m: np.ndarray, window: np.ndarray, size: int) -> np.ndarray:
    """The window's mean depth over readings (0 is none); NaN where readings cover less than a quarter."""
    readings = cut((depth_m > 0).astype(np.float32), window, size)
    mean = cut(depth_m, window, size) / np.maximum(readings, 1e-6)
    return np.where(readings < 0.25, np.nan, mean)


def paint_masks(masks: np.ndarray, outline: np.ndarray | None = None) -> np.ndarray:
    """Hand and object in their colours; with the input's outline in white, enlarged to TILE."""
    painted = sum(
        mask[..., None] * np.array(paint, np.float32) for mask, paint in zip(masks, COLORS.values(), strict=True)
    )
    picture = cv2.resize(np.clip(painted, 0, 255).astype(np.uint8), (TILE, TILE), interpolation=cv2.INTER_NEAREST)
    if outline is not None:
        whole = cv2.resize(np.clip(outline.sum(0), 0, 1), (TILE, TILE), interpolation=cv2.INTER_LINEAR) > 0.5
        contours, _ = cv2.findContours(whole.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, palette.INPUT, 1)
    return picture


def paint_depth(depth_m: np.ndarray, low: float, high: float) -> np.ndarray:
    """Near is warm, far is cold, nothing is black."""
    nearness = 1 - np.clip((np.nan_to_num(depth_m, nan=high) - low) / max(high - low, 1e-6), 0, 1)
    painted = cv2.applyColorMap((40 + 215 * nearness).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1].copy()
    painted[~np.isfinite(depth_m)] = 0
    return painted


def enlarge(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (TILE, TILE), interpolation=cv2.INTER_NEAREST)


def write_png(path: Path, rgb: np.ndarray) -> None:
    if not cv2.imwrite(str(path), rgb[..., ::-1]):
        raise OSError(f"cannot write {path}")


def spin_until(node: Any, done: Any, seconds: float, what: str, report: Any = None) -> None:
    import rclpy

    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise SystemExit(f"demo: error: waited {seconds:.0f} s for {what} in vain")
        rclpy.spin_once(node, timeout_sec=0.05)
        if report:
            report()


def spin_for(node: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    spin_until(node, lambda: time.monotonic() > end, seconds + 5, "the last messages")


def say_progress(started: float, received: Received) -> Any:
    """A line every two seconds."""
    last = [time.monotonic()]

    def report() -> None:
        if time.monotonic() - last[0] >= 2.0:
            last[0] = time.monotonic()
            frames, grasps = (len(received.messages[name]) for name in ("color/image", "~/descriptor"))
            seen = f"{frames} frames seen, {grasps} grasps received" if frames else "waiting for the player"
            say(started, seen)

    return report


def say(started: float, line: str) -> None:
    print(f"[{time.monotonic() - started:5.1f} s] {line}", flush=True)


def fail(line: str) -> int:
    print(f"demo: error: {line}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
