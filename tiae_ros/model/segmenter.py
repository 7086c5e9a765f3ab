"""What finds hands in a frame, by a method's name: a hand detector of a model folder, or the classical method."""

from __future__ import annotations

from tiae_ros.errors import ParameterError
from tiae_ros.vision.sight import Segmentation

METHODS = ("auto", "network", "classical")
SHIPPED = "segmentation"


def choose_segmentation(method: str = "auto", model: str = SHIPPED) -> Segmentation:
    """The segmentation of a method's name: "network" or "auto" is the hand detector, "classical" does without.

    Args:
        method: one of `METHODS`.
        model: the folder of a hand detector, or the name of a shipped one; not looked at by "classical".

    Raises:
        ParameterError: an unknown method.
        ModelError: the detector cannot be used.
    """
    if method not in METHODS:
        raise ParameterError(f"segmentation {method!r} is unknown; accepted are {', '.join(METHODS)}")
    if method == "classical":
        from tiae_ros.vision.segmentation.classical import ClassicalSegmentation

        return ClassicalSegmentation()
    from tiae_ros.model.hand_detector import load_detector

    return load_detector(model)
