"""One robot hand: its YAML file, read and checked.

`tiae imitate hands template` prints a file that shows every entry with its meaning. A file describes the right hand;
the left one is its mirror image. Reading never guesses: what is misspelt, missing, of the wrong kind or contradicts
itself is refused with one line that names the file, the entry, its value and what is accepted.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from tiae_ros.errors import HandError
from tiae_ros.imitation.checked_yaml import LARGEST_FILE_BYTES, Entry, listed, parse_mapping
from tiae_ros.imitation.hand_files import find_hand
from tiae_ros.imitation.human_hand import FINGERS, JOINT_NAMES

FORMAT = 1
SHORTEST_FINGER_MM = 5.0  # from the knuckle to the tip
MIMIC_TOLERANCE_RAD = 0.02  # makers round the limits of coupled joints


@dataclass(frozen=True)
class Joint:
    """One revolute joint. Angles in radians."""

    name: str
    lower: float
    upper: float
    speed: float = math.inf  # rad/s
    acceleration: float = math.inf  # rad/s^2
    human: str = ""  # the human joint that turns alike: angle = factor * human angle + offset
    mimic: str = ""  # the joint that moves this one: angle = factor * its angle + offset
    factor: float = 1.0
    offset: float = 0.0
    not_above: str = ""  # a joint whose angle this one's never exceeds


@dataclass(frozen=True)
class Link:
    """One step of a chain, as a URDF joint: origin in the frame before it, then a turn about an axis of its own."""

    xyz: tuple[float, float, float]  # metres
    rpy: tuple[float, float, float]  # radians, about the fixed axes x, y, z in this order
    joint: str = ""  # "": fixed
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)  # unit vector


@dataclass(frozen=True)
class Finger:
    """From the base link to one fingertip."""

    name: str  # one of human_hand.FINGERS
    chain: tuple[Link, ...]
    tip_link: str
    tip_xyz: tuple[float, float, float]  # metres, in the frame of the last link
    knuckle: str  # the joint at the finger's root


@dataclass(frozen=True)
class RobotHand:
    """A robot hand. Arrays over joints follow `names`, the joints that the driver takes, in the driver's order."""

    name: str
    title: str
    side: str  # right, or left in mirrored space: fingertips are mirror images, angles are the driver's
    source: str
    chosen: tuple[str, ...]  # which of limits, speed, acceleration are no maker's figures
    base_link: str
    palm: np.ndarray  # (3, 3), its columns are x, y, z of the human palm in the base link
    scale: float
    joints: tuple[Joint, ...]  # with those that another one moves
    fingers: tuple[Finger, ...]
    rest: np.ndarray  # (A,) the open hand

    @property
    def active(self) -> tuple[Joint, ...]:
        """The joints that the driver takes."""
        return tuple(joint for joint in self.joints if not joint.mimic)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the joints that the driver takes, in the driver's order."""
        return tuple(joint.name for joint in self.active)

    @property
    def lower(self) -> np.ndarray:
        """(A,) radians."""
        return np.array([joint.lower for joint in self.active])

    @property
    def upper(self) -> np.ndarray:
        """(A,) radians."""
        return np.array([joint.upper for joint in self.active])

    @property
    def speed(self) -> np.ndarray:
        """(A,) rad/s."""
        return np.array([joint.speed for joint in self.active])

    @property
    def acceleration(self) -> np.ndarray:
        """(A,) rad/s^2."""
        return np.array([joint.acceleration for joint in self.active])

    @property
    def not_above(self) -> tuple[np.ndarray, np.ndarray]:
        """Places in `names`: (N,) joints whose angle must not exceed that of (N,) others."""
        names = self.names
        pairs = [(k, names.index(joint.not_above)) for k, joint in enumerate(self.active) if joint.not_above]
        followers, leaders = np.array(pairs, dtype=int).reshape(-1, 2).T
        return followers, leaders

    def within_limits(self, angles: np.ndarray) -> np.ndarray:
        """(A,) radians -> the same within lower and upper, and no joint above its `not_above`."""
        clipped: np.ndarray = np.clip(angles, self.lower, self.upper)
        followers, leaders = self.not_above
        clipped[followers] = np.minimum(clipped[followers], clipped[leaders])
        return clipped

    @property
    def idle(self) -> tuple[str, ...]:
        """Joints that the driver takes and that stay in the rest pose: in no chain, and following no human joint."""
        in_chains = {link.joint for finger in self.fingers for link in finger.chain}
        moves = {joint.mimic for joint in self.joints if joint.name in in_chains} | in_chains
        return tuple(joint.name for joint in self.active if not joint.human and joint.name not in moves)

    def in_order(self, names: Sequence[str], angles: Sequence[float]) -> np.ndarray:
        """A joint state of any order, and of other joints too -> (A,) angles in the order of `names`, NaN if absent."""
        given = dict(zip(names, angles, strict=False))
        return np.array([given.get(name, math.nan) for name in self.names], dtype=float)

    def coupling(self) -> tuple[np.ndarray, np.ndarray]:
        """(J, A) matrix and (J,) offsets: angles of all joints = matrix @ angles of the active ones + offsets."""
        column = {name: k for k, name in enumerate(self.names)}
        matrix, offsets = np.zeros((len(self.joints), len(column))), np.zeros(len(self.joints))
        for row, joint in enumerate(self.joints):
            matrix[row, column[joint.mimic or joint.name]] = joint.factor if joint.mimic else 1.0
            offsets[row] = joint.offset if joint.mimic else 0.0
        return matrix, offsets


