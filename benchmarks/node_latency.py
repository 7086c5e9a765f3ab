"""Camera process -> node -> subscriber over DDS: latency, drops, CPU, memory, and where each millisecond goes.

    python benchmarks/node_latency.py                       # 640x480 at 30 Hz for 60 s, shipped models
    python benchmarks/node_latency.py --listener events     # by the executor that the node has
    python benchmarks/node_latency.py --awake               # the processor does not sleep between frames
    python benchmarks/node_latency.py --rate 60 --seconds 20
    python benchmarks/node_latency.py --robot-hand shadow   # and until the joint targets arrive
    python benchmarks/node_latency.py --view                # with the live page open
    python benchmarks/node_latency.py --json

Frames are those of test/data/grasps, enlarged to 640x480. The camera stamps each frame when it publishes it; the
latency is from that stamp to the arrival of the frame's descriptor here. Camera, node and this process are three
processes on this machine; what else runs on it counts too. Who listens here has rclpy's usual executor, as most do;
with `--listener events` it is the one that the node has (that of events, where rclpy has it), which is called sooner.

Where each millisecond goes (the node's own diagnostics, p50 / p99 over its last 512 frames):

transport     camera's stamp -> the frame's last message is in the node's callback
pair          -> the worker takes the frame
decode        messages -> pixels and metres
segment       -> hand and object
window        -> windows and their masks
network       -> descriptor and shift (the grasp model's encoder)
publish       -> the descriptor is published; "stamp to result" ends there
hand pose     then, with --robot-hand: the operator's joints
joint targets -> the targets are published; "stamp to joint targets" ends there
restoration   afterwards: restored masks, confidence, positions in metres, and their topics published
restored depth  then: that of a joint model or the depth model, and its picture published

Dropped after the first second are frames that the camera sent and no `~/grasps` came for. Inference alone is the grasp
model's `infer` (encode, decode, shift), batch 1, one thread, in this process, before anything else runs.

With `--view` the page of `tiae view` is open meanwhile: `page_client.py` takes it as a browser on another machine
would. With `--view browser` a headless one on this machine does, which needs all the processor there is without a GPU.

Wanted at 640x480 and 30 Hz for 60 s: p50 ≤ 11 ms, p99 ≤ 20 ms, no drops, ≤ 0.4 of a core, ≤ 220 MB resident.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from inference import passes_ms
from recorded_frames import BAG, read_frames

STEPS = (
    "transport",
    "pair",
    "decode",
    "segment",
    "window",
    "network",
    "publish",
    "stamp to result",
    "hand pose",
    "joint targets",
    "stamp to joint targets",
    "restoration",
    "restored depth",
)
WAKE_UP_TIME = "/dev/cpu_dma_latency"
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=30.0, help="frames per second (default 30)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length (default 60)")
    parser.add_argument("--bag", default=str(BAG))
    parser.add_argument("--model", default="hands")
    parser.add_argument("--depth-model", default="none")
    parser.add_argument("--segmentation", choices=("auto", "network", "classical"), default="auto")
    parser.add_argument("--segmentation-model", default="detector")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--robot-hand", default="", metavar="NAME", help="a robot hand follows; none moves")
    parser.add_argument("--hand-pose-model", default="auto", metavar="DIR")
    parser.add_argument("--listener", choices=("events", "usual"), default="usual", help="executor of who listens")
    parser.add_argument(
        "--awake",
        action="store_true",
        help="keep the processor from sleeping meanwhile (docs/how-to/latency.md; needs root)",
    )
    parser.add_argument(
        "--view", nargs="?", const="client", choices=("client", "browser"), help="with `tiae view` open"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--camera", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if arguments.camera:
        camera(arguments)
        return
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    if arguments.awake:
        keep_awake()
    figures = measure(arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:34} {value}")


def camera(arguments: argparse.Namespace) -> None:
    """Publish the bag's frames, stamped now, at a steady rate."""
    from tiae_ros.node.large_messages import publish_large_messages

    publish_large_messages()
    import array

    import rclpy
    from rclpy.node import Node
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, Image

    def message(pixels: np.ndarray, encoding: str) -> Image:
        image = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=pixels[0].nbytes)
        image.data = array.array("B", np.ascontiguousarray(pixels).tobytes())
        image.header.frame_id = "camera"
        return image

    frames = []
    for color, depth, k in read_frames(arguments.bag):
        info = CameraInfo(width=color.shape[1], height=color.shape[0], k=k.ravel())
        info.header.frame_id = "camera"
        frames.append((message(color, "rgb8"), message(depth, "16UC1"), info))
    rclpy.init()
    node = Node("benchmark_camera")
    publishers = [
        node.create_publisher(kind, topic, qos_profile_sensor_data)
        for kind, topic in ((Image, "color/image"), (Image, "depth/image"), (CameraInfo, "color/camera_info"))
    ]
    deadline = time.monotonic() + 20
    while not all(p.get_subscription_count() for p in publishers) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    print("streaming", flush=True)
    gc.freeze()
    started = time.monotonic()
    stamps = []
    for index in range(round(arguments.rate * arguments.seconds)):
        time.sleep(max(0.0, started + index / arguments.rate - time.monotonic()))
        now = node.get_clock().now().to_msg()
        stamps.append(nanoseconds(now))
        for publisher, one in zip(publishers, frames[index % len(frames)], strict=True):
            one.header.stamp = now
            publisher.publish(one)
    time.sleep(1.0)
    print(json.dumps(stamps), flush=True)
    rclpy.shutdown()


