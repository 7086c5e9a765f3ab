"""Published invariant auto-encoders that pip can install, behind the same doors as our own baselines.

pyroved-t    pyroVED's invariant VAE (Ziatdinov, Kalinin 2021), invariance "t": its decoder paints every pixel from the
             pixel's coordinates, moved by two latent numbers, and 30 others that say the shape
pyroved-rt   the same with "r" and "t": it also turns the coordinates

pyroVED takes one channel. It draws by torchvision and asks pip for it, and a plain installation of that replaces a
CPU build of torch by a CUDA one; nothing here draws, so it is installed without (`INSTALL`).
"""

from __future__ import annotations

import sys
import time
import types
from typing import Any

import torch
from torch import Tensor

from tiae_ros.errors import DataError, MissingExtraError
from tiae_training.transforms.shifts import draw_shifts, shift_images

PEERS = {"pyroved-t": ("t",), "pyroved-rt": ("r", "t")}
INSTALL = "pip install --no-deps -r requirements/peers.txt"
_BATCH = 64
_RATE = 1e-3  # its default, as are its networks


def fit_peer(
    name: str, images: Tensor, *, radius_px: int, descriptor_size: int, epochs: int, minutes: float, seed: int
) -> tuple[Any, int]:
    """Train a peer on images (N, 1, S, S) under random shifts, until `epochs` or `minutes` of computing are over.

    Returns its model and the epochs done. Raises MissingExtraError without pyroVED, DataError for two channels.
    """
    if images.shape[1] != 1:
        raise DataError(f"{name} takes one channel; images have {images.shape[1]}: leave it out with --only")
    pyroved = _import_pyroved()
    side = images.shape[-1]
    spread = radius_px / (side / 2) / 3**0.5  # of uniform shifts, in its coordinates of -1 to 1
    model = pyroved.models.iVAE(
        (side, side), descriptor_size, list(PEERS[name]), dx_prior=spread, seed=seed, device="cpu"
    )
    trainer = pyroved.trainers.SVItrainer(model, seed=seed, lr=_RATE, device="cpu")
    generator = torch.Generator().manual_seed(seed)
    started = time.process_time()
    for epoch in range(epochs):
        moved = shift_images(images, draw_shifts(len(images), radius_px, generator))[:, 0]  # (N, S, S)
        for rows in torch.randperm(len(moved), generator=generator).split(_BATCH):
            trainer.svi.step(moved[rows])
            if time.process_time() - started >= 60.0 * minutes:
                return model, epoch + 1
    return model, epochs


@torch.no_grad()
def describe_by_peer(model: Any, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Descriptors (N, K), what it paints where it says nothing moves (N, 1, S, S), and shifts (N, 2) in pixels."""
    side = windows.shape[-1]
    latent = model.encoder_z(windows[:, 0])[0]  # angle where it has one, two shifts, shape
    angles, moves, _, shapes = model.split_latent(latent)
    restored = model.decode(shapes).reshape(windows.shape)
    return shapes, restored, _pixels(angles, moves * model.t_prior, side)


def _pixels(angles: Tensor, moves: Tensor, side: int) -> Tensor:
    """Its moves of coordinates as shifts of the pattern: (N,) or a single 0, (N, 2) -> (N, 2), dx right, dy down.

    A pixel at c shows the pattern at R c + move, so the pattern's middle is seen where R c = −move. Its first
    coordinate runs down the rows from -1 to 1, its second along the columns from 1 to -1.
    """
    cos, sin = torch.cos(angles), torch.sin(angles)
    down = -(cos * moves[:, 0] + sin * moves[:, 1])
    left = -(cos * moves[:, 1] - sin * moves[:, 0])
    return torch.stack((-left, down), 1) * (side - 1) / 2


def _import_pyroved() -> Any:
    """The package, with an empty module in torchvision's place while it is imported if that is not installed."""
    stand_ins = {}
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):  # absent, or built for another torch
        stand_ins = {name: types.ModuleType(name) for name in ("torchvision", "torchvision.utils")}
        stand_ins["torchvision.utils"].make_grid = None  # type: ignore[attr-defined]
    kept = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        import pyroved
    except ImportError as error:
        raise MissingExtraError(
            f"the pyroved peers need pyroved ({error}); install it: {INSTALL} (a plain `pip install pyroved` "
            "replaces a CPU build of torch by a CUDA one), or leave them out with --only"
        ) from None
    finally:
        for name, module in kept.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
    return pyroved
