"""``tiae extract``: windows and masks from a recorded bag."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from tiae_ros.commands.progress import Count, add_json, at_work, print_json
from tiae_ros.model.shipped import DEFAULT_SEGMENTATION_MODEL

HELP = "cut windows around the hand out of a recorded RGB-D bag, ready to train on"
DESCRIPTION = """Find the hand in every frame of a bag (rosbag2: a folder, .mcap or .db3), cut a window of a fixed
metric size around it and write FILE.npz: images (N, C, H, W), channels, foreground_mask (N, 1, H, W),
windows (N, 4: centre x and y, side in pixels, depth in metres), stamps_ns (N,), and metric_size_m and
range_m, which `tiae train` puts into the model. With --joints also joints (N, J) of a robot and joint_names (J,), for
`tiae imitate fit`. Frames without a hand are left out; what of the bag cannot be used
(a damaged image or chunk) is too, and told. Images may be raw or compressed. No ROS installation is needed."""
EXAMPLES = """  tiae extract --bag test/data/grasps --out windows.npz
  tiae extract --bag my_bag --out windows.npz --sheet windows.png
  tiae extract --bag cup_bag --from-s 3 --to-s 60 --out cup.npz --label cup     # for `tiae name`
  tiae extract --bag my_bag --channels depth --out depth_windows.npz
  tiae extract --bag my_bag --channels masks+depth --joints /joint_states --out pairs.npz
  tiae extract --bag my_bag --color /rgb/image --depth /depth/image --focal-px 525 --out windows.npz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bag", type=Path, required=True, metavar="BAG", help="rosbag2 folder, .mcap or .db3 file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.npz and FILE.png")
    add_json(parser)
    parser.add_argument("--strict", action="store_true", help="refuse a bag of which a part cannot be used")
    parser.add_argument("--label", metavar="NAME", help="what the hand does in this bag, for `tiae name`")
    parser.add_argument("--from-s", type=float, default=0.0, metavar="S", help="leave out the bag's first seconds (0)")
    parser.add_argument(
        "--to-s", type=float, default=math.inf, metavar="S", help="leave out what comes later (default: never)"
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="also draw windows from all of the bag")
    parser.add_argument(
        "--channels", choices=("masks", "depth", "masks+depth"), default="masks", help="what an image holds (masks)"
    )
    parser.add_argument("--window-size", type=int, default=32, metavar="PX", help="side of a window (32)")
    parser.add_argument("--metric-size-m", type=float, default=0.30, metavar="M", help="what it covers (0.30 m)")
    parser.add_argument("--range-m", type=float, default=0.30, metavar="M", help="depth from 1 to 0 (0.30 m)")
    parser.add_argument("--every-hand", action="store_true", help="all hands of a frame, not only the nearest")
    parser.add_argument("--no-color", action="store_true", help="segment by depth alone")
    parser.add_argument(
        "--segmentation",
        choices=("auto", "network", "classical"),
        default="auto",
        help="what finds the hand; auto is --segmentation-model (auto)",
    )
    parser.add_argument(
        "--segmentation-model",
        default=DEFAULT_SEGMENTATION_MODEL,
        metavar="DIR",
        help="a folder, or the name of a shipped model: detector, segmentation (detector)",
    )
    parser.add_argument("--color", metavar="TOPIC", help="colour images (default: found by type, encoding and name)")
    parser.add_argument("--depth", metavar="TOPIC", help="registered depth images (default: those of colour)")
    parser.add_argument("--camera-info", metavar="TOPIC", help="camera info (default: that of colour)")
    parser.add_argument(
        "--slop",
        type=float,
        default=0.02,
        metavar="S",
        help="largest difference of stamps of colour and depth (0.02 s)",
    )
    parser.add_argument(
        "--joints", metavar="TOPIC", help="joint states of a robot; frames that none go with are left out"
    )
    parser.add_argument(
        "--joints-slop",
        type=float,
        default=0.05,
        metavar="S",
        help="largest difference of stamps of frame and joints (0.05 s)",
    )
    parser.add_argument(
        "--depth-unit-m",
        type=float,
        default=0.001,
        metavar="M",
        help="one step of 16-bit depth (0.001; 0.0001 for cameras that count tenths of a millimetre)",
    )
    parser.add_argument("--focal-px", type=float, metavar="PX", help="focal length, for bags without camera info")


def run(arguments: argparse.Namespace) -> int:
    from tiae_training.data.arrays import refuse_existing, save_arrays
    from tiae_training.data.extraction import ExtractionSettings, extract_windows
    from tiae_training.data.window_sheet import write_sheet

    settings = ExtractionSettings(
        channels=arguments.channels,
        label=arguments.label,
        from_s=arguments.from_s,
        to_s=arguments.to_s,
        window_size=arguments.window_size,
        metric_size_m=arguments.metric_size_m,
        range_m=arguments.range_m,
        focal_px=arguments.focal_px,
        every_hand=arguments.every_hand,
        use_color=not arguments.no_color,
        segmentation_method=arguments.segmentation,
        segmentation_model=arguments.segmentation_model,
        slop_s=arguments.slop,
        joints_slop_s=arguments.joints_slop,
        depth_unit_m=arguments.depth_unit_m,
    )
    for path in filter(None, (arguments.out, arguments.sheet)):
        refuse_existing(path, overwrite=arguments.overwrite)
    at_work("loading what finds hands")
    count = Count("frames")
    result = extract_windows(
        arguments.bag,
        settings,
        color_topic=arguments.color,
        depth_topic=arguments.depth,
        camera_info_topic=arguments.camera_info,
        joints_topic=arguments.joints,
        progress=count.reached,
        strict=arguments.strict,
    )
    count.end()
    save_arrays(arguments.out, result.arrays, overwrite=arguments.overwrite)
    images = result.arrays["images"]
    if arguments.sheet is not None:
        write_sheet(arguments.sheet, images, tuple(result.arrays["channels"]))
    if arguments.json:
        told: dict[str, Any] = {
            "out": str(arguments.out),
            "images": list(images.shape),
            "channels": list(result.arrays["channels"]),
        }
        told |= {"frames": result.frames, "frames_without_hand": result.frames_without_hand}
        print_json({**told, "segmentation": result.segmentation, "remarks": list(result.remarks)})
        return 0
    print(
        f"{arguments.out}: {len(images)} windows {images.shape[1:]} of {', '.join(result.arrays['channels'])} "
        f"from {result.frames} frames ({result.frames_without_hand} without a hand; segmentation: "
        f"{result.segmentation})"
    )
    print(f"topics: {result.topics}")
    for remark in result.remarks:
        print(f"warning: {remark}", file=sys.stderr)
    return 0
