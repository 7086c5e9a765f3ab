"""Entries of a hand's YAML file that know where they stand, so that what is wrong is refused in one line.

The line names the file, the entry, its value and what is accepted.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Collection
from typing import Any, NoReturn

import yaml

from tiae_ros.errors import HandError

LARGEST_FILE_BYTES = 1_000_000


def listed(names: Collection[str]) -> str:
    """The first of many names, for a message."""
    every = list(names)
    return ", ".join(every[:30]) + (", …" if len(every) > 30 else "")


class _UniqueKeys(yaml.SafeLoader):
    """YAML without the habit of letting a second entry of the same name replace the first in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value!r} is there twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_SHORT = reprlib.Repr()  # bounded, whatever aliases a file piles up
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 60, 60


def _shown(value: Any) -> str:
    try:
        return " ".join(_SHORT.repr(value).split())[:80]
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of too many digits"


def parse_mapping(content: bytes, file: str) -> dict[Any, Any]:
    """The mapping that a file's content holds. Raises HandError."""
    if len(content) > LARGEST_FILE_BYTES:
        raise HandError(f"{file}: it is too large; a hand's file has at most {LARGEST_FILE_BYTES} bytes")
    try:
        parsed = yaml.load(content, _UniqueKeys)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error) or "it is nested too deeply"
        raise HandError(f"{file}{where}: this is no YAML that can be read: {' '.join(problem.split())}") from None
    if not isinstance(parsed, dict):
        raise HandError(
            f"{file}: it holds {type(parsed).__name__}; it must be a mapping as `tiae imitate hands template` prints it"
        )
    return parsed


class Entry:
    """A value in the file, and the way to it, for messages."""

    def __init__(self, file: str, path: str, value: Any) -> None:
        self.file, self.path, self.value = file, path, value

    def refuse(self, reason: str, *, show: bool = True) -> NoReturn:
        value = f" is {_shown(self.value)}" if show else ""
        raise HandError(f"{self.file}: {self.path or 'the file'}{value}: {reason}")

    def __getitem__(self, key: str) -> Entry:
        mapping = self.mapping()
        return Entry(self.file, f"{self.path}.{key}" if self.path else key, mapping[key])

    def __contains__(self, key: str) -> bool:
        return key in self.mapping()

    def mapping(self, form: str = "a mapping") -> dict[str, Any]:
        if not isinstance(self.value, dict):
            self.refuse(f"it must be {form}")
        return {self._named(key): value for key, value in self.value.items()}

    def items(self, form: str, *, may_be_empty: bool = False) -> list[tuple[str, Entry]]:
        mapping = self.mapping(form)
        if not mapping and not may_be_empty:
            self.refuse(f"it must be {form}")
        return [(key, self[key]) for key in mapping]

    def list(self, key: str) -> list[Entry]:
        if key not in self:
            return []
        entry = self[key]
        if not isinstance(entry.value, list):
            entry.refuse("it must be a list: [ … ]")
        return [Entry(self.file, f"{entry.path}[{k}]", one) for k, one in enumerate(entry.value)]

    def only(self, known: Collection[str], needed: Collection[str] = ()) -> None:
        mapping = self.mapping()
        prefix = f"{self.path}." if self.path else ""
        for key in mapping:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
                hint = f"did you mean {near[0]}?" if near else f"accepted are {', '.join(known)}"
                raise HandError(f"{self.file}: {prefix}{key} is not known; {hint}")
        for key in needed:
            if key not in mapping:
                raise HandError(f"{self.file}: {prefix}{key} is missing; `tiae imitate hands template` prints its form")

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value.strip():
            self.refuse("it must be a text")
        return " ".join(self.value.split())

    def name(self) -> str:
        return self._named(self.value)

    def _named(self, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
            return str(value)  # LEAP's joints are numbers
        if not isinstance(value, str) or not value:
            Entry(self.file, self.path, value).refuse('it must be a name; write it in quotes, as in "1.0" or "yes"')
        return value

    def one_of(self, known: Collection[str]) -> str:
        value = self.name()
        if value not in known:
            near = difflib.get_close_matches(value, known, n=1, cutoff=0.6)
            self.refuse(f"did you mean {near[0]}?" if near else f"accepted are {listed(known)}")
        return value

    def number(self, low: float, high: float, unit: str = "") -> float:
        value = self.value
        if isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+", value, re.ASCII):
            value = float(value)  # YAML 1.1 takes 1e-3 for a text
        unit = f" {unit}" if unit else ""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(f"it must be a number within {low:.4g} … {high:.4g}{unit}")
        if not low <= value <= high:  # NaN too
            self.refuse(f"it must be within {low:.4g} … {high:.4g}{unit}")
        return float(value)

    def vector(self, largest: float, unit: str = "") -> tuple[float, float, float]:
        if not isinstance(self.value, list) or len(self.value) != 3:
            self.refuse("it must be three numbers: [x, y, z]")
        x, y, z = (
            Entry(self.file, f"{self.path}[{k}]", one).number(-largest, largest, unit)
            for k, one in enumerate(self.value)
        )
        return x, y, z
