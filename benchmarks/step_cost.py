"""What a training step costs: ordinary auto-encoder, shift, kinds of transforms one more at a time, the literal sum.

    python benchmarks/step_cost.py                             # one thread of the CPU, about a minute
    python benchmarks/step_cost.py --device cuda --batch 1024
    python benchmarks/step_cost.py --json docs/reference/experiments/step_cost.json \\
        --docs docs/explanation/other-methods.md

Every row is a full step (transform, forward, minimum over θ, backward, Adam) on the same batch of random
blobs. Rows take turns within each round, so that a busy machine slows all of them alike, and medians are compared.
On the CPU the process's own time counts, which others on the machine do not lengthen.

The literal sum is the objective as it stands on paper: every image under each of the 289 shifts through encoder and
decoder, and each of them compared one by one; it is measured on a few images and reckoned up to the batch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from recipes import write_between

from tiae_training import objective
from tiae_training.data.arrays import ImageArrays
from tiae_training.networks.config import NETWORKS
from tiae_training.networks.network import Network, build_network
from tiae_training.train.precision import autocast_type
from tiae_training.train.run import make_optimizer
from tiae_training.train.settings import TrainingSettings
from tiae_training.train.trainer import Trainer
from tiae_training.transforms.shifts import shift_images

ALL_KINDS = ("shift", "rotation", "scale", "background", "blur", "gain", "clutter")
FOUR = "shift,rotation,scale,background"
LITERAL_IMAGES = 4

# ratio of two rows, the limit, whether it is the most or the least that is wanted
LIMITS = (("shift", "ordinary", 2.5, True), (FOUR, "shift", 1.5, True), ("literal sum", "shift", 50.0, False))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--network", default="", help="one network for all rows (default: each row's own default)")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--docs", type=Path, help="put the table between the step-cost markers of this Markdown file")
    options = parser.parse_args()

    torch.set_num_threads(1)
    device = torch.device(options.device)
    rows = make_rows(options, device)
    times: dict[str, list[float]] = {name: [] for name in rows}
    for round_number in range(options.rounds + 1):
        for name, step in rows.items():
            seconds = timed(step, device)
            if round_number:  # the first round warms up
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    medians["literal sum"] *= options.batch / LITERAL_IMAGES
    reached = report(medians, options)
    if options.json:
        content = {"milliseconds": {n: 1e3 * s for n, s in medians.items()}, "batch": options.batch}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    if options.docs:
        write_between(options.docs, "step-cost", markdown(medians))
    return 0 if reached else 1


def make_rows(options: argparse.Namespace, device: torch.device) -> dict[str, Callable[[], object]]:
    """name -> one step."""
    arrays = windows(options.batch)
    order = torch.arange(options.batch, device=device)

    def settings(transforms: str) -> TrainingSettings:
        return TrainingSettings(
            transforms=transforms, network=options.network, precision=options.precision, batch_size=options.batch
        )

    def trainer(transforms: str) -> Callable[[], object]:
        chosen = settings(transforms)
        network, optimizer = fresh(chosen.network, device)
        built = Trainer(network, optimizer, chosen, arrays, device)
        built.trust = 1.0  # later in a training two poses are searched where first there is one
        generator = torch.Generator().manual_seed(0)
        network.train()
        return lambda: built.step(order, generator)

    shift = settings("shift")
    network, optimizer = fresh(shift.network, device)
    images = torch.from_numpy(arrays.images).to(device)
    reduced = autocast_type(options.precision, device)
    rows: dict[str, Callable[[], object]] = {
        "ordinary": lambda: ordinary_step(network, optimizer, images, reduced),
    }
    for count in range(1, len(ALL_KINDS) + 1):
        name = ",".join(ALL_KINDS[:count])
        rows[name] = trainer(name)
    literal_network, literal_optimizer = fresh(shift.network, device)
    rows["literal sum"] = lambda: literal_step(literal_network, literal_optimizer, images[:LITERAL_IMAGES], reduced)
    return rows


def windows(count: int) -> ImageArrays:
    """Smooth random blobs in the middle of 32×32 windows."""
    rng = np.random.default_rng(0)
    axis = np.arange(32) - 15.5
    middle = rng.uniform(-3, 3, (count, 2, 1, 1))
    distance = (axis[None, None, :] - middle[:, 0]) ** 2 + 2 * (axis[None, :, None] - middle[:, 1]) ** 2
    return ImageArrays(images=np.exp(-distance / 20.0).astype(np.float32)[:, None])


def fresh(name: str, device: torch.device) -> tuple[Network, torch.optim.Adam]:
    torch.manual_seed(0)
    network = build_network(NETWORKS[name], 1, 32, 30).to(device, memory_format=torch.channels_last).train()
    return network, make_optimizer(network, TrainingSettings(learning_rate=1e-4))


def ordinary_step(
    network: Network, optimizer: torch.optim.Adam, images: torch.Tensor, reduced: torch.dtype | None
) -> None:
    """One view of each image, restored as it is."""
    with torch.autocast(images.device.type, reduced, enabled=reduced is not None):
        restored = network.decode(network.forward_encoder(images)[0]).float()
    follow(objective.restoration(restored, images), optimizer)


def literal_step(
    network: Network, optimizer: torch.optim.Adam, images: torch.Tensor, reduced: torch.dtype | None, radius: int = 8
) -> None:
    """Both sums over Θ as written: Σ_θ ‖D(E(I)) − D(E(T_θ I))‖² and min_θ ‖D(E(I)) − T_θ I‖², shift by shift."""
    axis = torch.arange(-radius, radius + 1, device=images.device)
    shifts = torch.cartesian_prod(axis, axis)  # (289, 2)
    moved = torch.stack([shift_images(images, shift.expand(len(images), 2)) for shift in shifts])  # (289, N, C, S, S)
    with torch.autocast(images.device.type, reduced, enabled=reduced is not None):
        restored = network.decode(network.forward_encoder(images)[0]).float()
        others = network.decode(network.forward_encoder(moved.flatten(0, 1))[0]).float().view_as(moved)
    invariance = torch.stack([objective.invariance(restored, other) for other in others]).mean()
    costs = torch.stack([(restored - target).square().sum((1, 2, 3)) for target in moved])  # (289, N)
    follow(costs.amin(0).mean() + 0.5 * invariance, optimizer)


def follow(loss: torch.Tensor, optimizer: torch.optim.Adam) -> None:
    """Backward and a step of the optimizer."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def timed(step: Callable[[], object], device: torch.device) -> float:
    """Seconds of one step: of this process on a CPU, of the clock on a GPU."""
    if device.type == "cpu":
        start = time.process_time()
        step()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    step()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def report(medians: dict[str, float], options: argparse.Namespace) -> bool:
    """Print the table; whether every limit holds."""
    print(f"{'step':42s} {'ms':>9s} {'× ordinary':>11s} {'× shift':>9s}   batch {options.batch}, {options.device}")
    for name, seconds in medians.items():
        ratios = f"{seconds / medians['ordinary']:11.2f} {seconds / medians['shift']:9.2f}"
        print(f"{name:42s} {1e3 * seconds:9.1f} {ratios}")
    reached = True
    for one, other, limit, most in LIMITS:
        ratio = medians[one] / medians[other]
        good = ratio <= limit if most else ratio >= limit
        reached &= good
        print(f"{one} / {other}: {ratio:.2f}, wanted {'≤' if most else '≥'} {limit:g}{'' if good else '   MISSED'}")
    return reached


def markdown(medians: dict[str, float]) -> str:
    """The table, with ratios."""
    lines = ["| step | ms | × ordinary | × shift |", "|---|---|---|---|"]
    kinds = [name for name in medians if name.split(",")[0] == "shift"]
    labels = {"ordinary": "ordinary auto-encoder", "literal sum": "literal sum over 289 shifts"}
    labels |= {name: name if name == "shift" else f"+ {name.split(',')[-1]}" for name in kinds}
    for name in ("ordinary", *kinds, "literal sum"):
        ratios = [medians[name] / medians[other] for other in ("ordinary", "shift")]
        shown = " | ".join(f"{ratio:,.2f}" if ratio < 10 else f"{ratio:,.0f}" for ratio in ratios)
        lines.append(f"| {labels[name]} | {1e3 * medians[name]:,.0f} | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
