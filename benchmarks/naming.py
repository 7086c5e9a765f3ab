"""How a model should tell known grasps from others: how many prototypes, and a radius for all, each name or each one.

    tiae simulate --out one.npz --count 600 --seed 11 --subjects 0:1000
    tiae simulate --out two.npz --count 1400 --seed 12 --subjects 0:1000
    tiae simulate --out test.npz --count 900 --seed 13 --subjects 1000:1200
    python benchmarks/naming.py --model grasp --labelled one.npz two.npz --test test.npz

Draws so many names at a time (`--draws` times) to be the known ones, makes prototypes of their labelled windows, and
prints means over the draws: of test windows of known names the shares named right, called unknown and named wrong; of
test windows of all other names the share called unknown; and `auc`, how surely a known window is nearer, in
radii, than another name's (1: always, whatever the radius is multiplied by).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiae_ros.model.folder import load_model
from tiae_training.data.arrays import load_arrays
from tiae_training.prototypes import judge_held_out, nearest_distance, shifted_descriptors, with_prototypes
from tiae_training.train.run import set_threads

Floats = NDArray[np.float64]
_SHRINK = 8  # a prototype's own radius counts as its windows, its name's as so many more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("grasp"))
    parser.add_argument("--labelled", type=Path, required=True, nargs="+")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--known", type=int, nargs="+", default=[4, 10], help="names that are known (4 10)")
    parser.add_argument("--windows", type=int, nargs="+", default=[1000, 20], help="of a name at most (1000 20)")
    parser.add_argument("--draws", type=int, default=8)
    options = parser.parse_args()
    set_threads()
    model = load_model(options.model)
    parts, test = [load_arrays(path) for path in options.labelled], load_arrays(options.test)
    descriptors = np.concatenate([shifted_descriptors(model, part, seed) for seed, part in enumerate(parts)])
    labels = np.concatenate([part.labels for part in parts])
    shown = shifted_descriptors(model, test, 5)
    print(f"{options.model} on {len(test)} windows of {len(test.label_names)} names")
    for count in options.known:
        for most in options.windows:
            print(f"{count} names known by at most {most} windows each")
            print(f"  {'rule':42s}  right  unknown  wrong  others unknown    auc")
            rng = np.random.default_rng(0)
            rows: dict[str, list[tuple[float, ...]]] = {}
            for _ in range(options.draws):
                known = np.sort(rng.choice(len(test.label_names), count, replace=False))
                own = np.concatenate([np.flatnonzero(labels == name)[:most] for name in known])
                for rule, radii in RULES.items():
                    prototypes, names, sizes = radii(model, descriptors[own], labels[own], test.label_names)
                    ratios = np.stack([nearest_distance(shown, p[None]) for p in prototypes], 1) / sizes
                    rows.setdefault(rule, []).append(figures(ratios, names, test.labels, known))
            for rule, row in rows.items():
                right, unknown, wrong, others, auc = np.mean(row, 0)
                print(
                    f"  {rule:42s}  {right:5.3f}  {unknown:7.3f}  {wrong:5.3f}  {others:14.3f}  {auc:5.3f}", flush=True
                )


def figures(ratios: Floats, names: NDArray, labels: NDArray, known: NDArray) -> tuple[float, ...]:
    """Of distances in radii (N, P) to prototypes of names (P,): right, unknown, wrong, others unknown, auc."""
    nearest, said = ratios.min(1), names[ratios.argmin(1)]
    is_known, is_named = np.isin(labels, known), nearest <= 1
    rank = nearest.argsort().argsort()[is_known]
    positives, negatives = is_known.sum(), (~is_known).sum()
    return (
        (is_named & (said == labels))[is_known].mean(),
        (~is_named)[is_known].mean(),
        (is_named & (said != labels))[is_known].mean(),
        (~is_named)[~is_known].mean(),
        1 - (rank.mean() - (positives - 1) / 2) / negatives,
    )


def one_radius(per_class: int, near_share: float, *, held_out: bool) -> Callable:
    """For all prototypes; of held-out windows, or of those that the prototypes were made of."""

    def radii(model, descriptors, labels, names):
        judged = judge_held_out(descriptors, labels, per_class=per_class, near_share=near_share)
        prototypes, of = _prototypes(model, descriptors, labels, names, per_class)
        radius = judged.radius
        if not held_out:
            near = [nearest_distance(descriptors[labels == name], prototypes[of == name]) for name in np.unique(of)]
            radius = np.quantile(np.concatenate(near), near_share)
        return prototypes, of, np.full(len(of), radius)

    return radii


def own_radii(per_class: int, near_share: float, *, of_each_prototype: bool) -> Callable:
    """For each name, or for each prototype, of held-out windows."""

    def radii(model, descriptors, labels, names):
        judged = judge_held_out(descriptors, labels, per_class=per_class, near_share=near_share)
        prototypes, of = _prototypes(model, descriptors, labels, names, per_class)
        sizes = np.empty(len(of))
        for name in np.unique(of):
            mine, rows = labels == name, np.flatnonzero(of == name)
            sizes[rows] = whole = np.quantile(judged.own[mine], near_share)
            if of_each_prototype:
                distances = [nearest_distance(descriptors[mine], prototypes[row][None]) for row in rows]
                nearest = np.stack(distances, 1).argmin(1)
                for place, row in enumerate(rows):
                    near = judged.own[mine][nearest == place]
                    if len(near):
                        inside = len(near) * np.quantile(near, near_share)
                        sizes[row] = (inside + _SHRINK * whole) / (len(near) + _SHRINK)
        return prototypes, of, sizes

    return radii


def _prototypes(model, descriptors, labels, names, per_class) -> tuple[Floats, NDArray]:
    """(P, K), and the label of each (P,)."""
    named = with_prototypes(model, descriptors, labels, names, 1.0, per_class)
    return named.prototypes.numpy(), np.array([names.index(name) for name in named.manifest.prototype_names])


RULES = {
    "8 each, one radius of their own windows": one_radius(8, 0.95, held_out=False),
    "8 each, one radius of held-out windows": one_radius(8, 0.9, held_out=True),
    "64 each, one radius of held-out windows": one_radius(64, 0.9, held_out=True),
    "64 each, the same at a share of 0.95": one_radius(64, 0.95, held_out=True),
    "64 each, a radius for each name": own_radii(64, 0.9, of_each_prototype=False),
    "64 each, a radius for each prototype": own_radii(64, 0.9, of_each_prototype=True),
}

if __name__ == "__main__":
    main()
