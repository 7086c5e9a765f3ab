"""Train a transform-invariant auto-encoder on an array file.

    tiae train --data digits.npz --transforms shift --out runs/digits

    RUN/
      model.safetensors, manifest.json   the model, complete or not there at all
      card.md                            the same for people
      history.json                       the terms of the objective, epoch by epoch
      checkpoint.safetensors             only while training is unfinished (--resume goes on from it)

One step: draw two transforms of each image, restore both views, find the transformed input nearest to each
restored picture, and weigh the terms of `tiae_ros.core.objective` against each other.

A training that collapses starts again from another initialisation (`tiae_training.collapse`); one that no longer gets
better may stop early (`tiae_training.early_stop`); several processes may share its batches
(`tiae_training.distributed`).
"""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tiae_ros import __version__
from tiae_ros.core import objective
from tiae_ros.core.devices import choose_device
from tiae_ros.core.manifest import Manifest
from tiae_ros.core.model import TransformInvariantAutoencoder
from tiae_ros.core.model_files import MANIFEST, WEIGHTS, round_weights, save_model, write_durably
from tiae_ros.core.networks import Network
from tiae_ros.core.processes import average, process_count, process_rank
from tiae_ros.core.transforms import Transform
from tiae_ros.errors import DataError, OutputError, ParameterError, TrainingError
from tiae_training.arrays import ImageArrays, split
from tiae_training.backgrounds import background_pool, foreground_masks
from tiae_training.card import write_card
from tiae_training.checkpoint import CHECKPOINT, Clock, Progress, read_progress, restore_checkpoint, save_checkpoint
from tiae_training.collapse import attempt_seed, is_hopeless, single_picture_restoration, why_collapsed
from tiae_training.collapse import has_collapsed as has_collapsed  # who trains asks here how it went
from tiae_training.deformation import deform, draw_deformations
from tiae_training.distributed import (
    average_gradients,
    gather_batch,
    own_rows,
    same_everywhere,
    use_global_batch_norms,
)
from tiae_training.early_stop import BestWeights, best_epoch, is_time_to_stop
from tiae_training.hand_measures import MASKS
from tiae_training.prototypes import add_prototypes
from tiae_training.settings import TrainingSettings

SMALLEST_DATA = 2

Report = Callable[[int, dict[str, float]], None]


