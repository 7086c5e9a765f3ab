"""What may happen before a running node, told once: for the tests on the wheels and for those under `launch`.

A scenario plays a recording (that of test/data, or one made from it) with `tiae play` in a process of its own, as a
camera driver would publish it, and asserts on what arrives. It gets a client, the node's namespace and a folder.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_processes import Client, Process, stamp_of
from sensor_msgs.msg import Image, PointCloud2
from synthetic_scenes import TOPICS, Scene, write_bag

from tiae_ros.streams.bags import Bag

DATA = Path(__file__).resolve().parent / "data"
RATE_HZ = 6.0
ENOUGH = 0.6  # of the frames: on a busy test machine the newest wins, and the others are counted drops
MUG, SCISSORS = range(12, 24), 40  # frames in which these are held
OUTPUTS = {"grasps": PointCloud2, "descriptor": Image}


@functools.cache
def recording() -> tuple[list[Scene], np.ndarray, tuple[float, ...]]:
    """Frames of the recorded bag, what is seen in them (0 none, 1 hand, 2 held thing), and the camera matrix."""
    with Bag(DATA / "grasps") as bag:
        frames = list(bag.rgbd_frames())
    scenes = [Scene(f.color, np.rint(np.nan_to_num(f.depth_m) * 1000).astype(np.uint16)) for f in frames]
    labels = np.load(DATA / "grasps_truth.npz")["labels"]
    return scenes, labels, tuple(frames[0].k.ravel())


def nobody() -> Scene:
    """The recorded room without the hand, which is never long at one place."""
    scenes, _, _ = recording()
    few = scenes[::6]
    return Scene(
        np.median([s.color for s in few], axis=0).astype(np.uint8),
        np.median([s.depth_mm for s in few], axis=0).astype(np.uint16),
    )


def both_hands() -> tuple[Scene, list[np.ndarray]]:
    """A frame with a mug and the hand of another frame with scissors, and where the two are."""
    scenes, labels, _ = recording()
    first, second = scenes[MUG[0]], scenes[SCISSORS]
    where = [labels[MUG[0]] > 0, labels[SCISSORS] > 0]
    scene = Scene(first.color.copy(), first.depth_mm.copy())
    scene.color[where[1]], scene.depth_mm[where[1]] = second.color[where[1]], second.depth_mm[where[1]]
    return scene, where


@dataclass
class Played:
    """Stamps that were sent, and what came back for them, in order of arrival."""

    stamps: list[int]
    grasps: list[Any] = field(default_factory=list)
    descriptors: list[Any] = field(default_factory=list)

    def by_frame(self) -> dict[int, np.ndarray]:
        """Number of the frame -> its grasps, a row each: x y z, descriptor, shift, confidence."""
        return {
            self.stamps.index(stamp_of(m)): np.frombuffer(m.data, "<f4").reshape(m.width, m.point_step // 4)
            for m in self.grasps
        }


class Stage:
    """Player and listener of one scenario."""

    def __init__(self, client: Client, namespace: str, folder: Path) -> None:
        self.client = client
        self._namespace = namespace
        self._folder = folder
        self._plays = 0
        for name, kind in OUTPUTS.items():
            client.listen(kind, f"{namespace}/tiae/{name}")
        client.listen(DiagnosticArray, "/diagnostics")
        client.wait_for_publishers(40)

    def play(self, scenes: Sequence[Scene], *, metres: Sequence[int] = (), runs: int = 1) -> Played:
        """Play scenes as a bag; its stamps begin after those of the bag before.

        Args:
            scenes: one per frame.
            metres: numbers of the frames whose depth is stored as 32FC1 instead of 16UC1.
            runs: how often it is played in a loop, the clock jumping back each time.
        """
        self._plays += 1
        bag = self._folder / f"bag_{self._plays}"
        start_ns = (1_700_000_000 + 1000 * self._plays) * 10**9
        k = recording()[2]
        played = Played(write_bag(bag, scenes, rate_hz=RATE_HZ, start_ns=start_ns, k=k, metres=metres))
        words = ["play", "--bag", str(bag), "--topic-map"]
        words += [f"{topic}:={topic.replace('/camera', self._namespace, 1)}" for topic in TOPICS.values()]
        for name in OUTPUTS:
            self.received(name).clear()
        player = Process(words + (["--loop"] if runs > 1 else []), self._folder / f"player_{self._plays}.log")
        seconds = runs * len(scenes) / RATE_HZ
        try:
            player.wait_for(r"\d s .*/color/image", 30)  # it plays: a report each second
            if runs > 1:
                self.client.spin(seconds)
                player.end()
            else:
                self.client.spin_until(lambda: not player.alive, seconds + 20, "the player's end")
            self.client.spin(0.5)
        finally:
            player.kill()
        assert player.join(1) == 0, player.output
        played.grasps, played.descriptors = (list(self.received(name)) for name in OUTPUTS)
        return played

    def received(self, name: str) -> list[Any]:
        """Messages of an output that have come."""
        return self.client.received[f"{self._namespace}/tiae/{name}"]

    def story(self) -> str:
        """What the node has counted, for when an assertion fails."""
        last = self.statuses()[-1:]
        return "\n".join(f"{value.key}: {value.value}" for status in last for value in status.values)

    def statuses(self) -> list[DiagnosticStatus]:
        """What the node has said of itself."""
        name = f"{self._namespace[1:]}/tiae: perception"
        found = [status for m in self.client.received["/diagnostics"] for status in m.status if status.name == name]
        return found

    def wait_for_status(self, level: bytes, timeout_s: float = 15.0) -> DiagnosticStatus:
        """The first status of a level from now on."""
        self.client.received["/diagnostics"].clear()
        return self.client.spin_until(
            lambda: next((status for status in self.statuses() if status.level == level), None),
            timeout_s,
            f"diagnostics of level {level!r}",
        )


def shifts(rows: np.ndarray) -> np.ndarray:
    """(N, 2) shifts of grasps."""
    return rows[:, -3:-1]


def lies_on(shift: np.ndarray, seen: np.ndarray, margin_px: int = 12) -> bool:
    """Whether a shift points at what is seen there, give or take a margin around its box."""
    height, width = seen.shape
    x, y = shift + np.array([(width - 1) / 2, (height - 1) / 2])
    rows, columns = np.nonzero(seen)
    return (
        columns.min() - margin_px <= x <= columns.max() + margin_px
        and rows.min() - margin_px <= y <= rows.max() + margin_px
    )


def normal(stage: Stage) -> None:
    """A hand holds a mug: answered frames have a grasp, where it is, with its descriptor; diagnostics are OK."""
    scenes, labels, _ = recording()
    played = stage.play([scenes[index] for index in MUG])
    found = played.by_frame()
    assert len(found) >= ENOUGH * len(played.stamps), stage.story()
    assert sum(len(rows) == 1 for rows in found.values()) >= 0.8 * len(found)
    on_it = [lies_on(shifts(rows)[0], labels[MUG[index]] > 0) for index, rows in found.items() if len(rows)]
    assert np.mean(on_it) >= 0.8
    assert [stamp_of(m) for m in played.descriptors] == [stamp_of(m) for m in played.grasps if m.width]
    last = stage.statuses()[-1]
    assert last.level in (DiagnosticStatus.OK, DiagnosticStatus.STALE), last.message  # STALE: the bag has ended
    assert any(s.level == DiagnosticStatus.OK and "with a grasp" in s.message for s in stage.statuses())


def empty_scene(stage: Stage) -> None:
    """Nobody there: frames are answered by empty lists, and by nothing else; diagnostics say so and are OK."""
    played = stage.play([nobody()] * 14)
    assert len(played.grasps) >= ENOUGH * len(played.stamps), stage.story()
    assert {message.width for message in played.grasps} == {0}
    assert played.descriptors == []
    assert any(s.level == DiagnosticStatus.OK and "no grasp in sight" in s.message for s in stage.statuses())


def two_hands(stage: Stage) -> None:
    """Two grasps per frame, the nearest first, each where its hand is; one descriptor row for each."""
    scene, where = both_hands()
    played = stage.play([scene] * 12)
    assert len(played.grasps) >= ENOUGH * len(played.stamps), stage.story()
    assert {message.width for message in played.grasps} == {2}
    assert {message.height for message in played.descriptors} == {2}
    for rows in list(played.by_frame().values())[2:]:  # by then camera info has arrived
        assert rows[0, 2] <= rows[1, 2]
        hits = {next(i for i, seen in enumerate(where) if lies_on(shift, seen)) for shift in shifts(rows)}
        assert hits == {0, 1}


def encoding_change(stage: Stage) -> None:
    """Depth turns from millimetres to metres and back in mid-stream: the same scene gives the same results.

    The two differ in a metre's last bit, by which a cell or two of an outline may turn from thing to nothing. A hand
    that is followed is seen in another crop than in the whole picture: that is worth half a pixel of the window (4 of
    the picture), and a quarter of the descriptor.
    """
    scene = recording()[0][MUG[5]]
    played = stage.play([scene] * 15, metres=range(5, 10))
    found = played.by_frame()
    for part in (range(5), range(5, 10), range(10, 15)):
        assert len(found.keys() & set(part)) >= 3
    last = found[max(found)]
    for index, rows in found.items():
        np.testing.assert_allclose(shifts(rows), shifts(last), atol=2.5)
        if index > 2:  # by then camera info has arrived
            away = np.linalg.norm(rows[:, 3:-3] - last[:, 3:-3]) / np.linalg.norm(last[:, 3:-3])
            assert away <= 1 / 3, away
    assert not any(status.level == DiagnosticStatus.ERROR for status in stage.statuses())


def camera_stall(stage: Stage) -> None:
    """A camera that stops: nothing is published, STALE names topics and seconds; it recovers by itself."""
    scenes, _, _ = recording()
    frames = [scenes[index] for index in MUG]
    assert stage.play(frames).grasps
    status = stage.wait_for_status(DiagnosticStatus.STALE)
    assert "no result for" in status.message
    assert "/color/image for" in status.message
    for name in OUTPUTS:
        stage.received(name).clear()
    stage.client.spin(0.5)
    assert not any(stage.received(name) for name in OUTPUTS)
    stage.client.received["/diagnostics"].clear()
    assert len(stage.play(frames).grasps) >= ENOUGH * len(frames), stage.story()
    assert any(s.level == DiagnosticStatus.OK and "results/s" in s.message for s in stage.statuses())


def clock_jump(stage: Stage) -> None:
    """A bag that loops: its stamps jump back again and again, and each time the first frame already works."""
    scenes, _, _ = recording()
    played = stage.play([scenes[index] for index in MUG], runs=4)
    arrived = [played.stamps.index(stamp_of(m)) for m in played.grasps]
    jumps = sum(later < earlier for earlier, later in itertools.pairwise(arrived))
    assert jumps >= 2
    assert arrived.count(0) >= jumps  # the first frame after each jump
    assert len(arrived) >= ENOUGH * (jumps * len(played.stamps)), stage.story()
    rows = {}
    for index, message in zip(arrived, played.grasps, strict=True):
        again = np.frombuffer(message.data, "<f4").reshape(message.width, -1)
        if index > 1:  # the first frames may have come before camera info
            np.testing.assert_allclose(again, rows.setdefault(index, again), atol=1e-3)


SCENARIOS: dict[str, Callable[[Stage], None]] = {
    scenario.__name__: scenario
    for scenario in (normal, empty_scene, two_hands, encoding_change, camera_stall, clock_jump)
}
