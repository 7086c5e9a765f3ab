"""What the two looks are trained for: losses worked out by hand, and a tiny training that learns."""

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch, which is not installed")

import torch
from drawn_frames import empty_frame, hand_frame

from tiae_ros.errors import TrainingError
from tiae_training.detection.batches import CropBatch, GridBatch, Worse, crop_batch, grid_batch
from tiae_training.detection.examples import crop_rows, grid_row
from tiae_training.detection.networks import CloseNetwork, Detector, ProposalNetwork
from tiae_training.detection.training import Schedule, close_loss, proposal_loss, train

LN2 = math.log(2)


def zeros(*shape):
    return np.zeros(shape, np.float32)


def grid_batch_by_hand(**changes):
    """One picture of 2 x 2 blocks, nothing in it."""
    parts = {"planes": zeros(1, 6, 16, 16), "heat": zeros(1, 2, 2), "counts": zeros(1, 2, 2) + 1,
             "places": zeros(1, 5, 2, 2), "known": zeros(1, 2, 2), "area": zeros(1, 2, 2)}  # fmt: skip
    return GridBatch(**{**parts, **changes})


def test_the_first_looks_loss_by_hand():
    def unsure(_planes):  # .5 everywhere
        return torch.zeros(1, 7, 2, 2)

    empty = proposal_loss(unsure, grid_batch_by_hand())
    assert float(empty["heat"]) == pytest.approx(4 * 0.25 * LN2)
    assert float(empty["place"]) == 0
    assert float(empty["area"]) == pytest.approx(2 * LN2)

    heat, known, places, counts = zeros(1, 2, 2), zeros(1, 2, 2), zeros(1, 5, 2, 2), zeros(1, 2, 2) + 1
    heat[0, 0, 0] = known[0, 0, 0] = 1
    heat[0, 0, 1] = 0.5
    counts[0, 1, 1] = 0
    places[0, :, 0, 0] = 0.1, -0.2, 0, 1, 0.3
    places[0, :, 1, 0] = 99  # not told of
    told = proposal_loss(unsure, grid_batch_by_hand(heat=heat, known=known, places=places, counts=counts))
    assert float(told["heat"]) == pytest.approx((0.25 + 0.5**4 * 0.25 + 0.25) * LN2)
    assert float(told["place"]) == pytest.approx(0.5 * 1.6)


def test_the_first_looks_loss_is_small_for_the_truth():
    heat, places = zeros(1, 2, 2), zeros(1, 5, 2, 2)
    heat[0, 1, 0], places[0, :, 1, 0] = 1, (0.2, -0.3, 0, 1, 0.5)
    answers = torch.full((1, 7, 2, 2), -9.0)
    answers[0, :6, 1, 0] = torch.tensor([9.0, *places[0, :, 1, 0]])
    parts = proposal_loss(lambda _: answers, grid_batch_by_hand(heat=heat, known=heat.copy(), places=places))
    assert all(float(part) < 1e-3 for part in parts.values())


def crop_batch_by_hand(is_hand, **changes):
    parts = {"planes": zeros(1, 5, 96, 96), "labels": np.zeros((1, 96, 96), np.int64), "is_hand": zeros(1) + is_hand,
             "left": zeros(1), "middle": zeros(1, 2), "arm": zeros(1, 2)}  # fmt: skip
    return CropBatch(**{**parts, **changes})


def unsure_look(_planes):
    return torch.zeros(1, 4, 96, 96), torch.zeros(1, 6)


def test_the_second_looks_loss_by_hand():
    nobody = close_loss(unsure_look, crop_batch_by_hand(0.0, middle=zeros(1, 2) + 9))
    assert float(nobody["classes"]) == pytest.approx(0.4 * math.log(4), rel=1e-5)
    assert float(nobody["hand"]) == pytest.approx(2 * LN2)
    assert float(nobody["overlap"] + nobody["side"] + nobody["place"]) == 0  # nothing to tell where no hand is

    labels = np.zeros((1, 96, 96), np.int64)
    labels[0, :48] = 1  # half of it hand: 4608 of 9216 cells
    told = {"labels": labels, "middle": np.array([[0.05, 0.3]], "f"), "arm": np.array([[0, 1]], "f")}
    somebody = close_loss(unsure_look, crop_batch_by_hand(1.0, **told))
    assert float(somebody["classes"]) == pytest.approx(math.log(4) * (1 + 1.5) / 2, rel=1e-5)
    # Chances of a quarter: both 4608 / 4, either 9216 / 4 + 4608 - 4608 / 4.
    assert float(somebody["overlap"]) == pytest.approx(0.5 * (1 - 1153 / 5761), rel=1e-4)
    assert float(somebody["side"]) == pytest.approx(0.15 * LN2)
    # Huber's: 0.5 * .05² / .1 = .0125, .3 - .05 = .25, 0, 1 - .05 = .95; their mean twice.
    assert float(somebody["place"]) == pytest.approx(2 * (0.0125 + 0.25 + 0.95) / 4)


def test_held_things_weigh_more():
    losses = []
    for label in range(4):
        labels = np.full((1, 96, 96), label, np.int64)
        losses.append(float(close_loss(unsure_look, crop_batch_by_hand(1.0, labels=labels))["classes"]))
    assert np.array(losses) / losses[0] == pytest.approx([1, 1.5, 3, 1.5], rel=1e-5)


