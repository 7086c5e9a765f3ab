"""``card.md``: what a model is, for people, written from its manifest and never by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tiae_ros.model.folder import CARD, CLOSE_UP_INT8, NETWORK_INT8, write_whole
from tiae_ros.model.manifest import DETECTOR, HAND_POSE, SEGMENTATION, Manifest

_SEEN = {  # by a hand pose model
    "detail": "the descriptors, and from the hand in finer pixels than the windows'",
    "descriptor": "the descriptors",
    "window": "the windows",
}
_EIGHT_BITS = [
    "On CPUs with VNNI it runs in whole numbers of 8 bits; what that costs is the difference to the rows",
    "with `_int8`.",
]
_DETECTOR_EIGHT_BITS = ["On CPUs with VNNI it runs in whole numbers of 8 bits; figures and confidence are of it there."]


def card_text(manifest: Manifest) -> str:
    """The card as Markdown."""
    lines = [f"# {manifest.model_id}", "", *_what_it_is(manifest), ""]
    if manifest.preprocessing:
        lines += ["Preprocessing: " + ", ".join(f"{k} = {v}" for k, v in manifest.preprocessing.items()) + ".", ""]
    lines += ["## Trained", ""]
    lines += [*_origin(manifest.training)]
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


def _what_it_is(manifest: Manifest) -> list[str]:
    if manifest.kind == DETECTOR:
        lines = [
            "Finds hands from colour and registered depth, or from depth alone, by two looks: proposals over the whole",
            "picture, then each close up: hand, held thing, arm or sleeve, nothing; is it a hand, a left one.",
        ]
        return [*lines, *(_DETECTOR_EIGHT_BITS if CLOSE_UP_INT8 in manifest.files else [])]
    if manifest.kind == SEGMENTATION:
        widths = ", ".join(map(str, manifest.network.get("widths", "?")))
        lines = [
            "Hand (with arm and sleeve) / held thing / nothing, from colour and registered depth, or from depth alone.",
            f"U-Net, channels {widths}, on a grid of about 160 x 120 cells.",
        ]
        return [*lines, *(_EIGHT_BITS if NETWORK_INT8 in manifest.files else [])]
    if manifest.kind == HAND_POSE:
        seen = _SEEN.get(str(manifest.network.get("sees")), "what it sees")
        return [
            "Joint angles, fingertips and pinches of the hand in a window, its side, and how far off each may be,",
            f"from {seen} of the auto-encoder named below ({', '.join(manifest.channels)}).",
        ]
    size = manifest.window_size
    transforms = (
        "; ".join(
            f"{kind} ({', '.join(f'{name} {value:g}' for name, value in ranges.items())})" if ranges else kind
            for kind, ranges in manifest.transforms.items()
        )
        or "none (an ordinary auto-encoder)"
    )
    told = " The last two of its numbers are for the turn." if "roll" in manifest.transforms else ""
    return [
        f"Network `{manifest.network_name}`; input {len(manifest.channels)}×{size}×{size} "
        f"({', '.join(manifest.channels)}); descriptor of {manifest.descriptor_size} numbers; "
        f"invariant to: {transforms}.{told}"
    ]


def _origin(training: Mapping[str, Any]) -> list[str]:
    """How the model was made; of the models that it began from, each command once, in order."""
    lines = [
        f"* {name.replace('_', ' ')}: `{training[name]}`"
        for name in ("data", "windows", "frames", "command", "calibration", "test_data")
        if training.get(name)
    ]
    if training.get("release"):
        lines.append(f"* commands and their options: those of release {training['release']}")
    before = [command for command in commands_of(training) if command != training.get("command")]
    if before:
        lines += ["", "Began from:", "", *(f"* `{command}`" for command in dict.fromkeys(before))]
    return lines


def commands_of(training: Mapping[str, Any]) -> Iterator[str]:
    """The command of a training, after those of all that it began from."""
    for name, value in training.items():
        if isinstance(value, dict) and name != "settings":
            yield from commands_of(value)
    if isinstance(training.get("command"), str):
        yield training["command"]


def _naming(manifest: Manifest) -> list[str]:
    """Where the names came from when they were given after the training, and how well they are told apart."""
    told = manifest.training.get("names")
    if not isinstance(told, dict) or not {"data", "held_out"} <= set(told):
        return []
    lines = ["", f"From `{told['data']}`; each fifth judged by the other four:", ""]
    lines += ["| name | windows | right | unknown |", "|---|---|---|---|"]
    for name, held_out in told["held_out"].items():
        lines.append(f"| {name} | {held_out['windows']} | {held_out['right']:.2f} | {held_out['unknown']:.2f} |")
    if "others" in told:
        lines += ["", f"Of `{told['others']['data']}`, {told['others']['unknown']:.2f} are called unknown."]
    return lines


def write_card(manifest: Manifest, folder: Path) -> None:
    """Write ``card.md`` into a model folder, whole or not at all."""
    write_whole(folder / CARD, card_text(manifest).encode())
