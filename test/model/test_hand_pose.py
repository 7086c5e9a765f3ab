"""A model of a hand's pose: what it is given and gives, whose windows it reads, and what is refused."""

import numpy as np
import pytest
from made_hand_pose import AT_REST, make_hand_pose

from tiae_ros import load_model
from tiae_ros.errors import DataError, ModelError
from tiae_ros.model.folder import POSE, read_folder, write_folder
from tiae_ros.model.hand_pose import INPUTS, SHAPES, check_belongs, load_hand_pose
from tiae_ros.model.shipped import find_model

pytest.importorskip("onnx", reason="graphs are made with onnx, which is not installed")


def seen(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows, descriptors and details."""
    rng = np.random.default_rng(0)
    windows = rng.random((count, 3, 32, 32)).astype(np.float32)
    details = rng.random((count, 3, 64, 64)).astype(np.float32) / 100
    return windows, rng.normal(size=(count, 96)).astype(np.float32), details


@pytest.mark.parametrize("inputs", [INPUTS, ("descriptor",), ("window",), ("detail", "descriptor")])
def test_a_graph_gets_what_it_asks_for(tmp_path, inputs):
    pose = load_hand_pose(make_hand_pose(tmp_path / "linear", inputs=inputs))
    assert pose.inputs == inputs
    given = dict(zip(INPUTS, seen(3), strict=True))
    estimate = pose.estimate(*given.values())
    total = 0.01 * sum(given[name].reshape(3, -1).sum(1) for name in inputs)
    for name, shape in SHAPES.items():
        wanted = AT_REST[name] + total.reshape(3, *[1] * len(shape))
        np.testing.assert_allclose(getattr(estimate, name), np.broadcast_to(wanted, (3, *shape)), rtol=1e-4)
    np.testing.assert_array_equal(estimate.known, AT_REST["novelty"] + total <= 2.0)


@pytest.mark.parametrize("count", [0, 1, 700])
def test_any_number_of_hands(tmp_path, count):
    estimate = load_hand_pose(make_hand_pose(tmp_path / "linear")).estimate(*seen(count))
    for name, shape in SHAPES.items():
        assert getattr(estimate, name).shape == (count, *shape)
    assert estimate.known.shape == (count,)


def test_it_belongs_to_one_auto_encoder(tmp_path):
    pose = load_hand_pose(make_hand_pose(tmp_path / "linear", "hands"))
    check_belongs(pose, load_model("hands"))
    with pytest.raises(
        ModelError, match=r"linear was trained on the auto-encoder hands .*not on grasp .*tiae train hand_pose"
    ):
        check_belongs(pose, load_model("grasp"))


def test_inputs_of_another_shape_are_refused(tmp_path):
    pose = load_hand_pose(make_hand_pose(tmp_path / "linear"))
    windows, descriptors, details = seen(2)
    for wrong in (
        (windows[:, :2], descriptors, details),
        (windows, descriptors[:, :9], details),
        (windows, descriptors, details[:1]),
        (windows, descriptors, details[:, :, :32]),
        (windows, descriptors, np.full_like(details, np.nan)),
    ):
        with pytest.raises(DataError):
            pose.estimate(*wrong)


def test_details_are_asked_for_where_they_are_read(tmp_path):
    windows, descriptors, _ = seen(2)
    with pytest.raises(DataError, match="linear reads hands in detail, and these windows come without"):
        load_hand_pose(make_hand_pose(tmp_path / "linear")).estimate(windows, descriptors)
    without = load_hand_pose(make_hand_pose(tmp_path / "without", inputs=("descriptor",)))
    assert without.estimate(windows, descriptors).joints.shape == (2, 25)


def test_what_is_not_finite_is_withheld(tmp_path):
    pose = load_hand_pose(make_hand_pose(tmp_path / "linear", rest={**AT_REST, "tips_mm": float("inf")}))
    with pytest.raises(ModelError, match="linear gave a number that is not finite"):
        pose.estimate(*seen(1))


@pytest.mark.parametrize("told", [None, "2", True, []])
def test_a_limit_of_novelty_that_is_none_is_refused(tmp_path, told):
    with pytest.raises(ModelError, match=r"novelty_max of .* accepted is a finite number"):
        load_hand_pose(make_hand_pose(tmp_path / "linear", novelty_max=told))


def test_another_graph_is_refused(tmp_path):
    folder = make_hand_pose(tmp_path / "linear")
    content = read_folder(folder)
    write_folder(folder, content.manifest, {POSE: read_folder(find_model("depth")).files["encoder.onnx"]})
    with pytest.raises(ModelError, match=r"hand_pose.onnx maps .* to .*needed is some of window, descriptor, detail"):
        load_hand_pose(folder)
