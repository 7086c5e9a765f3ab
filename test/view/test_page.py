"""The page end to end: node, recording, `tiae view` and a real browser, each a process of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="there is no rclpy: neither a ROS installation nor its wheels")
pytest.importorskip("viser", reason="the page's packages are not installed: pip install -e '.[view]'")

from browser import Browser, find_browser
from ros_processes import Process, node_process

from tiae_ros.cli import main
from tiae_ros.streams.bags import Bag

BAG = Path(__file__).resolve().parents[1] / "data" / "grasps"
CAMERA = ("color/image", "depth/image", "color/camera_info")
REMAPPED = [word for name in CAMERA for word in ("-r", f"{name}:=/camera/{name}")]
TAB = "[...document.querySelectorAll('[role=tab]')].find(e => e.innerText.trim() == '{}')"
LABELLED = "document.getElementById([...document.querySelectorAll('label')].find(e => e.innerText == '{}').htmlFor)"
PICTURES = "[...document.images].filter(e => e.naturalWidth == 480).map(e => e.src)"  # of camera and windows


@pytest.fixture
def page(tmp_path, client, play):
    """A node that sees the recording again and again, and the page; ends both by Ctrl-C."""
    from sensor_msgs.msg import JointState

    from tiae_ros.imitation.robot_hand import load_hand

    hand = load_hand("leap")
    joints = client.publisher(JointState, "/tiae/joint_targets")
    message = JointState(name=list(hand.names), position=hand.rest.tolist())
    with node_process(tmp_path, {"device": "cpu"}, arguments=REMAPPED):
        play("--bag", str(BAG), "--loop", "--quiet", "--rate", "0.5")  # two cores draw without a GPU, too
        view = Process(["view", "--port", "0", "--reports", str(tmp_path)], tmp_path / "view.log")
        try:
            view.link = view.wait_for(r"http://127.0.0.1:\d+/", 90.0)
            view.say_joints = lambda: joints.publish(message)
            yield view
            code, _ = view.end(timeout_s=60.0)
            assert code == 0, view.output
            assert "Traceback" not in view.output
        finally:
            view.kill()


@pytest.mark.serial
@pytest.mark.timeout(600)
def test_a_browser_sees_the_node_and_acts_on_it(page, client, tmp_path):
    program = find_browser()
    if not program:
        pytest.skip("no browser is installed (Debian: apt-get install chromium)")
    with Browser(program, 1200, 700) as browser:
        browser.open(page.link)
        first = browser.wait_for(f"{PICTURES}.length >= 2 && {PICTURES}")
        browser.wait_for(f"!{PICTURES}.includes({first[0]!r})")  # another one has come since
        assert browser.ask("document.title") == "tiae"
        browser.wait_for("/(mug|scissors_1|pen_1|unknown grasp)/.test(document.body.innerText)")
        browser.wait_for("document.body.innerText.includes('LEAP Hand') || "
                         "!/robot hand: (none|no joint targets)/.test(document.body.innerText)",
                         meanwhile=page.say_joints)  # fmt: skip

        browser.click(TAB.format("Parameters"))
        browser.wait_for(f"{LABELLED.format('max_grasps')} != null")
        browser.ask(f"{LABELLED.format('max_grasps')}.querySelector('[role=slider]').focus()")
        for kind in ("keyDown", "keyUp"):
            browser.do("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight",
                       windowsVirtualKeyCode=39)  # fmt: skip
        client.spin_until(lambda: client.get_parameter("max_grasps") == 3, 60.0, "the slider's value in the node")
        assert client.set_parameter("max_grasps", 7)[0]  # by somebody else: the page follows
        browser.wait_for(f"{LABELLED.format('max_grasps')}.querySelector('[role=slider]').ariaValueNow == '7'")

        browser.click(TAB.format("Node"))
        browser.wait_for("document.body.innerText.includes('arrival to result')")
        browser.click(LABELLED.format("Pause the page"))
        browser.wait_for("document.body.innerText.includes('the page is paused')")
        browser.click("[...document.querySelectorAll('button')].find(e => e.innerText.includes('bug report'))")
        saved = browser.wait_for("(document.body.innerText.match(/saved (\\S+)/) || [])[1]")
        foreign = [url for url in browser.requests if not re.match(rf"(blob:)?{page.link}|ws://127|data:|about:", url)]
        assert foreign == []
        assert browser.complaints == []
    check_report(Path(saved), tmp_path)


def check_report(report: Path, tmp_path: Path) -> None:
    """It is a bag of the last 2 s with all that belongs to it, and our own tools take it."""
    assert report.parent == tmp_path
    with Bag(report) as bag:
        topics = {name: topic.count for name, topic in bag.topics.items()}
        assert 0.5 < bag.duration_s <= 2.1
    assert {f"/camera/{name}" for name in CAMERA} <= set(topics)
    assert {"/tiae/grasps", "/tiae/restored/depth", "/tiae/segmentation", "/diagnostics"} <= set(topics)
    parameters = yaml.safe_load((report / "parameters.yaml").read_text())["/**"]["ros__parameters"]
    assert (parameters["max_grasps"], parameters["model"]) == (7, "hands")
    assert {"tiae_ros", "python", "numpy", "viser"} <= set(
        yaml.safe_load((report / "versions.yaml").read_text())["versions"]
    )
    assert (report / "picture.jpg").stat().st_size > 5000
    played = Process(["play", "--bag", str(report), "--rate", "4", "--wait", "0"], tmp_path / "replayed.log")
    assert played.join(60.0) == 0
    assert f"/tiae/grasps {topics['/tiae/grasps']}" in played.output


def test_what_is_missing_is_said_in_one_line(tmp_path, capsys):
    assert main(["view", "--reports", str(tmp_path / "nowhere")]) == 2
    assert main(["view", "--bind", "robot", "--reports", str(tmp_path)]) == 2
    assert main(["view", "--hand", "claw", "--reports", str(tmp_path)]) == 2
    assert main(["view", "--node", "/bad name", "--reports", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.partition("error: ")[2].split()[0] for line in lines] == ["--reports", "--bind", "there", "--node"]
