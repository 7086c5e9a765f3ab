"""Processor time of each step from messages to results, in one process and one thread, without DDS.

    python benchmarks/pipeline_steps.py                              # shipped models, frames of test/data/grasps
    python benchmarks/pipeline_steps.py --precision float32 --model runs/hands --json
    python benchmarks/pipeline_steps.py --against /old/.venv/bin/python    # in turns with release 0.1 of that Python

Each side runs in a process of its own, fed with one frame after the other; between two frames it sleeps --pause, as
between the pictures of a camera, so that caches go cold. With --against the sides take turns, round by round. Times
are `time.thread_time`, so other work on the machine counts only as far as it slows memory and caches.

decode, segment, window, network   messages -> pictures -> labels -> windows -> descriptors
describe         all of them
restoration      `Pipeline.restore`, after the descriptor is published
restored depth   `Pipeline.restore_depth`, after that
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

METHODS = ("auto", "network", "classical")
PRECISIONS = ("auto", "float32", "int8")
MOST_RATIO = 0.8  # of the time that release 0.1 takes
Steps = tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any], str]  # and what segments


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", default="", help="(default: test/data/grasps)")
    parser.add_argument("--model", default="hands")
    parser.add_argument("--depth-model", default="none", help="none: the model restores depth itself, or nobody does")
    parser.add_argument("--segmentation", choices=METHODS, default="auto")
    parser.add_argument("--segmentation-model", default="detector")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of what finds hands")
    parser.add_argument("--rounds", type=int, default=4, help="times that each frame is looked at (default 4)")
    parser.add_argument("--pause", type=float, default=33.0, metavar="MS", help="before each frame (default 33)")
    parser.add_argument("--against", metavar="PYTHON", help="an interpreter that has tiae_ros of release 0.1")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--side", nargs=2, metavar=("NAME", "FRAMES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        serve(arguments)
        return 0
    table = measure(arguments)
    if arguments.json:
        print(json.dumps(table))
    else:
        for name, row in table.items():
            print(f"{name:26} {row}")
    return int(table.get("ratio of medians", 0.0) > MOST_RATIO)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Name of a step -> median and least tenth of it in milliseconds, of each side."""
    from recorded_frames import BAG, read_frames

    frames = read_frames(arguments.bag or BAG)
    interpreters = {"ours": sys.executable} | ({"before": arguments.against} if arguments.against else {})
    times: dict[str, dict[str, list[float]]] = {side: defaultdict(list) for side in interpreters}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tiae_steps_")))
        colors, depths, matrices = (np.stack(column) for column in zip(*frames, strict=True))
        np.savez(folder / "frames.npz", color=colors, depth_mm=depths, k=matrices)
        sides = {}
        for side, python in interpreters.items():
            sides[side] = stack.enter_context(start_side(side, python, folder / "frames.npz"))
        using = {side: json.loads(process.stdout.readline()) for side, process in sides.items()}
        for number in range(arguments.rounds + 1):
            for side, process in sides.items():
                for index in range(len(frames)):
                    print(index, file=process.stdin, flush=True)
                    answer = process.stdout.readline()
                    if not answer:
                        raise SystemExit(f"{side} has ended")
                    for name, milliseconds in json.loads(answer).items() if number else ():  # the first warms up
                        times[side][name].append(milliseconds)
    table: dict[str, Any] = {f"{side} segments by": name for side, name in using.items()}
    for side, steps in times.items():
        for name, values in steps.items():
            median, least = np.percentile(values, (50, 10))
            table[f"{side}: {name}"] = f"{median:.2f} ms median, {least:.2f} least"
    if arguments.against:
        ours, before = (np.median(times[side]["describe"]) for side in ("ours", "before"))
        table["ratio of medians"] = round(float(ours / before), 3)
    return table


