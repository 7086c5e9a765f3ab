"""The measures of a hand pose model, on people and things it was not trained on.

joints_deg          mean absolute error of the 21 joints of the fingers, degrees
flexion_deg         of those that close the hand alone
tips_mm             mean distance of the five fingertips
left                share of sides that are right
pinch_found         share of the fingers that touch the thumb that are said to
pinch_right         share of those that are said to that do
length_mm           mean error of the hand's length
spread_spearman     rank correlation of a hand's mean spread and its mean error
spread_share        share of joints within twice their spread (95 % of normal errors)
known               share of hands that are called known
drawn_auroc, others_auroc   how surely novelty tells hands from drawn, and from given, windows of no hand

Each of the first three also of a group of windows: named grasps, the styles of holding unnamed things, free poses, and
grasps of given names (held out). Windows lie under random shifts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiae_ros.imitation.human_hand import JOINT_NAMES
from tiae_ros.model.autoencoder import Autoencoder
from tiae_ros.model.hand_pose import HandPose, HandPoseEstimate
from tiae_ros.model.shifts import draw_shifts
from tiae_training.imitation.false_windows import NoHands
from tiae_training.imitation.others import draw_no_hands
from tiae_training.imitation.rows import FINGER_JOINTS, Floats, HandRows
from tiae_training.imitation.seeing import estimates, pinches_of
from tiae_training.simulator.grasps import BY_NAME
from tiae_training.world.holding import STYLES

FLEXION = np.array([n for n in FINGER_JOINTS if JOINT_NAMES[n].endswith("flexion")])
_LEAST_GROUP = 5


def evaluate_hand_pose(
    pose: HandPose,
    autoencoder: Autoencoder,
    rows: HandRows,
    others: NoHands | None,
    *,
    held_out: Sequence[str] = (),
    radius_px: int = 8,
    seed: int = 0,
) -> dict[str, float]:
    """All measures; those that nothing is known of are left out."""
    shifts = np.random.RandomState(seed)
    said = estimates(pose, autoencoder, rows.images, rows.details, draw_shifts(len(rows), radius_px, shifts))
    measures = {"windows": float(len(rows)), **errors(said, rows), **trust(said, rows)}
    for name, chosen in groups(rows, held_out).items():
        if chosen.sum() >= _LEAST_GROUP:
            part = errors(_rows_of(said, chosen), rows.take(chosen))
            measures |= {f"{measure}_{name}": value for measure, value in part.items() if measure in _GROUPED}
    as_seen = rows if "detail" in pose.inputs else rows.without()
    drawn = draw_no_hands(as_seen, autoencoder.manifest.channels, seed + 1)
    for name, no_hands in (("drawn", drawn), ("others", others)):
        if no_hands is not None and len(no_hands):
            moved = draw_shifts(len(no_hands), radius_px, shifts)
            novelty = estimates(pose, autoencoder, no_hands.windows, no_hands.details, moved).novelty
            measures[f"{name}_auroc"] = auroc(said.novelty, novelty)
    return {name: round(value, 4) for name, value in measures.items() if np.isfinite(value)}


_GROUPED = ("joints_deg", "flexion_deg", "tips_mm")


def errors(said: HandPoseEstimate, rows: HandRows) -> dict[str, float]:
    """Of joints, fingertips, side and length; NaN where no truth is known."""
    off_deg = np.degrees(np.abs(said.joints - rows.joints))
    known = np.isfinite(rows.left)
    pinches = pinches_of(rows.tips_mm)
    touching, told = pinches > 0.5, (said.pinch > 0.5) & np.isfinite(pinches)
    return {
        "joints_deg": _mean(off_deg[:, FINGER_JOINTS]),
        "flexion_deg": _mean(off_deg[:, FLEXION]),
        "tips_mm": _mean(np.linalg.norm(said.tips_mm - rows.tips_mm, axis=-1)),
        "left": float(((said.left > 0.5) == (rows.left > 0.5))[known].mean()) if known.any() else np.nan,
        "pinch_found": float(told[touching].mean()) if touching.any() else np.nan,
        "pinch_right": float(touching[told].mean()) if told.any() else np.nan,
        "length_mm": _mean(np.abs(said.length_mm - rows.length_mm)),
    }


def trust(said: HandPoseEstimate, rows: HandRows) -> dict[str, float]:
    """Whether errors are as large as they are said to be."""
    off = np.abs(said.joints - rows.joints)[:, FINGER_JOINTS]
    spread = said.joint_spread[:, FINGER_JOINTS]
    whole = np.isfinite(off).all(1)
    return {
        "spread_spearman": spearman(spread[whole].mean(1), off[whole].mean(1)) if whole.sum() > 2 else np.nan,
        "spread_share": _mean(np.where(np.isfinite(off), off <= 2 * spread, np.nan)),
        "known": float(said.known.mean()),
    }


def groups(rows: HandRows, held_out: Sequence[str] = ()) -> dict[str, NDArray[np.bool_]]:
    """Windows by what the hand does."""
    apart = np.isin(rows.kinds, list(held_out))
    return {
        "named": np.isin(rows.kinds, list(BY_NAME)) & ~apart,
        "held_out": apart,
        "style": np.isin(rows.kinds, list(set(STYLES) - set(BY_NAME))),
        "free": rows.kinds == "free",
    }


def auroc(hands: Floats, others: Floats) -> float:
    """Probability that a window of no hand has the higher score."""
    ranks = _ranks(np.concatenate((hands, others)))[len(hands) :]
    return float((ranks.sum() - len(others) * (len(others) + 1) / 2) / (len(hands) * len(others)))


def spearman(one: Floats, other: Floats) -> float:
    """Rank correlation."""
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: Floats) -> NDArray[np.float64]:
    """1 is the lowest; equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _rows_of(said: HandPoseEstimate, chosen: NDArray[np.bool_]) -> HandPoseEstimate:
    return HandPoseEstimate(**{name: value[chosen] for name, value in vars(said).items()})
