"""How many windows a name needs: names known from some, other people's windows named by them, by the shipped model.

    python benchmarks/windows_per_name.py --data desk_names_both.npz --test desk_test.npz

Files are those of scripts/train_models. Ten of the names are known, the others are what is to be unknown; means of
three choices of the ten.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from tiae_ros import load_model
from tiae_training.data.arrays import load_arrays
from tiae_training.naming import name_model
from tiae_training.prototypes import names_of

KNOWN, CHOICES = 10, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE.npz", help="labelled windows")
    parser.add_argument("--test", type=Path, required=True, metavar="FILE.npz", help="those of other people")
    parser.add_argument("--model", default="hands", metavar="DIR")
    parser.add_argument("--windows", type=int, nargs="+", default=[20, 95, 280], help="of each name")
    options = parser.parse_args()
    model, data, test = load_model(options.model), load_arrays(options.data), load_arrays(options.test)
    descriptors = model.encode(test.in_order(model.manifest.channels).images)
    true = np.array(test.label_names)[test.labels]
    print("| windows of each name | right | unknown | wrong | other things called unknown |\n|---|---|---|---|---|")
    for count in options.windows:
        shares = []
        for seed in range(CHOICES):
            rng = np.random.default_rng(seed)
            known = rng.permutation(len(data.label_names))[:KNOWN].tolist()
            own = [rng.permutation(np.flatnonzero(data.labels == label))[:count] for label in known]
            some = data.take(np.sort(np.concatenate(own)))
            names = tuple(data.label_names[label] for label in known)
            labels = np.array([known.index(label) for label in some.labels.tolist()])  # type: ignore[union-attr]
            some = dataclasses.replace(some, labels=labels, label_names=names)
            told = np.array(names_of(descriptors, name_model(model, some).prototypes))
            right, unknown, among = told == true, told == "", np.isin(true, names)
            shares.append([part.mean() for part in (right[among], unknown[among], unknown[~among])])
        right, unknown, others = np.mean(shares, axis=0)
        print(f"| {count} | {right:.2f} | {unknown:.2f} | {1 - right - unknown:.2f} | {others:.2f} |")


if __name__ == "__main__":
    main()
