"""The node at work for half an hour: its memory over time, results, drops and latency.

    python benchmarks/soak.py                               # 640x480 at 30 Hz for 30 minutes, shipped models
    python benchmarks/soak.py --minutes 1 --every 5

The camera is that of `node_latency.py`, in a process of its own; everything the node publishes is listened to, the
pictures too. Exit code 1 when memory grew by more than 5 MB after the first minute (or the first fifth of a short run),
when the node logged an exception, or when it did not end with 0.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))
from diagnostic_msgs.msg import DiagnosticArray
from node_latency import cpu_seconds, memory_mb
from ros_processes import Client, Process, environment, node_process

from tiae_ros.node.outputs import TOPICS

MOST_GROWTH_MB = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=30.0, help="frames per second (default 30)")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two lines (default 30)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="tiae_soak_") as folder,
        Client() as client,
        node_process(Path(folder), {"device": arguments.device}) as node,
    ):
        table = run(client, node, arguments)
        code, seconds = node.end()
        table["exit code, seconds to the end"] = f"{code}, {seconds:.2f}"
        failed = code != 0 or "Traceback" in node.output or table["growth after that (MB)"] > MOST_GROWTH_MB
        if "Traceback" in node.output:
            print(node.output, file=sys.stderr)
    if arguments.json:
        print(json.dumps(table))
    else:
        for name, value in table.items():
            print(f"{name:44} {value}")
    return int(failed)


def run(client: Client, node: Process, arguments: argparse.Namespace) -> dict[str, Any]:
    """Let it work and watch it."""
    counts = dict.fromkeys(TOPICS, 0)

    def count(name: str) -> None:
        counts[name] += 1

    for name, kind in TOPICS.items():
        client.node.create_subscription(kind, f"/tiae/{name}", lambda _, name=name: count(name), 5)
    status: list[Any] = [None]
    client.node.create_subscription(DiagnosticArray, "/diagnostics", lambda m: status.__setitem__(0, m.status[0]), 5)
    seconds = 60 * arguments.minutes
    script = str(Path(__file__).with_name("node_latency.py"))
    camera = subprocess.Popen(
        [sys.executable, script, "--camera", "--rate", str(arguments.rate), "--seconds", str(seconds)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if camera.stdout is None or camera.stdout.readline().strip() != "streaming":
            raise SystemExit("the camera process did not start")
        started, cpu = time.monotonic(), cpu_seconds(node.pid)
        samples: list[tuple[float, float]] = []
        print("  minute   RSS (MB)   results/s   arrival to result p50 / p99", file=sys.stderr)
        # The camera ends by printing its stamps, more than a pipe holds and nobody reads here.
        while camera.poll() is None and time.monotonic() - started < seconds + 2:
            client.spin(min(1.0, arguments.every))
            elapsed = time.monotonic() - started
            if elapsed >= arguments.every * len(samples):
                samples.append((elapsed, memory_mb(node.pid)))
                values = {v.key: v.value for v in status[0].values} if status[0] else {}
                print(
                    f"{elapsed / 60:8.1f} {samples[-1][1]:10.1f}   {values.get('result rate', ''):>9}   "
                    f"{values.get('arrival to result p50 / p99', '')}",
                    file=sys.stderr,
                    flush=True,
                )
        elapsed = time.monotonic() - started
        samples.append((elapsed, memory_mb(node.pid)))
        share = (cpu_seconds(node.pid) - cpu) / elapsed
    finally:
        if camera.poll() is None:
            camera.kill()  # it may be waiting for somebody to read its stamps, and has nothing to lose
        camera.wait(10)
    client.spin(1.5)
    return figures(samples, status[0], counts, share, seconds)


def figures(
    samples: list[tuple[float, float]], status: Any, counts: dict[str, int], share: float, seconds: float
) -> dict[str, Any]:
    """The table's rows."""
    values = {value.key: value.value for value in status.values}
    times, memory = np.array(samples).T
    settled = times >= min(60.0, seconds / 5)
    per_hour = np.polyfit(times[settled] / 3600, memory[settled], 1)[0] if settled.sum() > 1 else 0.0
    return {
        "minutes": round(times[-1] / 60, 1),
        "frames paired / results / dropped": f"{values['frames in']} / {values['results']} / {values['dropped']}",
        "dropped, by reason": {k[9:]: int(v) for k, v in values.items() if k.startswith("dropped: ")},
        "messages received here": counts,
        "node's share of one core": round(float(share), 2),
        "RSS at the start (MB)": round(float(memory[0]), 1),
        "RSS after the first minute (MB)": round(float(memory[settled][0]), 1),
        "growth after that (MB)": round(float(memory[settled].max() - memory[settled][0]), 2),
        "growth per hour, fitted (MB)": round(float(per_hour), 2),
        "arrival to result p50 / p99, at the end": values.get("arrival to result p50 / p99", ""),
    }


if __name__ == "__main__":
    sys.exit(main())
