"""``tiae demo imitate``: a rendered operator before the node, and a simulated robot hand behind it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiae_ros.commands.own_process import running
from tiae_ros.errors import MissingExtraError, ParameterError, TiaeError, install_hint
from tiae_ros.model.shipped import DEFAULT_HAND_POSE_MODEL, DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np

HELP = "the closed loop in simulation: a rendered hand, the node, a robot hand in MuJoCo"
DESCRIPTION = """Renders an operator's hand that opens, pinches, closes and is hidden for a second (once; OUT/scene is
used again), plays it over ROS 2 topics, runs the node on it and a Shadow hand in MuJoCo behind that, each in a process
of its own. Ends with OUT/imitation.webp, both hands side by side, and OUT/table.json: tip error, pinches made, lag, and
what happened while the hand was hidden. Needs the extras `imitate`, `bags` and `ros`."""
EXAMPLES = """  tiae demo imitate
  tiae demo imitate --operator left --side right --out left_to_right
  tiae demo imitate --rate 0.5 --hand-pose-model my_hand_pose"""
NODE, ROBOT = "/tiae", "/robot"
CAMERA = ("color/image", "depth/image", "color/camera_info")
_START_S, _PLAY_S = 60.0, 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``tiae demo imitate``."""
    parser.add_argument("--out", type=Path, default=Path("imitate_out"), metavar="DIR", help="default: imitate_out")
    parser.add_argument("--operator", choices=("right", "left"), default="right", help="hand of the operator")
    parser.add_argument("--side", choices=("right", "left"), default="right", help="of the robot hand")
    parser.add_argument("--rate", type=float, default=1.0, help="speed of playing; 0.5 on a slow machine (default 1)")
    parser.add_argument("--rate-hz", type=float, default=15.0, help="of the camera (default 15)")
    parser.add_argument("--gestures", nargs="+", metavar="NAME", help="open, fist, hidden, or a finger to pinch with")
    parser.add_argument("--seed", type=int, default=0, help="of the rendered room (default 0)")
    parser.add_argument("--subject", type=int, default=1100, help="number of the operator (default 1100)")
    parser.add_argument("--hand-pose-model", default="auto", metavar="DIR", help="as the node's parameter (auto)")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="DIR", help="as the node's parameter (hands)")


def run(arguments: argparse.Namespace) -> int:
    """Render, play, watch, measure, draw."""
    if not 0.05 <= arguments.rate <= 10:
        raise ParameterError(f"--rate {arguments.rate:g} cannot be used; accepted is 0.05 to 10")
    if not 2 <= arguments.rate_hz <= 60:
        raise ParameterError(f"--rate-hz {arguments.rate_hz:g} cannot be used; accepted is 2 to 60")
    import numpy as np

    from tiae_ros.commands.progress import at_work
    from tiae_ros.imitation.robot_hand import load_hand
    from tiae_ros.model.folder import write_whole
    from tiae_training.data.arrays import save_arrays
    from tiae_training.robots.shadow import SimulatedShadow

    hand = load_hand("shadow", arguments.side)
    _check_models(arguments)
    robot = SimulatedShadow(hand)  # what is not installed is said before anything takes long
    at_work("rendering the operator's hand")
    bag, truth_file = _scene(arguments)
    at_work("")  # node and robot hand speak
    seen = _watch(arguments, bag)
    from tiae_training.robots.closed_loop import Track, measure

    with np.load(truth_file) as stored:
        truth = dict(stored)
    moved, targets = (Track(*_track(hand.names, messages)) for messages in (seen.moved, seen.targets))
    if not len(moved.stamp_s):
        raise TiaeError("the robot hand told no joint states; the lines of its process are above")
    arrays = {"moved_s": moved.stamp_s, "moved": moved.angles, "targets_s": targets.stamp_s, "targets": targets.angles}
    save_arrays(arguments.out / "joints.npz", {"names": np.array(hand.names), **arrays}, overwrite=True)
    table = measure(hand, robot, truth, moved, targets, seen.states)
    write_whole(arguments.out / "table.json", (json.dumps(table, indent=1) + "\n").encode())
    for name, value in table.items():
        print(f"{name:48s} {value}")
    _draw(arguments.out, bag, truth, robot, moved, seen.states)
    robot.close()
    print(f"{arguments.out / 'imitation.webp'}, {arguments.out / 'table.json'}")
    return 0


