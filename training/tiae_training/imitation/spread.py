"""How far off estimates are, from people who were not trained on: factors on the network's deviations, and the limit
of what is a hand.

A deviation is right when the error's mean square is its square; each joint and each finger has a factor of its own.
"""

from __future__ import annotations

import numpy as np
import torch

from tiae_ros.model.hand_pose import SHAPES
from tiae_training.imitation.networks import HandPoseNetwork, graph_of
from tiae_training.imitation.rows import HandRows
from tiae_training.imitation.training import see
from tiae_training.model import TransformInvariantAutoencoder
from tiae_training.transforms.shifts import draw_shifts

_FACTORS = (0.2, 10.0)
_ROWS_AT_ONCE = 512
HANDS_KEPT = 0.97  # share of held-out hands that are called known


@torch.no_grad()
def calibrate(
    network: HandPoseNetwork, autoencoder: TransformInvariantAutoencoder, rows: HandRows, radius_px: int, seed: int
) -> float:
    """Set the factors by held-out rows under random shifts; returns the novelty from which on it is no known hand."""
    graph = graph_of(network)
    shifts = draw_shifts(len(rows), radius_px, torch.Generator().manual_seed(seed))
    columns = (torch.from_numpy(rows.images), torch.from_numpy(rows.details), shifts)
    shown = zip(*(column.split(_ROWS_AT_ONCE) for column in columns), strict=True)
    given = [see(autoencoder, *part).of(network) for part in shown]
    joint, joint_log, tip, tip_log = (
        torch.cat(column) for column in zip(*(network(*some)[:4] for some in given), strict=True)
    )
    wanted = (torch.from_numpy(rows.joints) - network.joint_mean) / network.joint_scale
    _set(network.joint_factor, (joint - wanted).square(), joint_log)
    tips = (torch.from_numpy(rows.tips_mm) - network.tip_mean) / network.tip_scale
    _set(network.tip_factor, (tip - tips).square().mean(-1), tip_log)
    novelty = [dict(zip(SHAPES, graph(*some), strict=True))["novelty"] for some in given]  # by the factors just set
    return float(np.quantile(torch.cat(novelty).numpy(), HANDS_KEPT))


def _set(factor: torch.Tensor, squares: torch.Tensor, log: torch.Tensor) -> None:
    """Where nothing is known, the network's own deviation stays."""
    ratio = squares * (-2 * log).exp()
    known = torch.isfinite(ratio)
    mean = torch.where(known, ratio, 0.0).sum(0) / known.sum(0).clamp_min(1)
    factor.copy_(torch.where(known.any(0), mean.sqrt().clamp(*_FACTORS), torch.ones_like(mean)))
