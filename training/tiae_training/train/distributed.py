"""Training by several processes that share every batch, with the result that one process would have.

    torchrun --nproc-per-node 2 -m tiae_training --data digits.npz --out runs/digits

Every process has the whole data and draws order and transforms of the whole batch; it computes on its own rows.
Then three things are those of the whole batch: the statistics of batch normalisation (`use_global_batch_norms`),
what a term compares among the images of a batch (`gather_batch`), and the gradient (`average_gradients`). Sums are
taken in another order, so the weights agree to rounding, not bit by bit.

A batch of `views` views of B images is (views·B, …), view after view; a process owns every count-th image of each, so
that its share of either half of a batch is the same. All of this does nothing in a process that is alone.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tiae_ros.errors import ParameterError, TrainingError
from tiae_training.devices import available_devices, choose_device
from tiae_training.processes import TIMEOUT_S, average, exchange, process_count, process_rank


def own_rows(values: Tensor, views: int = 1) -> Tensor:
    """This process's rows of what was made for the whole batch: (views·B, …) -> (views·B/count, …)."""
    count = process_count()
    if count == 1:
        return values
    return values.unflatten(0, (views, -1, count))[:, :, process_rank()].flatten(0, 1)


def gather_batch(values: Tensor, views: int = 1) -> Tensor:
    """The rows of all processes in the order one process would have: (views·B/count, …) -> (views·B, …).

    Differentiable: a term of all rows, computed by every process alike, has the gradient it would have in one.
    """
    count = process_count()
    if count == 1:
        return values
    rows: Tensor = _Gather.apply(values)  # (count, views·B/count, …)
    return rows.unflatten(1, (views, -1)).movedim(0, 2).flatten(0, 2)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Put the mean over the processes into every gradient: one exchange for all of them."""
    if process_count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = average(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def same_everywhere(network: nn.Module) -> None:
    """Give every process the first one's weights and buffers."""
    if process_count() > 1:
        for value in network.state_dict().values():
            exchange(functools.partial(dist.broadcast, value, 0))


def use_global_batch_norms(network: nn.Module) -> None:
    """Let every batch normalisation of a network see the whole batch; names of weights stay as they are."""
    if process_count() == 1:
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, name, GlobalBatchNorm(child))


class GlobalBatchNorm(nn.Module):
    """Batch normalisation by the statistics of all processes' rows, on any device (`nn.SyncBatchNorm` needs a GPU).

    Takes over weights and buffers of `like`. Mean first, then the mean square about it: no digits are lost.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, like: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps, self.momentum = like.weight, like.bias, like.eps, like.momentum
        for name, buffer in like.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, …) -> the same."""
        if not self.training:
            return nn.functional.batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        others = [0, *range(2, values.dim())]
        across = (1, -1, *[1] * (values.dim() - 2))
        exact = values.float()  # also under autocast
        count = exact.numel() // exact.shape[1] * process_count()
        mean = all_sum(exact.sum(others)) / count  # (C,)
        centred = exact - mean.view(across)
        variance = all_sum(centred.square().sum(others)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * (count / max(1, count - 1)), share)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(across) + self.bias.view(across)).to(values.dtype)


def all_sum(values: Tensor) -> Tensor:
    """The sum over the processes, differentiable."""
    if process_count() == 1:
        return values
    result: Tensor = _Sum.apply(values)
    return result


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return _all_reduce(values.contiguous().clone())

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        # Every process's loss depends on this one's values: their gradients add up.
        return _all_reduce(gradient.contiguous().clone())


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(process_count())]
        exchange(lambda: dist.all_gather(parts, values.contiguous()))
        return torch.stack(parts)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _all_reduce(gradient.contiguous().clone())[process_rank()]


def _all_reduce(values: Tensor) -> Tensor:
    exchange(lambda: dist.all_reduce(values))
    return values


@contextlib.contextmanager
def joined_processes(device_name: str) -> Iterator[torch.device]:
    """Join the processes that torchrun started (WORLD_SIZE and its like) and yield this one's device.

    Without them nothing happens. GPUs exchange by nccl, CPUs by gloo. They leave together, once the first is done.
    Raises ParameterError for a device that is not there for every process, TrainingError when the others cannot be
    reached.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield choose_device(device_name)
        return
    device = _own_device(device_name, count)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(
            backend,
            store=_meeting_place(),
            rank=int(os.environ["RANK"]),
            world_size=count,
            timeout=datetime.timedelta(seconds=TIMEOUT_S),
        )
    except (RuntimeError, ValueError, KeyError) as error:
        raise TrainingError(
            f"cannot join the other {count - 1} processes ({' '.join(str(error).split())[:200]}); "
            "start them by torchrun --nproc-per-node N -m tiae_training …"
        ) from None
    yield device
    # One that leaves while the first still writes can be aborted by gloo's threads; the store may go with the first.
    with contextlib.suppress(RuntimeError):
        first_alone("ended", lambda: None)
    dist.destroy_process_group()  # after an error the process ends anyway, and waiting for others might take long


def wait_for_all() -> None:
    """Return when every process has come here. Raises PeerLostError when one is gone."""
    if process_count() > 1:
        _all_reduce(torch.zeros(1))


def first_alone(name: str, action: Callable[[], object]) -> None:
    """Let the first process do something while the others wait for it, however long; `name` is said once a training."""
    if process_count() == 1:
        action()
    elif process_rank() == 0:
        action()
        _meeting_place().set(name, "done")
    else:
        _meeting_place().wait([name], datetime.timedelta(days=2))


def say_once(line: str) -> None:
    """Print a line on stderr, unless a process of this training has said one already; the first goes first."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if int(os.environ.get("RANK", "0")):
            time.sleep(1.0)
        try:
            if _meeting_place().add("said", 1) > 1:
                return
        except (RuntimeError, ValueError, KeyError):
            pass  # nobody left to ask
    print(line, file=sys.stderr, flush=True)


_meeting: list[Any] = []


def _meeting_place() -> Any:
    """The store that torchrun's environment variables name; it outlives a process that ends."""
    if not _meeting:
        waiting = dist.rendezvous("env://", timeout=datetime.timedelta(seconds=TIMEOUT_S))  # type: ignore[attr-defined]
        _meeting.append(next(iter(waiting))[0])
    return _meeting[0]


def _own_device(name: str, count: int) -> torch.device:
    """Each process of a machine has a GPU of its own, or all use the CPU."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", count))
    gpus = len(available_devices()) - 1
    if name == "auto":
        name = "cuda" if gpus >= here else "cpu"
    if name.startswith("cuda:"):
        raise ParameterError(
            f"device is {name} for {count} processes; accepted are auto, cpu, and cuda (a GPU for each process)"
        )
    if name == "cuda":
        if gpus < here:
            raise ParameterError(f"device is cuda for {here} processes; this machine has {gpus} GPUs: start {gpus}")
        return choose_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    return choose_device(name)
