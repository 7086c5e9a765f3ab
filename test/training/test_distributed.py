"""Several processes that share every batch compute what one process would: pieces by fork, the whole by torchrun."""

import datetime
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from small_training import patterns, small
from torch import nn

from tiae_ros.errors import ParameterError
from tiae_training.data.arrays import save_arrays
from tiae_training.networks.config import NETWORKS
from tiae_training.networks.network import build_network
from tiae_training.processes import average, batch_mean
from tiae_training.train import checks
from tiae_training.train.checkpoint import read_progress
from tiae_training.train.checks import check_shares
from tiae_training.train.distributed import (
    GlobalBatchNorm,
    average_gradients,
    gather_batch,
    joined_processes,
    own_rows,
    use_global_batch_norms,
)
from tiae_training.train.run import make_optimizer
from tiae_training.train.trainer import Trainer


def in_two_processes(work, folder):
    """What a function returns in each of two processes that have met."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()

    def one(rank):
        torch.set_num_threads(1)
        store = dist.FileStore(str(folder / "store"), 2)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=datetime.timedelta(seconds=30))
        results.put((rank, work()))
        dist.barrier()

    processes = [context.Process(target=one, args=(rank,), daemon=True) for rank in (0, 1)]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(timeout=20)
        assert process.exitcode == 0
    return found[0], found[1]


def plain(values):
    """Tensors as lists, to go through a pipe."""
    return {name: value.tolist() for name, value in values.items()}


def test_one_process_alone_keeps_everything():
    values = torch.arange(6.0)
    assert own_rows(values, views=2) is values
    assert gather_batch(values) is values
    assert average(values) is values
    assert batch_mean(values) == 2.5
    norms = nn.Sequential(nn.BatchNorm1d(3))
    use_global_batch_norms(norms)
    assert isinstance(norms[0], nn.BatchNorm1d)
    check_shares(7)


def test_rows_are_shared_and_gathered_with_gradients(tmp_path):
    whole = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))  # 2 views of 6 images

    def pairwise(rows):
        return (rows @ rows.T).softmax(1).square().sum()

    def work():
        own = own_rows(whole, views=2).clone().requires_grad_()
        together = gather_batch(own, views=2)
        pairwise(together).backward()
        return plain(
            {"own": own.detach(), "together": together.detach(), "gradient": own.grad, "mean": batch_mean(own)}
        )

    one, other = in_two_processes(work, tmp_path)
    assert one["own"] == whole[0::2].tolist()
    assert other["own"] == whole[1::2].tolist()
    assert one["together"] == other["together"] == whole.tolist()
    alone = whole.clone().requires_grad_()
    pairwise(alone).backward()
    for rank, found in enumerate((one, other)):
        # Each process has a loss of all rows, and their mean counts: two times the gradient, halved by the average.
        torch.testing.assert_close(torch.tensor(found["gradient"]), 2 * alone.grad[rank::2])
        torch.testing.assert_close(torch.tensor(found["mean"]), whole.mean(0))


@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 4, 4)])
def test_batch_normalisation_sees_the_whole_batch(tmp_path, shape):
    generator = torch.Generator().manual_seed(1)
    whole = 100.0 + torch.randn(shape, generator=generator)  # far from 0: digits could be lost
    weights = torch.randn(shape, generator=generator)

    def fresh():
        norm = nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([1.0, 2.0, -1.0]))
        return nn.Sequential(norm)

    def learn(network, rows, share):
        rows = rows.clone().requires_grad_()
        shown = network(rows)
        (shown.square() * share).flatten(1).sum(1).mean().backward()
        return rows, shown

    def work():
        network = fresh()
        names = list(network.state_dict())
        use_global_batch_norms(network)
        assert isinstance(network[0], GlobalBatchNorm)
        assert list(network.state_dict()) == names
        rows, shown = learn(network, own_rows(whole), own_rows(weights))
        average_gradients(network.parameters())
        gradients = {f"{name} gradient": p.grad for name, p in network.named_parameters()}
        seen = network.eval()(own_rows(whole)).detach()
        return plain({"rows": rows.grad, "shown": shown.detach(), "seen": seen, **gradients, **network.state_dict()})

    both = in_two_processes(work, tmp_path)
    alone = fresh()
    rows, shown = learn(alone, whole, weights)
    gradients = {f"{name} gradient": p.grad for name, p in alone.named_parameters()}
    for rank, found in enumerate(both):
        expected = {"rows": 2 * rows.grad[rank::2], "shown": shown.detach()[rank::2], **gradients, **alone.state_dict()}
        expected["seen"] = alone.eval()(whole).detach()[rank::2]
        for name, value in expected.items():
            torch.testing.assert_close(
                torch.tensor(found[name], dtype=value.dtype),
                value,
                rtol=1e-4,
                atol=1e-4,
                msg=lambda m, n=name: f"{n}: {m}",
            )
        alone.train()


@pytest.mark.parametrize("transforms", ["shift,background,blur", "shift,scale", "shift,roll"])
def test_a_step_has_the_whole_batchs_gradient(tmp_path, transforms):
    """With two views, deformations, contrasted descriptors, neighbours, normalisation and the scale's anchor."""
    network = "steerable" if "roll" in transforms else "standard"
    settings = small(network=network, transforms=transforms, batch_size=24, neighbour_share=0.5)

    def work():
        torch.manual_seed(0)
        network = build_network(NETWORKS[settings.network], 1, 16, 8).train()
        use_global_batch_norms(network)
        trainer = Trainer(network, make_optimizer(network, settings), settings, patterns(24), torch.device("cpu"))
        trainer.neighbours.remember(torch.arange(24), torch.randn(24, 8, generator=torch.Generator().manual_seed(2)))
        trainer.neighbour_share = 0.5
        terms = trainer.terms(own_rows(torch.arange(24)), torch.Generator().manual_seed(5))
        trainer.objective(terms).backward()
        average_gradients(network.parameters())
        gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
        return plain({"gradient": gradient, "objective": average(trainer.objective(terms))})

    one, other = in_two_processes(work, tmp_path)
    alone = work()
    assert one == other
    assert one["objective"] == pytest.approx(alone["objective"], rel=1e-5)
    expected = torch.tensor(alone["gradient"])
    assert (torch.tensor(one["gradient"]) - expected).norm() < 1e-5 * expected.norm()  # measured: 1e-6


