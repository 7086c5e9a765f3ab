"""What the launch files share. Neither rclpy nor `launch` is imported: both files run where only one of them is."""

from __future__ import annotations

import signal
from typing import Any

ASKED = (0, -signal.SIGINT, -signal.SIGTERM)
"""Exit codes of a process that somebody told to end."""


def ended_by_itself(context: Any) -> int:
    """The exit code of the process whose end is being handled; 0 when somebody, or the end of all, asked for it."""
    code = int(context.locals.event.returncode)
    return 0 if context.is_shutdown or code in ASKED else code


def fail(context: Any, line: str) -> None:
    """`ros2 launch` says the line, goes on with what else it runs, and in the end returns 1.

    An exception or a Shutdown action would take down a whole robot's launch file that includes one of ours.
    """
    context.asyncio_loop.call_exception_handler({"message": line})
