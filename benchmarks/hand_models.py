"""The shipped hand models on people and things they have not seen, held against what must hold.

    scripts/train_models runs/ship                              # windows and models
    python benchmarks/hand_models.py --work runs/ship           # the tables
    python benchmarks/hand_models.py --work runs/ship --docs    # and docs/notebook/2026-11-hands.md with its pictures

Windows are those of `tiae simulate`: subjects 0–999 to train on, 1000–1199 to test on (train_late_both.npz and
test_both.npz); and those of `tiae simulate people`, whose test set shows other people and other things
(world_both.npz and world_test_both.npz; rows "world: "). All are shown under
random shifts of ±8 pixels; medians over --seeds of those. Compared: the slides' ordinary auto-encoder and principal
components, with as many numbers, fitted on the same windows under the same shifts.
"Through our segmentation": hand and thing are found in noisy colour and depth pictures of test subjects as the node
finds them, and named by the training windows.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from recipes import write_between

from tiae_ros import Autoencoder, load_model
from tiae_ros.model.segmenter import choose_segmentation
from tiae_ros.vision.cut_windows import cut_depth, cut_masks
from tiae_training.baselines import Baseline, fit_baseline
from tiae_training.clusters import k_means
from tiae_training.data.arrays import ImageArrays, load_arrays
from tiae_training.hand_measures import MASKS
from tiae_training.measures import measure_model, shifted_views
from tiae_training.recipes.recipe import draw_rows
from tiae_training.simulator.simulator import SimulatorSettings, render_scene

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "notebook" / "2026-11-hands.md"
PICTURES = ROOT / "docs" / "notebook" / "hands"
RADIUS = 8
SLIDE_GRASPS = 13  # the first names: those of the slides
BASELINE_WINDOWS = 4000  # what baselines are fitted on; more of them changes the third digit
SHOWN = 10
MEASURED_OF_OTHERS = ("hand_iou", "object_iou", "depth_error_mm", "dispersion", "knn_accuracy")
Rows = list[tuple[str, str, float, str]]  # model, measure, figure, target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="with windows")
    parser.add_argument("--models", type=Path, default=ROOT / "models", metavar="DIR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the random shifts")
    parser.add_argument("--scenes", type=int, default=200, help="scenes (of three pictures each) to segment")
    parser.add_argument("--epochs", type=int, default=30, help="of the ordinary auto-encoder")
    parser.add_argument("--docs", action="store_true", help="write the notebook's page and pictures of it")
    options = parser.parse_args()
    training, test, world, world_test = (
        load_arrays(options.work / f"{part}_both.npz") for part in ("train_late", "test", "world", "world_test")
    )
    rows: Rows = []
    missed = 0
    for folder in sorted(path.parent for path in options.models.glob("*/encoder.onnx")):
        found = model_rows(folder, training, test, options) + world_rows(folder, world, world_test, options)
        missed += show(found)
        rows += found
    if options.docs:
        write_between(PAGE, "figures", markdown(rows))
    return 1 if missed else 0


def model_rows(folder: Path, training: ImageArrays, test: ImageArrays, options: argparse.Namespace) -> Rows:
    """Everything about one model."""
    model = load_model(folder)
    names, size = model.manifest.channels, model.manifest.descriptor_size
    own_training, own_test = (only(arrays, names) for arrays in (training, test))
    measured = medians(model, own_test, own_training, options.seeds)
    rows = [(folder.name, name, value, target(name)) for name, value in measured.items()]
    few = for_baselines(own_training)
    others = {
        "ordinary AE": fit_baseline("ordinary-ae", few, radius_px=RADIUS, descriptor_size=size, epochs=options.epochs),
        f"PCA-{size}": fit_baseline("pca", few, radius_px=RADIUS, descriptor_size=size),
        f"centroid + PCA-{size}": fit_baseline("centroid-pca", few, radius_px=RADIUS, descriptor_size=size),
    }
    for other, baseline in others.items():
        theirs = measure_model(baseline, own_test, shift_radius_px=RADIUS)
        kept = [name for name in MEASURED_OF_OTHERS if name in theirs and name != "knn_accuracy"]
        rows += [(f"{folder.name}: {other}", name, theirs[name], "") for name in kept]
        if other == "ordinary AE":
            for name in sorted(set(MASKS.values()) & set(kept)):
                rows.append((folder.name, f"{name} above the ordinary AE's", measured[name] - theirs[name], "≥ 0.15"))
        if other.startswith("PCA") and "depth_error_mm" in kept:
            times = theirs["depth_error_mm"] / measured["depth_error_mm"]
            rows.append((folder.name, "depth error, times PCA's", times, "≥ 2"))
    if options.docs:
        draw(folder.name, model, others, own_test)
    return rows + naming_rows(folder, training, test, options)


def world_rows(folder: Path, training: ImageArrays, test: ImageArrays, options: argparse.Namespace) -> Rows:
    """One model on other hands, things and grasps, and what a centroid with principal components makes of them."""
    model = load_model(folder)
    names, size = model.manifest.channels, model.manifest.descriptor_size
    own_training, own_test = (only(arrays, names) for arrays in (training, test))
    measured = medians(model, own_test, own_training, options.seeds)
    rows = [(folder.name, f"world: {name}", value, world_target(name)) for name, value in measured.items()]
    few = for_baselines(own_training)
    baseline = fit_baseline("centroid-pca", few, radius_px=RADIUS, descriptor_size=size)
    theirs = measure_model(baseline, own_test, own_training, shift_radius_px=RADIUS)
    other = f"{folder.name}: centroid + PCA-{size}"
    return rows + [(other, f"world: {name}", theirs[name], "") for name in MEASURED_OF_OTHERS if name in theirs]


def naming_rows(folder: Path, training: ImageArrays, test: ImageArrays, options: argparse.Namespace) -> Rows:
    """How often one model names the slides' grasps rightly, from true masks and from those that we find."""
    model = load_model(folder)
    names = model.manifest.channels
    seen = segmented(options.models / "detector", names, options.scenes)
    seen_slides, own_test, slides = (of_slides(arrays) for arrays in (seen, only(test, names), only(training, names)))
    masks_known, through = (
        measure_model(model, arrays, slides, shift_radius_px=RADIUS)["knn_accuracy"]
        for arrays in (own_test, seen_slides)
    )
    assert seen.labels is not None
    named = [model.label(one) for one in model.encode(seen.images)]
    right = [name == seen.label_names[label] for name, label in zip(named, seen.labels, strict=True)]
    empty = [not name for name in named]
    return [
        (folder.name, "13 grasps through our segmentation: named rightly", float(np.mean(right)), ""),
        (folder.name, "13 grasps through our segmentation: not named", float(np.mean(empty)), "≤ 0.15"),
        (folder.name, "13-grasp knn_accuracy", masks_known, "≥ 0.95" if MASKS.keys() & set(names) else ""),
        (folder.name, "13-grasp knn_accuracy through our segmentation", through, "≥ 0.9"),
    ]


