"""`tiae play` and what recordings of the field hold: all topics, their QoS, clocks, gaps; and signals at any time."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
pytest.importorskip("rosbags", reason="reading bags needs the package rosbags")

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_processes import Process, stamp_of
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from written_bags import IMAGE, START_NS, cdr, image, write_messages

from tiae_ros.errors import BagError
from tiae_ros.node.player import message_class, recorded_qos
from tiae_ros.streams.bags import Topic

pytestmark = pytest.mark.timeout(60)

STEP_NS = 20_000_000
SMALL = np.zeros((4, 4), np.uint8)
A, B = "/a", "/b"
EVENT = "std_srvs/srv/SetBool_Event"
TRANSFORMS = "tf2_msgs/msg/TFMessage"  # not among the wheels


def images(count: int, topic: str = A, start_ns: int = START_NS) -> list[tuple[str, str, int, bytes]]:
    return [(topic, IMAGE, start_ns + i * STEP_NS, image(start_ns + i * STEP_NS, SMALL, "mono8")) for i in range(count)]


def offered(reliability: QosReliability, durability: QosDurability, depth: int = 1) -> list[Qos]:
    forever = QosTime(2147483647, 4294967295)
    automatic = QosLiveliness.AUTOMATIC
    return [Qos(QosHistory.KEEP_LAST, depth, reliability, durability, forever, forever, automatic, forever, False)]


def warnings_of(process: Process) -> list[str]:
    return [line for line in process.output.splitlines() if line.startswith("tiae play: ")]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """As `ros2 bag record -a` writes it: a service's event, and a type that is not installed here."""
    other = [
        ("/set/_service_event", EVENT, START_NS + 1, b"\x00\x01\x00\x00"),
        ("/secret", "os_secrets/msg/Nothing", START_NS + 2, b"\x00\x01\x00\x00"),
    ]
    messages = sorted([*images(5), *other], key=lambda message: message[2])
    return write_messages(tmp_path_factory.mktemp("everything") / "bag", messages)


def test_what_cannot_be_played_is_skipped_and_told(client, everything, play):
    client.listen(Image, A)
    process = play("--bag", str(everything))
    client.spin_until(lambda: not process.alive, 30)
    client.spin(0.2)
    assert process.join(5) == 0
    assert len(client.received[A]) == 5
    event, secret = sorted(warnings_of(process), key=lambda line: "secret" in line)
    assert f"skipped topic /set/_service_event ({EVENT}, 1): " in event
    assert "is no message" in event
    assert "os_secrets/msg/Nothing, which is not installed" in secret


@pytest.mark.parametrize("words", [["--strict"], ["--topics", A, "/secret"], ["--topic-map", "/secret:=/x"]])
def test_strict_refuses_what_cannot_be_played(everything, refused, words):
    assert refused("--bag", str(everything), *words).startswith("tiae play: error: topic /se")


def test_types_of_a_file_import_nothing_but_messages():
    for kind in (
        "antigravity/msg/X",
        "os/msg/X",
        "a.b/msg/X",
        "sensor_msgs/srv/SetCameraInfo",
        "several types",
        "",
        "x",
    ):
        with pytest.raises(BagError):
            message_class(Topic("/a", kind, 1))
    assert message_class(Topic("/a", IMAGE, 1)) is Image
    assert "antigravity" not in sys.modules


def test_the_recorded_qos_is_offered(client, tmp_path, play):
    """Latched messages reach who comes late; what was best effort is best effort; both can be overridden."""
    bag = write_messages(
        tmp_path / "bag",
        [*images(1), *images(200, B)],
        qos={
            A: offered(QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL),
            B: offered(QosReliability.BEST_EFFORT, QosDurability.VOLATILE),
        },
    )
    for words, a, b in (
        ([], (ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL),
         (ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)),
        (["--reliability", "reliable", "--durability", "volatile"],
         (ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE),
         (ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)),
        (["--best-effort"], (ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.TRANSIENT_LOCAL),
         (ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)),
    ):  # fmt: skip
        process = play("--bag", str(bag), "--wait", "0", *words)
        for topic, expected in ((A, a), (B, b)):
            (there,) = client.spin_until(lambda topic=topic: client.node.get_publishers_info_by_topic(topic))
            assert (there.qos_profile.reliability, there.qos_profile.durability) == expected, topic
        if not words:
            late: list[Image] = []
            latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            subscription = client.node.create_subscription(Image, A, late.append, latched)
            client.spin_until(lambda late=late: late, 5, "the latched message")
            client.node.destroy_subscription(subscription)
        assert process.end(signal.SIGINT)[0] == 0
        client.spin_until(lambda: not client.node.get_publishers_info_by_topic(A), 10)


