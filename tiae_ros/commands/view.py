"""``tiae view``: the live page of a node in a browser."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

HELP = "show a running node live in a browser"
DESCRIPTION = """A page with what a perception node sees and says, in a process of its own that the node does not
notice: the scene with the restored hand in it, masks, windows, descriptor, known grasps, shift, robot hand, rates,
latencies and drops. Parameters that may change at any time are sliders, and a button saves the last 2 s as a bug
report. Nothing is fetched from the network. An address that others can reach asks for a token."""
EXAMPLES = """\
  tiae view                                        # the first node that there is, at http://127.0.0.1:8080/
  tiae view --node /left_arm/tiae --port 8081
  tiae view --bind 0.0.0.0                         # for other machines; prints the link with its token
  tiae view --hand my_hand.yaml --reports ~/reports --open
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``tiae view``."""
    parser.add_argument("--node", default="", metavar="NAME", help="the node, e.g. /camera/tiae (default: the first)")
    parser.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS", help="where the page is (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="of the page; 0: a free one (8080)")
    parser.add_argument(
        "--token",
        default=os.environ.get("TIAE_VIEW_TOKEN", ""),
        help="what the page asks for; letters and digits (default: TIAE_VIEW_TOKEN, else none on a loopback address "
        "and a new one on others)",
    )
    parser.add_argument(
        "--hand", default="", metavar="HAND", help="robot hand: a YAML file or name (default: by joints)"
    )
    parser.add_argument("--reports", type=Path, default=Path(), metavar="DIR", help="where bug reports go (here)")
    parser.add_argument("--open", action="store_true", help="open the page in this machine's browser")


def run(arguments: argparse.Namespace) -> int:
    """Until Ctrl-C; returns 0."""
    from tiae_ros.errors import MissingExtraError, ParameterError, install_hint
    from tiae_ros.node.signals import Interrupted, Stop

    stop = Stop()
    if not arguments.reports.is_dir():
        raise ParameterError(f"--reports {arguments.reports} is no folder; make it first, or give another one")
    try:
        with stop.interrupting():
            from tiae_ros.node.large_messages import publish_large_messages

            publish_large_messages()
            from tiae_ros.view.live import Options
            from tiae_ros.view.live import run as run_page
    except Interrupted:
        return 0
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        ours, extra = ("the page", "view") if package in ("viser", "websockets") else ("ROS 2", "ros")
        raise MissingExtraError(f"tiae view needs {ours} ({error}); {install_hint(extra)}") from None
    run_page(
        Options(
            node=arguments.node,
            bind=arguments.bind,
            port=arguments.port,
            token=arguments.token,
            hand=arguments.hand,
            reports=arguments.reports,
            open_browser=arguments.open,
        ),
        stop,
        lambda line: print(line, flush=True),
    )
    stop.ignore()
    return 0
