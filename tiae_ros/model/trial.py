"""A first run of a model's graphs in a process of its own, of bounded memory and time.

A graph of a few hundred bytes can ask for any amount of either, or trip over a fault of the runtime, which would end
the node with it. What a graph needs depends on the shapes it is given, not on the picture, so a model that is well
once stays so. Shipped models are not tried, nor what this process has exported or tried already.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tiae_ros.errors import ModelError
from tiae_ros.model.folder import ModelFolder, digest
from tiae_ros.model.shipped import is_shipped

MOST_MEMORY = 3 * 2**30  # bytes beyond what the interpreter and its libraries take
MOST_CPU_S = 20
_MOST_WAIT_S = 90  # on a machine that is busy with other things
_NO_MEMORY = 3
_known: set[str] = set()


def try_graphs(folder: ModelFolder, names: Iterable[str], *shapes: Sequence[int]) -> None:
    """Run some graphs of a folder once, the first on zeros of shapes, each other one on what the one before gives.

    Raises ModelError for a graph that takes more memory or time than is bearable, or ends the process. What else may be
    wrong with one is left to who opens it.
    """
    graphs = [folder.files[name] for name in names]
    if is_shipped(folder.path) or all(digest(content) in _known for content in graphs):
        return
    sizes = [len(content) for content in graphs]
    head = {"shapes": list(map(list, shapes)), "sizes": sizes, "memory": MOST_MEMORY, "seconds": MOST_CPU_S}
    given = b"".join((json.dumps(head).encode(), b"\n", *graphs))
    words = [sys.executable or "python3", "-c", "from tiae_ros.model.trial import main; main()"]
    # As this process imports, and from "/": `-c` would import what lies in the current folder, perhaps the model's.
    path = os.pathsep.join([str(Path(__file__).resolve().parents[2]), *filter(os.path.isabs, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    silent = subprocess.DEVNULL
    try:
        done = subprocess.run(
            words, input=given, cwd="/", env=environment, stdout=silent, stderr=silent, check=False,
            timeout=_MOST_WAIT_S,
        ).returncode  # fmt: skip
    except subprocess.TimeoutExpired:
        done = -signal.SIGXCPU
    except OSError as error:
        raise ModelError(f"{folder.path} cannot be tried in a process of its own: {error.strerror or error}") from None
    if done == _NO_MEMORY:
        why = f"takes more than {MOST_MEMORY / 1e9:.1f} GB of memory"
    elif done in (-signal.SIGXCPU, -signal.SIGKILL):
        why = f"takes more than {MOST_CPU_S} s for one input"
    elif done:
        why = f"ends the process that runs it ({signal.Signals(-done).name if done < 0 else f'exit code {done}'})"
    else:
        know(graphs)
        return
    raise ModelError(f"a graph of {folder.path} {why}; it is damaged or made to do harm: use another model")


def know(graphs: Iterable[bytes]) -> None:
    """Remember graphs that need no trial: they ran in this process."""
    _known.update(map(digest, graphs))


def main() -> None:
    """The process of its own: graphs come through its standard input."""
    import numpy as np
    import onnxruntime

    from tiae_ros.model.engines.onnx_runtime import is_out_of_memory, open_session

    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    head = json.loads(sys.stdin.buffer.readline())
    for what, most in (
        (resource.RLIMIT_AS, mapped + head["memory"]),
        (resource.RLIMIT_CPU, head["seconds"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        resource.setrlimit(what, (most, most))
    inputs = [np.zeros(shape, np.float32) for shape in head["shapes"]]
    try:
        for size in head["sizes"]:
            session = open_session(sys.stdin.buffer.read(size), "cpu", threads=1)
            names = [put.name for put in session.get_inputs()]
            inputs = session.run(None, dict(zip(names, inputs, strict=False)), onnxruntime.RunOptions())
    except Exception as error:
        sys.exit(_NO_MEMORY if is_out_of_memory(error) else 0)