@pytest.mark.parametrize(
    ("profiles", "reliability", "durability", "depth"),
    [
        ("", ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE, 10),
        ("- history: 1\n  depth: 50\n  reliability: 2\n  durability: 2", ReliabilityPolicy.BEST_EFFORT,
         DurabilityPolicy.VOLATILE, 50),
        ("- history: keep_all\n  depth: 0\n  reliability: reliable\n  durability: transient_local",
         ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL, 1000),
        ("[{reliability: best_effort}, {reliability: reliable, durability: 1}]", ReliabilityPolicy.RELIABLE,
         DurabilityPolicy.TRANSIENT_LOCAL, 10),
        ("reliability: unknown\ndurability: 9\ndepth: 99999999999999999999\ndepth: x", ReliabilityPolicy.RELIABLE,
         DurabilityPolicy.VOLATILE, 10),
    ],
)  # fmt: skip
def test_qos_serves_all_whom_the_recorded_ones_served(profiles, reliability, durability, depth):
    qos = recorded_qos(profiles)
    assert (qos.reliability, qos.durability, qos.depth) == (reliability, durability, depth)


def clocks(count: int) -> list[tuple[str, str, int, bytes]]:
    """A simulated /clock of its own times, recorded on the wall's."""
    from written_bags import STORE

    def stored(i: int) -> bytes:
        return cdr("rosgraph_msgs/msg/Clock", clock=STORE.types["builtin_interfaces/msg/Time"](sec=i, nanosec=0))

    return [("/clock", "rosgraph_msgs/msg/Clock", START_NS + i * STEP_NS + 1, stored(i)) for i in range(count)]


def test_there_is_one_clock(client, tmp_path, play):
    bag = write_messages(tmp_path / "bag", sorted([*images(15), *clocks(15)], key=lambda m: m[2]))
    client.listen(Image, A)
    client.listen(Clock, "/clock")
    process = play("--bag", str(bag), "--clock")
    client.spin_until(lambda: not process.alive, 30)
    client.spin(0.2)
    times = [m.clock.sec * 10**9 + m.clock.nanosec for m in client.received["/clock"]]
    assert times[0] >= START_NS
    assert times == sorted(times)
    assert any("the recorded /clock is not played: --clock publishes" in line for line in warnings_of(process))
    client.reset()
    client.listen(Image, A)
    client.listen(Clock, "/clock")
    process = play("--bag", str(bag))
    client.spin_until(lambda: not process.alive, 30)
    client.spin(0.2)
    assert [m.clock.sec for m in client.received["/clock"]] == list(range(15))
    assert not warnings_of(process)


def test_long_gaps_are_skipped_and_told(client, tmp_path, play):
    """A message from 1970, a camera that was off for a while, a message from another century."""
    messages = [
        *images(1, start_ns=10**9),
        *images(3),
        *images(3, start_ns=START_NS + 10 * 10**9),
        (A, IMAGE, 2**62, image(START_NS, SMALL, "mono8")),  # 146 years after 1970: more than a Time holds
    ]
    client.listen(Image, A)
    process = play("--bag", str(write_messages(tmp_path / "bag", messages)), "--max-gap", "5", "--clock", "--topics", A)
    client.spin_until(lambda: not process.alive, 30)
    client.spin(0.2)
    assert [stamp_of(m) for m in client.received[A]] == [*(t for _, _, t, _ in messages[:-1]), START_NS]
    arrived = client.arrived[A]
    assert arrived[-1] - arrived[0] < 1.5
    gaps = warnings_of(process)
    assert len(gaps) == 3
    assert "skipped a gap of 10.0 s in the recording" in gaps[1]
    assert "(--max-gap)" in gaps[1]


