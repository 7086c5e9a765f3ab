"""The name of a robot hand -> its YAML file, in the source tree or installed."""

from __future__ import annotations

import stat
from pathlib import Path

from tiae_ros.errors import HandError
from tiae_ros.model.shipped import shared_folders

TEMPLATE = "template"


def shipped_hands() -> dict[str, Path]:
    """Name -> file of every shipped hand, sorted; the template is not among them."""
    found: dict[str, Path] = {}
    for folder in shared_folders("config"):
        for path in sorted((folder / "hands").glob("*.yaml")):
            found.setdefault(path.stem, path)
    found.pop(TEMPLATE, None)
    return dict(sorted(found.items()))


def template_file() -> Path:
    """The file to copy for a hand of your own.

    Raises:
        HandError: it is not installed.
    """
    for folder in shared_folders("config"):
        path = folder / "hands" / f"{TEMPLATE}.yaml"
        if path.is_file():
            return path
    raise HandError(f"hands/{TEMPLATE}.yaml is not installed; install tiae_ros again")


def find_hand(name: str) -> Path:
    """The file of a hand: a path that ends in .yaml or .yml, or the name of a shipped hand.

    Raises:
        HandError: there is no such file; the message lists the shipped hands.
    """
    if name.endswith((".yaml", ".yml")):
        try:
            path = Path(name).expanduser()
            is_file = stat.S_ISREG(path.stat().st_mode)
        except FileNotFoundError:
            is_file = False
        except (OSError, RuntimeError, ValueError) as error:  # no such user, too long a name, no permission, a NUL
            reason = getattr(error, "strerror", None) or str(error)
            raise HandError(f"{_short(name)} cannot be the file of a hand: {reason}") from None
        if not is_file:
            raise HandError(f"{_short(name)}: there is no such file; give the YAML file of a hand")
        return path
    shipped = shipped_hands()
    if name not in shipped:
        raise HandError(
            f"there is no hand {_short(name)!r}; give a file that ends in .yaml or one of the shipped hands: "
            f"{', '.join(shipped) or '(none installed)'}"
        )
    return shipped[name]


def _short(name: str) -> str:
    return name if len(name) <= 200 else f"{name[:100]}…{name[-20:]}"
