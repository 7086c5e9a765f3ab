"""Train the two looks on memory-mapped examples (`examples`): AdamW, one cycle, bfloat16 where the CPU has it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tiae_ros.errors import TrainingError
from tiae_ros.model.segmenter import cpu_flags
from tiae_training.processes import average, process_count, process_rank
from tiae_training.train.distributed import average_gradients, same_everywhere
from tiae_training.workers import made_ahead

from .batches import CropBatch, GridBatch, Rows, Worse

_QUICK_WITH_16_BITS = {"avx512_bf16", "amx_bf16"}  # CPU flags; elsewhere bfloat16 is slower than float32


@dataclass(frozen=True)
class Schedule:
    """Steps `first` to `last` of a training of `steps` in all, over which the rate comes down."""

    steps: int
    batch: int
    learning_rate: float = 2e-3
    seed: int = 0
    minutes: float = 1e9  # ends earlier, the rate coming down all the same
    first: int = 0
    last: int | None = None
    report_every: int = 100

    @property
    def end(self) -> int:
        return self.steps if self.last is None else self.last


def proposal_loss(network: nn.Module, batch: GridBatch) -> dict[str, Tensor]:
    """Focal loss of the heat (Law and Deng 2018), distances of place, direction, length; share of hand."""
    given = _beside(network)
    answers = network(given(batch.planes)).float()
    heat, counts = given(batch.heat), given(batch.counts)
    score = torch.sigmoid(answers[:, 0]).clamp(1e-4, 1 - 1e-4)
    sure = (heat >= 0.999).float()
    gain = sure * (1 - score) ** 2 * torch.log(score) + (1 - sure) * (1 - heat) ** 4 * score**2 * torch.log(1 - score)
    hands = torch.clamp((sure * counts).sum(), min=1.0)
    known = given(batch.known)
    apart = torch.abs(answers[:, 1:6] - given(batch.places)) * known[:, None]
    area = functional.binary_cross_entropy_with_logits(answers[:, 6], given(batch.area))
    return {
        "heat": -(gain * counts).sum() / hands,
        "place": 0.5 * apart.sum() / torch.clamp(known.sum(), min=1.0),
        "area": 2.0 * area,
    }


def close_loss(network: nn.Module, batch: CropBatch) -> dict[str, Tensor]:
    """Cross entropy and overlap of the classes, is it a hand, left or right, place and direction."""
    given = _beside(network)
    scores, facts = network(given(batch.planes))
    scores, facts = scores.float(), facts.float()
    labels, hand = given(batch.labels), given(batch.is_hand)
    weight = torch.tensor([1.0, 1.5, 3.0, 1.5], device=scores.device)
    per_cell = functional.cross_entropy(scores, labels, weight=weight, reduction="none").mean((1, 2))
    chances = torch.softmax(scores, 1)
    told = functional.one_hot(labels, scores.shape[1]).permute(0, 3, 1, 2).float()
    both = (chances * told).sum((2, 3))
    either = chances.sum((2, 3)) + told.sum((2, 3)) - both
    there = (told.sum((2, 3)) > 8).float() * hand[:, None]
    overlap = (1 - (both + 1) / (either + 1)) * there
    told_facts = given(np.concatenate([batch.middle, batch.arm], axis=1))
    apart = functional.smooth_l1_loss(facts[:, 2:], told_facts, beta=0.1, reduction="none").mean(1) * hand
    hands = torch.clamp(hand.sum(), min=1.0)
    side = functional.binary_cross_entropy_with_logits(facts[:, 1], given(batch.left), reduction="none") * hand
    return {
        "classes": (per_cell * (0.4 + 0.6 * hand)).mean(),
        "overlap": 0.5 * overlap[:, 1:].sum() / torch.clamp(there[:, 1:].sum(), min=1.0),
        "hand": 2.0 * functional.binary_cross_entropy_with_logits(facts[:, 0], hand),
        "side": 0.15 * side.sum() / hands,
        "place": 2.0 * apart.sum() / hands,
    }


def _beside(network: nn.Module) -> Callable[[Any], Tensor]:
    """What brings arrays to where a network is; anything else that is called like one is on the CPU."""
    weights = network.parameters() if isinstance(network, nn.Module) else iter(())
    device = next((weight.device for weight in weights), torch.device("cpu"))
    return lambda array: torch.from_numpy(array).to(device)


def train(
    network: nn.Module,
    rows: Rows,
    make: Callable[[Rows, Any, np.random.Generator, Worse], Any],
    loss: Callable[[nn.Module, Any], dict[str, Tensor]],
    schedule: Schedule,
    worse: Worse,
    title: str,
    weights: np.ndarray | None = None,
) -> None:
    """Train a network in place, where it is. Raises TrainingError for a loss that is not finite.

    title: what is printed before each line. weights: how often each row is drawn, relative to the others. Processes
    that train together have equal shares of each batch; normalisation goes by each one's share (there are cells enough
    in it), and in the end by their mean. The first one prints.
    """
    torch.manual_seed(schedule.seed)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    same_everywhere(network)
    device, first = next(network.parameters()).device, process_rank() == 0
    optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=1e-3)
    quick = device.type == "cuda" or not _QUICK_WITH_16_BITS.isdisjoint(cpu_flags())
    mean = {name: value.detach().clone() for name, value in network.state_dict().items()}
    began = time.monotonic()
    sums: dict[str, float] = {}
    count = len(next(iter(rows.values())))
    for done, batch in enumerate(_ahead(rows, make, schedule, worse, count, weights)):
        step = schedule.first + done
        gone = _minutes_since(began)
        share = max(step / schedule.steps, schedule.first / schedule.steps + gone / schedule.minutes)
        rate = schedule.learning_rate * min(1.0, (done + 1) / 200) * 0.5 * (1 + np.cos(np.pi * min(share, 1.0)))
        for group in optimizer.param_groups:
            group["lr"] = max(rate, 1e-6)
        network.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=quick):
            parts = loss(network, batch)
        total = sum(parts.values())
        if not math.isfinite(float(total.detach())):  # type: ignore[union-attr]
            raise TrainingError(
                f"{title}: the loss is not a finite number at step {step}; give a lower --learning-rate than "
                f"{schedule.learning_rate:g}"
            )
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[union-attr]
        average_gradients(network.parameters())
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        decay = min(0.998, (step + 1) / (step + 20))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                if value.dtype.is_floating_point:
                    mean[name].lerp_(value, 1 - decay)
                else:
                    mean[name].copy_(value)
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if (done + 1) % schedule.report_every == 0:
            told = "  ".join(f"{name} {value / schedule.report_every:.4f}" for name, value in sums.items())
            if first:
                print(f"{title}  step {step + 1}  {gone:.1f} min  rate {rate:.2e}  {told}", flush=True)
            sums = {}
        if share >= schedule.end / schedule.steps:
            break
    if process_count() > 1:
        mean = {name: average(value) if value.dtype.is_floating_point else value for name, value in mean.items()}
    network.load_state_dict(mean)


def _minutes_since(began: float) -> float:
    """The same number in all processes, which thus end at the same step."""
    minutes = (time.monotonic() - began) / 60
    return float(average(torch.tensor(minutes))) if process_count() > 1 else minutes


def _ahead(
    rows: Rows,
    make: Callable[[Rows, Any, np.random.Generator, Worse], Any],
    schedule: Schedule,
    worse: Worse,
    count: int,
    weights: np.ndarray | None,
) -> Iterator[Any]:
    """Batches, made by a thread while the network works on the one before."""
    chances = None if weights is None else weights / weights.sum()

    def batch(step: int) -> Any:
        rng = np.random.default_rng([schedule.seed, step, 7])
        chosen = np.sort(rng.choice(count, schedule.batch, p=chances))
        if process_count() > 1:
            rng = np.random.default_rng([schedule.seed, step, 7, process_rank()])
        return make(rows, chosen[process_rank() :: process_count()], rng, worse)

    yield from made_ahead(batch, range(schedule.first, schedule.end))