def medians(model: Autoencoder, test: ImageArrays, gallery: ImageArrays, seeds: list[int]) -> dict[str, float]:
    """Of all measures over seeds of the random shifts."""
    runs = [measure_model(model, test, gallery, shift_radius_px=RADIUS, seed=seed) for seed in seeds]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def target(measure: str) -> str:
    """What must hold of a shipped model."""
    return {
        "dispersion": "≤ 0.02",
        "hand_iou": "≥ 0.85",
        "object_iou": "≥ 0.8",
        "depth_error_mm": "≤ 6",
        "shift_error": "≤ 0.3",
    }.get(measure, "")


def for_baselines(training: ImageArrays) -> ImageArrays:
    """Some of the training windows, always the same."""
    return training.take(np.random.default_rng(0).permutation(len(training))[:BASELINE_WINDOWS])


def world_target(measure: str) -> str:
    """What must hold on other hands, things and grasps."""
    return {
        "dispersion": "≤ 0.02",
        "hand_iou": "≥ 0.85",
        "object_iou": "≥ 0.7",
        "depth_error_mm": "≤ 7",
        "shift_error": "≤ 0.25",
    }.get(measure, "")


def only(arrays: ImageArrays, channels: tuple[str, ...]) -> ImageArrays:
    """The arrays with the channels a model sees."""
    index = [arrays.channels.index(channel) for channel in channels]
    clean = None if arrays.clean is None else arrays.clean[:, index]
    return dataclasses.replace(arrays, images=arrays.images[:, index], clean=clean, channels=channels)


def of_slides(arrays: ImageArrays) -> ImageArrays:
    """The windows of the slides' 13 grasps."""
    assert arrays.labels is not None
    return arrays.take(np.flatnonzero(arrays.labels < SLIDE_GRASPS))


