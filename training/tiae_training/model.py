"""A trained (or fresh) auto-encoder as a torch module, with gradients, and its way from and into a model folder.

    network = load_network("hands")                     # TransformInvariantAutoencoder
    descriptors, shifts = network.network.forward_encoder(windows)

What runs on a robot needs none of this: `tiae_ros.load_model`.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from tiae_ros.errors import ModelError
from tiae_ros.model.folder import WEIGHTS, ModelFolder, read_folder
from tiae_ros.model.manifest import AUTOENCODER, Manifest
from tiae_ros.model.shipped import find_model
from tiae_training.networks.config import NETWORKS, NetworkConfig
from tiae_training.networks.network import build_network
from tiae_training.transforms.poses import place_by_pose
from tiae_training.transforms.shifts import shift_images_subpixel

MOST_STEPS = 127  # of a weight of either sign
_FEW_WEIGHTS = 2**24  # 67 MB, which may be made in vain


class TransformInvariantAutoencoder(nn.Module):
    """Encoder, decoder and regressor, with the manifest that says what they are for.

    Windows (N, C, S, S) are float tensors 0–1 on the module's device; everything has gradients.
    """

    def __init__(self, manifest: Manifest) -> None:
        super().__init__()
        self.manifest = manifest
        try:
            self.network = build_network(
                NetworkConfig.from_dict(manifest.network),
                len(manifest.channels),
                manifest.window_size,
                manifest.descriptor_size,
            )
        except ValueError as error:
            raise ModelError(f"network {manifest.network_name!r} cannot be built: {error}") from None
        self.prototypes = np.zeros((0, manifest.descriptor_size), np.float32)  # (P, K), those of the manifest's names

    @staticmethod
    def fresh(
        channels: int | tuple[str, ...], window_size: int = 32, descriptor_size: int = 30, network: str = "standard"
    ) -> TransformInvariantAutoencoder:
        """An untrained one; channels are their number or their names."""
        names = channels if isinstance(channels, tuple) else tuple(f"channel_{i}" for i in range(channels))
        return TransformInvariantAutoencoder(
            Manifest(
                model_id="untrained",
                network=NETWORKS[network].to_dict(),
                channels=names,
                window_size=window_size,
                descriptor_size=descriptor_size,
            )
        )

    def encode(self, windows: Tensor) -> Tensor:
        """E: (N, C, S, S) -> descriptors (N, K)."""
        return self.network.forward_encoder(windows)[0]

    def decode(self, descriptors: Tensor) -> Tensor:
        """D: (N, K) -> restored windows (N, C, S, S), 0..1."""
        return self.network.decode(descriptors).clamp(0.0, 1.0)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder and decoder at once: restored windows (N, C, S, S), 0..1, and parameters (N, 2, 4 or 5)."""
        descriptors, parameters = self.network.forward_encoder(windows)
        return self.decode(descriptors), parameters


class EncoderGraph(nn.Module):
    """``encoder.onnx``: windows (N, C, S, S) -> descriptors (N, K), parameters (N, 2, 4 or 5), of angles a confidence.

    The confidence (N, 2) is there where the network finds poses (`tiae_training.networks.pose_votes.Votes`).
    """

    def __init__(self, model: TransformInvariantAutoencoder) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, windows: Tensor) -> tuple[Tensor, ...]:
        encoded = self.network.encode_all(windows)
        told = (encoded.descriptors, encoded.parameters)
        return told if encoded.confidence is None else (*told, encoded.confidence)


