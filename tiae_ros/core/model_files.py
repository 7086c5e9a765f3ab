"""A model on disk: a folder with ``model.safetensors`` (weights) and ``manifest.json`` (everything else).

Nothing is ever unpickled, and no path is ever read from a file: both names are fixed. The manifest holds the
sha256 of the weights, so a truncated or altered file is refused. Both files are written under another name and
moved into place, weights first; a save that is interrupted between the two moves is completed by the next load.
Tensors that float16 holds exactly (`round_weights`) are stored so, which halves the file; in memory all are float32.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tiae_ros.core.devices import choose_device
from tiae_ros.core.manifest import Manifest
from tiae_ros.core.model import TransformInvariantAutoencoder
from tiae_ros.core.shipped_models import find_model
from tiae_ros.errors import ModelError, OutputError, ParameterError

WEIGHTS = "model.safetensors"
MANIFEST = "manifest.json"
MOST_STEPS = 127  # of a weight of either sign
_STAGED = ".new"
_CHECKPOINT = "checkpoint.safetensors"  # of a training that has not come to its end
_LARGEST_WEIGHTS = 512 * 1024 * 1024
_LARGEST_MANIFEST = 4 * 1024 * 1024


def save_model(model: TransformInvariantAutoencoder, folder: str | os.PathLike[str]) -> Manifest:
    """Write a model folder (made if absent, files replaced); returns the manifest with the weights' sha256."""
    path = Path(folder)
    weights = save_tensors({name: packed(tensor) for name, tensor in model.state_dict().items()})
    manifest = dataclasses.replace(model.manifest, weights_sha256=hashlib.sha256(weights).hexdigest())
    try:
        path.mkdir(parents=True, exist_ok=True)
        _complete_interrupted_save(path)
        write_durably(path / (WEIGHTS + _STAGED), weights)
        write_durably(path / (MANIFEST + _STAGED), manifest.to_json().encode())
        os.replace(path / (WEIGHTS + _STAGED), path / WEIGHTS)
        os.replace(path / (MANIFEST + _STAGED), path / MANIFEST)
    except OSError as error:
        raise OutputError(f"cannot write the model folder {path}: {error.strerror or error}") from None
    model.manifest = manifest
    return manifest


