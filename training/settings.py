"""Every knob of a training in one dataclass, checked before anything is spent and saved with the result."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tiae_ros.core.networks import DEFAULT_NETWORK, NETWORKS, POSE_NETWORK
from tiae_ros.core.transforms import Ranges, Transform, build_transform, parse_kinds
from tiae_ros.errors import ParameterError

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class TrainingSettings:
    """What decides the weights (apart from the data): the same settings and seed give the same model on one CPU.

    The weights of the terms balance sums over pixels. The slides do not publish theirs; these were chosen by
    measuring (docs/experiments.md): more invariance gathers descriptors, too much blurs what is restored.
    """

    transforms: str = "shift"
    shift_radius_px: int = 8
    rotation_deg: float = 180.0  # angles up to ± this
    scale_factor: float = 1.4  # scales from 1 / this to this
    clutter_px: int = 8  # side of the fragments of other windows
    blur_px: float = 1.5  # standard deviations from 0 to this
    gain_factor: float = 1.5  # gains from 1 / this to this
    network: str = ""  # "" is the default for these transforms
    descriptor_size: int = 30
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 3e-3  # the one-cycle schedule's peak
    warmup_fraction: float = 0.2  # of the steps, in which the rate rises
    invariance_weight: float = 0.5
    restoration_weight: float = 1.0
    sparseness_weight: float = 0.0
    whole_targets: bool = False  # what is restored is held against whole windows, not what the edge left of the view
    regression_weight: float = 1.0  # of the shift regressor's own loss
    surface_weight: float = 0.0  # λ_sur: of depth, the last channel, where there is a surface
    overlap_weight: float = 0.0  # of intersection over union of the masks (channels named hand_mask, object_mask)
    channel_weights: str = ""  # of squared errors, by channel name: "object_mask=4,depth=4"; 1 where not named
    seed: int = 0
    gathering_weight: float | None = None  # λ_gat; None: 1, and 0 for an ordinary auto-encoder
    gathering_temperature: float = 0.1
    deformation: float | None = None  # strength (training/deformation.py); None: 1, and 0 for an ordinary auto-encoder
    precision: str = "auto"  # auto: bfloat16 where the processor multiplies it in hardware (AMX, GPU)
    validation_fraction: float = 0.0  # of the windows, held out to watch the objective on
    patience: int = 0  # epochs without a better objective after which training ends; 0: never (training/early_stop.py)
    restarts: int = 2  # other initialisations to try when training collapses (training/collapse.py)

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
            "surface_weight": (0.0, 1e6),
            "overlap_weight": (0.0, 1e6),
            "gathering_weight": (0.0, 1e6),
            "gathering_temperature": (1e-3, 1e3),
            "deformation": (0.0, 4.0),
            "seed": (0, 2**31 - 1),
            "validation_fraction": (0.0, 0.9),
            "patience": (0, 100_000),
            "restarts": (0, 100),
        }
        kinds = parse_kinds(self.transforms)
        for name in ("gathering_weight", "deformation"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, 0.0 if "none" in kinds else 1.0)
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not math.isfinite(value) or not low <= value <= high:
                raise ParameterError(f"{name} is {value}; accepted is {low:g} to {high:g}")
        if self.whole_targets and {"rotation", "scale"} & set(kinds):
            raise ParameterError(
                f"whole_targets with transforms {self.transforms!r}; accepted without rotation and scale"
            )
        if not self.network:
            turned = {"rotation", "scale"} & set(kinds)
            object.__setattr__(self, "network", POSE_NETWORK if turned else DEFAULT_NETWORK)
        if self.network not in NETWORKS:
            raise ParameterError(f"network is {self.network!r}; accepted are {', '.join(NETWORKS)}")
        self.weights_by_channel()
        if self.precision not in PRECISIONS:
            raise ParameterError(f"precision is {self.precision!r}; accepted are {', '.join(PRECISIONS)}")
        self.build_transform()

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

    def build_transform(self, backgrounds: Tensor | None = None, patterns: Tensor | None = None) -> Transform:
        """The transform these settings name.

        backgrounds (M, C, H, W) are what the kind background cuts from, patterns (N, C, S, S) what clutter does.
        """
        ranges = Ranges(
            self.shift_radius_px,
            self.rotation_deg,
            self.scale_factor,
            self.clutter_px,
            self.blur_px,
            self.gain_factor,
        )
        return build_transform(self.transforms, ranges=ranges, backgrounds=backgrounds, patterns=patterns)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)