def segmented(network: Path, channels: tuple[str, ...], scenes: int) -> ImageArrays:
    """Windows of rendered pictures of test subjects, cut where our segmentation finds a hand."""
    see = choose_segmentation("auto", str(network)).see  # as the node chooses
    images, labels = [], []
    settings = SimulatorSettings(seed=77, subjects=(1000, 1200), grasps=SimulatorSettings().grasps[:SLIDE_GRASPS])
    for number in range(scenes):
        for sample in render_scene(settings, number):
            focal = float(sample.k[0, 0])
            sight = see(sample.rgb, sample.depth_m, focal_px=focal)
            parts = np.zeros((3, 32, 32), np.float32)  # a hand that is not found counts as a miss, not as nothing
            if sight.hands:
                window = sight.hands[0].window
                parts[:2] = cut_masks(sight.labels, window)
                parts[2:] = cut_depth(sample.depth_m, sight.labels, window)
            names = ("hand_mask", "object_mask", "depth")
            images.append(parts[[names.index(channel) for channel in channels]])
            labels.append(settings.grasps.index(sample.grasp))
    return ImageArrays(np.stack(images), np.array(labels), settings.grasps, channels=channels)


def draw(name: str, model: Autoencoder, others: dict[str, Baseline], test: ImageArrays) -> None:
    """The slides' comparison pictures: input, the others, the invariant restored and placed, the truth; clusters."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    views = shifted_views(test, RADIUS, 5, views=2)
    assert test.labels is not None
    rows = np.concatenate([np.flatnonzero(test.labels == label)[:1] for label in range(5)])
    seen, true = (np.concatenate(v[:, rows].swapaxes(0, 1))[:SHOWN] for v in (views.images, views.targets))
    restored = model.restore(seen)
    shown = [("input", seen), *((other, baseline.restore(seen)) for other, baseline in others.items())]
    shown += [("invariant, restored", restored), ("… moved by its shift", model.place(seen)), ("true", true)]
    draw_rows(PICTURES / f"{name}.png", shown, f"{name}: five grasps of unseen people, each at two places")
    draw_rows(
        PICTURES / f"{name}_clusters.png",
        list(clusters(model, test)),
        "Clusters of descriptors (k-means): the windows nearest to each centre, and the grasps it holds",
    )


def clusters(model: Autoencoder, test: ImageArrays, shown: int = 12) -> Iterator[tuple[str, Any]]:
    """(grasps and their shares, windows) of every cluster."""
    assert test.labels is not None
    names = test.label_names
    views = shifted_views(test, RADIUS, 6, views=1).images[0]
    descriptors = model.encode(views)
    centres, found = k_means(descriptors, len(names), seed=0, attempts=10)
    grasps = np.stack([np.bincount(test.labels[found == c], minlength=len(names)) for c in range(len(names))])
    for cluster in np.argsort(grasps.argmax(1)):
        counts, inside = grasps[cluster], np.flatnonzero(found == cluster)
        best = [n for n in np.argsort(-counts)[:2] if counts[n] >= 0.1 * len(inside)]
        distances = np.linalg.norm(descriptors[inside] - centres[cluster], axis=1)
        windows = views[np.resize(inside[np.argsort(distances)[:shown]], shown)]
        yield ", ".join(f"{names[n]} {100 * counts[n] / len(inside):.0f} %" for n in best), windows


def verdict(value: float, wanted: str) -> str:
    """reached, MISSED, or nothing where nothing is wanted."""
    if not wanted:
        return ""
    sign, bound = wanted.split()
    return "reached" if (value <= float(bound) if sign == "≤" else value >= float(bound)) else "MISSED"


def show(rows: Rows) -> int:
    """Print the table; how many targets are missed."""
    missed = 0
    for model, measure, value, wanted in rows:
        word = verdict(value, wanted)
        missed += word == "MISSED"
        print(f"{model:32s} {measure:48s} {value:8.4g} {wanted:>8s} {word}".rstrip(), flush=True)
    return missed


def markdown(rows: Rows) -> str:
    lines = ["| model | measure | figure | target | |", "|---|---|---|---|---|"]
    lines += [
        f"| {m} | {name} | {value:.3g} | {wanted} | {verdict(value, wanted)} |" for m, name, value, wanted in rows
    ]
    lines.append("")
    for name in dict.fromkeys(model.partition(":")[0] for model, *_ in rows):
        lines += [f"![{name}: input, ordinary auto-encoder, PCA, invariant, placed](hands/{name}.png)", ""]
        lines += [f"![{name}: which grasp each cluster holds](hands/{name}_clusters.png)", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
