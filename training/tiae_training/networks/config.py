"""The parts of a network, and the named choices of them. No torch: the command line and manifests use it too."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiae_ros.errors import ModelError
from tiae_training.transforms.ranges import POSES

_CHOICES = {
    "seen": ("pixels", "cleared", "outlined"),
    "pose": ("none", "shift", "similarity", "mirrored"),
    "trunk": ("plain", "residual", "dense", "polar"),
    "descriptor": ("plain", "steerable"),
    "restored": ("pixels", "on_masks", "relief"),
    "activation": ("relu", "silu"),
}


@dataclass(frozen=True)
class NetworkConfig:
    """What a network is made of; its sizes (channels, window, descriptor) are the manifest's.

    Attributes:
        name: of the choice, e.g. ``standard``; ``slide-fc`` and ``slide-cnn`` have no other parts.
        seen: what trunk and votes are shown: the pixels; these with what lies behind the pattern cleared away; or
            with their outlines beside them (depth alone).
        pose: what is found first and undone: nothing; the shift; shift, angle and scale; or these and whether the
            pattern is mirrored.
        trunk: convolutions; these with a residual block; one dense layer; or convolutions on a polar grid, which do not
            ask how a pattern is turned.
        descriptor: a plain one; or one of which two numbers say how the pattern is turned in the plane, and the
            others do not change with it.
        restored: pixels; depth that lies on what the masks cover; or a relief and its outline (depth alone).
        activation: of trunk and decoder.
        hidden: features between trunk and descriptor; decoder_hidden: in the decoder.
    """

    name: str
    seen: str = "pixels"
    pose: str = "shift"
    trunk: str = "plain"
    descriptor: str = "plain"
    restored: str = "pixels"
    activation: str = "silu"
    hidden: int = 256
    decoder_hidden: int = 256

    def __post_init__(self) -> None:
        for part, choices in _CHOICES.items():
            if getattr(self, part) not in choices:
                raise ModelError(f"network {part} is {getattr(self, part)!r}; accepted are {', '.join(choices)}")
        if self.trunk == "polar" and self.pose not in ("similarity", "mirrored"):
            raise ModelError(f"network trunk is 'polar' for pose {self.pose!r}; accepted are similarity and mirrored")
        for part in ("hidden", "decoder_hidden"):
            if type(getattr(self, part)) is not int or not 1 <= getattr(self, part) <= 65_536:
                raise ModelError(f"network {part} is {getattr(self, part)!r}; accepted is a whole number, 1 to 65536")

    def to_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return dataclasses.asdict(self)

    def part_beyond(self, other: NetworkConfig) -> str:
        """The part in which it does more than another one that it equals in all else: it may go on from that one.

        "pose" where it finds poses and the other one shifts, "descriptor" where it tells how patterns roll; else "".
        """
        if "slide-" in self.name + other.name:
            return ""
        parts, others = self.to_dict(), other.to_dict()
        differing = [name for name in parts if name != "name" and parts[name] != others[name]]
        finds_poses = other.pose == "shift" and self.pose in ("similarity", "mirrored")
        more = {"pose": finds_poses, "descriptor": self.descriptor == "steerable"}
        return differing[0] if len(differing) == 1 and more.get(differing[0]) else ""

    @staticmethod
    def from_dict(parts: Mapping[str, Any]) -> NetworkConfig:
        """Raises ModelError that names the part."""
        known = {field.name for field in dataclasses.fields(NetworkConfig)}
        unknown = sorted(set(parts) - known)
        if unknown or not isinstance(parts.get("name"), str):
            raise ModelError(
                f"network has the parts {', '.join(map(str, parts)) or 'none'}; accepted are name and "
                f"{', '.join(sorted(known - {'name'}))}"
            )
        return NetworkConfig(**parts)


NETWORKS = {
    config.name: config
    for config in (
        NetworkConfig("standard"),
        NetworkConfig("masks-and-depth", trunk="residual", restored="on_masks", decoder_hidden=384),
        NetworkConfig(
            "steerable-masks-and-depth",
            trunk="residual",
            descriptor="steerable",
            restored="on_masks",
            decoder_hidden=384,
        ),
        NetworkConfig(
            "pose-masks-and-depth", pose="similarity", trunk="residual", restored="on_masks", decoder_hidden=384
        ),
        NetworkConfig("steerable", descriptor="steerable"),
        NetworkConfig("depth", seen="outlined", trunk="residual", restored="relief"),
        NetworkConfig("steerable-depth", seen="outlined", trunk="residual", descriptor="steerable", restored="relief"),
        NetworkConfig("pose", pose="similarity", activation="relu"),
        NetworkConfig("pose-mirrored", pose="mirrored", activation="relu"),
        NetworkConfig("pose-small", pose="mirrored", trunk="polar", activation="relu", hidden=128),
        NetworkConfig("pose-cleared", seen="cleared", pose="similarity", activation="relu"),
        NetworkConfig("pose-mirrored-cleared", seen="cleared", pose="mirrored", activation="relu"),
        NetworkConfig(
            "static", seen="cleared", pose="none", trunk="dense", activation="relu", hidden=512, decoder_hidden=512
        ),
        NetworkConfig("slide-fc"),
        NetworkConfig("slide-cnn"),
    )
}
DEFAULT_NETWORK = "standard"


def default_network(kinds: Sequence[str]) -> str:
    """The name of the network for kinds of transforms: what finds poses, tells rolls, clears what lies behind."""
    if "roll" in kinds:
        return "steerable"
    if not set(POSES) & set(kinds):
        return DEFAULT_NETWORK
    return "pose" + ("-mirrored" if "mirror" in kinds else "") + ("-cleared" if "background" in kinds else "")
