"""Processor time of each step from messages to results, in one process and one thread, without DDS.

    python benchmarks/pipeline_steps.py                              # shipped models, frames of test/data/grasps
    python benchmarks/pipeline_steps.py --segmentation network --segmentation-model runs/segmentation
    python benchmarks/pipeline_steps.py --model runs/hands --depth-model none --json
    python benchmarks/pipeline_steps.py --segmentation network --pause 33      # caches go cold, as between two frames

Times are `time.thread_time`: other work on the machine counts only as far as it slows memory and caches. So compare
figures of one run. Frames are enlarged to 640x480, as a camera would send them.

decode, segment, window, network   the steps of `Pipeline.describe`
describe         all of them, to the descriptor
restoration      `Pipeline.restore`, after the descriptor is published
restored depth   `Pipeline.restore_depth`, after that
infer            the grasp model alone: encode, decode, shift; batch 1
segmentation     our own segmentation alone, in metres and rgb
in float32       the same where the network runs in 8 bits, without them; the two take turns
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch

from tiae_ros.model.segmenter import METHODS, choose_segmentation
from tiae_ros.model.shipped import find_model
from tiae_ros.node import pipeline as pipeline_module
from tiae_ros.node.frames import Frame
from tiae_ros.node.model_folders import DEPTH_CHANNELS, GRASP_CHANNELS, load_checked
from tiae_ros.parameters import Settings
from tiae_ros.perception import Pipeline
from tiae_ros.streams.bags import Bag
from tiae_ros.vision.segmentation.network import load_segmenter

ROOT = Path(__file__).resolve().parents[1]
SIZE = (640, 480)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bag", default=str(ROOT / "test" / "data" / "grasps"))
    parser.add_argument("--model", default="hands")
    parser.add_argument("--depth-model", default="none", help="none: the model restores depth itself, or nobody does")
    parser.add_argument("--segmentation", choices=METHODS, default="auto")
    parser.add_argument("--segmentation-model", default="segmentation")
    parser.add_argument("--rounds", type=int, default=4, help="times that each frame is looked at (default 4)")
    parser.add_argument("--pause", type=float, default=0, metavar="MS", help="before each frame and segmentation")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    figures = measure(arguments)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:16} {value if isinstance(value, str) else f'{value[0]:6.2f} ms median, {value[1]:6.2f} least'}")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Name -> (median, least tenth) in milliseconds."""
    grasp = load_checked(arguments.model, GRASP_CHANNELS, "cpu")
    depth = None
    if arguments.depth_model not in ("", "none"):
        depth = load_checked(arguments.depth_model, DEPTH_CHANNELS, "cpu")
    segmentation = choose_segmentation(arguments.segmentation, arguments.segmentation_model)
    ways = {"segmentation": segmentation.segment}
    if segmentation.name.endswith("(int8)"):
        ways["in float32"] = load_segmenter(find_model(arguments.segmentation_model), eight_bits=False).segment
    pipeline, settings = Pipeline(grasp, depth, segmentation), Settings()
    pipeline.warm_up(settings)
    pipeline_module.time = SimpleNamespace(perf_counter=time.thread_time)  # what its stopwatch looks at
    times: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, function: Callable[[], Any]) -> Any:
        started = time.thread_time()
        value = function()
        times[name].append((time.thread_time() - started) * 1e3)
        return value

    frames = read_frames(arguments.bag)
    for number in range(arguments.rounds + 1):
        if number == 1:
            times.clear()  # the first round warms up
        for frame, rgb, depth_m, focal_px in frames:
            time.sleep(arguments.pause / 1e3)
            described = timed("describe", lambda: pipeline.describe(frame, settings))  # noqa: B023
            for name, seconds in described.timings_s.items():
                times[name].append(seconds * 1e3)
            result = timed("restoration", lambda: pipeline.restore(described))  # noqa: B023
            timed("restored depth", lambda: pipeline.restore_depth(result, settings))  # noqa: B023
            for name, segment in ways.items():
                time.sleep(arguments.pause / 1e3)
                timed(name, lambda: segment(rgb, depth_m, focal_px=focal_px))  # noqa: B023
            windows = np.zeros((1, len(grasp.manifest.channels), *[grasp.manifest.window_size] * 2), np.float32)
            windows[:, :, 8:20, 10:24] = 0.5
            timed("infer", lambda: grasp.infer(windows))  # noqa: B023
    order = ("decode", "segment", "window", "network", "describe", "restoration", "restored depth", *ways, "infer")
    table: dict[str, Any] = {"segmentation by": segmentation.name, "model": grasp.manifest.model_id}
    for name in order:
        median, least = np.percentile(times[name], (50, 10))
        table[name] = (round(float(median), 3), round(float(least), 3))
    return table


def read_frames(bag: str) -> list[tuple[Frame, np.ndarray, np.ndarray, float]]:
    """Each frame as messages, and as rgb, metres and focal length, at 640x480."""
    frames = []
    with Bag(bag) as recorded:
        for frame in recorded.rgbd_frames():
            rgb = cv2.resize(frame.color, SIZE, interpolation=cv2.INTER_LINEAR)
            metres = cv2.resize(np.nan_to_num(frame.depth_m), SIZE, interpolation=cv2.INTER_NEAREST)
            millimetres = np.rint(metres * 1000).astype(np.uint16)
            scale = SIZE[0] / frame.color.shape[1]
            k = np.diag([scale, scale, 1.0]) @ np.asarray(frame.k)
            info = SimpleNamespace(header=SimpleNamespace(frame_id=""), width=SIZE[0], height=SIZE[1], k=k.ravel())
            messages = Frame(color=_message(rgb, "rgb8"), depth=_message(millimetres, "16UC1"), camera_info=info)
            frames.append((messages, rgb, np.where(metres > 0, metres, np.float32(np.nan)), float(k[0, 0])))
    return frames


def _message(pixels: np.ndarray, encoding: str) -> SimpleNamespace:
    header = SimpleNamespace(frame_id="")
    fields = {"height": pixels.shape[0], "width": pixels.shape[1], "step": pixels[0].nbytes, "is_bigendian": 0}
    return SimpleNamespace(header=header, encoding=encoding, data=pixels.tobytes(), **fields)


if __name__ == "__main__":
    main()
