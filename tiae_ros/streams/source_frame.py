"""What every source of frames yields, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tiae_ros.streams.camera import Camera


@dataclass(frozen=True)
class SourceFrame:
    """Colour of one moment, and depth where there is any."""

    name: str
    color: NDArray[np.uint8]  # (H, W, 3) red, green, blue
    depth_m: NDArray[np.float32] | None = None  # (H, W) registered to colour, NaN = nothing
    camera: Camera = field(default_factory=Camera)
    stamp_ns: int | None = None
    """None: of no time, such as a picture."""
    depth_encoding: str = "16UC1"
    warnings: Mapping[str, str] = field(default_factory=dict)
    """By reason, what looks wrong."""


class FrameSource(Protocol):
    """Frames in order; iterate once, then `close`.

    Attributes:
        told: one line: what it reads.
        rate_hz: of a stream of one camera; None: of pictures that are not the next of each other.
        lost: one line about each thing that could not be used until now.
    """

    told: str
    lost: list[str]

    @property
    def rate_hz(self) -> float | None: ...

    def __iter__(self) -> Iterator[SourceFrame]: ...

    def close(self) -> None: ...
