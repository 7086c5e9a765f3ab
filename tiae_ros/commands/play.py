"""``tiae play``: a recorded bag onto ROS topics, with or without a ROS installation."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from typing import TYPE_CHECKING

from tiae_ros.errors import MissingExtraError, ParameterError, install_hint

if TYPE_CHECKING:
    from tiae_ros.node.signals import Stop
    from tiae_ros.streams.bags import Bag


_RATES = (0.001, 1000)
HELP = "play a recorded bag (mcap or sqlite3) onto ROS topics"
DESCRIPTION = (
    "Publishes the messages of a rosbag2 as they are stored, at the times they were recorded and with the QoS\n"
    "they were recorded from. Waits for a subscriber on every topic before the first message, then prints the\n"
    "rates once a second. What cannot be played (a type that is not installed, a service's event, a damaged\n"
    "part) is skipped and told."
)
EXAMPLES = """\
  tiae play --bag test/data/grasps
  tiae play --bag test/data/grasps --rate 0.5 --loop
  tiae play --bag recording.mcap --as-camera /camera          # for a node in this namespace, whatever was recorded
  tiae play --bag recording.mcap --topic-map /camera/camera/color/image_raw:=/camera/color/image
  tiae play --bag recording --topics /camera/color/image /camera/depth/image --wait 3
  tiae play --bag recording --reliability best-effort --durability volatile --max-gap 5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``tiae play``."""
    parser.add_argument("--bag", required=True, help="rosbag2 folder, or an .mcap or .db3 file")
    parser.add_argument("--rate", type=float, default=1.0, help="speed; 2 plays twice as fast (default 1)")
    parser.add_argument("--loop", action="store_true", help="again and again until Ctrl-C")
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="only these topics (default: all)")
    parser.add_argument(
        "--topic-map", nargs="+", default=[], metavar="OLD:=NEW", help="publish a topic under another name"
    )
    parser.add_argument(
        "--as-camera",
        nargs="?",
        const="/",
        metavar="NAMESPACE",
        help="only the recording's camera, found by types, encodings and names, on the topics that the node listens "
        "to (color/image, depth/image, color/camera_info) in this namespace (/)",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=10.0,
        metavar="S",
        help="longest wait for subscribers, seconds (default 10)",
    )
    parser.add_argument(
        "--subscribers", type=int, default=1, metavar="N", help="how many each topic waits for (default 1)"
    )
    parser.add_argument(
        "--reliability",
        choices=("recorded", "reliable", "best-effort"),
        default="recorded",
        help="how images and the rest are offered (default: as recorded; reliable where that is not known)",
    )
    parser.add_argument(
        "--best-effort", dest="reliability", action="store_const", const="best-effort", help="short for the last of it"
    )
    parser.add_argument(
        "--durability",
        choices=("recorded", "volatile", "transient-local"),
        default="recorded",
        help="whether late subscribers get the last messages (default: as recorded)",
    )
    parser.add_argument(
        "--max-gap",
        type=float,
        default=60.0,
        metavar="S",
        help="longer pauses of the recording are skipped, seconds (default 60)",
    )
    parser.add_argument("--clock", action="store_true", help="publish the recorded time on /clock (once)")
    parser.add_argument("--strict", action="store_true", help="refuse a bag of which a part cannot be played")
    parser.add_argument("--quiet", action="store_true", help="print nothing while playing")


def run(arguments: argparse.Namespace) -> int:
    """Play until the bag's end or Ctrl-C; returns 0, however it ends."""
    least, most = _RATES
    if not least <= arguments.rate <= most:
        raise ParameterError(
            f"--rate {arguments.rate:g} cannot be used; it must be a number above 0, from {least} to {most}"
        )
    if not (math.isfinite(arguments.wait) and arguments.wait >= 0):
        raise ParameterError(f"--wait {arguments.wait:g} cannot be used; it must be 0 or a number of seconds")
    if not (math.isfinite(arguments.max_gap) and arguments.max_gap > 0):
        raise ParameterError(f"--max-gap {arguments.max_gap:g} cannot be used; it must be a number of seconds above 0")
    if arguments.subscribers < 1:
        raise ParameterError(f"--subscribers {arguments.subscribers} cannot be used; it must be at least 1")
    names = _topic_map(arguments.topic_map)
    if arguments.as_camera is not None and (names or arguments.topics):
        raise ParameterError("--as-camera chooses and names topics by itself; leave out --topics and --topic-map")
    from tiae_ros.node.signals import Interrupted, Stop

    stop = Stop()
    from tiae_ros.streams.bags import Bag

    with contextlib.ExitStack() as stack:
        try:
            with stop.interrupting():  # what is wrong with a bag is said before anything is started
                bag = stack.enter_context(Bag(arguments.bag, strict=arguments.strict))
                if arguments.as_camera is not None:
                    names = _as_camera(bag, arguments)
        except Interrupted:
            return 0
        return 0 if stop.asked else _play(bag, arguments, names, stop)


def _play(bag: Bag, arguments: argparse.Namespace, names: dict[str, str], stop: Stop) -> int:
    from tiae_ros.node.large_messages import publish_large_messages

    publish_large_messages()
    try:
        from tiae_ros.node.player import Playback, Player
    except ImportError as error:
        raise MissingExtraError(
            f"playing needs ROS 2 ({error}); source a ROS 2 installation, or: {install_hint('ros')}"
        ) from None

    def say(line: str) -> None:
        if not arguments.quiet:
            print(line, flush=True)

    def warn(line: str) -> None:
        print(f"tiae play: {line}", file=sys.stderr, flush=True)

    playback = Playback(
        rate=arguments.rate,
        loop=arguments.loop,
        topics=arguments.topics or (),
        topic_map=names,
        wait_s=arguments.wait,
        subscribers=arguments.subscribers,
        reliability=arguments.reliability,
        durability=arguments.durability,
        max_gap_s=arguments.max_gap,
        clock=arguments.clock,
        strict=arguments.strict,
    )
    try:
        sent = Player(playback, say, warn, stop).play(bag)
        say("played " + ", ".join(f"{topic} {count}" for topic, count in sorted(sent.items())))
    finally:
        stop.ignore()
    return 0


def _as_camera(bag: Bag, arguments: argparse.Namespace) -> dict[str, str]:
    """The camera's topics -> what the node calls its inputs; nothing else of the bag is played."""
    found = bag.camera_topics(one_transport=True)
    if not arguments.quiet:
        print(f"camera: {found.told}", flush=True)
    arguments.topics = list(found.inputs.values())
    return {topic: f"{arguments.as_camera.rstrip('/')}/{own}" for own, topic in found.inputs.items()}


def _topic_map(rules: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for rule in rules:
        old, separator, new = rule.partition(":=")
        if not (separator and old and new):
            raise ParameterError(f"--topic-map {rule} cannot be read; accepted is OLD:=NEW")
        if old in names:
            raise ParameterError(f"--topic-map gives {old} two names, {names[old]} and {new}; accepted is one")
        names[old] = new
    return names
