"""``tiae play``: a recorded bag onto ROS topics, with or without a ROS installation."""

from __future__ import annotations

import argparse
import math

from tiae_ros.errors import MissingExtraError, ParameterError

HELP = "play a recorded bag (mcap or sqlite3) onto ROS topics"
DESCRIPTION = (
    "Publishes the messages of a rosbag2 as they are stored, at the times they were recorded. Waits for a\n"
    "subscriber on every topic before the first message, then prints the rates once a second."
)
EXAMPLES = """\
  tiae play --bag test/data/grasps
  tiae play --bag test/data/grasps --rate 0.5 --loop
  tiae play --bag recording.mcap --topic-map /camera/camera/color/image_raw:=/camera/color/image
  tiae play --bag recording --topics /camera/color/image /camera/depth/image --wait 3
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
        "--best-effort", action="store_true", help="publish best effort, as cameras do (default: reliable)"
    )
    parser.add_argument("--clock", action="store_true", help="also publish the recorded time on /clock")
    parser.add_argument("--quiet", action="store_true", help="print nothing while playing")


def run(arguments: argparse.Namespace) -> int:
    """Play until the bag's end or Ctrl-C."""
    if not (math.isfinite(arguments.rate) and arguments.rate > 0):
        raise ParameterError(f"--rate {arguments.rate:g} cannot be used; it must be a number above 0")
    if not (math.isfinite(arguments.wait) and arguments.wait >= 0):
        raise ParameterError(f"--wait {arguments.wait:g} cannot be used; it must be 0 or a number of seconds")
    if arguments.subscribers < 1:
        raise ParameterError(f"--subscribers {arguments.subscribers} cannot be used; it must be at least 1")
    names = {}
    for rule in arguments.topic_map:
        old, separator, new = rule.partition(":=")
        if not (separator and old and new):
            raise ParameterError(f"--topic-map {rule} cannot be read; accepted is OLD:=NEW")
        names[old] = new
    from tiae_ros.streams.bags import Bag

    with Bag(arguments.bag):  # what is wrong with a bag is said before anything is started
        pass
    from tiae_ros.node.large_messages import publish_large_messages

    publish_large_messages()
    try:
        from tiae_ros.node.player import Playback, play
    except ImportError as error:
        raise MissingExtraError(
            f"playing needs ROS 2 ({error}); source a ROS 2 installation, or: pip install 'tiae_ros[ros]'"
        ) from None

    def say(line: str) -> None:
        if not arguments.quiet:
            print(line, flush=True)

    playback = Playback(
        rate=arguments.rate,
        loop=arguments.loop,
        topic_map=names,
        wait_s=arguments.wait,
        subscribers=arguments.subscribers,
        reliable=not arguments.best_effort,
        clock=arguments.clock,
    )
    sent = play(arguments.bag, playback, arguments.topics, say)
    say("played " + ", ".join(f"{topic} {count}" for topic, count in sorted(sent.items())))
    return 0
