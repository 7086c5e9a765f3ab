"""Train the second look of a segmentation network (`tiae_ros.vision.second_look`) on what the network finds.

    tiae simulate --out empty.npz --count 8000 --seed 104 --subjects 0:1000 --channels frames --empty-share 1
    python -m tiae_training.second_look --network runs/segmentation --data any.npz desk.npz empty.npz --out runs/both

Every frame is looked at a few times as in the network's own training, and each region that the network takes for a hand
without being sure is seen close up: half or more of it on a true hand, or nothing of it. What is between is left out.
The network itself stays as it is. Give frames that it has not learnt from: there it is deceived as it will be later.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tiae_ros.core.model_files import write_durably
from tiae_ros.errors import DataError, OutputError, ParameterError, TiaeError, TrainingError
from tiae_ros.vision.plausible_cells import LEAST_CERTAINTY, plausible_cells
from tiae_ros.vision.second_look import SIDE_CELLS, SecondLook, close_up
from tiae_ros.vision.segmentation import HAND, NONE, SegmentationSettings
from tiae_ros.vision.segmentation_network import (
    SegmentationNetwork,
    Segmenter,
    input_planes,
    load_network,
    save_segmentation,
    shares,
)
from tiae_training.segmentation import (
    FrameArrays,
    SeenFrame,
    SegmentationTraining,
    bare_hands,
    card_text,
    load_frames,
    seen_by_another,
)

COLOUR, DEPTH = slice(0, 3), slice(4, 8)  # planes of a view
LEFT_OUT = ((slice(0, 4), 0.08), (DEPTH, 0.12), (slice(8, 10), 0.15), (slice(10, 11), 0.1))  # planes, share of views
MIRRORED, TONE, ROUGH_SHARE, ROUGHNESS = 0.5, 0.15, 0.5, 0.1
HOLE_SHARE, HOLE_CELLS = 0.4, (6, 18)
TRUE_SHARE, FALSE_SHARE = 0.5, 0.05  # of a region's cells on a hand; on hand or held thing
LEAST_REGIONS = 20  # of either kind


@dataclass(frozen=True)
class SecondLookTraining:
    """How to train; saved with the model."""

    looks: int = 2  # at each frame, on average
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    matcher_share: float = 0.4  # this and the next ones as in `SegmentationTraining`
    hidden_hand_share: float = 0.6
    bare_hand_share: float = 0.1
    colourless_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("looks", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be at least 1")
        self.frames()

    def frames(self) -> SegmentationTraining:
        """How frames are looked at; whole ones."""
        shared = ("matcher_share", "hidden_hand_share", "bare_hand_share", "colourless_share")
        return SegmentationTraining(**{name: getattr(self, name) for name in shared}, height=112, width=144)


@dataclass(frozen=True)
class FoundRegions:
    """Regions close up and whether they are hands."""

    views: NDArray[np.float16]  # (N, 12, 48, 48)
    hands: NDArray[np.bool_]  # (N,)
    certainty: NDArray[np.float32]  # (N,) mean probability of their cells

    def __len__(self) -> int:
        return len(self.hands)


def regions_of(segmenter: Segmenter, seen: SeenFrame) -> list[tuple[NDArray[np.float32], bool, float]]:
    """Views, truth and certainty of the regions of one frame that a second look would be asked about."""
    planes = np.ascontiguousarray(input_planes(seen.color, seen.depth_m, seen.focal_px).transpose(2, 0, 1))
    scores = segmenter.scores(planes)
    probabilities = shares(scores)
    found = []

    def note(region: NDArray[np.bool_], of_cells: float) -> float:
        labels = seen.labels[region]
        is_hand = (labels == HAND).mean() >= TRUE_SHARE
        if is_hand or (labels != NONE).mean() <= FALSE_SHARE:
            view = close_up(planes, seen.depth_m, probabilities[1:], region, seen.focal_px)
            found.append((view, bool(is_hand), of_cells))
        return 0.0

    settings = SegmentationSettings(hand_certainty_min=LEAST_CERTAINTY)
    plausible_cells(scores, seen.depth_m, seen.focal_px, settings, note)
    return found


def collect(
    network: SegmentationNetwork,
    frames: FrameArrays,
    settings: SecondLookTraining,
    report: Callable[[int, int], None] | None = None,
) -> FoundRegions:
    """What the network finds in each frame, `looks` times. Raises DataError for too little of either kind."""
    segmenter = Segmenter(network)
    chance = np.random.default_rng(settings.seed)
    bare = bare_hands(frames) if settings.bare_hand_share else np.empty(0, np.int64)
    views, hands, certainty = [], [], []
    total = settings.looks * len(frames)
    for number in range(total):
        index = number % len(frames)
        if settings.bare_hand_share and chance.random() < settings.bare_hand_share:
            index = int(chance.choice(bare))
        seen = seen_by_another(frames, index, chance, settings.frames())
        for view, is_hand, sure in regions_of(segmenter, seen):
            views.append(view.astype(np.float16))
            hands.append(is_hand)
            certainty.append(sure)
        if report and number % 1000 == 999:
            report(number + 1, total)
    counts = np.bincount(np.array(hands, int), minlength=2)
    if counts.min() < LEAST_REGIONS:
        raise DataError(
            f"the network was unsure of {counts[1]} hands and {counts[0]} other regions in {len(frames)} frames; "
            f"needed are {LEAST_REGIONS} each: give more frames, with hands and without"
        )
    return FoundRegions(np.stack(views), np.array(hands), np.array(certainty, np.float32))


def train(
    found: FoundRegions, settings: SecondLookTraining, *, report: Callable[[int, float], None] | None = None
) -> SecondLook:
    """Hands and others count alike, whatever their numbers. Raises TrainingError for a loss that is not finite."""
    torch.manual_seed(settings.seed)
    look = SecondLook().train()
    views, hands, certainty = (torch.from_numpy(a) for a in (found.views, found.hands, found.certainty))
    weights = torch.where(hands, 0.5 / hands.float().mean(), 0.5 / (~hands).float().mean())
    steps = max(1, len(found) // settings.batch_size)
    optimizer = torch.optim.AdamW(
        look.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=steps * settings.epochs, pct_start=0.1
    )
    for epoch in range(settings.epochs):
        total = 0.0
        for rows in torch.randperm(len(found)).tensor_split(steps):
            seen = _varied(views[rows].float())
            odds = look(seen, certainty[rows])
            loss = F.binary_cross_entropy_with_logits(odds, hands[rows].float(), weight=weights[rows])
            total += float(loss.detach())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        if not math.isfinite(total):
            raise TrainingError(f"the loss is {total} in epoch {epoch + 1}; lower the learning rate")
        if report:
            report(epoch + 1, total / steps)
    return look.eval()


def _varied(views: Tensor) -> Tensor:
    """Views (N, 12, 48, 48), changed in place: mirrored, other colours, rougher depth with a hole, planes left out.

    Of real pictures each plane differs from rendered ones in its own way, so that none of them may decide alone.
    """
    count = len(views)
    mirrored = torch.rand(count) < MIRRORED
    views[mirrored] = views[mirrored].flip(-1)
    gains, offsets = (TONE * torch.randn(count, 3, 1, 1) for _ in range(2))
    views[:, COLOUR] = (views[:, COLOUR] * (1 + gains) + offsets) * views[:, 3:4]
    rough = (torch.rand(count, 1, 1, 1) < ROUGH_SHARE) * ROUGHNESS * views[:, 4:5]
    views[:, DEPTH] += rough * torch.randn(count, 4, *views.shape[2:])
    for planes, share in LEFT_OUT:
        views[torch.rand(count) < share, planes] = 0
    for row in torch.nonzero(torch.rand(count) < HOLE_SHARE)[:, 0].tolist():
        side = int(torch.randint(*HOLE_CELLS, (1,)))
        top, left = torch.randint(0, SIDE_CELLS - HOLE_CELLS[0], (2,)).tolist()
        views[row, DEPTH, top : top + side, left : left + side] = 0
    return views


@torch.inference_mode()
def judged(look: SecondLook, found: FoundRegions) -> NDArray[np.float32]:
    """Probabilities of being a hand (N,)."""
    views, certainty = (torch.from_numpy(array).split(256) for array in (found.views, found.certainty))
    parts = [torch.sigmoid(look(some.float(), sure)) for some, sure in zip(views, certainty, strict=True)]
    probabilities: NDArray[np.float32] = torch.cat(parts).numpy()
    return probabilities


def with_second_look(network: SegmentationNetwork, look: SecondLook) -> SegmentationNetwork:
    """The network, and what looks again stored with it."""
    network.manifest = dataclasses.replace(network.manifest, second_look=True)
    network.second_look = look
    return network


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, required=True, metavar="DIR", help="segmentation network")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="FRAMES.npz", help="frames")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder to write")
    for item in dataclasses.fields(SecondLookTraining):
        parser.add_argument(
            f"--{item.name.replace('_', '-')}", type=type(item.default), default=item.default, help="%(default)s"
        )
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args(arguments)
    try:
        return _run(options, list(arguments if arguments is not None else sys.argv[1:]))
    except TiaeError as error:
        print(f"second look: error: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, words: list[str]) -> int:
    if options.out.exists() and not options.overwrite:
        raise OutputError(f"{options.out} exists; give another --out or --overwrite")
    names = [item.name for item in dataclasses.fields(SecondLookTraining)]
    settings = SecondLookTraining(**{name: getattr(options, name) for name in names})
    network = load_network(options.network)
    found = collect(network, load_frames(options.data), settings, _progress("frames"))
    look = train(found, settings, report=lambda epoch, loss: print(f"epoch {epoch}  loss {loss:.4f}", flush=True))
    training = {
        **network.manifest.training,
        "second look": {
            "command": "python -m tiae_training.second_look " + " ".join(words),
            "hands": int(found.hands.sum()),
            "others": int((~found.hands).sum()),
            "settings": dataclasses.asdict(settings),
        },
    }
    save_segmentation(with_second_look(network, look), options.out, training=training)
    write_durably(options.out / "card.md", card_text(network.manifest).encode())
    return 0


def _progress(what: str) -> Callable[[int, int], None]:
    return lambda done, total: print(f"{done} of {total} {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
