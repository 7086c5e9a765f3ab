"""One colour for one thing, in every picture: the node's, the commands', the recipes', the pages'. RGB 0–255."""

from __future__ import annotations

Color = tuple[int, int, int]

HAND: Color = (255, 140, 60)  # orange
OBJECT: Color = (70, 150, 255)  # blue: told from the hand's by those who see no red or no green
WINDOW: Color = (255, 225, 50)  # where a window was cut, and the grasp's place in it
OTHER_WINDOW: Color = (150, 150, 150)  # of the grasps that are not the main one
INPUT: Color = (255, 255, 255)  # the outline of what went in, on what came out
RESTORED: Color = (80, 220, 130)  # green: what the model has made
ROBOT: Color = (190, 130, 255)  # violet: a robot's hand


def css(color: Color) -> str:
    """As a page has it: ``#ff8c3c``."""
    return "#" + "".join(f"{part:02x}" for part in color)