def keep_awake() -> None:
    """Ask Linux for a wake-up time of 0 µs (PM QoS), which holds as long as this process lives."""
    try:
        os.write(os.open(WAKE_UP_TIME, os.O_WRONLY), (0).to_bytes(4, sys.byteorder))
    except OSError as error:
        raise SystemExit(f"--awake: {WAKE_UP_TIME} cannot be written ({error.strerror}); be root on Linux") from None


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run camera and node, listen, and count."""
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node
    from sensor_msgs.msg import Image, JointState, PointCloud2

    from tiae_ros.node.main import make_executor

    inference = passes_ms(arguments.model, 500)
    with tempfile.TemporaryDirectory(prefix="tiae_latency_") as folder:
        log = Path(folder) / "node.log"
        with log.open("w") as output:
            words = [f"model:={arguments.model}", f"depth_model:={arguments.depth_model}"]
            words.append(f"device:={arguments.device}")
            words.append(f"segmentation_method:={arguments.segmentation}")
            words.append(f"segmentation_model:={arguments.segmentation_model}")
            if arguments.robot_hand:
                words += [f"robot_hand:={arguments.robot_hand}", f"hand_pose_model:={arguments.hand_pose_model}"]
                words += ["imitate_at_start:=true", "imitation_starts_at_rest:=true", "imitation_max_spread_rad:=3.14"]
            node_process = subprocess.Popen(
                [sys.executable, "-m", "tiae_ros.cli", "node", "--ros-args"]
                + [part for word in words for part in ("-p", word)],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        camera_process = None
        page = contextlib.ExitStack()
        rclpy.init()
        node = Node("benchmark_listener")
        # Of its own: `rclpy.spin_once` sets one up and takes it down every time.
        executor = make_executor() if arguments.listener == "events" else SingleThreadedExecutor()
        executor.add_node(node)
        try:
            latencies: list[tuple[int, float]] = []
            results: list[int] = []
            status: list[Any] = []

            def on_descriptor(message: Image) -> None:
                now, stamp = time.time_ns(), nanoseconds(message.header.stamp)
                latencies.append((stamp, (now - stamp) * 1e-6))

            node.create_subscription(Image, "tiae/descriptor", on_descriptor, 50)
            targets: list[tuple[int, float]] = []

            def on_targets(message: JointState) -> None:
                now, stamp = time.time_ns(), nanoseconds(message.header.stamp)
                targets.append((stamp, (now - stamp) * 1e-6))

            node.create_subscription(JointState, "tiae/joint_targets", on_targets, 50)
            node.create_subscription(
                PointCloud2, "tiae/grasps", lambda message: results.append(nanoseconds(message.header.stamp)), 50
            )
            node.create_subscription(DiagnosticArray, "/diagnostics", lambda m: status.append(m.status[0]), 10)
            wait_for(log, "active; listening", node_process)
            page_process = page.enter_context(open_page(Path(folder), arguments.view)) if arguments.view else None
            camera_process = subprocess.Popen(
                [sys.executable, __file__, "--camera", *sys.argv[1:]],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert camera_process.stdout is not None
            if camera_process.stdout.readline().strip() != "streaming":
                raise SystemExit("the camera process did not start")
            cpu, memory = cpu_seconds(node_process.pid), []
            page_cpu = cpu_seconds(page_process.pid) if page_process else 0.0
            started = time.monotonic()
            while camera_process.poll() is None:
                executor.spin_once(timeout_sec=0.1)
                if time.monotonic() - started >= len(memory):
                    memory.append(memory_mb(node_process.pid))
            elapsed = time.monotonic() - started
            cpu = cpu_seconds(node_process.pid) - cpu
            page_cpu = cpu_seconds(page_process.pid) - page_cpu if page_process else 0.0
            for _ in range(30):
                executor.spin_once(timeout_sec=0.05)
            sent = json.loads(camera_process.stdout.readline())
            table = figures(arguments, sent, results, latencies, targets, status[-1], cpu / elapsed, memory, inference)
            return {**table, **({"page's share of one core": round(page_cpu / elapsed, 2)} if page_process else {})}
        finally:
            page.close()
            for process in (camera_process, node_process):
                if process is not None and process.poll() is None:
                    process.terminate()
                    process.wait(5)
            node.destroy_node()
            rclpy.try_shutdown()


@contextlib.contextmanager
def open_page(folder: Path, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    """`tiae view`, and somebody who looks at it."""
    here = Path(__file__).resolve().parent
    with contextlib.ExitStack() as stack:

        def start(name: str, *words: str) -> tuple[subprocess.Popen[bytes], Path]:
            log = folder / f"{name}.log"
            with log.open("w") as output:
                process = subprocess.Popen([sys.executable, *words], stdout=output, stderr=subprocess.STDOUT)
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
            return process, log

        page, log = start("view", "-m", "tiae_ros.cli", "view", "--port", "0", "--reports", str(folder))
        wait_for(log, r"http://\S+", page)
        (link,) = re.findall(r"http://\S+", log.read_text())
        if kind == "client":
            client, log = start("client", str(here / "page_client.py"), link)
            wait_for(log, "pictures/s", client)
            yield page
            print(log.read_text().strip().splitlines()[-1], file=sys.stderr)
            return
        sys.path.append(str(here.parent / "test"))
        from browser import Browser, find_browser

        if not find_browser():
            raise SystemExit("--view browser: none is installed (Debian: apt-get install chromium)")
        with Browser(find_browser(), nice=19) as browser:
            browser.open(link)
            browser.wait_for("document.body && document.body.innerText.includes('Parameters')")
            yield page


def figures(
    arguments: argparse.Namespace,
    sent: list[int],
    results: list[int],
    latencies: list[tuple[int, float]],
    targets: list[tuple[int, float]],
    status: Any,
    cpu_share: float,
    memory: list[float],
    inference: tuple[float, float, float],
) -> dict[str, Any]:
    """The table's rows."""
    values = {value.key: value.value for value in status.values}
    # The first second is left out: discovery, first passes.
    first = sent[0] + 10**9
    late = np.array([ms for stamp, ms in latencies if stamp >= first])
    dropped = len({stamp for stamp in sent if stamp >= first} - set(results))
    half = len(late) // 2
    settled = memory[min(5, len(memory) // 2) :]
    table: dict[str, Any] = {
        "rate (Hz)": arguments.rate,
        "frames sent": len(sent),
        "frames paired by the node": int(values["frames in"]),
        "descriptors received": len(latencies),
        "dropped after the first second": dropped,
        "dropped, by reason": {k[9:]: int(v) for k, v in values.items() if k.startswith("dropped: ")},
        "latency p50 (ms)": round(float(np.percentile(late, 50)), 1),
        "latency p99 (ms)": round(float(np.percentile(late, 99)), 1),
        "latency p50, first / second half": f"{np.median(late[:half]):.1f} / {np.median(late[half:]):.1f}",
        "node's share of one core": round(cpu_share, 2),
        "resident memory (MB)": round(max(settled), 1),
        "growth of memory (MB)": round(max(settled) - settled[0], 1),
        "inference alone p50 / p99 (ms)": f"{inference[0]:.2f} / {inference[1]:.2f}",
        "listener": arguments.listener,
        "device": values.get("device", ""),
        "segmentation": values.get("segmentation", ""),
    }
    if targets:
        late = np.array([ms for stamp, ms in targets if stamp >= first])
        told = " / ".join(f"{np.percentile(late, share):.1f}" for share in (50, 99))
        table |= {"joint targets received": len(targets), "latency of joint targets p50 / p99 (ms)": told}
    for step in STEPS:
        table[f"  {step} p50 / p99"] = values.get(f"{step} p50 / p99", "-")
    return table


def nanoseconds(stamp: Any) -> int:
    return int(stamp.sec * 10**9 + stamp.nanosec)


def wait_for(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not re.search(pattern, log.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the node did not start:\n{log.read_text()}")
        time.sleep(0.05)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def memory_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


if __name__ == "__main__":
    main()
