"""Joint states of a recorded bag: the angles of one robot at any moment of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import BagError
from tiae_ros.streams.bags import Bag
from tiae_ros.streams.recorded_messages import header_stamp_ns

JOINT_STATE_TYPE = "sensor_msgs/msg/JointState"


class RecordedJoints:
    """Angles over time, read once. A joint that a message leaves out is NaN in it: drivers may send one finger a time.

    Attributes:
        names: of all joints that any message tells, in the order in which they first appear.
    """

    def __init__(self, bag: Bag, topic: str) -> None:
        """Raises BagError: no such topic, of another type, or none of its messages can be used."""
        bag.require(topic, JOINT_STATE_TYPE)
        place: dict[str, int] = {}
        rows: list[tuple[int, list[int], list[float]]] = []
        for message, fields in bag.decoded([topic]):
            names, angles = [str(name) for name in fields.name], [float(angle) for angle in fields.position]
            if len(names) != len(angles) or len(set(names)) != len(names):
                fault = f"{len(names)} names and {len(angles)} positions in {topic} at {message.time_ns * 1e-9:.3f} s"
                bag.skipped.add(f"of the messages of {topic}", message.time_ns, fault)
                continue
            columns = [place.setdefault(name, len(place)) for name in names]
            # Some drivers leave the stamp empty; then the time of recording is the best there is.
            rows.append((header_stamp_ns(message.data) or message.time_ns, columns, angles))
        if not place:
            told = "".join(f"; {line}" for line in bag.skipped.lines())
            raise BagError(f"topic {topic} of bag {bag.path} tells no joint position{told}")
        self.names = tuple(place)
        rows.sort(key=lambda row: row[0])
        self._stamps = np.array([row[0] for row in rows], np.int64)
        self._angles = np.full((len(rows), len(place)), np.nan)
        for angles_row, (_, columns, angles) in zip(self._angles, rows, strict=True):
            angles_row[columns] = angles

    def at(self, stamp_ns: int, slop_s: float) -> NDArray[np.float64]:
        """Angles at a moment, (J,), of readings within so many seconds: between the one before and the one after it, or
        the only one; NaN for joints without any.
        """
        slop_ns = round(slop_s * 1e9)
        first = np.searchsorted(self._stamps, stamp_ns - slop_ns, side="left")
        last = np.searchsorted(self._stamps, stamp_ns + slop_ns, side="right")
        times, angles = self._stamps[first:last], self._angles[first:last]
        found = np.full(len(self.names), np.nan)
        for column in range(len(self.names)):
            told = np.isfinite(angles[:, column])
            if told.any():
                some = (times[told] - stamp_ns).astype(np.float64)
                found[column] = np.interp(0.0, some, angles[told, column])
        return found
