"""SIGINT and SIGTERM in every state of the node: exit code, and how long it takes to be gone.

    python benchmarks/shutdown_times.py                     # each state and signal 5 times, shipped models
    python benchmarks/shutdown_times.py --repeats 1 --json

Exit code 1 when one of them took more than a second, did not end with 0, or left a traceback.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))
from lifecycle_msgs.srv import ChangeState
from ros_processes import Camera, Client, Process, node_process, transition_request
from sensor_msgs.msg import PointCloud2
from synthetic_scenes import make_scene

WITHIN_S = 1.0


def unconfigured(client: Client, node: Process) -> None:
    """Nothing loaded."""
    assert client.state() == "unconfigured"


def configuring(client: Client, node: Process) -> None:
    """In the middle of loading and warming up: a request is on its way, and so is the signal."""
    service = client.node.create_client(ChangeState, "/tiae/change_state")
    client.spin_until(service.service_is_ready, 20, "the node")
    client.spin(0.3)
    service.call_async(transition_request("configure"))
    client.spin(0.08)


def inactive(client: Client, node: Process) -> None:
    """Models loaded."""
    assert client.change_state("configure")


def waiting(client: Client, node: Process) -> None:
    """Active without a camera."""
    inactive(client, node)
    assert client.change_state("activate")


def working(client: Client, node: Process) -> None:
    """Active with a camera that is faster than the node."""
    client.listen(PointCloud2, "/tiae/grasps")
    waiting(client, node)
    camera, scene = Camera(client), make_scene(width=640, height=480)
    camera.wait_for_node()
    camera.stream_until(scene, lambda: client.received["/tiae/grasps"], rate_hz=30)
    for _ in range(5):
        camera.shoot(scene)


def finalized(client: Client, node: Process) -> None:
    """Shut down by its lifecycle, its process still there."""
    assert client.change_state("unconfigured_shutdown")


def starting(client: Client, node: Process) -> None:
    """Importing."""
    time.sleep(0.7)


STATES: tuple[Callable[[Client, Process], None], ...] = (
    starting, unconfigured, configuring, inactive, waiting, working, finalized
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    failed = False
    with tempfile.TemporaryDirectory(prefix="tiae_shutdown_") as folder:
        for state in STATES:
            for number in (signal.SIGINT, signal.SIGTERM):
                seconds, codes = [], set()
                for _ in range(arguments.repeats):
                    # A new participant each time: the old node is still known to the other one for a while.
                    with Client() as client, node_process(Path(folder), {"autostart": False}, wait_for="") as node:
                        state(client, node)
                        code, took = node.end(number)
                        seconds.append(took)
                        codes.add(code)
                        failed |= code != 0 or took > WITHIN_S or "Traceback" in node.output
                found[f"{state.__name__}, {signal.Signals(number).name}"] = {
                    "worst_s": round(max(seconds), 3), "exit_codes": sorted(codes)
                }  # fmt: skip
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, row in found.items():
            print(f"{name:24} worst {row['worst_s']:.3f} s, exit codes {row['exit_codes']}")
        print(f"{'worst of all':24} {max(row['worst_s'] for row in found.values()):.3f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
