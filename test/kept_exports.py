"""`torch.onnx.export`, whose slow part is done once for each structure of a network.

Tracing a network takes seconds, and a hundred tests save small ones of few structures. A network like one before it
gets that one's traced graph with its own weights, and that is optimised as `torch.onnx.export` does it: the file is the
same but for the numbers in generated names (`training/test_export.py`, which itself looks at exports without this).
`check_export` still runs every graph beside its torch network. Graphs of which more than the batch is free are traced
anew each time.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def kept_exports() -> Iterator[None]:
    """While it is open, structures that were exported before are not traced again."""
    import torch

    with mock.patch.object(torch.onnx, "export", _kept(torch.onnx.export)):
        yield


def _kept(export: Callable[..., Any]) -> Callable[..., Any]:
    from torch.onnx import ONNXProgram

    traced: dict[str, Any] = {}  # structure -> graph that is not optimised

    @functools.wraps(export)  # which stays at hand as its `__wrapped__`
    def from_kept(graph: Any, inputs: tuple[Any, ...], **options: Any) -> Any:
        if any(set(free) != {0} for free in options["dynamic_shapes"]):
            # Pictures of any size: what is optimised after their sizes have got their names is wrong at some sizes.
            return export(graph, inputs, **options)
        structure = _structure(graph, inputs, options)
        if structure not in traced:
            traced[structure] = export(graph, inputs, optimize=False, **options).model
        program = ONNXProgram(traced[structure].clone(), None)
        program.apply_weights(graph.state_dict())
        program.optimize()
        return program

    return from_kept


def _structure(graph: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> str:
    """All that a traced graph depends on but its weights."""
    weights = graph.state_dict()
    modules = [
        (name, type(module).__module__, type(module).__qualname__,
         [(key, repr(value)) for key, value in sorted(vars(module).items()) if _is_plain(value)])
        for name, module in graph.named_modules()
    ]  # fmt: skip
    shapes = [(name, tuple(value.shape), str(value.dtype)) for name, value in weights.items()]
    constants = [(name, value.tolist()) for name, value in graph.named_buffers() if name not in weights]
    given = [(tuple(value.shape), str(value.dtype)) for value in inputs]
    return repr((modules, shapes, constants, given, sorted((key, str(value)) for key, value in options.items())))


def _is_plain(value: Any) -> bool:
    """Numbers, texts, and settings of a network; a manifest's names and ranges go into no graph."""
    return isinstance(value, (bool, int, float, str, tuple, list)) or (
        dataclasses.is_dataclass(value) and type(value).__name__ != "Manifest"
    )
