"""ROS 2 in this process, from its begin to its end, whatever the process's environment is like."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from tiae_ros.errors import ParameterError

_HIGHEST_DOMAIN = 232  # ports of higher ones do not exist, and Fast DDS ends the process


def begin(arguments: Sequence[str] = (), context: Context | None = None) -> None:
    """As rclpy.init, without its signal handlers; of the default context, or of one's own.

    Raises:
        ParameterError: the ROS arguments, or what the environment says to ROS, cannot be used.
    """
    _check_domain()
    options = list(arguments)
    without_files = _why_no_log_files()
    if without_files:
        print(f"tiae: no log files: {without_files}; set ROS_LOG_DIR to a folder for them", file=sys.stderr, flush=True)
        options += ["--ros-args", "--disable-external-lib-logs"]
    try:
        rest = remove_ros_args(["tiae", *options])[1:]
        if not rest:
            rclpy.init(args=["tiae", *options], context=context, signal_handler_options=SignalHandlerOptions.NO)
            return
    except Exception as error:
        what = "ROS arguments cannot be read" if arguments else "ROS 2 cannot be started"
        raise ParameterError(f"{what}: {str(error).partition(', at ')[0]}") from None
    raise ParameterError(
        f"{' '.join(rest)} is not understood; accepted are ROS arguments only: --ros-args -p NAME:=VALUE …"
    )


def end(context: Context | None = None) -> None:
    """As rclpy.shutdown, and the participant leaves the graph now.

    Of one's own context nothing else is touched; shutting down the default one gives signals back to the system.

    A participant that is not deleted stays in the graph of the others for its lease of 20 s. It is deleted with the
    last handle of this process, so let go of node and executor first; what a warm-up froze would keep them.
    """
    if context is None:
        rclpy.try_shutdown()
    else:
        context.try_shutdown()
    gc.unfreeze()
    gc.collect()
    (context or rclpy.get_default_context()).destroy()


def _check_domain() -> None:
    domain = os.environ.get("ROS_DOMAIN_ID", "")
    if domain and not (domain.isascii() and domain.isdigit() and int(domain) <= _HIGHEST_DOMAIN):
        raise ParameterError(
            f"ROS_DOMAIN_ID is {domain!r}; it must be a whole number from 0 to {_HIGHEST_DOMAIN}, or not be set"
        )


def _why_no_log_files() -> str:
    """Why ROS could not write its log files, which it takes for the end of everything; "" when it can."""
    try:
        folder = os.environ.get("ROS_LOG_DIR") or os.path.join(os.environ.get("ROS_HOME") or "~/.ros", "log")
        if folder.startswith("~") and not os.environ.get("HOME"):
            return "HOME is not set"
        path = Path(folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        return f"their folder cannot be made ({error})"
    return "" if os.access(path, os.W_OK | os.X_OK) else f"their folder {path} cannot be written to"