def start_side(side: str, python: str, frames: Path) -> subprocess.Popen[str]:
    """A process that measures one side; in a folder of its own, lest it imports the other's packages."""
    return subprocess.Popen(
        [python, str(Path(__file__).resolve()), *sys.argv[1:], "--side", side, str(frames)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=frames.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def serve(arguments: argparse.Namespace) -> None:
    """Indices of frames come in, milliseconds of their steps go out."""
    cv2.setNumThreads(1)
    side, file = arguments.side
    with np.load(file) as stored:
        frames = [as_messages(*parts) for parts in zip(*(stored[n] for n in ("color", "depth_mm", "k")), strict=True)]
    describe, restore, restore_depth, segmentation = (our_steps if side == "ours" else steps_before)(arguments)
    time.perf_counter = time.thread_time  # what the pipeline's own stopwatch looks at
    print(json.dumps(segmentation), flush=True)
    for line in sys.stdin:
        frame = frames[int(line)]
        time.sleep(arguments.pause / 1e3)
        marks = [time.thread_time()]
        described, first_step = describe(frame)
        marks.append(time.thread_time())
        result = restore(described)
        marks.append(time.thread_time())
        restore_depth(result)
        marks.append(time.thread_time())
        steps = {name: seconds * 1e3 for name, seconds in ({**first_step, **described.timings_s}).items()}
        names = ("describe", "restoration", "restored depth")
        print(json.dumps(steps | dict(zip(names, np.diff(marks) * 1e3, strict=True))), flush=True)


def our_steps(arguments: argparse.Namespace) -> Steps:
    """What the node does of this release."""
    from tiae_ros.model.segmenter import choose_segmentation
    from tiae_ros.node.frames import Frame, decode_frame
    from tiae_ros.node.warm_up import warm_up
    from tiae_ros.parameters import Settings
    from tiae_ros.perception import DEPTH_CHANNELS, GRASP_CHANNELS, Pipeline, load_checked

    segmentation = choose_segmentation(
        arguments.segmentation, arguments.segmentation_model, precision=arguments.precision
    )
    name, settings = arguments.depth_model, Settings()
    depth = None if name in ("", "none") else load_checked(name, DEPTH_CHANNELS, "cpu")
    pipeline = Pipeline(load_checked(arguments.model, GRASP_CHANNELS, "cpu"), depth, segmentation)
    warm_up(pipeline, settings)

    def describe(messages: dict[str, Any]) -> Any:
        started = time.thread_time()
        images, _ = decode_frame(Frame(**messages), settings, need_color=False)
        decoded = time.thread_time() - started
        return pipeline.describe(images, settings), {"decode": decoded}

    return describe, pipeline.restore, lambda result: pipeline.restore_depth(result, settings), segmentation.name


def steps_before(arguments: argparse.Namespace) -> Steps:
    """What the node of release 0.1 did."""
    import torch

    from tiae_ros import load_model
    from tiae_ros.core.shipped_models import find_model
    from tiae_ros.node.parameters import Settings
    from tiae_ros.node.pipeline import Frame, Pipeline
    from tiae_ros.vision.segmentation_choice import choose_segmentation

    torch.set_num_threads(1)
    segmentation = choose_segmentation(arguments.segmentation, "segmentation")  # it had no detector
    name, settings = arguments.depth_model, Settings()
    depth = None if name in ("", "none") else load_model(find_model(name))
    pipeline = Pipeline(load_model(find_model(arguments.model)), depth, segmentation)
    pipeline.warm_up(settings)

    def describe(messages: dict[str, Any]) -> Any:
        return pipeline.describe(Frame(**messages), settings), {}

    return describe, pipeline.restore, lambda result: pipeline.restore_depth(result, settings), segmentation.name


def as_messages(rgb: np.ndarray, depth_mm: np.ndarray, k: np.ndarray) -> dict[str, Any]:
    """Things with the fields of the messages."""
    header = SimpleNamespace(frame_id="")

    def image(pixels: np.ndarray, encoding: str) -> SimpleNamespace:
        return SimpleNamespace(
            header=header, encoding=encoding, height=pixels.shape[0], width=pixels.shape[1], step=pixels[0].nbytes,
            is_bigendian=0, data=pixels.tobytes(),
        )  # fmt: skip

    info = SimpleNamespace(header=header, width=rgb.shape[1], height=rgb.shape[0], k=k.ravel())
    return {"color": image(rgb, "rgb8"), "depth": image(depth_mm, "16UC1"), "camera_info": info}


if __name__ == "__main__":
    sys.exit(main())
