"""Which of the two segmentations, the network's or the classical one. Torch is imported only to read a network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tiae_ros.core.shipped_models import find_model
from tiae_ros.errors import ModelError, ParameterError
from tiae_ros.vision.segmentation import Floats, Labels, SegmentationSettings, segment

METHODS = ("auto", "network", "classical")
SHIPPED_NETWORK = "segmentation"


class Segment(Protocol):
    """What both are called like, with what `tiae_ros.vision.segmentation.segment` says of it.

    A network that gives a number that is not finite raises ModelError.
    """

    def __call__(
        self,
        color: NDArray[np.uint8] | None,
        depth_m: Floats,
        settings: SegmentationSettings | None = None,
        *,
        focal_px: float | None = None,
    ) -> Labels: ...


@dataclass(frozen=True)
class Segmentation:
    """One of the two, ready to be called."""

    name: str
    """"classical", or "network", its model id and, where it runs in 8 bits, "(int8)"."""
    segment: Segment
    remark: str = ""
    """One line about why ``auto`` did without the network; "" when there is nothing to say."""


CLASSICAL = Segmentation("classical", segment)


def choose_segmentation(method: str = "auto", model: str = SHIPPED_NETWORK) -> Segmentation:
    """The segmentation of a method's name.

    Args:
        method: "network", "classical", or "auto": the network if it can be used, otherwise classical, with a remark.
            That nothing is shipped is not worth one.
        model: the network's folder, or the name of a shipped model; not looked at by "classical".

    Raises:
        ParameterError: an unknown method.
        ModelError: "network" was asked for and cannot be used.
    """
    if method not in METHODS:
        raise ParameterError(f"segmentation {method!r} is unknown; accepted are {', '.join(METHODS)}")
    if method == "classical":
        return CLASSICAL
    try:
        folder = find_model(model)
    except ModelError as error:
        if method == "network":
            raise
        return CLASSICAL if model == SHIPPED_NETWORK else _without(str(error))
    from tiae_ros.vision.segmentation_network import load_segmenter

    try:
        network = load_segmenter(folder)
    except ModelError as error:
        if method == "network":
            raise
        return _without(str(error))
    whole = " (int8)" if network.precision == "int8" else ""
    return Segmentation(f"network {network.manifest.model_id}{whole}", network.segment)


def _without(reason: str) -> Segmentation:
    return dataclasses.replace(CLASSICAL, remark=f"classical segmentation takes the network's place: {reason}")
