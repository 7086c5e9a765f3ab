"""Train a segmentation network on rendered frames; `tiae train segmentation` is its command.

One step: draw frames, look at each through another virtual camera (`augmentation`), and lower cross-entropy and
1 - Dice of hand and held thing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tiae_ros.errors import ParameterError, TrainingError
from tiae_ros.vision.segmentation.planes import INPUTS
from tiae_training.mean_weights import mean_weights
from tiae_training.networks.segmentation import SegmentationNetwork
from tiae_training.segmentation.augmentation import augmented
from tiae_training.segmentation.folder import load_segmentation_network
from tiae_training.segmentation.frames import FrameArrays, empty_hands
from tiae_training.segmentation.loss import loss_of
from tiae_training.segmentation.settings import SegmentationTraining
from tiae_training.train.precision import autocast_type


class _Batches(torch.utils.data.IterableDataset[tuple[Tensor, Tensor]]):
    """Batches without end, the same for the same seed: planes (B, h, w, 9) and labels (B, h, w)."""

    def __init__(self, frames: FrameArrays, settings: SegmentationTraining) -> None:
        self._frames, self._settings = frames, settings
        self._bare = empty_hands(frames) if settings.empty_hand_share else np.empty(0, np.int64)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        frames, settings = self._frames, self._settings
        rng = np.random.default_rng(settings.seed)
        order: list[int] = []
        while True:
            planes = np.zeros((settings.batch_size, settings.height, settings.width, INPUTS), np.float32)
            labels = np.zeros((settings.batch_size, settings.height, settings.width), np.uint8)
            for row in range(settings.batch_size):
                if not order:
                    order = rng.permutation(len(frames)).tolist()
                index = order.pop()
                if settings.empty_hand_share and rng.random() < settings.empty_hand_share:
                    index = int(rng.choice(self._bare))
                planes[row], labels[row] = augmented(frames, index, rng, settings)
            yield torch.from_numpy(planes), torch.from_numpy(labels)


def first_network(
    settings: SegmentationTraining, start: str | None = None, widths: Sequence[int] | None = None
) -> tuple[SegmentationNetwork, dict[str, Any]]:
    """The network that a training begins with, drawn from the settings' seed, and what its manifest says of that.

    start: go on from this model; widths: channels of its levels, wider than those of start. Raises ModelError.
    """
    torch.manual_seed(settings.seed)
    said: dict[str, Any] = {"torch": torch.__version__}
    if not start:
        return SegmentationNetwork(*([widths] if widths else [])), said
    network, manifest = load_segmentation_network(start)
    return widened(network, widths) if widths else network, {**said, "started from": dict(manifest.training)}


def train(
    frames: FrameArrays,
    settings: SegmentationTraining,
    *,
    start: SegmentationNetwork | None = None,
    report: Callable[[int, float], None] | None = None,
    prefetch: bool = False,
) -> SegmentationNetwork:
    """Train a network (from `start`, if given). Raises TrainingError for a loss that is not finite.

    prefetch: draw frames in a process of its own, which takes less time on two cores and gives the same network.
    """
    torch.manual_seed(settings.seed)
    network = start or SegmentationNetwork()
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    reduced = autocast_type(settings.precision, torch.device("cpu"))
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=0.1
    )
    ahead: dict[str, Any] = {"num_workers": 1, "prefetch_factor": 4} if prefetch else {}
    batches = iter(torch.utils.data.DataLoader(_Batches(frames, settings), batch_size=None, **ahead))
    mean = math.nan
    for step in range(settings.steps):
        planes, labels = next(batches)
        inputs = planes.permute(0, 3, 1, 2)  # (B, 9, h, w), channels last in memory
        with torch.autocast("cpu", reduced, enabled=reduced is not None):
            scores = network(inputs)
        loss = loss_of(scores.float(), labels.long(), settings.hard_negative_weight)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"the loss is {value} at step {step}; lower the learning rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        mean = value if math.isnan(mean) else 0.98 * mean + 0.02 * value
        if report and (step % 50 == 49 or step == settings.steps - 1):
            report(step + 1, mean)
    return network.eval()


def widened(network: SegmentationNetwork, widths: Sequence[int]) -> SegmentationNetwork:
    """A network of more channels that gives what this one does, and can learn more (Net2Net, arXiv 1511.05641).

    Nothing that was there is given what the new channels make, until training finds a use for it.

    Raises:
        ParameterError: fewer channels than there are.
    """
    if any(wide < old for wide, old in zip(widths, network.widths, strict=True)):
        raise ParameterError(f"widths are {list(widths)}; at least {list(network.widths)} is what the network has")
    wide = SegmentationNetwork(widths, network.blocks)
    old = network.state_dict()
    with torch.no_grad():
        for name, values in wide.state_dict().items():
            if values.dim() < 2:
                values[tuple(map(slice, old[name].shape))] = old[name]
            else:
                outputs, inputs = old[name].shape[:2]
                values[:outputs, inputs:] = 0
                values[:outputs, :inputs] = old[name]
    return wide.train(network.training)


def average(networks: Sequence[SegmentationNetwork]) -> SegmentationNetwork:
    """A network with the mean of the weights of some, surer than each of what is no hand. Raises ModelError."""
    first = networks[0]
    weights = mean_weights(networks)
    mean = SegmentationNetwork(first.widths, first.blocks)
    mean.load_state_dict(weights)
    return mean.eval()
