"""What the method is held against, behind the same doors as a model, so that `measure_model` measures all alike.

name             what it is
pca              principal components of randomly shifted images
centroid-pca     every image moved so that its centroid is in the middle, then principal components
whole-pca        the same, moved by whole pixels: nothing is blurred, but patterns lie half a pixel off
moments-pca      every image brought to its centroid and to one size by its second moments and, where it may be turned
                 by more than 90°, to its main axis, its longer tail to the right; then principal components
ordinary-ae      the slides' fully connected auto-encoder on randomly shifted images
centroid-ae      every image moved so that its centroid is in the middle, then the same auto-encoder
whole-ae         the same, moved by whole pixels
transformer-ae   the same auto-encoder behind a spatial transformer for shifts (Jaderberg et al. 2015): a network
                 moves the window before it is encoded, and what is restored is moved back and held against the input

pyroved-t, -rt   an invariant variational auto-encoder, if it is installed (`tiae_training.peers`)

All have the same number of descriptor dimensions, and see every training image under a new random shift in each epoch,
or under another transform when it is given (the pyroved peers only ever under shifts).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tiae_ros.errors import MissingExtraError, ParameterError, install_hint
from tiae_training import objective
from tiae_training.data.arrays import ImageArrays
from tiae_training.moments import centroids, mean_size, moment_poses, moments
from tiae_training.networks.slide import SlideNetwork
from tiae_training.peers import PEERS, describe_by_peer, fit_peer
from tiae_training.train.one_cycle import one_cycle
from tiae_training.transforms.poses import bring_back, place_by_pose
from tiae_training.transforms.shift import Shift
from tiae_training.transforms.shifts import best_shifts_subpixel, shift_images, shift_images_subpixel
from tiae_training.transforms.similarity import Similarity
from tiae_training.transforms.transform import Identity, Transform

# name -> epochs after which it no longer gets better by much; those of peers end by the minutes they may take
EPOCHS = {"pca": 0, "centroid-pca": 0, "whole-pca": 0, "moments-pca": 0}
EPOCHS |= {"ordinary-ae": 40, "centroid-ae": 96, "whole-ae": 96, "transformer-ae": 40}
EPOCHS |= dict.fromkeys(PEERS, 200)
BASELINES = tuple(EPOCHS)
LARGEST_RATE = 1e-3


@dataclass(frozen=True)
class Described:
    """Descriptors (N, K), restored patterns (N, C, S, S) and poses (N, 4) of windows; 0 where nothing is found."""

    descriptors: Tensor
    restored: Tensor
    poses: Tensor


class Baseline:
    """The doors of a model that the measures use, around one function of windows (N, C, S, S)."""

    def __init__(self, describe: Callable[[Tensor], Described], *, finds_shifts: bool, epochs: int = 0) -> None:
        self.describe = describe
        self.finds_shifts = finds_shifts  # without, estimate_shift without comparing is NaN
        self.epochs = epochs  # trained for

    def encode(self, images: np.ndarray) -> np.ndarray:
        return self._describe(images).descriptors.numpy()

    def restore(self, images: np.ndarray) -> np.ndarray:
        return self._describe(images).restored.numpy()

    def place(self, images: np.ndarray) -> np.ndarray:
        """What is restored, laid onto the input: where no shift is found it is restored where it lies."""
        found = self._describe(images)
        return (place_by_pose(found.restored, found.poses) if self.finds_shifts else found.restored).numpy()

    def estimate_parameters(self, images: np.ndarray) -> np.ndarray:
        """Poses (N, 4), as those of a model; what it does not look for is 0."""
        return self._describe(images).poses.numpy()

    def estimate_shift(self, images: np.ndarray, *, compare: bool = False) -> np.ndarray:
        found = self._describe(images)
        if compare:
            seen = torch.as_tensor(images, dtype=torch.float32)
            return best_shifts_subpixel(found.restored, seen, images.shape[-1] // 2).numpy()
        shifts = found.poses[:, :2]
        return (shifts if self.finds_shifts else torch.full_like(shifts, math.nan)).numpy()

    def _describe(self, images: np.ndarray) -> Described:
        with torch.no_grad():
            return self.describe(torch.as_tensor(images, dtype=torch.float32))


def fit_baseline(
    name: str,
    arrays: ImageArrays,
    *,
    radius_px: int = 8,
    descriptor_size: int = 30,
    epochs: int | None = None,
    peer_minutes: float = 10.0,
    seed: int = 0,
    transform: Transform | None = None,
    mirrored: bool = False,
) -> Baseline:
    """Fit one of `BASELINES` on training images, for its own number of epochs (`EPOCHS`) unless told.

    peer_minutes: what a peer may compute at most, minutes of one core. transform: what the images are seen under,
    instead of shifts up to radius_px. mirrored: windows that are turned may be mirrored, too, which moments-pca undoes
    by the third moment across the main axis. Raises ParameterError for an unknown name, MissingExtraError for a peer
    that is not installed.
    """
    if name not in BASELINES:
        raise ParameterError(f"unknown baseline {name!r}; accepted are {', '.join(BASELINES)}")
    epochs = EPOCHS[name] if epochs is None else epochs
    images = torch.from_numpy(arrays.targets)
    generator = torch.Generator().manual_seed(seed)
    seen_under = transform or (Shift(radius_px) if radius_px else Identity())

    def moved() -> Tensor:
        return seen_under.apply(images, seen_under.draw(len(images), generator))

    if name == "pca":
        return Baseline(_pca(torch.cat([moved() for _ in range(4)]), descriptor_size, seed), finds_shifts=False)
    if name == "moments-pca":
        bring = _by_moments(mean_size(images), turned=_any_angle(seen_under), mirrored=mirrored)
        return _after_bringing(bring, _pca(bring(moved())[0], descriptor_size, seed))
    whole = name.startswith("whole")
    if name in ("centroid-pca", "whole-pca"):
        return _after_centring(_pca(centre(moved(), whole=whole)[0], descriptor_size, seed), whole=whole)
    if name in PEERS:
        peer, done = fit_peer(
            name, images, radius_px=radius_px, descriptor_size=descriptor_size, epochs=epochs, minutes=peer_minutes,
            seed=seed,
        )  # fmt: skip
        return Baseline(lambda windows: _by_peer(peer, windows), finds_shifts=True, epochs=done)
    torch.manual_seed(seed)
    network = SlideNetwork(images.shape[1], images.shape[2], descriptor_size, convolution=False)
    if name == "ordinary-ae":
        _train(network, moved, _restore, epochs, generator)
        return Baseline(_network_describer(network), finds_shifts=False, epochs=epochs)
    if name in ("centroid-ae", "whole-ae"):
        _train(network, lambda: centre(moved(), whole=whole)[0], _restore, epochs, generator)
        return _after_centring(_network_describer(network), whole=whole, epochs=epochs)
    _train(network, moved, _restore_through_transformer, epochs, generator)
    return Baseline(lambda windows: _through_transformer(network, windows), finds_shifts=True, epochs=epochs)


def centre(images: Tensor, *, whole: bool = False) -> tuple[Tensor, Tensor]:
    """Windows moved so that their centroids are in the middle, and how far off they were.

    Below a pixel by interpolation, which blurs, or by whole pixels only.
    """
    shifts = centroids(images)
    if whole:
        shifts = shifts.round()
        return shift_images(images, -shifts.long()), shifts
    return shift_images_subpixel(images, -shifts), shifts


# windows (N, C, S, S) as they would be without their poses (N, 4), and which are mirrored (N,)
Brought = tuple[Tensor, Tensor, Tensor]


def _after_centring(describe: Callable[[Tensor], Described], *, whole: bool, epochs: int = 0) -> Baseline:
    def bring(windows: Tensor) -> Brought:
        moved, shifts = centre(windows, whole=whole)
        return moved, _as_poses(shifts), torch.zeros(len(windows), dtype=torch.bool)

    return _after_bringing(bring, describe, epochs)


def _by_moments(size_px: float, *, turned: bool, mirrored: bool) -> Callable[[Tensor], Brought]:
    """Brings windows to one place and size and, where asked for, to one angle and hand."""

    def bring(windows: Tensor) -> Brought:
        found = moments(windows)
        poses = moment_poses(found, size_px, turned=turned)
        # turning a pattern by 180° changes the sign across its axis as well
        over = (found.across * found.along < 0) & (turned and mirrored)
        return _mirrored(bring_back(windows, poses), over), poses, over

    return bring


def _mirrored(windows: Tensor, over: Tensor) -> Tensor:
    """Turned upside down as a mirror does, where it says so: (N, C, S, S), (N,) -> (N, C, S, S)."""
    return torch.where(over[:, None, None, None], windows.flip(2), windows)


def _after_bringing(
    bring: Callable[[Tensor], Brought], describe: Callable[[Tensor], Described], epochs: int = 0
) -> Baseline:
    def brought(windows: Tensor) -> Described:
        upright, poses, over = bring(windows)
        found = describe(upright)
        return Described(found.descriptors, _mirrored(found.restored, over), poses)

    return Baseline(brought, finds_shifts=True, epochs=epochs)


def _any_angle(transform: Transform) -> bool:
    """Whether patterns may be turned by more than 90°: within that, a main axis says less than the window itself."""
    movement = transform.movement
    return isinstance(movement, Similarity) and movement.angle_rad > math.pi / 2


def _as_poses(shifts: Tensor) -> Tensor:
    """(N, 2) -> (N, 4): not turned and not scaled."""
    return torch.nn.functional.pad(shifts, (0, 2))


def _by_peer(peer: Any, windows: Tensor) -> Described:
    descriptors, restored, shifts = describe_by_peer(peer, windows)
    return Described(descriptors, restored, _as_poses(shifts))


def _pca(images: Tensor, size: int, seed: int) -> Callable[[Tensor], Described]:
    try:
        from sklearn.decomposition import PCA
    except ImportError:
        raise MissingExtraError(f"the PCA baselines need scikit-learn; install it: {install_hint('train')}") from None
    fitted = PCA(size, random_state=seed).fit(images.flatten(1).numpy())

    def describe(windows: Tensor) -> Described:
        descriptors = fitted.transform(windows.flatten(1).numpy())
        restored = torch.from_numpy(fitted.inverse_transform(descriptors)).float().view_as(windows)
        return Described(torch.from_numpy(descriptors).float(), restored, torch.zeros(len(windows), 4))

    return describe


def _network_describer(network: SlideNetwork) -> Callable[[Tensor], Described]:
    def describe(windows: Tensor) -> Described:
        descriptors = network.encoder(windows)
        return Described(descriptors, network.decode(descriptors).clamp(0.0, 1.0), torch.zeros(len(windows), 4))

    return describe


def _through_transformer(network: SlideNetwork, windows: Tensor) -> Described:
    """Where the network says, how the moved window is described, and its restoration before it is moved back."""
    shifts = network.shift_regressor(windows)
    descriptors = network.encoder(shift_images_subpixel(windows, -shifts))
    return Described(descriptors, network.decode(descriptors), _as_poses(shifts))


def _restore(network: SlideNetwork, windows: Tensor) -> Tensor:
    return network.decode(network.encoder(windows))


def _restore_through_transformer(network: SlideNetwork, windows: Tensor) -> Tensor:
    found = _through_transformer(network, windows)
    return shift_images_subpixel(found.restored, found.poses[:, :2])


def _train(
    network: SlideNetwork,
    epoch_of_images: Callable[[], Tensor],
    restore: Callable[[SlideNetwork, Tensor], Tensor],
    epochs: int,
    generator: torch.Generator,
    batch_size: int = 128,
) -> None:
    """Adam with a one-cycle rate on the sum of squares: an ordinary auto-encoder."""
    optimizer = torch.optim.Adam(network.parameters(), lr=LARGEST_RATE, fused=True)
    schedule: torch.optim.lr_scheduler.OneCycleLR | None = None
    network.train()
    for _ in range(epochs):
        images = epoch_of_images()
        rows = torch.randperm(len(images), generator=generator).split(batch_size)
        if schedule is None:
            schedule = one_cycle(optimizer, LARGEST_RATE, epochs * len(rows))
        for chosen in rows:
            loss = objective.restoration(restore(network, images[chosen]), images[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
