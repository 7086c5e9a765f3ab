"""Every knob of a training in one dataclass, checked before anything is spent and saved with the result. No torch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from tiae_ros.errors import ParameterError
from tiae_training.networks.config import DEFAULT_NETWORK, NETWORKS, default_network
from tiae_training.transforms.ranges import KINDS, POSES, Ranges, parse_kinds, setting

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class TrainingSettings(Ranges):
    """What decides the weights (apart from the data): the same settings and seed give the same model on one CPU.

    The command line takes each field's flag and help from here. The weights of the terms balance sums over pixels. The
    slides do not publish theirs; these were chosen by measuring (docs/reference/experiments.md): more invariance
    gathers descriptors, too much blurs what is restored.
    """

    transforms: str = setting("shift", "--transforms", f"list of {', '.join(KINDS[1:])}; or none")
    network: str = setting(
        "", "--network", f"{', '.join(NETWORKS)} (default: {DEFAULT_NETWORK}; for poses pose-…, for roll steerable)"
    )
    descriptor_size: int = setting(30, "--descriptor-size", "numbers in a descriptor")
    epochs: int = setting(40, "--epochs", "passes over the data")
    batch_size: int = setting(64, "--batch-size", "windows per step")
    learning_rate: float = setting(3e-3, "--learning-rate", "peak of the one-cycle schedule")
    warmup_fraction: float = setting(0.2, "--warmup-fraction", "share of the steps in which the rate rises")
    invariance_weight: float = setting(0.5, "--invariance-weight", "λ_inv")
    restoration_weight: float = setting(1.0, "--restoration-weight", "λ_res")
    sparseness_weight: float = setting(0.0, "--sparseness-weight", "λ_spa")
    regression_weight: float = setting(1.0, "--regression-weight", "of the shift regressor's loss")
    angle_weight: float = setting(10.0, "--angle-weight", "of which angle of all it is")
    agreement_weight: float = setting(15.0, "--agreement-weight", "of the angles of two views agreeing")
    clearing_weight: float = setting(1.0, "--clearing-weight", "of clearing away what lies behind a moved pattern")
    surface_weight: float = setting(0.0, "--surface-weight", "of depth's errors where there is a surface")
    overlap_weight: float = setting(0.0, "--overlap-weight", "of the masks' intersection over union")
    contrastive_weight: float | None = setting(
        None,
        "--contrastive-weight",
        "λ_con: how much descriptors of similar shapes are drawn together (default: 1; without transforms 0)",
    )
    contrastive_temperature: float = setting(0.1, "--contrastive-temperature", "of that term")
    neighbour_share: float = setting(
        0.0,
        "--neighbour-share",
        "how much of that term is of a window's nearest other ones, which gathers descriptors in clusters; it rises "
        "from nothing at three tenths of the steps to this at half of them",
    )
    deformation: float | None = setting(
        None,
        "--deformation",
        "strength of the small deformations patterns are shown under; 0: none (default: 1; without transforms 0)",
    )
    whole_targets: bool | None = setting(
        None,
        "--whole-targets",
        "hold what is restored against the whole windows, not against what the window's edge left of them when they "
        "were moved (default: for roll, rotation, scale and mirror)",
    )
    upright_fraction: float = setting(
        0.6,
        "--upright-fraction",
        "share of the steps after which an estimated pose counts as much as the one the windows show, rising from half "
        "of it; 0 for windows that are turned anyhow",
    )
    channel_weights: str = setting(
        "", "--channel-weights", "of squared errors, e.g. object_mask=4,depth=4 (default: 1 each)"
    )
    seed: int = setting(0, "--seed", "decides weights, order and shifts")
    precision: str = setting(
        "auto",
        "--precision",
        "auto, float32, bfloat16, or on GPUs float16; auto: bfloat16 where it is done in hardware",
    )
    validation_fraction: float = setting(0.0, "--validation-fraction", "share of the windows to watch the objective on")
    patience: int = setting(
        0,
        "--patience",
        "stop after so many epochs without a better objective, and keep the best weights; 0 is never. The rate's "
        "schedule spans --epochs, and most is gained at its end: give at least a quarter of --epochs",
    )
    restarts: int = setting(2, "--restarts", "other initialisations to try when training collapses")

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "descriptor_size": (1, 4096),
            "epochs": (1, 100_000),
            "batch_size": (2, 65_536),
            "learning_rate": (1e-7, 1.0),
            "warmup_fraction": (0.0, 0.9),
            "invariance_weight": (0.0, 1e6),
            "restoration_weight": (0.0, 1e6),
            "sparseness_weight": (0.0, 1e6),
            "regression_weight": (0.0, 1e6),
            "angle_weight": (0.0, 1e6),
            "agreement_weight": (0.0, 1e6),
            "clearing_weight": (0.0, 1e6),
            "upright_fraction": (0.0, 1.0),
            "surface_weight": (0.0, 1e6),
            "overlap_weight": (0.0, 1e6),
            "contrastive_weight": (0.0, 1e6),
            "contrastive_temperature": (1e-3, 1e3),
            "neighbour_share": (0.0, 1.0),
            "deformation": (0.0, 4.0),
            "seed": (0, 2**31 - 1),
            "validation_fraction": (0.0, 0.9),
            "patience": (0, 100_000),
            "restarts": (0, 100),
        }
        kinds = parse_kinds(self.transforms)
        for name in ("contrastive_weight", "deformation"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, 0.0 if "none" in kinds else 1.0)
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                raise ParameterError(f"{name} is {value}; accepted is {low:g} to {high:g}")
        if self.neighbour_share and not self.contrastive_weight:
            raise ParameterError(
                f"neighbour_share is {self.neighbour_share:g} and contrastive_weight is 0, so there is no term to "
                "share (without transforms 0 is its default); accepted is neighbour_share 0, or a contrastive_weight "
                "above 0"
            )
        if self.neighbour_share and self.patience:
            raise ParameterError(
                f"neighbour_share is {self.neighbour_share:g} and patience is {self.patience}, but neighbours change "
                "the objective on the way; accepted is one of them, the other 0"
            )
        posed = bool({"roll", *POSES} & set(kinds))
        if self.whole_targets is None:
            object.__setattr__(self, "whole_targets", posed)
        if not self.network:
            object.__setattr__(self, "network", default_network(kinds))
        if "mirror" in kinds and self.network in NETWORKS and NETWORKS[self.network].pose != "mirrored":
            able = ", ".join(name for name, config in NETWORKS.items() if config.pose == "mirrored")
            raise ParameterError(f"network {self.network} cannot tell what is mirrored; accepted for mirror are {able}")
        if "roll" in kinds and self.network in NETWORKS and NETWORKS[self.network].descriptor != "steerable":
            able = ", ".join(name for name, config in NETWORKS.items() if config.descriptor == "steerable")
            raise ParameterError(
                f"network {self.network} cannot tell how a pattern rolls; accepted for roll are {able}"
            )
        if self.network in NETWORKS and NETWORKS[self.network].descriptor == "steerable":
            if "roll" not in kinds:
                raise ParameterError(
                    f"network {self.network} tells how patterns roll, and transforms are {self.transforms}; accepted "
                    "is a list with roll, or another network"
                )
            if self.descriptor_size < 3:
                raise ParameterError(
                    f"descriptor_size is {self.descriptor_size}; accepted with {self.network} is 3 to 4096: two "
                    "numbers say the turn"
                )
        if self.network not in NETWORKS:
            raise ParameterError(f"network is {self.network!r}; accepted are {', '.join(NETWORKS)}")
        self.weights_by_channel()
        if self.precision not in PRECISIONS:
            raise ParameterError(f"precision is {self.precision!r}; accepted are {', '.join(PRECISIONS)}")

    def weights_by_channel(self) -> dict[str, float]:
        """channel_weights as numbers. Raises ParameterError for what is not NAME=NUMBER or not within 0 to 1e6."""
        weights: dict[str, float] = {}
        for item in filter(None, self.channel_weights.split(",")):
            name, _, text = item.partition("=")
            try:
                weights[name.strip()] = float(text)
            except ValueError:
                weights[name.strip()] = math.nan
            if not name.strip() or not 0.0 <= weights[name.strip()] <= 1e6:
                raise ParameterError(
                    f"channel_weights are {self.channel_weights!r}; accepted is NAME=NUMBER,… with numbers 0 to 1e6"
                )
        return weights

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)
