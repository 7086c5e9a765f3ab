"""Tables in Markdown files that a benchmark writes: what stands between two comments is replaced."""

from __future__ import annotations

from pathlib import Path


def replace_between_markers(path: Path, name: str, text: str) -> None:
    """Put text (ending with a line's end) between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, rest = path.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
