"""From frames to a hand detector: examples, the first look, what deceives it, the second look, calibration, 8 bits."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tiae_ros.model.folder import CLOSE_UP, PROPOSALS
from tiae_ros.model.hand_detector import load_detector
from tiae_ros.vision.detection.detector import Calibration, logit_of
from tiae_ros.vision.labels import Floats
from tiae_ros.vision.segmentation.settings import SegmentationSettings
from tiae_training.processes import process_count, process_rank
from tiae_training.train.distributed import first_alone
from tiae_training.workers import each_in_order
from tiae_training.world.shards import StoredFrame, stored_frames

from .batches import Rows, Worse, crop_batch, grid_batch
from .evaluation import judge, platt, whose_hands
from .examples import Row, RowsWriter, hands_of, read_rows
from .networks import Detector
from .prepare import deceiving_crops, prepare
from .settings import DetectorTraining
from .training import Schedule, close_loss, proposal_loss, train

_REAL_SHARE = 0.06  # of pictures of the first look that are a real room's
_HANDS_SHARE = 0.55  # of crops of the second look that show a hand
_DECEIVING_SHARE = 0.5  # of those that show none: places that deceived the first look
_REAL_DECEIVING_SHARE = 0.25  # of those: real rooms
_MOST_DECEIVING, _DECEIVING_PER_ROOM, _DECEIVING_SHARDS = 16_000, 8, 20
_CALIBRATING = 64  # examples for 8 bits


def prepare_once(shards: Sequence[Path], real: Sequence[StoredFrame], work: Path, seed: int, workers: int = 1) -> None:
    """Examples of these shards in a working folder, unless they are there."""
    print(f"examples of {len(shards)} shards and {len(real)} real pictures -> {work}", flush=True)
    said = work / "prepared.json"
    digest = hashlib.sha256()
    for frame in real:
        digest.update(frame.color.tobytes())
    made_of = {
        "shards": [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in shards],
        "real": digest.hexdigest(),
        "seed": seed,
    }
    if said.exists() and json.loads(said.read_text()) == made_of:
        return
    said.unlink(missing_ok=True)  # what is half written is nobody's
    prepare(shards, real, work, seed=seed, workers=workers)
    said.write_text(json.dumps(made_of))


def train_detector(
    detector: Detector,
    shards: Sequence[Path],
    real: Sequence[StoredFrame],
    work: Path,
    settings: DetectorTraining,
    minutes: float = 1e9,
    workers: int = 1,
) -> None:
    """Train both looks in place: each by itself at first, then the second one also with what deceives the first.

    work: a folder with `prepare_once`'s examples; what is trained there with the same settings from the same weights is
    not trained again, so that a training that was stopped goes on with the part it was in. workers: two train both
    looks at once. Processes that train together (torchrun) have each a share of every batch.
    """
    first_alone("begun", lambda: _forget_others(detector, work, settings, minutes))
    at_once = workers if process_count() == 1 and next(detector.parameters()).device.type == "cpu" else 1
    part = partial(_trained_by_itself, detector=detector, work=work, settings=settings, minutes=minutes)
    proposals, close_up = each_in_order(part, (PROPOSALS, CLOSE_UP), at_once)
    detector.proposals.load_state_dict(proposals)
    detector.close_up.load_state_dict(close_up)
    first_alone("deceiving", lambda: collect_deceiving(detector, shards, real, work, settings.seed, workers))
    _train_close_up(detector, work, settings, minutes, alone=False)


def _forget_others(detector: Detector, work: Path, settings: DetectorTraining, minutes: float) -> None:
    """Remove what was trained in this folder with other settings, from other weights or on other examples."""
    digest = hashlib.sha256((work / "prepared.json").read_bytes())
    for value in detector.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    trained = {"settings": asdict(settings), "minutes": minutes, "start": digest.hexdigest()}
    said = work / "trained.json"
    if not said.exists() or json.loads(said.read_text()) != trained:
        for path in (*(_alone(work, look) for look in (PROPOSALS, CLOSE_UP)), work / "deceiving" / "count.txt"):
            path.unlink(missing_ok=True)
        said.write_text(json.dumps(trained))


def _alone(work: Path, look: str) -> Path:
    return work / f"{Path(look).stem}_alone.pt"


def _trained_by_itself(
    look: str, detector: Detector, work: Path, settings: DetectorTraining, minutes: float
) -> dict[str, Tensor]:
    """The weights of one look after a training in which the other has no part."""
    path = _alone(work, look)
    if path.exists():
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    if look == PROPOSALS:
        _train_proposals(detector, work, settings, minutes)
        weights = detector.proposals.state_dict()
    else:
        _train_close_up(detector, work, settings, minutes, alone=True)
        weights = detector.close_up.state_dict()
    if process_rank() == 0:
        staged = path.with_suffix(".staged")
        torch.save(weights, staged)
        staged.replace(path)
    return weights


def _train_proposals(detector: Detector, work: Path, settings: DetectorTraining, minutes: float) -> None:
    rows: Rows = read_rows(work / "grids")
    weights = np.ones(len(rows["focal"]))
    real = np.load(work / "real.npy")
    if len(real):
        rows["real"] = real
        weights[real] = _REAL_SHARE * len(weights) / len(real)
    train(
        detector.proposals,
        rows,
        grid_batch,
        proposal_loss,
        Schedule(settings.proposal_steps, settings.proposal_batch, settings.learning_rate, settings.seed, minutes),
        _worse(settings),
        "first look",
        weights,
    )


def collect_deceiving(
    detector: Detector, shards: Sequence[Path], real: Sequence[StoredFrame], work: Path, seed: int, workers: int = 1
) -> None:
    """Crops at which the first look sees hands that are none.

    Real rooms come first (``real.txt`` has how many).
    """
    if (work / "deceiving" / "count.txt").exists():
        return
    network = copy.deepcopy(detector.proposals).cpu()
    rows = RowsWriter(work / "deceiving", _MOST_DECEIVING)
    rows.add(deceiving_crops(network, real, _DECEIVING_PER_ROOM))
    (work / "deceiving" / "real.txt").write_text(f"{rows.count}\n")
    some = [shards[n] for n in np.random.default_rng([seed, 43]).permutation(len(shards))[:_DECEIVING_SHARDS]]
    for found in each_in_order(partial(_deceiving_of_shard, network=network), some, workers):
        rows.add(found)
    rows.close()
    print(f"{rows.count} places deceive the first look", flush=True)


def _deceiving_of_shard(path: Path, network: nn.Module) -> list[Row]:
    return list(deceiving_crops(network, stored_frames(path)))


def _train_close_up(detector: Detector, work: Path, settings: DetectorTraining, minutes: float, *, alone: bool) -> None:
    """The first part of the second look's steps (alone), or the others, which see what deceived the first look."""
    rows: Rows = read_rows(work / "crops")
    count = len(rows["facts"])
    deceiving: Rows = {} if alone else read_rows(work / "deceiving")
    more = len(deceiving["facts"]) if deceiving else 0
    both: Rows = {name: _Joined(rows[name], deceiving[name]) if more else rows[name] for name in rows}  # type: ignore[misc]
    hand = np.concatenate([np.asarray(rows["facts"][:, 0], float) > 0, np.zeros(more, bool)])
    deceived = np.arange(count + more) >= count
    share = _DECEIVING_SHARE if more else 0.0
    weights = np.where(hand, _HANDS_SHARE / max(hand.sum(), 1), 0.0)
    plain = ~hand & ~deceived
    weights[plain] = (1 - _HANDS_SHARE) * (1 - share) / max(plain.sum(), 1)
    if more:
        weights[deceived] = (1 - _HANDS_SHARE) * share / more
        real = int((work / "deceiving" / "real.txt").read_text())
        weights[count : count + real] = (1 - _HANDS_SHARE) * share * _REAL_DECEIVING_SHARE / max(real, 1)
    middle = round(settings.alone_share * settings.close_steps)
    train(
        detector.close_up,
        both,
        crop_batch,
        close_loss,
        Schedule(
            settings.close_steps,
            settings.close_batch,
            settings.learning_rate,
            settings.seed + 1,
            minutes,
            first=0 if alone else middle,
            last=middle if alone else None,
        ),
        _worse(settings),
        "second look",
        weights,
    )


