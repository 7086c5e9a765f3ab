"""A training from data to model folder.

    tiae train --data digits.npz --transforms shift --out runs/digits

A training that collapses starts again from another initialisation (`tiae_training.train.collapse`); one that no longer
gets better may stop early (`tiae_training.train.early_stop`); several processes may share its batches
(`tiae_training.train.distributed`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tiae_ros import __version__
from tiae_ros.errors import DataError, ParameterError, TrainingError
from tiae_ros.model.folder import CHECKPOINT, read_folder, write_folder
from tiae_ros.model.manifest import check_preprocessing
from tiae_training.card import write_card
from tiae_training.data.arrays import ImageArrays, split
from tiae_training.devices import choose_device
from tiae_training.export import save_model
from tiae_training.model import TransformInvariantAutoencoder, round_weights
from tiae_training.networks.config import NETWORKS, NetworkConfig
from tiae_training.networks.network import Network
from tiae_training.networks.pattern import FINDS_POSE, STEERS
from tiae_training.processes import process_count, process_rank
from tiae_training.prototypes import add_prototypes
from tiae_training.train.checkpoint import Clock, Progress, read_progress, restore_checkpoint, save_checkpoint
from tiae_training.train.checks import check_held_out, check_shares, check_trainable
from tiae_training.train.collapse import attempt_seed, is_hopeless, why_collapsed
from tiae_training.train.distributed import same_everywhere, use_global_batch_norms
from tiae_training.train.early_stop import BestWeights, best_epoch, is_time_to_stop
from tiae_training.train.folder import write_history
from tiae_training.train.settings import TrainingSettings
from tiae_training.train.trainer import Trainer
from tiae_training.transforms.build import build_transform
from tiae_training.transforms.ranges import POSES, Ranges, parse_kinds

_NEEDED = {"pose": POSES, "descriptor": ("roll",)}  # one of these transforms, by the part that begins anew
_ANEW = {
    "pose": "what finds the pose learns from the beginning: the model to start from finds shifts alone",
    "descriptor": "what tells rolls learns from the beginning: the model to start from does not tell them",
}
_WEIGHTS = {"pose": FINDS_POSE, "descriptor": STEERS}
_OF_TRANSFORMS = ("transforms", "upright_fraction", *(field.name for field in dataclasses.fields(Ranges)))
Report = Callable[[int, dict[str, float]], None]


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
    start: a model to go on from, of the same network or one that tells less (`NetworkConfig.part_beyond`), and of the
    same sizes (ParameterError else), whose channels are taken by name (DataError where they differ); every attempt
    begins there, with other draws. Without one, weights are drawn by chance.
    report is told every epoch's number (from 0) and terms, announce in a line when a collapse or patience ends an
    attempt. checkpoint_minutes: what a kill may cost; 0 saves after every step. Where several processes train
    together, each calls this with the same arguments and the first one writes.

    Raises DataError for data that cannot be trained on, ModelError for preprocessing that cannot be, TrainingError for
    a non-finite loss, OutputError for a disk that is full; the last complete model and checkpoint stay whole in every
    case.
    """
    build_transform(settings.transforms, settings.ranges())  # a range that cannot be is said before anything is spent
    check_preprocessing(preprocessing or {})
    channels = list(start.manifest.channels) if start else []
    progress = Progress(settings.to_dict(), arrays.data_id, data_path, epoch=0, history=[], channels=channels)
    if resume:
        progress = read_progress(run)
        if progress.data_id != arrays.data_id:
            raise DataError(f"{run} was trained on {progress.data_id}; --data is {arrays.data_id}; give the same file")
    if progress.channels:
        arrays = arrays.in_order(progress.channels).called(progress.channels)
    training = _Training(arrays, settings, run, choose_device(device), announce, start)
    if resume:
        training.go_on(progress)
    progress = training.run(progress, Clock(checkpoint_minutes), report)
    model = training.model
    if half_weights:
        round_weights(model.network)
    attempt = progress.attempt_history()
    model.manifest = dataclasses.replace(
        model.manifest,
        model_id=model_id or run.resolve().name,
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
        save_trained(model, run, progress.history)
        model.manifest = add_prototypes(run, arrays, seed=settings.seed) or model.manifest
    return model


class _Training:
    """Attempts at one training, one after the other until one does not collapse; each is a model and a `Trainer`."""

    def __init__(
        self,
        arrays: ImageArrays,
        settings: TrainingSettings,
        run: Path,
        device: torch.device,
        announce: Callable[[str], None] | None,
        start: TransformInvariantAutoencoder | None,
    ) -> None:
        check_trainable(arrays)
        check_shares(min(settings.batch_size, len(arrays)))
        self.folder, self.settings, self.device = run, settings, device
        self.announce = announce or (lambda line: None)
        self.start = start
        self.learnt, self.held_out = arrays, None
        if settings.validation_fraction:
            self.learnt, self.held_out = split(arrays, settings.validation_fraction, settings.seed)
            check_held_out(self.learnt, self.held_out, settings)
        self.begin(0)

    def begin(self, attempt: int) -> None:
        """A fresh network, optimizer and trainer for an attempt."""
        torch.manual_seed(attempt_seed(self.settings.seed, attempt))
        self.model = TransformInvariantAutoencoder.fresh(
            self.learnt.channels or self.learnt.images.shape[1],
            window_size=self.learnt.images.shape[2],
            descriptor_size=self.settings.descriptor_size,
            network=self.settings.network,
        ).to(self.device)
        if self.start is not None and (anew := take_up(self.model, self.start)):
            self.announce(_ANEW[anew])
        same_everywhere(self.model.network)
        use_global_batch_norms(self.model.network)
        network = self.model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(network, self.settings)
        self.trainer = Trainer(network, self.optimizer, self.settings, self.learnt, self.device, attempt=attempt)
        self.judge = None
        if self.held_out is not None:
            self.judge = Trainer(
                network, self.optimizer, self.settings, self.held_out, self.device, with_neighbours=False
            )
            self.judge.trust = 1.0  # the same at every call, so that epochs can be compared
        self.best = BestWeights(wanted=self.settings.patience > 0)
        self.unfinished: tuple[Progress, torch.Tensor] | None = None

    def go_on(self, progress: Progress) -> None:
        """Take up an attempt where its checkpoint left it."""
        self.begin(progress.attempt)
        network = self.trainer.network
        self.best.weights, draws, memory = restore_checkpoint(self.folder, network, self.optimizer)
        if self.best.weights is not None:
            self.best.weights = {name: value.to(self.device) for name, value in self.best.weights.items()}
        if self.trainer.neighbours is not None:
            assert memory is not None  # the same settings wrote the checkpoint
            self.trainer.neighbours.memory.copy_(memory)
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
        save_checkpoint(
            self.folder,
            self.trainer.network,
            self.optimizer,
            now,
            best=self.best.weights,
            draws=draws,
            memory=None if self.trainer.neighbours is None else self.trainer.neighbours.memory,
        )
        clock.saved()


def save_trained(model: TransformInvariantAutoencoder, run: Path, history: list[dict[str, float]]) -> None:
    """Write model folder, card and history; the checkpoint goes once the model is safe."""
    write_history(run, history)
    save_model(model, run)
    (run / CHECKPOINT).unlink(missing_ok=True)


def add_measures(run: Path, measures: dict[str, float], test_data: str) -> None:
    """Put measured figures into a saved model's manifest and card."""
    content = read_folder(run)
    training = {**content.manifest.training, "test_data": test_data}
    manifest = dataclasses.replace(content.manifest, measures=measures, training=training)
    write_card(write_folder(run, manifest, content.files), run)


def started_settings(asked: dict[str, Any], start: TransformInvariantAutoencoder | None) -> TrainingSettings:
    """The settings of a new training: what was asked for, and of a model to start from what it fixes.

    Where no transforms are asked for, they and how far they go are those that the model to start from has learnt: what
    finds poses would forget them under shifts alone. A network may go on from one that tells less
    (`NetworkConfig.part_beyond`).
    Raises ParameterError where both differ.
    """
    if start is None:
        return TrainingSettings(**asked)
    of = start.manifest
    own = NetworkConfig.from_dict(of.network)
    may_follow = [name for name, config in NETWORKS.items() if config.part_beyond(own)]
    network = asked.get("network", own.name)
    if network != own.name and network not in may_follow:
        others = f", or give {' or '.join(may_follow)}" if may_follow else ""
        raise ParameterError(f"network is {network}, but the model to start from has {own.name}; leave it out{others}")
    if network in may_follow:
        needed = _NEEDED[NETWORKS[network].part_beyond(own)]
        if not set(needed) & set(parse_kinds(asked.get("transforms", "shift"))):
            finds = "poses" if needed is POSES else "how patterns roll"
            raise ParameterError(
                f"network is {network}, which finds {finds}, and transforms are {asked.get('transforms', 'shift')}; "
                f"accepted is a list with {' or '.join(needed)}"
            )
    if asked.get("descriptor_size", of.descriptor_size) != of.descriptor_size:
        raise ParameterError(
            f"descriptor_size is {asked['descriptor_size']}, but the model to start from has {of.descriptor_size}; "
            "leave it out"
        )
    learnt = of.training.get("settings", {}) if network == own.name and "transforms" not in asked else {}
    kept = {name: learnt[name] for name in _OF_TRANSFORMS if name in learnt}
    return TrainingSettings(**{**kept, **asked, "network": network, "descriptor_size": of.descriptor_size})


def fit_to_start(arrays: ImageArrays, start: TransformInvariantAutoencoder) -> ImageArrays:
    """The arrays with the channels of a model to start from, in its order. Raises DataError where they do not fit."""
    size = start.manifest.window_size
    if arrays.images.shape[2:] != (size, size):
        height, width = arrays.images.shape[2:]
        raise DataError(f"windows are {width}×{height} pixels; the model to start from takes {size}×{size}")
    return arrays.in_order(start.manifest.channels).called(start.manifest.channels)


def take_up(model: TransformInvariantAutoencoder, start: TransformInvariantAutoencoder) -> str:
    """Give a model the weights of another; the part that begins anew, "" where none does (`NetworkConfig.part_beyond`).

    Raises ParameterError where they are not of one kind.
    """
    for name in ("channels", "window_size", "descriptor_size"):
        wanted, given = getattr(model.manifest, name), getattr(start.manifest, name)
        if wanted != given:
            raise ParameterError(f"the model to start from has {name} {given}; needed is {wanted}")
    own, other = (NetworkConfig.from_dict(one.manifest.network) for one in (model, start))
    weights = start.network.state_dict()
    anew = own.part_beyond(other)
    if anew:
        new = _WEIGHTS[anew]
        fresh = {name: value for name, value in model.network.state_dict().items() if name.startswith(new)}
        weights = {name: value for name, value in weights.items() if not name.startswith(new)} | fresh
    elif own != other:
        mine, theirs = own.to_dict(), other.to_dict()
        parts = ", ".join(
            f"{name} {theirs[name]} (needed is {mine[name]})" for name in mine if mine[name] != theirs[name]
        )
        raise ParameterError(f"the model to start from has a network of other parts: {parts}")
    model.network.load_state_dict(weights)
    return anew


def make_optimizer(network: Network, settings: TrainingSettings) -> torch.optim.Adam:
    """Adam in one kernel: on a CPU it takes a third of the time of one operation after the other."""
    return torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)


def resumed_settings(run: Path, asked: dict[str, Any]) -> tuple[TrainingSettings, str]:
    """The settings and data path of an unfinished training; what was asked for must not differ.

    asked: only what the user gave explicitly. Raises ParameterError naming the setting that differs.
    """
    progress = read_progress(run)
    try:
        settings = TrainingSettings(**progress.settings)
    except TypeError as error:  # a setting that is no longer there
        raise TrainingError(
            f"the checkpoint in {run} is not of this release ({error}); start again with --overwrite"
        ) from None
    for name, value in asked.items():
        if getattr(settings, name) != value:
            raise ParameterError(
                f"{name} is {value}, but {run} was started with {getattr(settings, name)}; "
                "leave it out to resume, or start anew in another folder"
            )
    return settings, progress.data_path