def prepare_run(run: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the folder, or say why it may not be used. Raises OutputError."""
    if run.exists() and not run.is_dir():
        raise OutputError(f"{run} is a file; --out takes a folder")
    if resume:
        return
    holds = [name for name in (WEIGHTS, MANIFEST, CHECKPOINT) if (run / name).exists()]
    if holds and not overwrite:
        advice = "--resume to continue it, " if CHECKPOINT in holds else ""
        raise OutputError(
            f"{run} already holds {', '.join(holds)}; give another --out, {advice}or --overwrite to replace it"
        )
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {run}: {error.strerror or error}") from None


@contextmanager
def only_one_training(run: Path) -> Iterator[None]:
    """Hold the folder for one training; a second one is refused. Released by the system if this process dies."""
    try:
        lock = open(run / ".training.lock", "w")  # noqa: SIM115  closed below
    except OSError as error:
        raise OutputError(f"cannot write into {run}: {error.strerror or error}") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(f"another training is running in {run}; give another --out") from None
        yield
    finally:
        lock.close()
        (run / ".training.lock").unlink(missing_ok=True)


def train(
    arrays: ImageArrays,
    settings: TrainingSettings,
    run: Path,
    *,
    data_path: str = "",
    device: torch.device | str = "cpu",
    resume: bool = False,
    preprocessing: dict[str, Any] | None = None,
    model_id: str = "",
    command: str = "",
    checkpoint_minutes: float = 1.0,
    half_weights: bool = False,
    start: TransformInvariantAutoencoder | None = None,
    report: Report | None = None,
    announce: Callable[[str], None] | None = None,
) -> TransformInvariantAutoencoder:
    """Train, save the model folder and return the model.

    half_weights: round the weights in the end to what float16 holds, for a file of half the size.
    start: a model to go on from, of the same network, channels and sizes (ParameterError else); without one, weights
    are drawn by chance, as those of a second attempt are in any case.
    report is told every epoch's number (from 0) and terms, announce in a line when a collapse or patience ends an
    attempt. checkpoint_minutes: what a kill may cost; 0 saves after every step. Where several processes train
    together, each calls this with the same arguments and the first one writes.

    Raises DataError for data that cannot be trained on, TrainingError for a non-finite loss, OutputError for a
    disk that is full; the last complete model and checkpoint stay whole in every case.
    """
    training = _Training(arrays, settings, run, choose_device(device), announce or _silent, start)
    progress = Progress(settings.to_dict(), arrays.data_id, data_path, epoch=0, history=[])
    if resume:
        progress = read_progress(run)
        if progress.data_id != arrays.data_id:
            raise DataError(f"{run} was trained on {progress.data_id}; --data is {arrays.data_id}; give the same file")
        training.go_on(progress)
    progress = training.run(progress, Clock(checkpoint_minutes), report)
    model = training.model
    if half_weights:
        round_weights(model.network)
    attempt = progress.attempt_history()
    model.manifest = Manifest(
        model_id=model_id or run.resolve().name,
        network=settings.network,
        channels=model.manifest.channels,
        window_size=model.manifest.window_size,
        descriptor_size=settings.descriptor_size,
        transforms=training.trainer.transform.ranges(),
        preprocessing=preprocessing or {},
        training={
            "data": arrays.data_id,
            "windows": len(training.learnt),
            "command": command,
            "settings": settings.to_dict(),
            "epochs_done": progress.epoch,
            "epoch_kept": best_epoch(attempt) if settings.patience else progress.epoch,
            "collapsed_attempts": progress.collapses,
            "collapsed": why_collapsed(attempt[-1]),
            "processes": process_count(),
            "torch": torch.__version__,
            "tiae_ros": __version__,
        },
    )
    model.eval()
    if process_rank() == 0:
        model = add_prototypes(model, arrays, seed=settings.seed)
        save_trained(model, run, progress.history)
    return model


class _Training:
    """Attempts at one training, one after the other until one does not collapse; each is a model and a `Trainer`."""

    def __init__(
        self,
        arrays: ImageArrays,
        settings: TrainingSettings,
        run: Path,
        device: torch.device,
        announce: Callable[[str], None],
        start: TransformInvariantAutoencoder | None,
    ) -> None:
        check_trainable(arrays)
        check_shares(min(settings.batch_size, len(arrays)))
        self.folder, self.settings, self.device, self.announce = run, settings, device, announce
        self.start = start
        self.learnt, self.held_out = arrays, None
        if settings.validation_fraction:
            self.learnt, self.held_out = split(arrays, settings.validation_fraction, settings.seed)
            check_held_out(self.learnt, self.held_out, settings)
        self.begin(0)

    def begin(self, attempt: int) -> None:
        """A fresh network, optimizer and trainer for an attempt."""
        torch.manual_seed(attempt_seed(self.settings.seed, attempt))
        self.model = TransformInvariantAutoencoder(
            self.learnt.channels or self.learnt.images.shape[1],
            window_size=self.learnt.images.shape[2],
            descriptor_size=self.settings.descriptor_size,
            network=self.settings.network,
        ).to(self.device)
        if self.start is not None and attempt == 0:
            take_up(self.model, self.start)
        same_everywhere(self.model.network)
        use_global_batch_norms(self.model.network)
        network = self.model.network.to(memory_format=torch.channels_last)
        self.optimizer = make_optimizer(network, self.settings)
        self.trainer = Trainer(network, self.optimizer, self.settings, self.learnt, self.device, attempt=attempt)
        self.judge = None
        if self.held_out is not None:
            self.judge = Trainer(network, self.optimizer, self.settings, self.held_out, self.device)
        self.best = BestWeights(wanted=self.settings.patience > 0)
        self.unfinished: tuple[Progress, torch.Tensor] | None = None

    def go_on(self, progress: Progress) -> None:
        """Take up an attempt where its checkpoint left it."""
        self.begin(progress.attempt)
        network = self.trainer.network
        self.best.weights, draws = restore_checkpoint(self.folder, network, self.optimizer)
        if self.best.weights is not None:
            self.best.weights = {name: value.to(self.device) for name, value in self.best.weights.items()}
        if progress.scaler:
            self.trainer.scaler.load_state_dict(progress.scaler)
        if draws is not None:
            self.unfinished = progress, draws

    def run(self, progress: Progress, clock: Clock, report: Report | None) -> Progress:
        """All epochs of all attempts that are needed; what came of them."""
        single = self.trainer.single_picture_restoration()
        while not self.is_over(progress):
            terms = self.trainer.run_epoch(
                progress.epoch,
                unfinished=self.unfinished,
                after_step=functools.partial(self.save_if_due, progress, clock),
            )
            self.unfinished = None
            terms |= {"single_picture_restoration": single, "attempt": progress.attempt}
            if self.judge is not None:
                terms["held_out_objective"] = self.judge.held_out_objective()
            progress = dataclasses.replace(
                progress, epoch=progress.epoch + 1, history=[*progress.history, terms], step=0, sums={}
            )
            self.best.keep(self.trainer.network, progress.attempt_history())
            if report:
                report(progress.epoch - 1, terms)
            progress = self.begin_again_if_hopeless(progress)
            self.save_if_due(progress, clock)
        self.best.put_back(self.trainer.network)
        return progress

    def is_over(self, progress: Progress) -> bool:
        attempt = progress.attempt_history()
        if progress.epoch < self.settings.epochs and not is_time_to_stop(attempt, self.settings):
            return False
        if progress.epoch < self.settings.epochs:
            self.announce(
                f"stopped early: no better objective in {self.settings.patience} epochs; "
                f"the weights are those of epoch {best_epoch(attempt)}"
            )
        return True

    def begin_again_if_hopeless(self, progress: Progress) -> Progress:
        """The progress as it is, or that of the next attempt's start when this one has collapsed."""
        attempt = progress.attempt_history()
        if progress.attempt == self.settings.restarts:
            return progress
        if not is_hopeless(attempt, self.settings, self.trainer.steps_per_epoch):
            return progress
        why = f"attempt {progress.attempt + 1} collapsed by epoch {progress.epoch}: {why_collapsed(attempt[-1])}"
        self.announce(f"{why}; starting again from another initialisation")
        self.begin(progress.attempt + 1)
        return dataclasses.replace(
            progress, attempt=progress.attempt + 1, epoch=0, collapses=[*progress.collapses, why]
        )

    def save_if_due(
        self,
        progress: Progress,
        clock: Clock,
        step: int = 0,
        sums: dict[str, torch.Tensor] | None = None,
        draws: torch.Generator | None = None,
    ) -> None:
        """A checkpoint between epochs, or inside one with the steps done, the sums of their terms and the draws."""
        if process_rank() or not clock.is_due():
            return
        told = {name: float(value) for name, value in (sums or {}).items()}
        now = dataclasses.replace(progress, step=step, sums=told, scaler=self.trainer.scaler.state_dict())
        save_checkpoint(self.folder, self.trainer.network, self.optimizer, now, best=self.best.weights, draws=draws)
        clock.saved()


def _silent(_: str) -> None:
    """Say nothing."""


def save_trained(
    model: TransformInvariantAutoencoder, run: Path, history: list[dict[str, float]] | None = None
) -> None:
    """Write model folder, card and history; the checkpoint goes once the model is safe."""
    save_model(model, run)
    write_card(model.manifest, run)
    if history is not None:
        write_durably(run / "history.json", (json.dumps(history, indent=1) + "\n").encode())
    (run / CHECKPOINT).unlink(missing_ok=True)


def add_measures(model: TransformInvariantAutoencoder, run: Path, measures: dict[str, float], test_data: str) -> None:
    """Put measured figures into a saved model's manifest and card."""
    training = {**model.manifest.training, "test_data": test_data}
    model.manifest = dataclasses.replace(model.manifest, measures=measures, training=training)
    save_trained(model, run)


def check_trainable(arrays: ImageArrays) -> None:
    """Raise DataError for arrays no network can be trained on."""
    _, _, height, width = arrays.images.shape
    if height != width or height % 4:
        raise DataError(f"windows are {width}×{height} pixels; accepted are squares whose side is a multiple of 4")
    if len(arrays) < SMALLEST_DATA:
        raise DataError(f"images hold {len(arrays)} windows; needed are at least {SMALLEST_DATA}")
    if not arrays.images.any():
        raise DataError("every image is blank (all zeros); there is nothing to learn")


def check_held_out(learnt: ImageArrays, held_out: ImageArrays, settings: TrainingSettings) -> None:
    """Raise DataError where holding windows out leaves too few on either side."""
    least = 2 * process_count()
    if min(len(learnt), len(held_out)) < least:
        raise DataError(
            f"validation_fraction {settings.validation_fraction:g} leaves {len(learnt)} windows to learn from and "
            f"holds {len(held_out)} out; needed are at least {least} each"
        )
    check_trainable(learnt)
    check_shares(min(settings.batch_size, len(learnt)))


def check_shares(batch_size: int) -> None:
    """Raise ParameterError for a batch that the processes cannot share evenly."""
    count = process_count()
    if count > 1 and batch_size % (2 * count):  # also its halves: one of them may be treated in another way
        raise ParameterError(
            f"a batch has {batch_size} windows for {count} processes; accepted is a multiple of {2 * count}: "
            f"give --batch-size {max(1, batch_size // (2 * count)) * 2 * count}"
        )


def take_up(model: TransformInvariantAutoencoder, start: TransformInvariantAutoencoder) -> None:
    """Give a model the weights of another. Raises ParameterError where they are not of one kind."""
    for name in ("network", "channels", "window_size", "descriptor_size"):
        wanted, given = getattr(model.manifest, name), getattr(start.manifest, name)
        if wanted != given:
            raise ParameterError(f"the model to start from has {name} {given}; needed is {wanted}")
    model.network.load_state_dict(start.network.state_dict())


def make_optimizer(network: Network, settings: TrainingSettings) -> torch.optim.Adam:
    """Adam in one kernel: on a CPU it takes a third of the time of one operation after the other."""
    return torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)