class _Joined:
    """Two arrays as one, rows of the second after those of the first; nothing is copied."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, number: int) -> np.ndarray:
        return self._first[number] if number < len(self._first) else self._second[number - len(self._first)]


def _worse(settings: DetectorTraining) -> Worse:
    return Worse(settings.colorless_share, settings.holed_share, settings.background_share, settings.poor_depth_share)


def examples_for_8_bits(work: Path, settings: DetectorTraining) -> dict[str, Iterator[Floats]]:
    """Planes of either graph, as they are seen in training."""
    rng = np.random.default_rng(settings.seed)
    grids, crops = read_rows(work / "grids"), read_rows(work / "crops")

    def of(rows: Rows, make: object, count: int) -> Iterator[Floats]:
        for number in rng.integers(0, count, _CALIBRATING):
            batch = make(rows, np.array([number]), rng, _worse(settings))  # type: ignore[operator]
            yield batch.planes

    return {
        PROPOSALS: of(grids, grid_batch, len(grids["focal"])),
        CLOSE_UP: of(crops, crop_batch, len(crops["facts"])),
    }


def calibrate(folder: Path, shards: Sequence[Path], most_shards: int = 4) -> Calibration:
    """Of the confidence, by frames that were not trained on; as the node looks at them."""
    detector = load_detector(folder)
    detector.calibration = Calibration()  # its confidence is the second look's logit again
    everything = SegmentationSettings(hand_confidence_min=0.001)
    logits, true = [], []
    for frame in itertools.chain(*(stored_frames(path) for path in shards[:most_shards])):
        hands = hands_of(frame)
        seen = detector.see(frame.color, frame.depth_m, everything, focal_px=frame.focal_px).hands
        for found, number in zip(seen, whose_hands(seen, frame, hands), strict=True):
            if number is None or hands.plain[number]:
                logits.append((logit_of(found.confidence or 0.0), logit_of(found.proposal_score)))
                true.append(number is not None)
    (slope, proposal_slope), offset = platt(np.array(logits).reshape(-1, 2), np.array(true, bool))
    return Calibration(slope, offset, proposal_slope)


def measured(folder: Path, shards: Sequence[Path]) -> dict[str, float]:
    """Figures on frames that were not trained on; with colour and without."""
    detector = load_detector(folder)
    figures: dict[str, float] = {}
    for suffix, use_color in (("", True), ("_depth_only", False)):
        frames = itertools.chain(*(stored_frames(path) for path in shards))
        told = judge(detector, frames, use_color=use_color).figures()
        figures |= {f"{name}{suffix}": round(value, 4) for name, value in told.items() if np.isfinite(value)}
    return figures