def test_networks_answer_in_blocks_and_cells():
    detector = Detector((8, 8, 8, 8), (0, 1, 0, 0), (8, 8, 8, 8, 8), (0, 0, 1, 0, 1)).eval()
    with torch.inference_mode():
        assert detector.proposals(torch.zeros(2, 6, 32, 48)).shape == (2, 7, 4, 6)
        scores, facts = detector.close_up(torch.zeros(3, 5, 96, 96))
    assert (scores.shape, facts.shape) == ((3, 4, 96, 96), (3, 6))


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    places = rng.uniform([140, 120, 0.55], [340, 200, 0.8], (10, 3))
    return [hand_frame(*place, left=n % 2 > 0, seed=n) for n, place in enumerate(places)] + [
        empty_frame(n) for n in range(4)
    ]


def stacked(rows):
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def total(network, loss, batch):
    network.eval()
    with torch.no_grad():
        return float(sum(loss(network, batch).values()))


@pytest.fixture(autouse=True)
def one_thread():
    """Threads of torch that share a core with others spend their time waiting for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(network, rows, make, loss, name, steps):
    torch.manual_seed(0)
    worse, judged = Worse(0.1, 0.1, 0.0), np.arange(len(next(iter(rows.values()))))
    batch = make(rows, judged, np.random.default_rng(99), Worse(0, 0, 0))
    before = total(network, loss, batch)
    schedule = Schedule(steps, 4, learning_rate=2e-2, report_every=20)
    train(network, rows, make, loss, schedule, worse, name)
    return before, total(network, loss, batch), batch


def test_the_first_look_learns(frames, capsys):
    network = ProposalNetwork((8, 8, 16, 16), (0, 0, 0, 0))
    rows = stacked([grid_row(frame) for frame in frames])
    before, after, batch = trained(network, rows, grid_batch, proposal_loss, "first look", 200)
    assert after < 0.5 * before
    with torch.no_grad():
        score = network(torch.from_numpy(batch.planes))[:, 0].numpy()
    for hand in range(10):  # the best block of each picture is within one of the hand's
        row, column = np.unravel_index(score[hand].argmax(), score[hand].shape)
        true_row, true_column = np.argwhere(batch.heat[hand] == 1)[0]
        assert max(abs(row - true_row), abs(column - true_column)) <= 1
    assert "first look  step 100" in capsys.readouterr().out


def test_the_second_look_learns(frames):
    network = CloseNetwork((8, 8, 8, 8, 8), (0, 0, 0, 0, 0))
    rng = np.random.default_rng(0)
    rows = stacked([row for frame in frames for row in crop_rows(frame, rng, 1)])
    before, after, batch = trained(network, rows, crop_batch, close_loss, "second look", 100)
    assert after < 0.7 * before
    with torch.no_grad():
        scores, facts = network(torch.from_numpy(batch.planes))
    sure, hand = facts[:, 0].numpy(), (scores[:, 1] - scores[:, 0]).numpy()
    assert sure[batch.is_hand > 0].mean() > sure[batch.is_hand == 0].mean() + 0.5
    assert hand[batch.labels == 1].mean() > hand[batch.labels == 0].mean() + 0.5


def test_the_same_seed_trains_the_same_network(tmp_path):
    def make(rows, chosen, rng, worse):
        return torch.from_numpy(rng.normal(size=(4, 1, 4, 4)).astype(np.float32) + np.float32(rows["a"][chosen].mean()))

    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        layer = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
        schedule = Schedule(5, 4, seed=seed)
        train(
            layer,
            {"a": np.arange(9.0)},
            make,
            lambda n, b: {"all": n(b).mean() ** 2},
            schedule,
            Worse(),
            tmp_path / "x",
        )
        states.append(torch.cat([value.flatten().float() for value in layer.state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_rows_are_drawn_by_their_weights(tmp_path):
    drawn = []

    def make(rows, chosen, rng, worse):
        drawn.extend(chosen.tolist())
        return zeros(1)

    layer = torch.nn.Conv2d(1, 1, 1)
    weights = np.array([0.0, 3.0, 1.0])
    train(
        layer, {"a": np.zeros(3)}, make, lambda network, batch: {"all": network.weight.sum() * 0},
        Schedule(50, 8), Worse(), "a look", weights,
    )  # fmt: skip
    counts = np.bincount(drawn, minlength=3)
    assert counts[0] == 0
    assert 2 < counts[1] / counts[2] < 4.5


@pytest.mark.parametrize(("steps", "minutes"), [(0, 1e9), (3, 1e-9)])
def test_a_training_may_end_at_once(tmp_path, steps, minutes):
    layer = torch.nn.Conv2d(1, 1, 1)
    wanted = {name: value.clone() for name, value in layer.state_dict().items()}
    train(
        layer, {"a": np.zeros(3)}, lambda *_: zeros(1), lambda network, _: {"all": network.weight.sum() * 0},
        Schedule(steps, 1, minutes=minutes), Worse(), "a look",
    )  # fmt: skip
    for name, value in layer.state_dict().items():
        torch.testing.assert_close(value, wanted[name], atol=1e-5, rtol=0)


def test_a_loss_that_is_not_finite_ends_the_training():
    layer = torch.nn.Conv2d(1, 1, 1)
    with pytest.raises(TrainingError, match="second look: the loss is not a finite number at step 0"):
        train(
            layer, {"a": np.zeros(3)}, lambda *_: zeros(1), lambda network, _: {"all": network.weight.sum() * math.nan},
            Schedule(3, 1), Worse(), "second look",
        )  # fmt: skip