def load_hand(name: str, side: str = "right") -> RobotHand:
    """A hand by its name, or by the path of its YAML file; ``side`` is right or left.

    Raises:
        HandError: there is no such hand, its file is refused, or the side is neither.
    """
    path = find_hand(name)
    if side not in ("right", "left"):
        raise HandError(f"{path}: side {side!r} is not known; accepted are right, left")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise HandError(f"{path}: it cannot be read: {error.strerror}") from None
    return read_hand(content, str(path), side)


def read_hand(content: bytes, file: str, side: str = "right") -> RobotHand:
    """A hand from the content of a YAML file; ``file`` is its name in messages.

    Raises:
        HandError: the first thing that is wrong with it.
    """
    top = Entry(file, "", parse_mapping(content, file))
    top.only(_TOP, needed=("format", "name", "title", "side", "source", "palm", "joints", "fingers"))
    if type(top["format"].value) is not int or top["format"].value != FORMAT:
        top["format"].refuse(f"this version reads format {FORMAT}; write format: {FORMAT}")
    name = top["name"].text()
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        top["name"].refuse("accepted are letters, digits, _ and -")
    if top["side"].text() != "right":
        top["side"].refuse("describe the right hand, side: right; the left one is made as its mirror image")
    chosen = tuple(entry.one_of(("limits", "speed", "acceleration")) for entry in top.list("chosen"))
    joints = _read_joints(top["joints"])
    fingers = _read_fingers(top["fingers"], [joint.name for joint in joints])
    if not fingers and not any(joint.human for joint in joints):
        top["fingers"].refuse("a hand without fingers follows joint by joint; give some joints their `human`")
    palm = top["palm"]
    palm.only(("base_link", "to_fingertips", "to_thumb_side"), needed=("base_link", "to_fingertips", "to_thumb_side"))
    hand = RobotHand(
        name=name,
        title=top["title"].text(),
        side="right",
        source=top["source"].text(),
        chosen=chosen,
        base_link=palm["base_link"].text(),
        palm=_read_palm(palm),
        scale=top["scale"].number(0.2, 5.0) if "scale" in top else 1.0,
        joints=joints,
        fingers=fingers,
        rest=_read_rest(top, joints),
    )
    _check_reach(top, hand)
    left = _read_left(top, hand)
    return left if side == "left" else hand


_TOP = (
    "format", "name", "title", "side", "source", "chosen", "left", "palm", "scale", "joints", "fingers", "rest",
)  # fmt: skip
_JOINT = ("lower", "upper", "speed", "acceleration", "human", "mimic", "factor", "offset", "not_above")


