"""Configure, activate, deactivate, clean up, a thousand times: what is left behind in the node's process.

    python benchmarks/lifecycle_cycles.py                   # 1,000 cycles of the shipped models
    python benchmarks/lifecycle_cycles.py --cycles 50 --json

The node is a process of its own and is asked over its services. In every tenth cycle it also works on a picture while
it is active. Memory (RSS), threads, open files, and the topics and services it has in the graph are read in the state
*unconfigured*, after each cycle. The first 100 cycles (or a tenth) fill caches and are left out of the growth.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))
from lifecycle_msgs.srv import ChangeState
from node_latency import memory_mb
from ros_processes import Camera, Client, node_process, transition_request
from sensor_msgs.msg import PointCloud2
from synthetic_scenes import make_scene

TRANSITIONS = ("configure", "activate", "deactivate", "cleanup")
WORK_EVERY = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--model", default="hands")
    parser.add_argument("--depth-model", default="none")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    parameters = {"model": arguments.model, "depth_model": arguments.depth_model, "device": "cpu", "autostart": False}
    with (
        tempfile.TemporaryDirectory(prefix="tiae_cycles_") as folder,
        Client() as client,
        node_process(Path(folder), parameters, wait_for="") as node,
    ):
        table = measure(client, node.pid, arguments.cycles)
        if "Traceback" in node.output:
            raise SystemExit(f"the node logged an exception:\n{node.output}")
    if arguments.json:
        print(json.dumps(table))
    else:
        for name, value in table.items():
            print(f"{name:44} {value}")


def measure(client: Client, pid: int, cycles: int) -> dict[str, Any]:
    """The table's rows."""
    client.listen(PointCloud2, "/tiae/grasps")
    camera, scene = Camera(client), make_scene()
    memory, threads, files, worked = [], [], [], 0
    configured = 0.0
    ends = None
    started = time.monotonic()
    with client.caller(ChangeState, "/tiae/change_state", 60) as ask:
        for cycle in range(cycles):
            for transition in TRANSITIONS:
                if not ask(transition_request(transition)).success:
                    raise SystemExit(f"{transition} failed")
                if transition == "configure":
                    configured = memory_mb(pid)
                if transition == "activate" and cycle % WORK_EVERY == 0:
                    client.received.clear()
                    camera.stream_until(scene, lambda: client.received["/tiae/grasps"], rate_hz=20)
                    worked += 1
            memory.append(memory_mb(pid))
            threads.append(len(list(Path(f"/proc/{pid}/task").iterdir())))
            files.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
            if cycle == 0:
                client.spin(0.5)
                ends = endpoints(client)
            if (cycle + 1) % 100 == 0:
                print(f"{cycle + 1:5} cycles, {memory[-1]:.1f} MB", file=sys.stderr)
    seconds = time.monotonic() - started
    client.spin(0.5)
    settled = np.array(memory[min(100, cycles // 10) :])
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0]) * 1000 if len(settled) > 1 else 0.0
    least = settled[: len(settled) // 4 + 1].min(), settled[-(len(settled) // 4) - 1 :].min()
    return {
        "cycles, of them with work": f"{cycles}, {worked}",
        "ms per cycle": round(1e3 * seconds / cycles),
        "RSS after cleanup, first / last cycle (MB)": f"{memory[0]:.1f} / {memory[-1]:.1f}",
        "RSS when configured, last cycle (MB)": round(configured, 1),
        "growth, least of last and first quarter (MB)": round(float(least[1] - least[0]), 2),
        "growth per 1,000 cycles, fitted (MB)": round(slope, 2),
        "threads, after the first / last cycle": f"{threads[0]} / {threads[-1]}",
        "open files, after the first / last cycle": f"{files[0]} / {files[-1]}",
        "topics and services the same": endpoints(client) == ends,
    }


def endpoints(client: Client) -> Any:
    """What the node has in the graph: publishers, subscriptions, services."""
    node = client.node
    return [
        sorted(found)
        for found in (
            node.get_publisher_names_and_types_by_node("tiae", "/"),
            node.get_subscriber_names_and_types_by_node("tiae", "/"),
            node.get_service_names_and_types_by_node("tiae", "/"),
        )
    ]


if __name__ == "__main__":
    main()