def resumed_settings(run: Path, asked: dict[str, Any]) -> tuple[TrainingSettings, str]:
    """The settings and data path of an unfinished training; what was asked for must not differ.

    asked: only what the user gave explicitly. Raises ParameterError naming the setting that differs.
    """
    progress = read_progress(run)
    settings = TrainingSettings(**progress.settings)
    for name, value in asked.items():
        if getattr(settings, name) != value:
            raise ParameterError(
                f"{name} is {value}, but {run} was started with {getattr(settings, name)}; "
                "leave it out to resume, or start anew in another folder"
            )
    return settings, progress.data_path


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The reduced type to multiply in, or None for float32.

    What is compared (restored pictures, shifts, the objective) is float32 in any case. bfloat16 has float32's range;
    float16 has more digits and needs its gradients scaled, and is what `auto` takes on a GPU without bfloat16.
    Raises ParameterError for float16 on a CPU, where a step takes minutes.
    """
    if precision == "float16" and device.type == "cpu":
        raise ParameterError("precision is float16, which is for GPUs; on a CPU give bfloat16, float32 or auto")
    if precision != "auto":
        return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _multiplies_bfloat16() else None


def _multiplies_bfloat16() -> bool:
    """Whether this processor has matrix units for bfloat16; without them it is slower than float32."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(supported and supported())


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
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.settings = settings
        self.device = device
        self.draw_seed = attempt_seed(settings.seed, attempt)
        self.transform: Transform = settings.build_transform(
            background_pool(arrays, settings), torch.from_numpy(arrays.targets)
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
            self._set_learning_rate(epoch * self.steps_per_epoch + step)
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
        parameters = self.transform.draw(len(both) * process_count(), generator, torch.device("cpu"))
        parameters = own_rows(parameters, views=2).to(self.device)
        views = self.transform.view(images, parameters, masks)  # (2B, C, S, S)
        targets = views
        if clean is not None or self.transform.changes_appearance:
            targets = self.transform.apply(images if clean is None else clean, parameters)
        with torch.autocast(self.device.type, self.reduced, enabled=self.reduced is not None):
            descriptors, regressed = self.network.forward_encoder(views)
            restored = self.network.decode(descriptors)
        descriptors, regressed, restored = descriptors.float(), regressed.float(), restored.float()
        with torch.no_grad():
            if self.settings.whole_targets:
                whole = images if clean is None else clean
                nearest, found = self.transform.nearest_whole(restored, whole, parameters)
            else:
                nearest, found = self.transform.nearest(restored, views, targets, regressed)
        weighed = restored * self.emphasis
        one, other = weighed.chunk(2)
        terms = {
            "restoration": objective.restoration(weighed, nearest * self.emphasis),
            "invariance": objective.invariance(one[:twins], other[:twins]),
            "sparseness": objective.sparseness(descriptors),
            "regression": objective.regression(regressed, found),
        }
        if self.settings.surface_weight:
            terms["surface"] = objective.surface(restored, nearest)
        if self.settings.overlap_weight:
            terms["overlap"] = objective.overlap(restored[:, self.mask_channels], nearest[:, self.mask_channels])
        if self.settings.gathering_weight:
            one, other = (gather_batch(half) for half in descriptors.chunk(2))
            terms["gathering"] = objective.gathering(one, other, self.settings.gathering_temperature)
        with torch.no_grad():
            terms["restored_variation"] = restored.var(0).sum() / targets.var(0).sum().clamp_min(1e-12)
        return terms

    def objective(self, terms: dict[str, torch.Tensor]) -> torch.Tensor:
        """The terms weighed against each other."""
        settings = self.settings
        total = (
            settings.restoration_weight * terms["restoration"]
            + settings.invariance_weight * terms["invariance"]
            + settings.sparseness_weight * terms["sparseness"]
            + settings.regression_weight * terms["regression"]
        )
        if "surface" in terms:
            total = total + settings.surface_weight * terms["surface"]
        if "overlap" in terms:
            total = total + settings.overlap_weight * terms["overlap"]
        if "gathering" in terms:
            total = total + settings.gathering_weight * terms["gathering"]
        return total

    def single_picture_restoration(self) -> float:
        """The restoration term of the best single picture for all windows."""
        targets = self.images if self.clean is None else self.clean
        found = single_picture_restoration(
            self.transform,
            self.images * self.emphasis,
            targets * self.emphasis,
            self.settings.seed,
            whole=self.settings.whole_targets,
        )
        return float(average(torch.tensor(found)))

    def _deformed(
        self, both: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None, int]:
        """Images, masks and clean images of two views (2B, …), and of how many the two views show the same pattern.

        Where descriptors are gathered, the second half of the batch shows two deformations of each image; twins,
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
        twins = (count + 1) // 2 if settings.gathering_weight else count
        deformations[count : count + twins] = deformations[:twins]
        deformations = deformations.to(self.device)
        return (
            deform(images, deformations),
            None if masks is None else deform(masks, deformations),
            None if clean is None else deform(clean, deformations),
            twins,
        )

    def _set_learning_rate(self, step: int) -> None:
        """One cycle: up to the peak over the warm-up, down to nearly nothing by a cosine (Smith & Topin 2018)."""
        total = max(2, self.settings.epochs * self.steps_per_epoch)
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


def read_history(run: Path) -> list[dict[str, float]]:
    """``history.json`` of a finished run."""
    history: list[dict[str, float]] = json.loads((run / "history.json").read_text())
    return history


def _cosine_rise(share: float) -> float:
    """0 at 0, 1 at 1, flat at both ends."""
    return 0.5 - 0.5 * math.cos(math.pi * min(max(share, 0.0), 1.0))


def set_threads() -> None:
    """Use as many threads as this process may run on (a container's share, not the machine's)."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0))))