class DecoderGraph(nn.Module):
    """``decoder.onnx``: descriptors (N, K), parameters -> restored, and placed on the input: (N, C, S, S) twice."""

    def __init__(self, model: TransformInvariantAutoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, descriptors: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        restored = self.model.decode(descriptors)
        place = shift_images_subpixel if parameters.shape[1] == 2 else place_by_pose
        return restored, place(restored, parameters)


def load_network(folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> TransformInvariantAutoencoder:
    """The trained weights of a model folder, or of a shipped model by its name, to go on training from.

    Raises ModelError, in one line: what is wrong, where, what to do.
    """
    return network_of(read_folder(find_model(folder), AUTOENCODER)).to(device).eval()


def network_of(folder: ModelFolder) -> TransformInvariantAutoencoder:
    """The trained weights of a folder that was read. Raises ModelError."""
    from tiae_ros.model.autoencoder import read_prototypes

    _check_size(folder)
    model = TransformInvariantAutoencoder(folder.manifest)
    load_weights(model.network, folder)
    model.prototypes = read_prototypes(folder)
    return model


def _check_size(folder: ModelFolder) -> None:
    """Raise ModelError where the file of weights is too short for the network that a manifest asks for.

    Before it is built: a manifest of a few lines can ask for a network that fills any memory.
    """
    if WEIGHTS not in folder.files:
        return
    with torch.device("meta"):
        numbers = sum(weight.numel() for weight in TransformInvariantAutoencoder(folder.manifest).network.parameters())
    stored = len(folder.files[WEIGHTS])
    if numbers > _FEW_WEIGHTS and 2 * numbers > stored:  # of float16
        raise ModelError(
            f"{folder.path / WEIGHTS} does not fit the network of its manifest: it has {stored} bytes for "
            f"{numbers} weights; copy the model folder again"
        )


def load_weights(network: nn.Module, folder: ModelFolder) -> None:
    """Put the weights of a folder into a network. Raises ModelError."""
    path = folder.path / WEIGHTS
    if WEIGHTS not in folder.files:
        raise ModelError(f"{path} is absent; without the torch weights a model can run, but not be trained or exported")
    try:
        network.load_state_dict(load_tensors(folder.files[WEIGHTS]), strict=True)
    except SafetensorError as error:
        raise ModelError(f"{path} is not a safetensors file ({error}); copy the model folder again") from None
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        if "polar_voters" in detail:
            detail = "its network looks for poses as releases before 0.2 did; train again, or run it on a CPU"
        raise ModelError(f"{path} does not fit the network of its manifest: {detail}") from None


def weights_of(network: nn.Module) -> bytes:
    """The content of ``weights.safetensors``: tensors that float16 holds exactly are stored so, in half the space."""
    return save_tensors({name: _packed(tensor) for name, tensor in network.state_dict().items()})


@torch.no_grad()
def round_weights(network: nn.Module) -> None:
    """Round matrices and kernels as `rounded` does, so that the model is stored in half the space."""
    for weight in network.parameters():
        weight.copy_(rounded(weight))


def rounded(weight: Tensor) -> Tensor:
    """Matrices and kernels in steps of each output's own, as float16 holds them; as they are, if it cannot hold them.

    A step is a power of two, and the largest weight of an output has 64 to `MOST_STEPS` of them: about as finely as
    8-bit products take them. Numbers so few in kind take a fifth less in archives and repositories than seven bits of
    each weight's own; `hands` loses 0.001 of IoU and 0.06 mm of depth. Vectors (biases, statistics of normalisation),
    which are small and delicate, stay as they are.
    """
    if weight.ndim < 2 or not bool(torch.isfinite(weight).all()):
        return weight
    largest = weight.flatten(1).abs().amax(dim=1).view(-1, *[1] * (weight.ndim - 1))
    _, exponents = torch.frexp(largest)  # of the power of two above it
    steps = torch.ldexp(torch.ones_like(largest), exponents - MOST_STEPS.bit_length())
    half = ((weight / steps).round().clamp(-MOST_STEPS, MOST_STEPS) * steps).half().to(weight.dtype)
    return half if bool(torch.isfinite(half).all()) else weight


def _packed(tensor: Tensor) -> Tensor:
    plain = tensor.detach().cpu().contiguous()
    half = plain.half()
    return half if plain.is_floating_point() and torch.equal(half.to(plain.dtype), plain) else plain