def test_many_gaps_are_told_shortly(tmp_path, play):
    messages = [message for i in range(8) for message in images(1, start_ns=START_NS + i * 10**9)]
    process = play("--bag", str(write_messages(tmp_path / "bag", messages)), "--max-gap", "0.5", "--wait", "0")
    assert process.join(30) == 0
    lines = warnings_of(process)
    assert len(lines) == 4
    assert "7 gaps over 0.5 s (--max-gap) were skipped in all" in lines[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rate", "1e-320"], "--rate 9.99989e-321 cannot be used; it must be a number above 0, from 0.001 to 1000"),
        (["--rate", "1e9"], "--rate 1e+09 cannot be used"),
        (["--rate", "inf"], "--rate inf cannot be used"),
        (["--max-gap", "nan"], "--max-gap nan cannot be used"),
        (["--max-gap", "0"], "--max-gap 0 cannot be used; it must be a number of seconds above 0"),
        (["--topic-map", f"{A}:=/x", f"{A}:=/y"], "--topic-map gives /a two names, /x and /y"),
        (["--topic-map", f"{A}:=/x", f"{B}:=x"], "/a and /b would both be published on /x"),
        (["--topic-map", f"{A}:={B}"], "/a and /b would both be published on /b"),
        (["--topic-map", f"{A}:=/clock", "--clock"], "--clock and /a would both be published on /clock"),
        (["--topic-map", f"{A}:=/x/"], "topic name '/x/' is not valid"),
        (["--topic-map", f"{A}:=/x//y"], "topic name '/x//y' is not valid"),
        (["--topic-map", f"{A}:=/1x"], "topic name '/1x' is not valid"),
        (["--topic-map", f"{A}:=" + "{x}"], "topic name '{x}' is not valid"),
        (["--topic-map", f"{A}:=/" + "x" * 300], "is not valid"),
        (["--topic-map", f"{A}:=/ä"], "topic name '/ä' is not valid"),
    ],
)
def test_options_that_cannot_be_used(tmp_path, refused, words, message):
    bag = write_messages(tmp_path / "bag", [*images(1), *images(1, B)])
    assert message in refused("--bag", str(bag), *words)


@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_at_the_end_of_a_loop_end_it_with_0(tmp_path, play, loop, number):
    """Again and again, so that some come while it ends; a signal that nobody handles would end it with -2."""
    bag = write_messages(tmp_path / "bag", images(3))
    process = play("--bag", str(bag), "--wait", "0", "--rate", "10" if loop else "0.02", *(["--loop"] if loop else []))
    if loop:
        process.wait_for("s  /")
    else:
        process.wait_for("no subscriber yet")
    deadline = time.monotonic() + 5
    while process.alive and time.monotonic() < deadline:
        process.send(number)
        time.sleep(0.002)
    assert process.join(1) == 0
    assert "Traceback" not in process.output


def test_an_interruption_is_no_keyboard_interrupt():
    """That would end the process by the signal once it has passed through an `exec` of text, though it was caught."""
    code = """
import os, signal
from tiae_ros.node.signals import Interrupted, Stop
stop = Stop()
try:
    with stop.interrupting():
        exec("os.kill(os.getpid(), signal.SIGINT)\\nfor _ in range(10**7): pass")
except Interrupted:
    print("caught", stop.asked)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, result.stdout) == (0, "caught True\n"), result.stderr


def handles_sigterm(pid: int) -> bool:
    """Whether the process has a handler for it, which Python by itself has not."""
    (caught,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_signals_while_it_starts_end_it_with_0(tmp_path, play):
    """From the first line of the command on, while numpy and rclpy are imported and the topics are made."""
    bag = write_messages(tmp_path / "bag", images(300))
    for later_s in (0, 0.15, 0.3, 0.5):
        process = play("--bag", str(bag), "--wait", "5")
        deadline = time.monotonic() + 20
        while not handles_sigterm(process.pid) and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(later_s)
        process.send(signal.SIGINT)
        assert process.join(5) == 0
        assert "Traceback" not in process.output