def packed(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as it is stored: float16 where that loses nothing."""
    plain = tensor.detach().cpu().contiguous()
    half = plain.half()
    return half if plain.is_floating_point() and torch.equal(half.to(plain.dtype), plain) else plain


@torch.no_grad()
def round_weights(network: torch.nn.Module) -> None:
    """Round matrices and kernels as `rounded` does, so that the model is stored in half the space."""
    for weight in network.parameters():
        weight.copy_(rounded(weight))


def rounded(weight: torch.Tensor) -> torch.Tensor:
    """Matrices and kernels in steps of each output's own, as float16 holds them; as they are, if it cannot hold them.

    A step is a power of two, and the largest weight of an output has 64 to `MOST_STEPS` of them: about as finely as the
    products of `tiae_ros.vision.eight_bit_network` take them. Numbers so few in kind take a fifth less in archives and
    repositories than seven bits of each weight's own; `hands` loses 0.001 of IoU and 0.06 mm of depth (measured once by
    `tiae evaluate`). Vectors (biases, statistics of normalisation), which are small and delicate, stay as they are.
    """
    if weight.ndim < 2 or not bool(torch.isfinite(weight).all()):
        return weight
    largest = weight.flatten(1).abs().amax(dim=1).view(-1, *[1] * (weight.ndim - 1))
    _, exponents = torch.frexp(largest)  # of the power of two above it
    steps = torch.ldexp(torch.ones_like(largest), exponents - MOST_STEPS.bit_length())
    half = ((weight / steps).round().clamp(-MOST_STEPS, MOST_STEPS) * steps).half().to(weight.dtype)
    return half if bool(torch.isfinite(half).all()) else weight


def load_model(folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> TransformInvariantAutoencoder:
    """Read a model folder, or a shipped model by its name, and put it on a device, ready for inference.

    Raises ModelError, in one line: what is wrong, where, what to do.
    """
    path = Path(folder)
    if path.is_file():
        raise ModelError(
            f"{path} is a file, not a model folder; a model is a folder with {WEIGHTS} and {MANIFEST} (`tiae train` "
            "makes one)"
        )
    if not path.is_dir():
        path = find_model(str(folder))
    try:
        place = choose_device(device)
    except ParameterError as error:
        raise ModelError(str(error)) from None
    manifest = _read_manifest(path, MANIFEST)
    weights = read_whole(path / WEIGHTS, _LARGEST_WEIGHTS)
    if weights[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"):
        raise ModelError(
            f"{path / WEIGHTS} is a pickle, which can run code and is never opened; save the weights as safetensors"
        )
    digest = hashlib.sha256(weights).hexdigest()
    if digest != manifest.weights_sha256:
        staged = path / (MANIFEST + _STAGED)
        if not staged.is_file():
            raise _altered(path, digest, manifest)
        manifest = _read_manifest(path, MANIFEST + _STAGED)  # a save was interrupted between its two moves
        if digest != manifest.weights_sha256:
            raise _altered(path, digest, manifest)
    try:
        tensors = load_tensors(weights)
    except SafetensorError as error:
        raise ModelError(f"{path / WEIGHTS} is not a safetensors file ({error}); copy the model folder again") from None
    try:
        model = TransformInvariantAutoencoder(manifest=manifest)
        model.load_state_dict(tensors, strict=True)
    except ModelError as error:
        raise ModelError(f"{path / MANIFEST}: {error}") from None
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{path / WEIGHTS} does not fit the network {manifest.network!r} of its manifest: {detail}"
        ) from None
    return model.to(place).eval()


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest alone, without reading the weights. Raises ModelError."""
    path = Path(folder)
    if not path.is_dir():
        raise ModelError(f"{path} is not a model folder (a folder with {WEIGHTS} and {MANIFEST})")
    return _read_manifest(path, MANIFEST)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _complete_interrupted_save(path: Path) -> None:
    """Move the manifest that belongs to the weights into place: the next save would take its staged name."""
    staged = path / (MANIFEST + _STAGED)
    if not (staged.is_file() and (path / WEIGHTS).is_file()):
        return
    try:
        belongs = _read_manifest(path, MANIFEST + _STAGED).weights_sha256
    except ModelError:  # cut off while it was written, so nothing was moved yet
        return
    if hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest() == belongs:
        os.replace(staged, path / MANIFEST)


def _altered(path: Path, digest: str, manifest: Manifest) -> ModelError:
    return ModelError(
        f"{path / WEIGHTS} is damaged or altered: its sha256 is {digest[:12]}…, the manifest says "
        f"{manifest.weights_sha256[:12] or 'nothing'}…; copy the model folder again"
    )


def _read_manifest(path: Path, name: str) -> Manifest:
    content = read_whole(path / name, _LARGEST_MANIFEST)
    try:
        return Manifest.from_json(content.decode("utf-8"))
    except (ModelError, UnicodeDecodeError) as error:
        raise ModelError(f"{path / name}: {error}") from None


def read_whole(path: Path, largest: int) -> bytes:
    """A file of a model folder, its size checked first. Raises ModelError."""
    try:
        if not path.is_file():
            unfinished = (path.parent / _CHECKPOINT).is_file()
            advice = f"; its training is unfinished: tiae train --resume --out {path.parent}" if unfinished else ""
            raise ModelError(f"{path} is absent; a model folder holds {WEIGHTS} and {MANIFEST}{advice}")
        size = path.stat().st_size
        if not 0 < size <= largest:
            raise ModelError(f"{path} has {size} bytes; accepted are 1 to {largest}; copy the model folder again")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None