def _read_joints(entries: Entry) -> tuple[Joint, ...]:
    joints = []
    for name, entry in entries.items("a mapping: name: {lower: …, upper: …, speed: …, acceleration: …}"):
        mimics = "mimic" in entry
        entry.only(_JOINT, needed=("lower", "upper", *(() if mimics else ("speed", "acceleration"))))
        limits = {key: entry[key].number(-2 * math.pi, 2 * math.pi, "rad") for key in ("lower", "upper")}
        if limits["lower"] >= limits["upper"]:
            entry["lower"].refuse(f"it must be below upper, {limits['upper']:g}")
        if "human" in entry and mimics:
            entry["human"].refuse("a joint follows either a human joint or, with mimic, another of the robot's")
        if mimics and "not_above" in entry:
            entry["not_above"].refuse("a joint with mimic has no motor to keep it below; put not_above to its mimic")
        for key in ("factor", "offset"):
            if key in entry and not mimics and "human" not in entry:
                entry[key].refuse(
                    "without human or mimic there is nothing it applies to; add one of them, or remove it"
                )
        joints.append(
            Joint(
                name=name,
                **limits,
                speed=math.inf if mimics else entry["speed"].number(1e-3, 100.0, "rad/s"),
                acceleration=math.inf if mimics else entry["acceleration"].number(1e-2, 1e5, "rad/s^2"),
                human=entry["human"].one_of(JOINT_NAMES) if "human" in entry else "",
                mimic=entry["mimic"].name() if mimics else "",
                factor=entry["factor"].number(-10, 10) if "factor" in entry else 1.0,
                offset=entry["offset"].number(-2 * math.pi, 2 * math.pi, "rad") if "offset" in entry else 0.0,
                not_above=entry["not_above"].name() if "not_above" in entry else "",
            )
        )
    active = {joint.name: joint for joint in joints if not joint.mimic}
    if not active:
        entries.refuse("there must be at least one joint without mimic")
    for joint in joints:
        for key, other in (("mimic", joint.mimic), ("not_above", joint.not_above)):
            if other and (other not in active or other == joint.name):
                entries[joint.name][key].refuse(f"it must be another joint without mimic: {listed(active)}")
        if joint.not_above:
            refuse = entries[joint.name]["not_above"].refuse
            leader = active[joint.not_above]
            if leader.not_above:
                refuse("that joint has a not_above of its own; name one that has none")
            if joint.lower > leader.lower:
                refuse(f"this joint's lower limit, {joint.lower:g}, must not be above the other's, {leader.lower:g}")
        if joint.mimic:
            leader = active[joint.mimic]
            for angle in (leader.lower, leader.upper):
                moved = joint.factor * angle + joint.offset
                if not joint.lower - MIMIC_TOLERANCE_RAD <= moved <= joint.upper + MIMIC_TOLERANCE_RAD:
                    entries[joint.name]["mimic"].refuse(
                        f"at {angle:g} rad of it this joint is at {moved:.4g}, outside its limits {joint.lower:g} … "
                        f"{joint.upper:g}; correct factor, offset or the limits"
                    )
    return tuple(joints)


def _read_fingers(entries: Entry, joint_names: Collection[str]) -> tuple[Finger, ...]:
    fingers = {}
    for name, entry in entries.items("a mapping with thumb, index, middle, ring, little", may_be_empty=True):
        if name not in FINGERS:
            entry.refuse(f"there is no finger {name!r}; accepted are {', '.join(FINGERS)}")
        entry.only(("knuckle", "chain", "tip"), needed=("chain", "tip"))
        links = tuple(_read_link(step, joint_names) for step in entry.list("chain"))
        on_the_way = [link.joint for link in links if link.joint]
        if not on_the_way:
            entry["chain"].refuse("at least one entry must have a joint")
        for joint in on_the_way:
            if on_the_way.count(joint) > 1:
                entry["chain"].refuse(f"joint {joint} is in it twice", show=False)
        entry["tip"].only(("link", "xyz"), needed=("link", "xyz"))
        knuckle = entry["knuckle"].one_of(on_the_way) if "knuckle" in entry else on_the_way[0]
        tip = entry["tip"]
        fingers[name] = Finger(name, links, tip["link"].name(), tip["xyz"].vector(0.5, "m"), knuckle)
    return tuple(fingers[name] for name in FINGERS if name in fingers)


def _read_link(entry: Entry, joint_names: Collection[str]) -> Link:
    entry.only(("joint", "xyz", "rpy", "axis"), needed=("axis",) if "joint" in entry else ())
    if "axis" in entry and "joint" not in entry:
        entry["axis"].refuse("a fixed link has no axis; name its joint, or leave the axis out")
    axis = np.array(entry["axis"].vector(1e3) if "axis" in entry else (0.0, 0.0, 1.0))
    if np.linalg.norm(axis) < 1e-6:
        entry["axis"].refuse("it must not be zero")
    x, y, z = (axis / np.linalg.norm(axis)).tolist()
    return Link(
        xyz=entry["xyz"].vector(0.5, "m") if "xyz" in entry else (0.0, 0.0, 0.0),
        rpy=entry["rpy"].vector(2 * math.pi, "rad") if "rpy" in entry else (0.0, 0.0, 0.0),
        joint=entry["joint"].one_of(joint_names) if "joint" in entry else "",
        axis=(x, y, z),
    )


def _read_palm(entry: Entry) -> np.ndarray:
    along, side = (np.array(entry[key].vector(1e3)) for key in ("to_fingertips", "to_thumb_side"))
    for key, direction in (("to_fingertips", along), ("to_thumb_side", side)):
        if np.linalg.norm(direction) < 1e-6:
            entry[key].refuse("it must not be zero")
    along, side = along / np.linalg.norm(along), side / np.linalg.norm(side)
    if abs(along @ side) > 0.02:
        angle = math.degrees(math.acos(float(np.clip(along @ side, -1, 1))))
        entry["to_thumb_side"].refuse(f"it must be square to to_fingertips, not at {angle:.0f} degrees")
    side = side - along * (along @ side)
    side /= np.linalg.norm(side)
    return np.stack([along, side, np.cross(along, side)], axis=1)


