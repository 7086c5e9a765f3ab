"""The name of a robot hand -> its YAML file, in the source tree or installed."""

from __future__ import annotations

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


def find_hand(name: str) -> Path:
    """The file of a hand: a path that ends in .yaml or .yml, or the name of a shipped hand.

    Raises:
        HandError: there is no such file; the message lists the shipped hands.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
        if not path.is_file():
            raise HandError(f"{name}: there is no such file; give the YAML file of a hand")
        return path
    shipped = shipped_hands()
    if name not in shipped:
        raise HandError(
            f"there is no hand {name!r}; give a file that ends in .yaml or one of the shipped hands: "
            f"{', '.join(shipped) or '(none installed)'}"
        )
    return shipped[name]