FLAGS = ("--shift-radius", "3", "--epochs", "2", "--batch-size", "32", "--descriptor-size", "8", "--device", "cpu")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "data.npz"
    save_arrays(file, {"images": patterns(128).images})
    return file


def torchrun(*words):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "tiae_training"]
    return subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, timeout=110, env=ENVIRONMENT, check=False
    )


def test_two_processes_train_what_one_does(tmp_path, data, monkeypatch, capsys):
    from tiae_training.__main__ import main

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = torchrun("--data", data, "--out", tmp_path / "two", *FLAGS, "--validation-fraction", 0.25)
    assert (tmp_path / "two" / "manifest.json").is_file(), done.stderr
    alone = main(["--data", str(data), "--out", str(tmp_path / "one"), *FLAGS, "--validation-fraction", "0.25"])
    assert (done.returncode == 0) == (alone == 0)
    assert done.stdout == capsys.readouterr().out.replace("one", "two")  # said by one of them only
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert list(one) == list(two)
    together = [torch.cat([value.double().flatten() for value in weights.values()]) for weights in (one, two)]
    # Gradients agree to 1e-6 (above), but Adam divides what is nearly zero by its own size: 0.3 to 1.1 % of it, by CPU.
    assert (together[0] - together[1]).norm() < 3e-2 * together[0].norm()
    histories = [json.loads((tmp_path / name / "history.json").read_text()) for name in ("one", "two")]
    for terms, others in zip(*histories, strict=True):
        for name in ("objective", "restoration", "contrastive", "held_out_objective"):
            assert others[name] == pytest.approx(terms[name], rel=2e-3)
    assert json.loads((tmp_path / "two" / "manifest.json").read_text())["training"]["processes"] == 2
    names = [
        "card.md",
        "config.yaml",
        "decoder.onnx",
        "encoder.onnx",
        "history.json",
        "manifest.json",
        "weights.safetensors",
    ]
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == names

    refused = torchrun("--data", data, "--out", tmp_path / "two", *FLAGS)  # found by the first process only
    assert refused.returncode != 0
    ours = [line for line in refused.stderr.splitlines() if line.startswith("python -m tiae_training:")]
    assert len(ours) == 1, refused.stderr
    assert "already holds weights.safetensors" in ours[0]


def process(rank, port, *words):
    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    return subprocess.Popen(
        [sys.executable, "-m", "tiae_training", *map(str, words)],
        env={**ENVIRONMENT, **place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_process_ends_the_other(tmp_path, data):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ("--data", data, "--out", tmp_path / "run", *FLAGS, "--epochs", 5000, "--checkpoint-minutes", 0)
    first, second = (process(rank, port, *words) for rank in (0, 1))
    end = time.monotonic() + 80
    while not (tmp_path / "run" / "checkpoint.safetensors").is_file():
        assert time.monotonic() < end, "no checkpoint in time"
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.05)
    second.send_signal(signal.SIGKILL)
    _, said = first.communicate(timeout=30)
    second.communicate(timeout=10)
    assert first.returncode == 2
    lines = [line for line in said.splitlines() if "error" in line]
    assert len(lines) == 1, said
    assert "another process of this training ended" in lines[0]
    assert "--resume" in lines[0]
    assert read_progress(tmp_path / "run").settings["epochs"] == 5000


def test_shares_that_are_not_even_are_refused(monkeypatch):
    monkeypatch.setattr(checks, "process_count", lambda: 3)
    check_shares(12)
    with pytest.raises(ParameterError, match=r"33 windows for 3 processes.*give --batch-size 30"):
        check_shares(33)


def test_a_gpu_of_its_own_for_every_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name, said in (("cuda:1", "cuda:1 for 2 processes"), ("cuda", "this machine has 0 GPUs")):
        if name == "cuda" and torch.cuda.is_available():
            continue
        with pytest.raises(ParameterError, match=said), joined_processes(name):
            pass
