"""A robot hand behind the node: what moves it, what does not, and how fast; on the real process."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
pytest.importorskip("onnx", reason="small models are made with onnx, which is not installed")

from diagnostic_msgs.msg import DiagnosticArray
from made_hand_pose import AT_REST, make_hand_pose
from ros_processes import Camera, node_process, stamp_of
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool
from synthetic_scenes import make_scene
from trajectory_msgs.msg import JointTrajectory

from tiae_ros.errors import HandError, ParameterError
from tiae_ros.imitation.human_hand import JOINT_NAMES
from tiae_ros.imitation.robot_hand import load_hand
from tiae_ros.node.imitation import RobotImitation
from tiae_ros.parameters import Settings

pytestmark = pytest.mark.timeout(90)

HAND = load_hand("shadow")
TOPICS = {
    "joint_targets": JointState,
    "joint_trajectory": JointTrajectory,
    "imitation_state": DiagnosticArray,
    "hand_joints": JointState,
}


@pytest.fixture(scope="module")
def node(tmp_path_factory, shipped_models):
    """The node with a hand pose model that says another pose for every window."""
    folder = tmp_path_factory.mktemp("imitation")
    never_pinches = {**AT_REST, "pinch": -10.0}
    pose = make_hand_pose(folder / "linear", "grasp", slope=3e-4, novelty_max=1e6, rest=never_pinches)
    parameters = {
        **shipped_models, "robot_hand": "shadow", "hand_pose_model": str(pose), "imitation_trajectory": True,
        "imitation_max_spread_rad": 3.0, "max_age_s": 5.0,
    }  # fmt: skip
    with node_process(folder, parameters) as process:
        yield process


class Operator:
    """The operator's camera, stamped now, and the robot's driver."""

    def __init__(self, client) -> None:
        for topic, kind in TOPICS.items():
            client.listen(kind, f"/tiae/{topic}")
        self.client = client
        self.camera = Camera(client)
        self.driver = client.publisher(JointState, "robot/joint_states")
        self.camera.wait_for_node()
        client.wait_for_publishers()

    def imitate(self, wanted: bool) -> SetBool.Response:
        return self.client.call(SetBool, "/tiae/imitate", SetBool.Request(data=wanted))

    def tell_joints(self, angles: np.ndarray) -> None:
        self.driver.publish(JointState(name=list(HAND.names), position=angles.tolist()))
        self.client.spin(0.03)

    def show(self, *, age_s: float = 0.0, x: float = 160.0, hand: bool = True, scale: float = 1.0) -> str:
        """One frame; the state that comes of it."""
        self.camera.stamp_ns = time.time_ns() - round(age_s * 1e9)
        stamp = self.camera.shoot(make_scene(x, hand=hand, scale=scale), step_ns=0)
        found = self.client.spin_until(lambda: self.states().get(stamp), 10.0, "the state of a frame")
        self.client.spin(0.01)
        return found

    def states(self) -> dict[int, str]:
        return {stamp_of(one): one.status[0].values[0].value for one in self.client.received["/tiae/imitation_state"]}

    def targets(self) -> list[tuple[int, np.ndarray]]:
        received = self.client.received["/tiae/joint_targets"]
        return [(stamp_of(one), HAND.in_order(one.name, one.position)) for one in received]


@pytest.fixture
def operator(node, client):
    one = Operator(client)
    yield one
    one.imitate(False)


def test_a_robot_hand_needs_what_tells_the_operators_joints():
    follower = RobotImitation(SimpleNamespace(create_service=lambda *_: None), None, None, None)
    with pytest.raises(ParameterError, match="robot_hand is 'shadow', but hand_pose_model is 'none'"):
        follower.configure(Settings(robot_hand="shadow", hand_pose_model="none"), SimpleNamespace(hand_pose=None))
    with pytest.raises(HandError, match="there is no hand 'shado'"):
        follower.configure(Settings(robot_hand="shado"), SimpleNamespace(hand_pose=object()))
    answer = follower._on_imitate(SetBool.Request(data=True), SetBool.Response())
    assert not answer.success
    assert "set the parameter robot_hand" in answer.message


def test_25_nothing_moves_unasked(operator):
    """Disabled, without the robot's joints, on old frames and without a hand: no target; then from where it is."""
    start = np.clip(HAND.rest + 0.2, HAND.lower, HAND.upper)
    operator.tell_joints(start)
    assert [operator.show() for _ in range(4)] == ["disabled"] * 4
    operator.client.spin(1.1)  # until what the driver said is too old to go by
    answer = operator.imitate(True)
    assert answer.success
    assert "Shadow" in answer.message
    assert {operator.show() for _ in range(5)} == {"holding"}
    assert not operator.targets()
    operator.tell_joints(start)
    operator.show()
    (_, first), *_ = operator.targets()
    np.testing.assert_allclose(first, HAND.within_limits(start), atol=1e-9)
    count = len(operator.targets())
    assert operator.show(age_s=3.0) == "stale"
    assert operator.show(age_s=-3.0) == "stale"
    assert operator.show(hand=False) in ("holding", "stale")
    operator.client.spin(1.2)
    silent = operator.client.received["/tiae/imitation_state"][-1].status[0]
    assert silent.values[0].value == "stale"
    assert "no frame for" in silent.message
    assert len(operator.targets()) == count
    assert operator.imitate(False).success
    assert operator.show() == "disabled"
    assert len(operator.targets()) == count
    joints = operator.client.received["/tiae/hand_joints"]
    assert joints
    assert all(set(one.name) <= set(JOINT_NAMES) and np.isfinite(one.position).all() for one in joints)
    point = operator.client.received["/tiae/joint_trajectory"][0].points[0]
    np.testing.assert_allclose(point.positions, first)
    reached_s = point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec
    assert 0.02 <= reached_s <= 1.5  # after the stamp, so that it is no point of the past


def test_25_no_target_is_out_of_limits_or_too_fast(operator):
    """Whatever comes, in any order: hands that jump, no hand, old frames, frames from ahead, off and on."""
    rng = np.random.default_rng(5)
    assert operator.imitate(True).success
    operator.tell_joints(HAND.rest)
    for what in [*["hand"] * 8, *rng.permutation([*["hand"] * 24, *["none", "old", "ahead"] * 2, "off"])]:
        if targets := operator.targets():  # the robot is where it was told to be
            operator.tell_joints(targets[-1][1])
        if what == "off":
            assert operator.imitate(False).success
            assert operator.imitate(True).success
        else:
            age_s = {"old": 2.0, "ahead": -2.0}.get(what, 0.0)
            x, scale = rng.uniform(70, 250), rng.uniform(0.6, 1.3)
            operator.show(age_s=age_s, x=x, scale=scale, hand=what != "none")
    states, targets = operator.states(), operator.targets()
    followed = [stamp for stamp, state in states.items() if state == "following"]
    assert sorted(followed) == [stamp for stamp, _ in targets]
    assert len(targets) >= 12
    moved = 0.0
    for (before_ns, before), (now_ns, now) in itertools.pairwise(targets):
        assert (HAND.lower - 1e-9 <= now).all()
        assert (now <= HAND.upper + 1e-9).all()
        way = np.abs(now - before)
        assert (way <= HAND.speed * (now_ns - before_ns) * 1e-9 + 1e-6).all()
        moved = max(moved, float(way.max()))
    assert moved > 0.01  # it did follow
