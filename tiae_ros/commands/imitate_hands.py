"""``tiae imitate hands``: the robot hands that can imitate, one of them joint by joint, and a check of your own."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiae_ros.imitation.robot_hand import Joint, RobotHand

HELP = "list the robot hands, print one, or check the file of your own"
DESCRIPTION = """List the robot hands that come with the package; print the joints and fingers of one; or check a hand's
YAML file, which says in one line what is wrong with it. To describe your own, begin with the text of `template`."""
EXAMPLES = """  tiae imitate hands
  tiae imitate hands shadow
  tiae imitate hands shadow --side left
  tiae imitate hands template > my_hand.yaml
  tiae imitate hands --check my_hand.yaml"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``tiae imitate hands``."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument("hand", nargs="?", metavar="HAND", help="name of a shipped hand, a YAML file, or template")
    what.add_argument("--check", metavar="FILE.yaml", help="check the file of a hand, as right and as left hand")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument(
        "--side", choices=("right", "left"), help="of the hand printed, with HAND or --check (default: right)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what was asked for."""
    from tiae_ros.commands.progress import print_json
    from tiae_ros.errors import ParameterError
    from tiae_ros.imitation.hand_files import TEMPLATE, shipped_hands, template_file
    from tiae_ros.imitation.robot_hand import load_hand

    side = arguments.side or "right"
    if arguments.side and arguments.check is None and arguments.hand in (None, TEMPLATE):
        what = "the template is a right hand" if arguments.hand else "the list has no side"
        raise ParameterError(f"--side {side} cannot be used here, {what}; give HAND or --check FILE.yaml with it")
    if arguments.check is not None:
        if not arguments.check.endswith((".yaml", ".yml")):
            raise ParameterError(f"--check {arguments.check!r} cannot be used; give a file that ends in .yaml or .yml")
        hands = {one: load_hand(arguments.check, one) for one in ("right", "left")}
        if arguments.json:
            print_json({"file": arguments.check, "good": True, "idle": list(hands[side].idle)})
            return 0
        print(hand_table(hands[side]), end="")
        print()
        for name in hands[side].idle:
            print(
                f"warning: {name} stays in the rest pose: it is in no finger's chain and has no human; put it into a "
                "chain, or give it human"
            )
        print(f"{arguments.check}: good, as right and as left hand")
    elif arguments.hand == TEMPLATE:
        print(template_file().read_text("utf-8"), end="")
    elif arguments.hand is not None:
        hand = load_hand(arguments.hand, side)
        if arguments.json:
            print_json(hand_facts(hand))
        else:
            print(hand_table(hand), end="")
    elif arguments.json:
        print_json({name: hand_facts(load_hand(name)) for name in shipped_hands()})
    else:
        for name in shipped_hands():
            hand = load_hand(name)
            moved = f" (+{len(hand.joints) - len(hand.names)} coupled)" if len(hand.joints) > len(hand.names) else ""
            fingers = ", ".join(finger.name for finger in hand.fingers)
            print(f"{name:10s} {hand.title:24s} {len(hand.names):2d} joints{moved}, {fingers}")
    return 0


def hand_facts(hand: RobotHand) -> dict[str, Any]:
    """What the table says, for programs: radians, radians a second (squared)."""
    rest = {name: float(angle) for name, angle in zip(hand.names, hand.rest, strict=True)}
    numbers = ("lower", "upper", "speed", "acceleration")
    return {
        "name": hand.name,
        "title": hand.title,
        "side": hand.side,
        "source": hand.source,
        "base_link": hand.base_link,
        "joints": {
            joint.name: {**{n: float(getattr(joint, n)) for n in numbers}, "rest": rest.get(joint.name)}
            for joint in hand.joints
        },
        "fingers": {
            finger.name: {"tip_link": finger.tip_link, "joints": [link.joint for link in finger.chain if link.joint]}
            for finger in hand.fingers
        },
    }


def hand_table(hand: RobotHand) -> str:
    """The joints and fingers of a hand as text."""
    import numpy as np

    from tiae_ros.imitation.fingertips import Fingertips

    marks = {name: "*" if name in hand.chosen else "" for name in ("limits", "speed", "acceleration")}
    width = max(len(joint.name) for joint in hand.joints)
    head = (
        f"lower{marks['limits']}",
        f"upper{marks['limits']}",
        f"speed{marks['speed']}",
        f"accel{marks['acceleration']}",
    )
    rest = dict(zip(hand.names, hand.rest, strict=True))
    lines = [
        f"{hand.title} ({hand.name}), {hand.side}: {len(hand.names)} joints, base link {hand.base_link}",
        f"source: {hand.source}",
        "",
        f"{'joint':{width}s} {head[0]:>7s} {head[1]:>7s} {head[2]:>7s} {head[3]:>7s} {'rest':>7s}  follows",
    ]
    for joint in hand.joints:
        moves = "".join(
            f" {value:7.3f}" if np.isfinite(value) else f" {'-':>7s}"
            for value in (joint.lower, joint.upper, joint.speed, joint.acceleration, rest.get(joint.name, np.nan))
        )
        lines.append(f"{joint.name:{width}s}{moves}  {_follows(joint)}".rstrip())
    if any(marks.values()):
        lines.append("* our choice, no figure of the maker's")
    tips = Fingertips(hand)
    reach = np.linalg.norm(tips.positions(hand.rest) - tips.knuckles(hand.rest), axis=-1)
    lines.append("")
    lines += [
        f"{finger.name:7s} {length:4.0f} mm to {finger.tip_link}: "
        + ", ".join(link.joint for link in finger.chain if link.joint)
        for finger, length in zip(hand.fingers, reach, strict=True)
    ]
    return "\n".join(lines) + "\n"


def _follows(joint: Joint) -> str:
    leader = joint.mimic or joint.human
    factor = "" if joint.factor == 1 else f"{joint.factor:g} × "
    offset = f" {joint.offset:+g}" if joint.offset else ""
    never = f"never above {joint.not_above}" if joint.not_above else ""
    return ", ".join(part for part in (f"{factor}{leader}{offset}" if leader else "", never) if part)
