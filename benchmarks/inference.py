"""Encoder, decoder and shift of one window on one core: what the networks alone cost.

    python benchmarks/inference.py                          # every shipped model, 2,000 passes, without and with pauses
    python benchmarks/inference.py --models runs/mine --passes 500

Times of `Autoencoder.infer`, batch 1, one thread: by the clock, and the processor's, which other work on the machine
does not lengthen by waiting. Pauses of 33 ms let caches go cold, as between two frames of a camera. Wanted of a model
that a robot runs is a median of 1.2 ms at most.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from tiae_ros import load_model

MOST_MS = 1.2


def passes_ms(name: str, count: int, pause_ms: float = 0.0) -> tuple[float, float, float]:
    """Median and 99th percentile of so many passes by the clock, and the median of their processor time."""
    model = load_model(name, threads=1)
    size = model.manifest.window_size
    window = np.zeros((1, len(model.manifest.channels), size, size), np.float32)
    window[:, :, size // 4 : size // 2, size // 4 : -size // 4] = 0.5
    times, busy = [], []
    for number in range(-50, count):  # the first ones warm up
        time.sleep(pause_ms / 1e3 if number >= 0 else 0)
        started, began = time.perf_counter(), time.thread_time()
        model.infer(window)
        if number >= 0:
            times.append((time.perf_counter() - started) * 1e3)
            busy.append((time.thread_time() - began) * 1e3)
    return float(np.median(times)), float(np.percentile(times, 99)), float(np.median(busy))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["hands", "grasp", "depth"], metavar="MODEL")
    parser.add_argument("--passes", type=int, default=2000)
    parser.add_argument("--pause", type=float, default=33.0, metavar="MS")
    options = parser.parse_args()
    for name in options.models:
        for pause in dict.fromkeys((0.0, options.pause)):
            median, worst, busy = passes_ms(name, options.passes, pause)
            word = "reached" if median <= MOST_MS else "MISSED"
            figures = f"median {median:6.3f} ms  p99 {worst:6.3f} ms  processor {busy:6.3f} ms"
            print(f"{name:16s} pause {pause:4.0f} ms  {figures}  {word}", flush=True)


if __name__ == "__main__":
    main()
