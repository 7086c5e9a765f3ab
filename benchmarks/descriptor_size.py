"""How well so many numbers can restore a digit at all: principal components of clean digits, told the foreground.

    python benchmarks/descriptor_size.py             # half a minute on one core
    python benchmarks/descriptor_size.py --sizes 30

No background, no shift: what a straight (linear) descriptor of each size loses of held-out digits. A network that
also has to see through a background is held against the same measures by `tiae recipe foreground-noise`.
"""

from __future__ import annotations

import argparse
import sys

import torch

from tiae_training.baselines import fit_baseline
from tiae_training.data.digits import load_digits
from tiae_training.recipes.foreground import compare


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[30, 64, 128])
    options = parser.parse_args()
    training, test = load_digits()
    print("numbers  foreground_error    iou")
    for size in options.sizes:
        components = fit_baseline("pca", training, radius_px=0, descriptor_size=size)
        figures = compare(*map(torch.from_numpy, (components.restore(test.images).clip(0, 1), test.images)))
        print(f"{size:7d}  {figures['foreground_error']:16.3f} {figures['iou']:6.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