def _read_rest(top: Entry, joints: tuple[Joint, ...]) -> np.ndarray:
    active = {joint.name: joint for joint in joints if not joint.mimic}
    given = {}
    for name, entry in top["rest"].items("a mapping: name: angle", may_be_empty=True) if "rest" in top else ():
        if name not in active:
            entry.refuse(f"there is no joint {name!r} without mimic; known are {listed(active)}")
        given[name] = entry.number(active[name].lower, active[name].upper, "rad")
    rest = {name: given.get(name, min(max(0.0, joint.lower), joint.upper)) for name, joint in active.items()}
    for name, joint in active.items():
        if joint.not_above and rest[name] > rest[joint.not_above]:
            raise HandError(
                f"{top.file}: rest: {name} is at {rest[name]:g}, above {joint.not_above} at {rest[joint.not_above]:g}; "
                f"by its not_above it must not be; give rest.{name} or rest.{joint.not_above} another angle"
            )
    return np.array(list(rest.values()))


def _check_reach(top: Entry, hand: RobotHand) -> None:
    from tiae_ros.imitation.fingertips import Fingertips  # which needs this file

    tips = Fingertips(hand)
    reach_mm = np.linalg.norm(tips.positions(hand.rest) - tips.knuckles(hand.rest), axis=-1)
    for finger, reach in zip(hand.fingers, reach_mm, strict=True):
        if reach < SHORTEST_FINGER_MM:
            top["fingers"][finger.name]["tip"].refuse(
                f"it lies {reach:.1f} mm from the finger's knuckle, {finger.knuckle}, in the rest pose; at least "
                f"{SHORTEST_FINGER_MM:g} are needed; correct tip.xyz, the chain or knuckle",
                show=False,
            )


def _read_left(top: Entry, hand: RobotHand) -> RobotHand:
    """The mirror image: other names, and other signs of some joints.

    The mirror image of a turn is a turn by the same angle. A joint whose left counterpart counts the other way keeps
    its place and gets the opposite axis, limits and factors.
    """
    known = [joint.name for joint in hand.joints]
    entry = top["left"] if "left" in top else Entry(top.file, "left", {})
    entry.only(("prefix", "names", "negate"))
    negated = {one.one_of(known) for one in entry.list("negate")}
    names = {name: name for name in known}
    prefix = ("", "")
    if "prefix" in entry:
        pair = [one.name() for one in entry.list("prefix")]
        if len(pair) != 2 or not all(name.startswith(pair[0]) for name in known):
            entry["prefix"].refuse("it must be two texts, the start of every right joint's name and that of the left")
        prefix = (pair[0], pair[1])
        names = {name: pair[1] + name[len(pair[0]) :] for name in known}
    for right, one in entry["names"].items("a mapping: right name: left name") if "names" in entry else ():
        if right not in known:
            one.refuse(f"there is no joint {right!r}; known are {listed(known)}")
        names[right] = one.name()
    if len(set(names.values())) < len(names):
        entry.refuse("two joints of the left hand have the same name", show=False)
    signs = {name: -1.0 if name in negated else 1.0 for name in known}
    joints = []
    for joint in hand.joints:
        sign = signs[joint.name]
        lower, upper = sorted((sign * joint.lower, sign * joint.upper))
        if joint.not_above and (sign < 0 or signs[joint.not_above] < 0):
            entry["negate"].refuse(f"{joint.name} and its not_above keep their signs", show=False)
        joints.append(
            dataclasses.replace(
                joint,
                name=names[joint.name],
                lower=lower,
                upper=upper,
                mimic=names.get(joint.mimic, ""),
                not_above=names.get(joint.not_above, ""),
                factor=joint.factor * sign * signs.get(joint.mimic, 1.0),
                offset=joint.offset * sign,
            )
        )

    def of_left(link: str) -> str:
        return prefix[1] + link[len(prefix[0]) :] if link.startswith(prefix[0]) else link

    def mirrored(link: Link) -> Link:
        x, y, z = (signs.get(link.joint, 1.0) * part for part in link.axis)
        return dataclasses.replace(link, joint=names.get(link.joint, ""), axis=(x, y, z))

    # Where both hands share their names, as Allegro's do, they share the driver's order, too.
    order = known if set(names.values()) == set(known) else list(names.values())
    joints.sort(key=lambda joint: order.index(joint.name))
    rest = {names[name]: signs[name] * angle for name, angle in zip(hand.names, hand.rest, strict=True)}
    return dataclasses.replace(
        hand,
        side="left",
        base_link=of_left(hand.base_link),
        joints=tuple(joints),
        fingers=tuple(
            dataclasses.replace(
                finger,
                chain=tuple(map(mirrored, finger.chain)),
                tip_link=of_left(finger.tip_link),
                knuckle=names[finger.knuckle],
            )
            for finger in hand.fingers
        ),
        rest=np.array([rest[joint.name] for joint in joints if not joint.mimic]),
    )
