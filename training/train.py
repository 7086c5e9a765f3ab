"""Train a transform-invariant auto-encoder on an array file.

    tiae train --data digits.npz --transforms shift --out runs/digits

    RUN/
      model.safetensors, manifest.json   the model, complete or not there at all
      card.md                            the same for people
      history.json                       the terms of the objective, epoch by epoch
      checkpoint.safetensors             only while training is unfinished (--resume goes on from it)

One step: draw two transforms of each image, restore both views, find the transformed input nearest to each
restored picture, and weigh the terms of `tiae_ros.core.objective` against each other.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
import time
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
from tiae_ros.core.model_files import MANIFEST, WEIGHTS, save_model, write_durably
from tiae_ros.core.networks import Network
from tiae_ros.core.transforms import Transform
from tiae_ros.errors import DataError, OutputError, ParameterError, TrainingError
from tiae_training.arrays import ImageArrays
from tiae_training.backgrounds import background_pool, foreground_masks
from tiae_training.card import write_card
from tiae_training.checkpoint import CHECKPOINT, Progress, read_progress, restore_checkpoint, save_checkpoint
from tiae_training.deformation import deform, draw_deformations
from tiae_training.prototypes import add_prototypes
from tiae_training.settings import TrainingSettings

SMALLEST_DATA = 2
_COLLAPSED_VARIATION = 0.02  # restored pictures vary less than this share of what inputs vary: one picture for all

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
    report: Report | None = None,
) -> TransformInvariantAutoencoder:
    """Train, save the model folder and return the model.

    Raises DataError for data that cannot be trained on, TrainingError for a non-finite loss, OutputError for a
    disk that is full; the last complete model and checkpoint stay whole in every case.
    """
    device = choose_device(device)
    check_trainable(arrays)
    torch.manual_seed(settings.seed)
    model = TransformInvariantAutoencoder(
        arrays.channels or arrays.images.shape[1],
        window_size=arrays.images.shape[2],
        descriptor_size=settings.descriptor_size,
        network=settings.network,
    ).to(device)
    network = model.network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    progress = Progress(settings.to_dict(), arrays.data_id, data_path, epoch=0, history=[])
    if resume:
        progress = read_progress(run)
        if progress.data_id != arrays.data_id:
            raise DataError(f"{run} was trained on {progress.data_id}; --data is {arrays.data_id}; give the same file")
        restore_checkpoint(run, network, optimizer)
    history = list(progress.history)
    trainer = Trainer(network, optimizer, settings, arrays, device)
    saved_at = time.monotonic()
    for epoch in range(progress.epoch, settings.epochs):
        terms = trainer.run_epoch(epoch)
        history.append(terms)
        if report:
            report(epoch, terms)
        if time.monotonic() - saved_at >= 60.0 * checkpoint_minutes:
            done = dataclasses.replace(progress, epoch=epoch + 1, history=history)
            save_checkpoint(run, network, optimizer, done)
            saved_at = time.monotonic()
    model.manifest = Manifest(
        model_id=model_id or run.resolve().name,
        network=settings.network,
        channels=model.manifest.channels,
        window_size=model.manifest.window_size,
        descriptor_size=settings.descriptor_size,
        transforms=trainer.transform.ranges(),
        preprocessing=preprocessing or {},
        training={
            "data": arrays.data_id,
            "windows": len(arrays),
            "command": command,
            "settings": settings.to_dict(),
            "torch": torch.__version__,
            "tiae_ros": __version__,
        },
    )
    model.eval()
    model = add_prototypes(model, arrays, seed=settings.seed)
    save_trained(model, run, history)
    return model


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
    """The reduced type to multiply in, or None for float32."""
    if precision == "float32":
        return None
    if precision == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
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
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.settings = settings
        self.device = device
        self.transform: Transform = settings.build_transform(
            background_pool(arrays, settings), torch.from_numpy(arrays.targets)
        )
        masks = foreground_masks(arrays)
        self.masks = None if masks is None else masks.to(device)
        self.images = torch.from_numpy(arrays.images).to(device)
        self.clean = None if arrays.clean is None else torch.from_numpy(arrays.clean).to(device)
        if self.masks is not None and self.transform.changes_appearance:
            self.images = self.images * self.masks  # the pattern on black: what lies behind it is drawn anew
        self.batch_size = min(settings.batch_size, len(arrays))
        self.steps_per_epoch = len(arrays) // self.batch_size
        self.reduced = autocast_type(settings.precision, device)

    def run_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the data; the mean of each term. Draws from a generator seeded by (seed, epoch)."""
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.images), generator=generator)
        self.network.train()
        sums: dict[str, torch.Tensor] = {}
        for step in range(self.steps_per_epoch):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size].to(self.device)
            self._set_learning_rate(epoch * self.steps_per_epoch + step)
            terms = self.step(rows, generator)
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device)) + value.detach()
        means = {name: float(value) / self.steps_per_epoch for name, value in sums.items()}
        if not all(math.isfinite(value) for value in means.values()):
            raise TrainingError(
                f"the loss became non-finite in epoch {epoch + 1} ({means}); lower --learning-rate or the weights"
            )
        return means

    def step(self, rows: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        both = torch.cat((rows, rows))  # two views of each image
        images, masks, clean, twins = self._deformed(both, generator)
        parameters = self.transform.draw(len(both), generator, self.device)
        views = self.transform.view(images, parameters, masks)  # (2B, C, S, S)
        targets = views
        if clean is not None or self.transform.changes_appearance:
            targets = self.transform.apply(images if clean is None else clean, parameters)
        with torch.autocast(self.device.type, self.reduced, enabled=self.reduced is not None):
            descriptors, regressed = self.network.forward_encoder(views)
            restored = self.network.decode(descriptors)
        descriptors, regressed, restored = descriptors.float(), regressed.float(), restored.float()
        with torch.no_grad():
            nearest, found = self.transform.nearest(restored, views, targets, regressed)
        settings = self.settings
        one, other = restored.chunk(2)
        terms = {
            "restoration": objective.restoration(restored, nearest),
            "invariance": objective.invariance(one[:twins], other[:twins]),
            "sparseness": objective.sparseness(descriptors),
            "regression": objective.regression(regressed, found),
        }
        loss = (
            settings.restoration_weight * terms["restoration"]
            + settings.invariance_weight * terms["invariance"]
            + settings.sparseness_weight * terms["sparseness"]
            + settings.regression_weight * terms["regression"]
        )
        if settings.gathering_weight:
            terms["gathering"] = objective.gathering(*descriptors.chunk(2), settings.gathering_temperature)
            loss = loss + settings.gathering_weight * terms["gathering"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            terms["restored_variation"] = restored.var(0).sum() / targets.var(0).sum().clamp_min(1e-12)
        return terms

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
        deformations = draw_deformations(len(both), side, settings.deformation, generator)
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


def has_collapsed(history: list[dict[str, float]]) -> bool:
    """Whether the network ended by restoring nearly one picture for every input."""
    return bool(history) and history[-1]["restored_variation"] < _COLLAPSED_VARIATION


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
