"""Rows of methods and seeds, kept in a JSON file, and the table of their medians over seeds for a page.

Shared by the benchmarks that hold methods against each other: rows[method][seed] -> epochs and measures, None for what
a method does not say.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Measures = Sequence[tuple[str, bool]]  # name, whether a smaller figure is better
Rows = dict[str, dict[str, dict[str, Any]]]


def read_rows(path: Path | None) -> Rows:
    """What was measured before; empty without a file."""
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path is not None and path.exists() else {}


def write_rows(rows: Rows, path: Path, order: Iterable[str]) -> None:
    """One line per method and seed, methods in this order, others behind."""
    lines = [
        f' "{name}": {{\n'
        + ",\n".join(
            f'  "{s}": {json.dumps(row)}' for s, row in sorted(rows[name].items(), key=lambda item: int(item[0]))
        )
        + "\n }"
        for name in in_order(rows, order)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"rows": {\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


def in_order(names: Iterable[str], order: Iterable[str]) -> list[str]:
    """Names in this order, those it does not have behind."""
    given, order = list(names), list(order)
    return [name for name in order if name in given] + [name for name in given if name not in order]


def rounded(measures: Mapping[str, float]) -> dict[str, float | None]:
    """Five digits behind the point; None for what cannot be said."""
    return {name: round(value, 5) if math.isfinite(value) else None for name, value in measures.items()}


def number(value: float | None) -> float:
    """NaN for what a method does not say."""
    return math.nan if value is None else value


def medians(rows: Rows, measures: Measures, order: Iterable[str]) -> dict[str, dict[str, float]]:
    """method -> measure -> median over its seeds."""
    return {
        name: {m: statistics.median(number(row.get(m)) for row in rows[name].values()) for m, _ in measures}
        for name in in_order(rows, order)
    }


def shown(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3f}"


def heading(measures: Measures) -> str:
    """The line above rows that are printed."""
    return f"{'':22s}{'seed':>5s}{'epochs':>7s}" + "".join(f"{name:>21s}" for name, _ in measures)


def printed(name: str, seed: str, row: Mapping[str, Any], measures: Measures) -> str:
    """One row on the screen."""
    cells = "".join(f"{shown(number(row.get(m))):>21s}" for m, _ in measures)
    return f"{name:22s}{seed:>5s}{row.get('epochs') or '–'!s:>7s}{cells}"


def markdown(
    rows: Rows, measures: Measures, order: Iterable[str], published: Mapping[str, Mapping[str, float]] | None = None
) -> str:
    """The table, the best figure of each column in bold; published figures, of other conditions, are never the best."""
    table = medians(rows, measures, order)
    best = {}
    for name, smaller in measures:
        values = [row[name] for row in table.values() if math.isfinite(row[name])]
        best[name] = (min(values) if smaller else max(values)) if values else math.nan
    lines = [
        "| | seeds | epochs | " + " | ".join(f"{name} {'↓' if smaller else '↑'}" for name, smaller in measures) + " |",
        "|---" * (len(measures) + 3) + "|",
    ]
    for name, row in table.items():
        cells = [f"**{shown(row[m])}**" if row[m] == best[m] else shown(row[m]) for m, _ in measures]
        epochs = " ".join(sorted({str(seed["epochs"] or "–") for seed in rows[name].values()}))
        lines.append(f"| {name} | {len(rows[name])} | {epochs} | " + " | ".join(cells) + " |")
    for name, figures in (published or {}).items():
        cells = [shown(figures.get(m, math.nan)) for m, _ in measures]
        lines.append(f"| {name} | published | – | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
