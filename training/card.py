"""``card.md``: what a model is, for people, written from its manifest and never by hand."""

from __future__ import annotations

import os
from pathlib import Path

from tiae_ros.core.manifest import Manifest
from tiae_ros.core.model_files import write_durably


def card_text(manifest: Manifest) -> str:
    """The card as Markdown."""
    size = manifest.window_size
    channels = ", ".join(manifest.channels)
    transforms = (
        "; ".join(
            f"{kind} ({', '.join(f'{name} {value:g}' for name, value in ranges.items())})"
            for kind, ranges in manifest.transforms.items()
        )
        or "none (an ordinary auto-encoder)"
    )
    lines = [
        f"# {manifest.model_id}",
        "",
        f"Network `{manifest.network}`; input {len(manifest.channels)}×{size}×{size} ({channels}); "
        f"descriptor of {manifest.descriptor_size} numbers; invariant to: {transforms}.",
        "",
    ]
    if manifest.preprocessing:
        lines += ["Preprocessing: " + ", ".join(f"{k} = {v}" for k, v in manifest.preprocessing.items()) + ".", ""]
    lines += ["## Trained", ""]
    for name in ("data", "windows", "command", "test_data"):
        if manifest.training.get(name):
            lines.append(f"* {name.replace('_', ' ')}: `{manifest.training[name]}`")
    given_up = manifest.training.get("collapsed_attempts")
    if given_up:
        lines.append(f"* initialisations given up before: {len(given_up)} ({given_up[-1]})")
    if manifest.training.get("collapsed"):
        lines += ["", f"**This model has collapsed: {manifest.training['collapsed']}.** It is of no use."]
    lines += ["", "## Measured on held-out data", ""]
    if manifest.measures:
        lines += ["| measure | value |", "|---|---|"]
        lines += [f"| {name} | {value:.4g} |" for name, value in manifest.measures.items()]
    else:
        lines.append("Not measured (`tiae train --test FILE.npz` does).")
    if manifest.prototype_names:
        names = ", ".join(dict.fromkeys(manifest.prototype_names))
        lines += ["", "## Names it knows", "", names, *_naming(manifest)]
    return "\n".join(lines) + "\n"


def _naming(manifest: Manifest) -> list[str]:
    """Where the names came from when they were given after the training, and how well they are told apart."""
    told = manifest.training.get("names")
    if not isinstance(told, dict):
        return []
    lines = ["", f"From `{told['data']}`; each fifth judged by the other four:", ""]
    lines += ["| name | windows | right | unknown |", "|---|---|---|---|"]
    for name, held_out in told["held_out"].items():
        lines.append(f"| {name} | {held_out['windows']} | {held_out['right']:.2f} | {held_out['unknown']:.2f} |")
    if "strangers" in told:
        lines += ["", f"Of `{told['strangers']['data']}`, {told['strangers']['unknown']:.2f} are called unknown."]
    return lines


def write_card(manifest: Manifest, folder: Path) -> None:
    """Write ``card.md`` into a model folder, whole or not at all."""
    staged = folder / ".card.md.new"
    write_durably(staged, card_text(manifest).encode())
    os.replace(staged, folder / "card.md")