def _check_models(arguments: argparse.Namespace) -> None:
    """Raise ModelError or ParameterError for what the node could not follow a hand with."""
    from tiae_ros.model.autoencoder import load_model
    from tiae_ros.model.hand_pose import check_belongs, load_hand_pose

    name = arguments.hand_pose_model
    if name in ("", "none"):
        raise ParameterError(f"--hand-pose-model {name!r} tells no joints of a hand; accepted are auto or a model")
    pose = load_hand_pose(DEFAULT_HAND_POSE_MODEL if name == "auto" else name)
    check_belongs(pose, load_model(arguments.model, threads=1))


def _scene(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """The operator's bag and its truth; rendered where they are not there, or of other arguments."""
    from tiae_training.simulator.gestures import GESTURES, write_gestures
    from tiae_training.simulator.simulator import SimulatorSettings

    bag, truth, made_by = (arguments.out / name for name in ("scene", "scene_truth.npz", "scene.json"))
    wanted = {name: getattr(arguments, name) for name in ("operator", "rate_hz", "seed", "subject", "gestures")}
    if made_by.is_file() and bag.is_dir() and truth.is_file() and json.loads(made_by.read_text()) == wanted:
        return bag, truth
    arguments.out.mkdir(parents=True, exist_ok=True)
    made_by.unlink(missing_ok=True)  # until the scene is whole again
    print("rendering the operator's hand (once; a minute) …", flush=True)
    settings = SimulatorSettings(seed=arguments.seed, width=320, height=240, smooth_skin=True)
    count = write_gestures(
        bag,
        truth,
        settings,
        gestures=arguments.gestures or GESTURES,
        rate_hz=arguments.rate_hz,
        left=arguments.operator == "left",
        subject=arguments.subject,
    )
    made_by.write_text(json.dumps(wanted) + "\n")
    print(f"{bag}: {count} pictures at {arguments.rate_hz:g} Hz", flush=True)
    return bag, truth


# --- the run ------------------------------------------------------------------------------------------------------


@dataclass
class _Seen:
    """What came over the topics, by the stamps' seconds."""

    moved: dict[float, Any] = field(default_factory=dict)
    targets: dict[float, Any] = field(default_factory=dict)
    states: dict[float, str] = field(default_factory=dict)
    refusal: str = ""  # why the node could not be configured


def _watch(arguments: argparse.Namespace, bag: Path) -> _Seen:
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        import rclpy
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor

        from tiae_ros.node import session
    except ImportError as error:
        raise MissingExtraError(
            f"the demonstration needs ROS 2 ({error}); source a ROS 2 installation, or: {install_hint('ros')}"
        ) from None
    context, seen = Context(), _Seen()
    session.begin(context=context)
    watcher = rclpy.create_node("imitation_watcher", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(watcher)
    try:
        _subscribe(watcher, seen)
        _play(arguments, bag, executor, watcher, seen)
    finally:
        executor.shutdown(timeout_sec=0.2)
        watcher.destroy_node()
        del watcher, executor
        session.end(context)
    return seen


def _play(arguments: argparse.Namespace, bag: Path, executor: Any, watcher: Any, seen: _Seen) -> None:
    """The three processes beside this one, from their start to their end."""
    simulated_time = ["-p", "use_sim_time:=true"]
    node_words = ["--ros-args", *simulated_time]
    for own in CAMERA:
        node_words += ["-r", f"{own}:=/camera/{own}"]
    for name, value in (
        ("robot_hand", "shadow"), ("robot_side", arguments.side), ("imitate_at_start", "true"),
        ("hand_pose_model", arguments.hand_pose_model), ("model", arguments.model),
    ):  # fmt: skip
        node_words += ["-p", f"{name}:={value}"]
    robot_words = ["--side", arguments.side, "--ros-args", *simulated_time]
    with running("imitate", "robot", *robot_words) as robot, running("node", *node_words) as node:
        needed = robot, node
        print("starting the robot hand and the node …", flush=True)

        def ready() -> bool:
            if seen.refusal:
                raise TiaeError(f"the node's {seen.refusal}")
            return watcher.count_subscribers(f"/camera/{CAMERA[0]}") > 0 and bool(seen.moved)

        _spin_until(executor, ready, _START_S, needed)
        played = [f"/camera/{name}" for name in CAMERA]
        words = ["--bag", str(bag), "--rate", str(arguments.rate), "--clock", "--quiet", "--topics", *played]
        with running("play", *words) as player:
            print("playing the operator's hand …", flush=True)
            _spin_until(executor, lambda: player.poll() is not None, _PLAY_S, needed)
        if player.returncode:
            raise TiaeError("the player failed; its line is above")
        end = time.monotonic() + 1.0
        _spin_until(executor, lambda: time.monotonic() > end, 5.0, needed)


def _subscribe(watcher: Any, seen: _Seen) -> None:
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import JointState

    from tiae_ros.node.diagnostics import CONFIGURATION_FAILED

    def stamp_of(message: Any) -> float:
        return float(message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec)

    def keep(place: dict[float, Any]) -> Callable[[Any], None]:
        def callback(message: Any) -> None:
            place[stamp_of(message)] = message

        return callback

    def keep_state(message: Any) -> None:
        # What is said of the silence after a frame bears its stamp, too.
        seen.states.setdefault(stamp_of(message), message.status[0].values[0].value)

    def keep_refusal(message: Any) -> None:
        for status in message.status:
            if status.name == f"{NODE[1:]}: perception" and status.message.startswith(CONFIGURATION_FAILED):
                seen.refusal = status.message

    watcher.create_subscription(DiagnosticArray, "/diagnostics", keep_refusal, 10)
    watcher.create_subscription(JointState, f"{ROBOT}/joint_states", keep(seen.moved), 200)
    watcher.create_subscription(JointState, f"{NODE}/joint_targets", keep(seen.targets), 200)
    watcher.create_subscription(DiagnosticArray, f"{NODE}/imitation_state", keep_state, 200)


def _spin_until(
    executor: Any, done: Callable[[], bool], seconds: float, needed: tuple[subprocess.Popen[bytes], ...]
) -> None:
    end = time.monotonic() + seconds
    while not done():
        if any(process.poll() is not None for process in needed):
            raise TiaeError("the node or the robot hand has ended by itself; its line is above")
        if time.monotonic() > end:
            raise TiaeError(f"waited {seconds:.0f} s in vain; the lines of node and robot hand are above")
        executor.spin_once(timeout_sec=0.05)


# --- what is made of it -------------------------------------------------------------------------------------------


def _track(names: tuple[str, ...], messages: dict[float, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(T,) seconds and (T, A) radians, by time; what came before the clock went is left out."""
    import numpy as np

    stamps = sorted(stamp for stamp in messages if stamp > 0)
    rows = []
    for stamp in stamps:
        given = dict(zip(messages[stamp].name, messages[stamp].position, strict=True))
        rows.append([given[name] for name in names])
    return np.array(stamps), np.array(rows).reshape(-1, len(names))


def _draw(out: Path, bag: Path, truth: dict[str, np.ndarray], robot: Any, moved: Any, states: dict[float, str]) -> None:
    """OUT/imitation.webp, and OUT/sheet.png with some of its pictures."""
    import cv2
    import numpy as np

    from tiae_ros.streams.bags import Bag

    step = max(1, round(len(truth["stamp_ns"]) / 200))
    state_at = {round(stamp, 3): state for stamp, state in states.items()}
    pictures = []
    with Bag(bag) as recorded:
        for number, frame in enumerate(recorded.rgbd_frames()):
            if number % step:
                continue
            stamp = truth["stamp_ns"][number] * 1e-9
            robot.place(moved.at(np.array(stamp)))
            both = np.concatenate([frame.color, robot.picture()], axis=1)
            band = np.full((26, both.shape[1], 3), 255, np.uint8)
            state = state_at.get(round(float(stamp), 3), "no frame")
            for text, left in (("operator", 6), (f"robot hand: {state}", frame.color.shape[1] + 6)):
                cv2.putText(band, text, (left, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
            pictures.append(np.concatenate([band, both])[..., ::-1])
    animation = cv2.Animation()
    animation.frames = [np.ascontiguousarray(picture) for picture in pictures]
    spacing_ms = round(1000 * step * float(np.median(np.diff(truth["stamp_ns"]))) * 1e-9)
    animation.durations = [spacing_ms] * len(pictures)
    if not cv2.imwriteanimation(str(out / "imitation.webp"), animation, [cv2.IMWRITE_WEBP_QUALITY, 60]):
        raise TiaeError(f"{out / 'imitation.webp'} cannot be written")
    chosen = np.linspace(0, len(pictures) - 1, 14)[1:-1].round().astype(int)
    rows = [np.concatenate([pictures[i] for i in chosen[k : k + 3]], axis=1) for k in range(0, 12, 3)]
    cv2.imwrite(str(out / "sheet.png"), np.concatenate(rows))
