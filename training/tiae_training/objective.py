"""The objective of the transform-invariant auto-encoder (slides; Matsuo, Fukuhara, Shimada, IROS 2017).

    C(E, D) = λ_inv C_inv + λ_res C_res + λ_spa C_spa

    C_inv = ‖D(E(T_θ I)) − D(E(T_φ I))‖²     any transform of the input restores the same picture
    C_res = min_θ ‖D(E(I)) − T_θ I‖²         that picture is one of the transformed inputs
    C_spa = ‖E(I)‖₁² / ‖E(I)‖₂²              few descriptor dimensions carry the energy

The sums over Θ become expectations: each step draws two transforms per image and treats both views alike.
Beyond the slides there is a term that looks at descriptors alone:

    C_con = −log softmax of cos(E(I), E(δI)) among the batch     a slightly deformed pattern is nearer than any other

and what the regressor R learns from: how far it is from the best transform (`regression`), which angle of all that
is (`angle`), and that two views of one pattern differ by what was done to them (`agreement`, `turn_agreement`).

The terms of the slides are sums over the pixels of an image (not means), averaged over the batch, so the
weights do not depend on the batch size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tiae_training.hand_measures import FEWEST_PIXELS
from tiae_training.networks.angle_shares import after, shares_of
from tiae_training.networks.steering import TURN, TURN_LENGTH, turned
from tiae_training.transforms.poses import compose, invert

SURFACE_ERROR = 0.02  # of the depth's range; 6 mm of 0.3 m
SHARPENING = 2.0
LEVER_PX = 8.0  # where a pattern's outline typically lies from its centre: what an angle amounts to in pixels


def invariance(restored_one: Tensor, restored_other: Tensor) -> Tensor:
    """C_inv of two views of the same images: (N, C, H, W) twice -> scalar."""
    return (restored_one - restored_other).square().sum((1, 2, 3)).mean()


def restoration(restored: Tensor, targets: Tensor) -> Tensor:
    """C_res once the best transform of each input is known: (N, C, H, W) twice -> scalar."""
    return (restored - targets).square().sum((1, 2, 3)).mean()


def surface(restored: Tensor, targets: Tensor) -> Tensor:
    """Errors of the last channel (depth) on what the channels before it (masks) show: (N, C, H, W) twice -> scalar.

    What a pixel shows of a surface is the surface's value times the share that is covered, so the target is laid onto
    the restored masks: where an outline runs is not asked here, nor what is beyond it. Without masks it is asked for
    on the pixels whose neighbours all have depth.

    Errors are squared up to `SURFACE_ERROR`, beyond it they count by their amount (Huber 1964): a fingertip restored
    in the wrong place is off by its distance to what lies behind, and a few of those would outweigh all the rest.
    """
    if targets.shape[1] > 1:
        shown = targets[:, :-1].sum(1) >= 0.5
        cover = restored[:, :-1].detach().sum(1).clamp(0.0, 1.0)
    else:
        shown = -F.max_pool2d(-(targets[:, -1] > 0).to(targets.dtype), 3, stride=1, padding=1) > 0
        cover = torch.ones_like(targets[:, -1])
    off = F.huber_loss(restored[:, -1], targets[:, -1] * cover, reduction="none", delta=SURFACE_ERROR)
    return 2.0 * (off * shown).sum((1, 2)).mean()


def overlap(restored: Tensor, targets: Tensor) -> Tensor:
    """1 - intersection over union of masks and their restorations, (N, C, H, W) twice -> scalar from 0 to 1.

    Squared errors are least where a pixel's value is the share of patterns that cover it; of a thin thing that lies a
    little differently each time that is under a half everywhere, and nothing of it is left when the mask is cut there.
    Shares count as they are in place of pixels (Rahman & Wang 2016); masks of fewer than `FEWEST_PIXELS` do not.
    """
    shares = restored.clamp(0.0, 1.0)
    true = (targets >= 0.5).to(shares.dtype)
    sizes = true.sum((2, 3))  # (N, C)
    shared = (shares * true).sum((2, 3))
    missed = 1.0 - shared / (shares.sum((2, 3)) + sizes - shared).clamp_min(1e-6)
    counted = sizes >= FEWEST_PIXELS
    return (missed * counted).sum() / counted.sum().clamp_min(1)


def sparseness(descriptors: Tensor) -> Tensor:
    """C_spa: between 1 (one dimension carries all) and K (all alike). (N, K) -> scalar."""
    l1 = descriptors.abs().sum(1)
    l2 = descriptors.square().sum(1)
    return (l1.square() / l2.clamp_min(1e-12)).mean()


def contrastive(descriptors: Tensor, others: Tensor, temperature: float) -> Tensor:
    """C_con: descriptors of two deformations of each pattern, (N, K) twice -> scalar.

    Which of the other N descriptors belongs to mine? The cross-entropy of that question by cosine similarity over a
    temperature (van den Oord et al. 2018, arXiv 1807.03748; Chen et al. 2020, arXiv 2002.05709). Restoration alone
    leaves open how descriptors lie to each other: this makes similar shapes neighbours, without labels. Only their
    directions count, so that their lengths stay free for what restoration needs.
    """
    similar = F.normalize(descriptors, dim=1) @ F.normalize(others, dim=1).T / temperature  # (N, N)
    own = torch.arange(len(similar), device=similar.device)
    return 0.5 * (F.cross_entropy(similar, own) + F.cross_entropy(similar.T, own))


def regression(regressed: Tensor, found: Tensor) -> Tensor:
    """How far the regressor's parameters are from those found by the minimum over θ, in pixels -> scalar.

    Shifts (N, 2) or poses (N, 4 or 5); where one has shifts only, only those are compared. An angle is compared by its
    sine and cosine, which has no seam, and angle and logarithm of scale count by what they move at `LEVER_PX`.
    """
    columns = min(regressed.shape[1], found.shape[1], 4)
    found = found.to(torch.float32)
    loss = F.smooth_l1_loss(regressed[:, :2], found[:, :2], reduction="none").sum(1)
    if columns == 4:
        loss = loss + pose_difference(regressed[:, 2:4], found[:, 2:4])
    return loss.mean()


def pose_difference(one: Tensor, other: Tensor) -> Tensor:
    """The cost of differing (angle, log scale): (N, 2) twice -> (N,)."""
    turn = torch.stack((torch.cos(one[:, 0]), torch.sin(one[:, 0]), one[:, 1]), 1)
    turn_other = torch.stack((torch.cos(other[:, 0]), torch.sin(other[:, 0]), other[:, 1]), 1)
    return F.smooth_l1_loss(LEVER_PX * turn, LEVER_PX * turn_other, reduction="none").sum(1)


def angle(logits: Tensor, found: Tensor) -> Tensor:
    """Cross-entropy of all angles against the one found by the minimum over θ: (N, B), poses (N, 4 or 5) -> scalar."""
    return F.cross_entropy(logits, shares_of(found))


def agreement(logits: Tensor, logits_other: Tensor, drawn: Tensor, drawn_other: Tensor) -> Tensor:
    """Cross-entropy of the angles of two views against each other's, (N, B) twice, poses (N, 4 or 5) twice -> scalar.

    A view's angles are turned by what lies between the two transforms that were drawn, and sharpened, so that of two
    angles that are as good as each other, as those of a pattern that looks the same after half a turn, one is chosen.
    """
    with torch.no_grad():
        sharp, sharp_other = (torch.softmax(SHARPENING * given, 1) for given in (logits, logits_other))
        wanted = after(compose(drawn, invert(drawn_other)), sharp_other)
        wanted_other = after(compose(drawn_other, invert(drawn)), sharp)
    return 0.5 * (F.cross_entropy(logits, wanted) + F.cross_entropy(logits_other, wanted_other))


def turn_agreement(one: Tensor, other: Tensor, rolls: Tensor, rolls_other: Tensor) -> Tensor:
    """How far the turns that descriptors of two views say are from what lies between their rolls -> scalar.

    (N, K) twice, radians (N,) twice. Squared distances of the two directions: 0 to 4.
    """
    expected = turned(one.float(), rolls_other - rolls)[:, -TURN:]
    return ((expected - other[:, -TURN:].float()) / TURN_LENGTH).square().sum(1).mean()
