"""The state of a running training; an epoch reads top to bottom.

One step: draw two transforms of each image, restore both views, find the transformed input nearest to each
restored picture, and weigh the terms of `tiae_training.objective` against each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from tiae_ros.errors import ParameterError, TrainingError
from tiae_training import objective
from tiae_training.data.arrays import ImageArrays
from tiae_training.data.backgrounds import background_pool, foreground_masks
from tiae_training.data.deformation import deform, draw_deformations
from tiae_training.hand_measures import MASKS
from tiae_training.networks.network import Network
from tiae_training.networks.steering import turned
from tiae_training.processes import average, process_count
from tiae_training.train.checkpoint import Progress
from tiae_training.train.collapse import attempt_seed, single_picture_restoration
from tiae_training.train.distributed import average_gradients, gather_batch, own_rows
from tiae_training.train.neighbours import Neighbours, share_at
from tiae_training.train.precision import autocast_type
from tiae_training.train.settings import TrainingSettings
from tiae_training.transforms.build import build_transform
from tiae_training.transforms.poses import widened
from tiae_training.transforms.transform import Transform

# Terms that have a weight of their name in the settings, in the order in which they are added.
WEIGHTED = (
    *("restoration", "invariance", "sparseness", "regression", "angle", "agreement", "clearing"),
    *("surface", "overlap", "contrastive"),
)


class Trainer:
    """The state of a running training; an epoch reads top to bottom."""

    def __init__(
        self,
        network: Network,
        optimizer: torch.optim.Adam,
        settings: TrainingSettings,
        arrays: ImageArrays,
        device: torch.device,
        *,
        attempt: int = 0,
        with_neighbours: bool = True,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.settings = settings
        self.device = device
        self.draw_seed = attempt_seed(settings.seed, attempt)
        self.transform: Transform = build_transform(
            settings.transforms,
            settings.ranges(),
            backgrounds=background_pool(arrays, settings.transforms, settings.seed),
            patterns=torch.from_numpy(arrays.targets),
        )
        masks = foreground_masks(arrays)
        self.masks = None if masks is None else masks.to(device)
        self.emphasis = channel_emphasis(arrays, settings).to(device)
        self.mask_channels = [index for index, name in enumerate(arrays.channels) if name in MASKS]
        if settings.overlap_weight and not self.mask_channels:
            names = ", ".join(arrays.channels) or "(unnamed)"
            raise ParameterError(
                f"overlap_weight is {settings.overlap_weight:g} for channels {names}; accepted is 0, or windows with "
                f"{' or '.join(MASKS)}"
            )
        self.images = torch.from_numpy(arrays.images).to(device)
        self.clean = None if arrays.clean is None else torch.from_numpy(arrays.clean).to(device)
        if self.masks is not None and self.transform.changes_appearance:
            self.images = self.images * self.masks  # the pattern on black: what lies behind it is drawn anew
        self.batch_size = min(settings.batch_size, len(arrays))
        self.steps_per_epoch = len(arrays) // self.batch_size
        self.trust = 0.0 if settings.upright_fraction else 1.0
        self.neighbours: Neighbours | None = None
        self.neighbour_share = 0.0
        if settings.neighbour_share and with_neighbours:
            self.neighbours = Neighbours(len(arrays), settings.descriptor_size, device)
        self.reduced = autocast_type(settings.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.reduced is torch.float16)

    def run_epoch(
        self,
        epoch: int,
        *,
        unfinished: tuple[Progress, torch.Tensor] | None = None,
        after_step: Callable[[int, dict[str, torch.Tensor], torch.Generator], None] | None = None,
    ) -> dict[str, float]:
        """One pass over the data; the mean of each term. Draws from a generator seeded by (seed, attempt, epoch).

        unfinished: how far the epoch has come already, and the draws' state then. after_step is told the steps done,
        the sums of their terms and the generator, after every step but the last.
        """
        generator = torch.Generator().manual_seed(self.draw_seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.images), generator=generator)
        self.network.train()
        done = 0
        sums: dict[str, torch.Tensor] = {}
        if unfinished is not None:
            progress, state = unfinished
            generator.set_state(state)
            done = progress.step
            sums = {name: torch.tensor(value, device=self.device) for name, value in progress.sums.items()}
        for step in range(done, self.steps_per_epoch):
            rows = own_rows(order[step * self.batch_size : (step + 1) * self.batch_size]).to(self.device)
            self._set_progress(epoch * self.steps_per_epoch + step)
            terms = self.step(rows, generator)
            values = average(torch.stack([value.detach() for value in terms.values()]))
            for name, value in zip(terms, values, strict=True):
                sums[name] = sums.get(name, torch.zeros((), device=self.device)) + value
            if after_step and step + 1 < self.steps_per_epoch:
                after_step(step + 1, sums, generator)
        means = {name: float(value) / self.steps_per_epoch for name, value in sums.items()}
        if not all(math.isfinite(value) for value in means.values()):
            raise TrainingError(
                f"the loss became non-finite in epoch {epoch + 1} ({means}); lower --learning-rate or the weights"
            )
        return means

    @torch.no_grad()
    def held_out_objective(self) -> float:
        """The objective of these windows, without learning from them: under the same transforms at every call."""
        generator = torch.Generator().manual_seed(self.draw_seed)
        self.network.eval()
        pairs = torch.arange(len(self.images) // (2 * process_count()) * 2 * process_count()).view(-1, 2)
        batches = pairs.chunk(math.ceil(2 * len(pairs) / self.batch_size))  # alike in size, so that none is too small
        total = torch.zeros((), device=self.device)
        for batch in batches:
            rows = own_rows(batch.flatten()).to(self.device)
            total += len(batch) * self.objective(self.terms(rows, generator))
        return float(average(total)) / len(pairs)

    def step(self, rows: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Learn from a batch; its terms and the objective."""
        terms = self.terms(rows, generator)
        terms["objective"] = self.objective(terms)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(terms["objective"]).backward()
        average_gradients(self.network.parameters())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return terms

    def terms(self, rows: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The terms of the objective for a batch, and how much restored pictures vary (as targets do: 1)."""
        both = torch.cat((rows, rows))  # two views of each image
        images, masks, clean, twins = self._deformed(both, generator)
        parameters = self.transform.draw(len(both) * process_count(), generator)
        parameters = own_rows(parameters, views=2).to(self.device)
        roll = self.transform.columns.index("roll") if "roll" in self.transform.columns else None
        if roll is not None:  # one view of each stays as it is: turning blurs, and cuts off what lies in the corners
            parameters[: len(rows), roll] = 0.0
        views = self.transform.apply(images, parameters, masks)  # (2B, C, S, S)
        targets = views
        if clean is not None or self.transform.changes_appearance:
            targets = self.transform.move(images if clean is None else clean, parameters)
        with torch.autocast(self.device.type, self.reduced, enabled=self.reduced is not None):
            encoded = self.network.encode_all(views)
            restored = self.network.decode(encoded.descriptors)
            if roll is not None:
                rolls = [half[:twins] for half in parameters[:, roll].chunk(2)]
                twin, other_twin = (half[:twins] for half in encoded.descriptors.chunk(2))
                as_first = self.network.decode(turned(other_twin, rolls[0] - rolls[1])).float()
        descriptors, regressed, restored = encoded.descriptors.float(), encoded.parameters.float(), restored.float()
        with torch.no_grad():
            if self.settings.whole_targets:
                whole = images if clean is None else clean
                nearest, found = self.transform.nearest_whole(
                    restored, whole, parameters, regressed, self.trust, upright=self.settings.upright_fraction > 0
                )
            else:
                nearest, found = self.transform.nearest(restored, targets, regressed)
        weighed = restored * self.emphasis
        one, other = (half[:twins] for half in weighed.chunk(2))
        if roll is not None:  # the other view's, turned as the first one is
            other = as_first * self.emphasis
        terms = {
            "restoration": objective.restoration(weighed, nearest * self.emphasis),
            "invariance": objective.invariance(one, other),
            "sparseness": objective.sparseness(descriptors),
            "regression": objective.regression(regressed, found),
        }
        if roll is not None:
            terms["agreement"] = objective.turn_agreement(twin, other_twin, *rolls)
        if encoded.logits is not None:
            wide = regressed.shape[1]
            drawn, drawn_other = (one[:twins] for one in widened(parameters[:, : found.shape[1]], wide).chunk(2))
            logits, logits_other = (one[:twins] for one in encoded.logits.float().chunk(2))
            terms["angle"] = objective.angle(encoded.logits.float(), widened(found, wide))
            terms["agreement"] = objective.agreement(logits, logits_other, drawn, drawn_other)
        if encoded.cleared is not None and encoded.logits is not None:  # a static pattern's restoration says as much
            terms["clearing"] = objective.restoration(encoded.cleared.float(), targets)
        if self.settings.surface_weight:
            terms["surface"] = objective.surface(restored, nearest)
        if self.settings.overlap_weight:
            terms["overlap"] = objective.overlap(restored[:, self.mask_channels], nearest[:, self.mask_channels])
        if self.settings.contrastive_weight:
            one, other = (gather_batch(half) for half in descriptors.chunk(2))
            terms["contrastive"] = self._contrastive(rows, one, other, generator)
        with torch.no_grad():
            terms["restored_variation"] = restored.var(0).sum() / targets.var(0).sum().clamp_min(1e-12)
        return terms

    def _contrastive(
        self, rows: torch.Tensor, one: torch.Tensor, other: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """The contrastive term of a whole batch's two views (B, K), and of their neighbours as far as these count."""
        temperature = self.settings.contrastive_temperature
        term = objective.contrastive(one, other, temperature)
        if self.neighbours is None:
            return term
        rows = gather_batch(rows)
        if self.neighbour_share:
            near = self.neighbours.near(rows, one, generator)
            of_them = 0.5 * sum(objective.contrastive(view, near, temperature) for view in (one, other))
            term = (1.0 - self.neighbour_share) * term + self.neighbour_share * of_them
        self.neighbours.remember(rows, one)
        return term

    def objective(self, terms: dict[str, torch.Tensor]) -> torch.Tensor:
        """The terms weighed against each other."""
        weights = {name: getattr(self.settings, f"{name}_weight") for name in WEIGHTED if name in terms}
        total = torch.zeros((), device=self.device)
        for name, weight in weights.items():
            total = total + weight * terms[name]
        return total

    def single_picture_restoration(self) -> float:
        """The restoration term of the best single picture for all windows."""
        targets = self.images if self.clean is None else self.clean
        found = single_picture_restoration(
            self.transform,
            targets * self.emphasis,
            self.settings.seed,
            whole=bool(self.settings.whole_targets),
        )
        return float(average(torch.tensor(found)))

    def _deformed(
        self, both: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, int]:
        """Images, masks and clean images of two views (2B, …), and of how many the two views show the same pattern.

        Where descriptors are contrasted, the second half of the batch shows two deformations of each image; twins,
        which alone can say whether the restored picture is invariant, are the first half.
        """
        settings = self.settings
        images = self.images[both]
        masks = None if self.masks is None else self.masks[both]
        clean = None if self.clean is None else self.clean[both]
        count = len(both) // 2
        if not settings.deformation:
            return images, masks, clean, count
        side = images.shape[-1]
        assert settings.deformation is not None
        deformations = draw_deformations(len(both) * process_count(), side, settings.deformation, generator)
        deformations = own_rows(deformations, views=2)
        twins = (count + 1) // 2 if settings.contrastive_weight else count
        deformations[count : count + twins] = deformations[:twins]
        deformations = deformations.to(self.device)
        return (
            deform(images, deformations),
            None if masks is None else deform(masks, deformations),
            None if clean is None else deform(clean, deformations),
            twins,
        )

    def _set_progress(self, step: int) -> None:
        """The learning rate, the trust in estimated poses and how much neighbours count at a step.

        The rate makes one cycle: up to the peak over the warm-up, down to nearly nothing by a cosine (Smith & Topin
        2018). Trust rises evenly, from nothing when half of the upright steps are over to all at their end.
        """
        total = max(2, self.settings.epochs * self.steps_per_epoch)
        upright = self.settings.upright_fraction
        self.trust = min(1.0, max(0.0, 2.0 * step / (upright * total) - 1.0)) if upright else 1.0
        self.neighbour_share = share_at(step / total, self.settings.neighbour_share)
        rising = max(1, round(self.settings.warmup_fraction * total))
        if step < rising:
            share = 0.04 + 0.96 * _cosine_rise(step / rising)
        else:
            share = 1e-4 + (1 - 1e-4) * _cosine_rise(1.0 - (step - rising) / max(1, total - rising))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * share


def channel_emphasis(arrays: ImageArrays, settings: TrainingSettings) -> torch.Tensor:
    """What each channel is multiplied by before squared errors are summed: (C, 1, 1).

    Within a hand, depth varies by a tenth of its range where a mask jumps from 0 to 1, and a pen covers a dozen pixels
    where a hand covers two hundred: weighed alike, the hand's outline takes all the descriptor's numbers.
    Raises ParameterError for a weight of a channel that is not there.
    """
    weights = settings.weights_by_channel()
    names = arrays.channels or ("",) * arrays.images.shape[1]
    unknown = sorted(set(weights) - set(names))
    if unknown:
        known = ", ".join(filter(None, names)) or "(unnamed)"
        raise ParameterError(f"channel_weights name {', '.join(unknown)}; the data has the channels {known}")
    return torch.tensor([math.sqrt(weights.get(name, 1.0)) for name in names])[:, None, None]


def _cosine_rise(share: float) -> float:
    """0 at 0, 1 at 1, flat at both ends."""
    return 0.5 - 0.5 * math.cos(math.pi * min(max(share, 0.0), 1.0))
