"""The name of a shipped model -> its folder, in the source tree or installed; from whatever folder one works in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tiae_ros.errors import ModelError

# The shipped models that are used where none is named.
DEFAULT_MODEL, DEFAULT_SEGMENTATION_MODEL, DEFAULT_HAND_POSE_MODEL = "hands", "detector", "hand_pose"


def shared_folders(kind: str) -> Iterator[Path]:
    """Where ``models``, ``config``, ... of this package may lie: the source tree, then what is installed."""
    source = Path(__file__).resolve().parents[2]
    if (source / "package.xml").is_file():
        yield source / kind
    prefixes = [*filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)), sys.prefix]
    for prefix in [*map(Path, prefixes), *source.parents]:  # the last for `pip install --user` and `--prefix`
        yield prefix / "share" / "tiae_ros" / kind


def is_shipped(folder: Path) -> bool:
    """Whether a model folder is one of this package, as it is installed or in the source tree."""
    parent = folder.absolute().parent
    return any(parent in (place, place.resolve()) for place in shared_folders("models"))


def find_model(name: str | os.PathLike[str]) -> Path:
    """The folder of a model: a path, or the name of a shipped model.

    ``hands`` is the shipped model, whatever is called so here; ``./hands`` is the folder here. So are ``hands/`` and a
    `Path`, which cannot tell ``./hands`` from ``hands``: where there is no such folder, they are the shipped model.

    Raises:
        ModelError: there is no such folder; the message lists the shipped ones.
    """
    folder_first = isinstance(name, os.PathLike) or name.endswith(os.sep)
    name = os.fspath(name)
    try:
        if not name:
            raise ValueError("it is empty")
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # no such user, too long a name, a NUL in it
        raise ModelError(f"{name[:60]!r} cannot be the path of a model: {error}") from None
    parts = () if name.startswith(".") else path.parts
    shipped_name = parts[0] if len(parts) == 1 else ""
    if not path.exists() and len(parts) == 2 and parts[0] == "models":
        shipped_name = parts[1]  # as it is called in the source tree, from anywhere
    candidates = [folder / shipped_name for folder in shared_folders("models")] if shipped_name else []
    for candidate in [path, *candidates] if folder_first else [*candidates, path]:
        if candidate.is_dir():
            return candidate
    if path.is_file():
        return path  # which `read_folder` refuses as what it is
    shipped = sorted(
        {f.name for folder in shared_folders("models") if folder.is_dir() for f in folder.iterdir() if f.is_dir()}
    )
    raise ModelError(
        f"there is no model {name!r}, the folder does not exist; give a model folder or one of the shipped models: "
        f"{', '.join(shipped) or '(none installed)'}"
    )
