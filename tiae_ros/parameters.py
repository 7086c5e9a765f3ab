"""The one table of the node's parameters.

Declarations, ``config/perception.yaml``, the documented table and the launch file's help all come from the fields
of `Settings`. Reading a value has two steps: *check* (is it acceptable, alone and together with the
others?) and *apply* (a new frozen `Settings` takes the old one's place between two frames).

    python -m tiae_ros.parameters yaml       # prints config/perception.yaml
    python -m tiae_ros.parameters table      # prints the table of docs/reference/parameters.md
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tiae_ros.errors import ParameterError
from tiae_ros.model.shipped import DEFAULT_MODEL, DEFAULT_SEGMENTATION_MODEL

LIVE = "live"
CONFIGURE = "configure"
START = "start"


@dataclass(frozen=True)
class Parameter:
    """One row of the table."""

    name: str
    type: type
    default: Any
    unit: str
    change: str
    """LIVE: from the next frame on. CONFIGURE: at the next configure transition. START: when the node starts."""
    meaning: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""

    @property
    def accepted(self) -> str:
        """What is accepted, for people."""
        if self.choices:
            return " | ".join(self.choices)
        if self.pattern:
            return self.pattern.replace("\\d+", "N").replace("|", " | ")
        if self.low is not None:
            return f"{_plain(self.low)} … {_plain(self.high)}"
        return "true | false" if self.type is bool else "text"

    def check(self, value: Any) -> Any:
        """The value in the parameter's own type.

        Raises:
            ParameterError: wrong type, not finite, out of range, not among the choices.
        """
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)  # `1` is written where `1.0` is meant
        if not isinstance(value, self.type) or (self.type is not bool and isinstance(value, bool)):
            self._refuse(value, f"it must be {_TYPE_NAMES[self.type]}")
        if self.type is float and not math.isfinite(value):
            self._refuse(value, "it must be a finite number")
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:
            self._refuse(value, f"it must be within {self.accepted}{' ' + self.unit if self.unit else ''}")
        if self.choices and value not in self.choices:
            self._refuse(value, f"accepted are {', '.join(self.choices)}")
        if self.pattern and not re.fullmatch(self.pattern, value):
            self._refuse(value, f"accepted is {self.accepted}")
        return value

    def parse(self, text: str) -> Any:
        """The value of a text, as a launch argument gives it.

        Raises:
            ParameterError: as `check`.
        """
        value: Any = text
        if self.type is bool:
            return read_truth(f"parameter {self.name}", text)
        elif self.type in (int, float):
            with contextlib.suppress(ValueError):  # the check below says what is wrong
                value = self.type(text)
        return self.check(value)

    def _refuse(self, value: Any, reason: str) -> None:
        raise ParameterError(f"parameter {self.name} cannot be {value!r}: {reason}")


def read_truth(name: str, text: str) -> bool:
    """True or false, as the launch files of others write it too.

    Raises:
        ParameterError: the text is neither.
    """
    truths = {"true": True, "1": True, "false": False, "0": False}
    if text.strip().lower() not in truths:
        raise ParameterError(f"{name} cannot be {text!r}: it must be true or false (or 1, 0)")
    return truths[text.strip().lower()]


_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _parameter(default: Any, unit: str, change: str, meaning: str, **limits: Any) -> Any:
    row = {"unit": unit, "change": change, "meaning": meaning, **limits}
    return field(default=default, metadata=row)


@dataclass(frozen=True)
class Settings:
    """A value for each parameter; immutable, so one frame sees one state of it."""

    model: str = _parameter(
        DEFAULT_MODEL,
        "",
        CONFIGURE,
        "model for hand and object masks, or for these and depth: a folder, or the name of a shipped model",
    )
    depth_model: str = _parameter(
        "none", "", CONFIGURE, "model for depth alone, likewise; none: `model` restores depth, if it has that channel"
    )
    device: str = _parameter(
        "auto",
        "",
        CONFIGURE,
        "where the networks run; auto: the first GPU if there is one",
        pattern=r"auto|cpu|cuda|cuda:\d+",
    )
    autostart: bool = _parameter(True, "", START, "configure and activate by itself when the node starts")
    find_camera: bool = _parameter(
        False,
        "",
        CONFIGURE,
        "find the topics of the one camera that publishes, by types and names, and wait until it does; what is "
        "remapped is taken as it is, and image_transport is that of the camera",
    )
    image_transport: str = _parameter(
        "raw",
        "",
        CONFIGURE,
        "how images come: color/image and depth/image (raw), or color/image/compressed and "
        "depth/image/compressedDepth (compressed)",
        choices=("raw", "compressed"),
    )
    mask_source: str = _parameter(
        "segmentation",
        "",
        CONFIGURE,
        "hand and object masks from our own segmentation, or from hand_mask and object_mask",
        choices=("segmentation", "topics"),
    )
    segmentation_method: str = _parameter(
        "auto",
        "",
        CONFIGURE,
        "our own segmentation: segmentation_model (network; auto is the same), or classical, which needs no model and "
        "takes most rooms without a hand for one",
        choices=("auto", "network", "classical"),
    )
    segmentation_model: str = _parameter(
        DEFAULT_SEGMENTATION_MODEL,
        "",
        CONFIGURE,
        "what finds hands: a folder, or the name of a shipped model (detector, segmentation)",
    )
    use_color: str = _parameter(
        "auto",
        "",
        LIVE,
        "find hands by colour and depth (auto, true) or by depth alone (false): for colour that cannot be trusted",
        choices=("auto", "true", "false"),
    )
    hand_confidence_min: float = _parameter(
        0.5,
        "",
        LIVE,
        "of a detector: what it is less sure of is no hand; .9: of ten such nine are hands",
        low=0.01,
        high=0.999,
    )
    hand_views: int = _parameter(
        1,
        "",
        LIVE,
        "of a detector: 2 looks at each place mirrored, too: better outlines, mostly fewer false windows, more time",
        low=1,
        high=2,
    )
    follow_frames: int = _parameter(
        5,
        "",
        LIVE,
        "of a detector: frames in which a hand is followed by its surroundings alone, until the whole picture is "
        "looked at again; 0: none is followed",
        low=0,
        high=100,
    )
    slop_s: float = _parameter(
        0.02, "s", LIVE, "largest difference of stamps between the images of one frame", low=0.0, high=0.5
    )
    pairing_memory_s: float = _parameter(
        1.0,
        "s",
        LIVE,
        "how long an image waits for those of its moment (256 MiB at most): more than masks or depth come late",
        low=0.05,
        high=10.0,
    )
    max_age_s: float = _parameter(
        1.0,
        "s",
        LIVE,
        "without a new result for so long diagnostics turn STALE; frames that waited longer are dropped",
        low=0.05,
        high=60.0,
    )
    depth_unit_m: float = _parameter(
        0.001,
        "m",
        LIVE,
        "one step of 16-bit depth; millimetres by REP 118, but 0.0001 of some cameras for short distances",
        low=0.00001,
        high=0.1,
    )
    max_grasps: int = _parameter(2, "", LIVE, "grasps per frame, nearest first", low=1, high=16)
    depth_max_m: float = _parameter(
        1.5, "m", LIVE, "what is farther away is neither hand nor object", low=0.1, high=20.0
    )
    skin_min: float = _parameter(
        6.0,
        "",
        LIVE,
        "lower bound of classical segmentation's skin threshold; grey is 0, skin in daylight 10-30",
        low=0.1,
        high=200.0,
    )
    skin_max: float = _parameter(30.0, "", LIVE, "upper bound of that threshold", low=0.1, high=200.0)
    segmentation_grid: int = _parameter(
        160, "", LIVE, "not of a detector: cells along the longer side of the picture", low=16, high=640
    )
    min_valid_fraction: float = _parameter(
        0.01, "", LIVE, "frames with a smaller share of depth readings are skipped", low=0.0, high=1.0
    )
    assumed_fov_deg: float = _parameter(
        65.0, "deg", LIVE, "horizontal field of view where there is no usable camera info", low=10.0, high=170.0
    )
    restored_threshold: float = _parameter(
        0.15, "", LIVE, "restored depth values below it are nothing (NaN)", low=0.0, high=1.0
    )
    robot_hand: str = _parameter(
        "",
        "",
        CONFIGURE,
        "robot hand that imitates: a name that `tiae imitate hands` lists, or the path of a YAML file; empty: none",
    )
    robot_side: str = _parameter("right", "", CONFIGURE, "which one the robot has", choices=("right", "left"))
    hand_pose_model: str = _parameter(
        "auto",
        "",
        CONFIGURE,
        "model for the operator's joints: a folder, or the name of a shipped one; none: no joints; auto: the shipped "
        "one where robot_hand is set",
    )
    imitation_map: str = _parameter(
        "", "", CONFIGURE, "file of `tiae imitate fit`: a few pairs that correct the robot's joints; empty: none"
    )
    imitate_at_start: bool = _parameter(
        False, "", CONFIGURE, "the robot hand imitates as soon as the node is active, not only after ~/imitate"
    )
    imitation_starts_at_rest: bool = _parameter(
        False, "", CONFIGURE, "for robots that do not tell their joints: take them to be in the rest pose at first"
    )
    imitation_trajectory: bool = _parameter(
        False, "", CONFIGURE, "publish ~/joint_trajectory too, for a joint_trajectory_controller"
    )
    imitation_speed_share: float = _parameter(
        1.0, "", CONFIGURE, "of the robot hand's speed limits, how much is used", low=0.01, high=1.0
    )
    imitation_max_age_s: float = _parameter(
        0.5, "s", CONFIGURE, "frames that are older give no joint targets: stale", low=0.02, high=60.0
    )
    imitation_max_spread_rad: float = _parameter(
        0.5,
        "rad",
        CONFIGURE,
        "hands whose joints are known less well (root mean square) give no joint targets: unsure",
        low=0.01,
        high=3.14,
    )
    imitation_sure_frames: int = _parameter(
        3, "", CONFIGURE, "so many good frames in a row before the robot hand follows (again)", low=1, high=1000
    )
    diagnostics_period_s: float = _parameter(
        1.0, "s", CONFIGURE, "time between two messages on /diagnostics", low=0.1, high=60.0
    )

    def __post_init__(self) -> None:
        if self.skin_min > self.skin_max:
            raise ParameterError(f"parameter skin_min ({self.skin_min}) must not be above skin_max ({self.skin_max})")

    def with_changes(self, changes: Mapping[str, Any]) -> Settings:
        """Checked copy with some values replaced.

        Raises:
            ParameterError: an unknown name or an unacceptable value; nothing is changed then.
        """
        checked = {name: find(name).check(value) for name, value in changes.items()}
        return dataclasses.replace(self, **checked)

    def live_from(self, now: Settings) -> Settings:
        """These settings, of the last configure, with the values that may change at any time taken from ``now``."""
        return dataclasses.replace(self, **{row.name: getattr(now, row.name) for row in TABLE if row.change == LIVE})


_TYPES = {"str": str, "bool": bool, "int": int, "float": float}
TABLE: tuple[Parameter, ...] = tuple(
    Parameter(name=row.name, type=_TYPES[str(row.type)], default=row.default, **row.metadata)
    for row in dataclasses.fields(Settings)
)
_BY_NAME = {row.name: row for row in TABLE}


def find(name: str) -> Parameter:
    """The row of a parameter; ParameterError with the nearest known name when there is none."""
    if name not in _BY_NAME:
        raise ParameterError(unknown_name(name))
    return _BY_NAME[name]


def unknown_name(name: str, also_known: Iterable[str] = ()) -> str:
    """One line about a name that is no parameter."""
    known = [*_BY_NAME, *also_known]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"there is no parameter {name if name.isprintable() else repr(name)}; {hint}"


def read_overrides(overrides: Mapping[str, Any]) -> tuple[Settings, dict[str, str]]:
    """Settings from given values, and one line about each that was refused, by its name.

    A refused value leaves the default in place, so that the node can say what is wrong and go on.
    """
    settings, refused = Settings(), {}
    good = {}
    for name, value in overrides.items():
        try:
            good[name] = find(name).check(value)
        except ParameterError as error:
            refused[name] = str(error)
    try:
        settings = settings.with_changes(good)
    except ParameterError as error:
        # Each value is acceptable, together they are not: keep those that can be kept, in the table's order.
        together = str(error)
        for name, value in good.items():
            try:
                settings = settings.with_changes({name: value})
            except ParameterError:
                refused[name] = together
    return settings, refused


def as_yaml() -> str:
    """The text of config/perception.yaml."""
    lines = [
        "# Parameters of the node, with their defaults; made by: python -m tiae_ros.parameters yaml",
        "# live: a change counts from the next frame on; configure: at the next configure transition.",
        "/**:",
        "  ros__parameters:",
    ]
    for row in TABLE:
        about = f"{row.accepted}{' ' + row.unit if row.unit else ''}; {row.change}"
        lines += [f"    # {row.meaning} ({about})", f"    {row.name}: {yaml_value(row.default)}"]
    return "\n".join(lines) + "\n"


def as_table() -> str:
    """The table of docs/reference/parameters.md, in Markdown."""
    lines = ["| parameter | default | accepted | changes | meaning |", "|---|---|---|---|---|"]
    for row in TABLE:
        accepted = f"{row.accepted}{' ' + row.unit if row.unit else ''}".replace("|", "\\|")
        default = yaml_value(row.default)
        lines.append(f"| `{row.name}` | `{default}` | {accepted} | {row.change} | {row.meaning} |")
    return "\n".join(lines) + "\n"


def yaml_value(value: Any) -> str:
    """A value as it is written in YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)


def _plain(value: float | None) -> str:
    return f"{value:g}" if value is not None else ""


_PRINTS: Mapping[str, Callable[[], str]] = {"yaml": as_yaml, "table": as_table}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in _PRINTS:
        sys.stdout.write(_PRINTS[sys.argv[1]]())
    else:
        sys.exit(f"usage: python -m tiae_ros.parameters {'|'.join(_PRINTS)}")
