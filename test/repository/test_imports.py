"""The walls between the rooms, as DESIGN.md draws them: who may import whom, read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiae_ros

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"tiae_ros": ROOT / "tiae_ros", "tiae_training": ROOT / "training" / "tiae_training"}
# From left to right; a room may use those to its left, and those of its own place each other.
ORDER = (
    ("errors", "palette"),
    ("streams",),
    ("vision",),
    ("model",),
    ("imitation",),
    ("parameters", "perception", "drawing"),
    ("node", "commands", "view"),
)
PLACE = {room: place for place, rooms in enumerate(ORDER) for room in rooms}
ROS = {
    "rclpy",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "geometry_msgs",
    "diagnostic_msgs",
    "rcl_interfaces",
    "cv_bridge",
}
MAY_USE_ROS = ("node", "commands", "view")
# Each needs one of these inside a function: images in rarer encodings, and a GPU without ONNX Runtime's CUDA build.
EXCEPTIONS = {"tiae_ros.streams.other_encodings": {"cv_bridge"}, "tiae_ros.model.engines.eager_torch": {"torch"}}


def modules(package: str) -> dict[str, ast.Module]:
    """Module -> its source, parsed, with imports from the same folder (`from .`) spelt out."""
    found = {}
    for path in sorted(SOURCES[package].rglob("*.py")):
        parts = [package, *path.relative_to(SOURCES[package]).with_suffix("").parts]
        tree = found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                node.module = ".".join([*parts[: -node.level], *([node.module] if node.module else [])])
    return found


MODULES = {package: modules(package) for package in SOURCES}
KNOWN = {name for one in MODULES.values() for name in one}


def imported(tree: ast.AST, *, anywhere: bool) -> Iterator[str]:
    """What is imported when a module is, or anywhere in it; what is for type checkers alone is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in KNOWN else str(node.module)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from (name for part in node.orelse for name in imported(part, anywhere=anywhere))
        elif anywhere or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from imported(node, anywhere=anywhere)


def top(name: str) -> str:
    return name.partition(".")[0]


def room(module: str) -> str:
    """The room of a module of tiae_ros; "" for the package itself and its command line, which are before the door."""
    name = module.split(".")[1] if "." in module else ""
    return "" if name in ("cli", "options") else name


@pytest.mark.parametrize("module", MODULES["tiae_ros"])
def test_a_module_knows_only_its_left(module):
    tree = MODULES["tiae_ros"][module]
    assert room(module) in PLACE or not room(module), f"{module} is in no room of DESIGN.md"
    for name in imported(tree, anywhere=True):
        if top(name) == "tiae_ros" and room(module) and room(name) not in ("", room(module)):
            here, there = PLACE[room(module)], PLACE[room(name)]
            # Side by side: perception takes its parameters, and a command may start the player or the view.
            assert there < here or (there == here and room(module) != "node"), f"{module} imports {name}"
        allowed = EXCEPTIONS.get(module, set())
        if room(module) not in MAY_USE_ROS:
            assert top(name) not in ROS - allowed, f"{module} imports {name}"
        if room(module) != "commands":
            assert top(name) not in {"tiae_training", "torch", "safetensors"} - allowed, f"{module} imports {name}"
    for name in imported(tree, anywhere=False):
        assert top(name) not in {"tiae_training", "torch", "cv_bridge"}, f"{module} imports {name} when it is imported"


@pytest.mark.parametrize("package", MODULES)
def test_no_module_imports_itself_in_a_circle(package):
    graph = {
        module: {name for name in imported(tree, anywhere=False) if name in MODULES[package]} - {package, module}
        for module, tree in MODULES[package].items()
    }
    done: set[str] = set()

    def follow(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a circle: {' -> '.join((*way, module))}"
        if module not in done:
            for name in sorted(graph[module]):
                follow(name, (*way, module))
            done.add(module)

    for module in graph:
        follow(module, ())


def names_in(module: str) -> set[str]:
    """What a module has by its text, and its submodules."""
    tree = MODULES[module.partition(".")[0]][module]
    found = {name.rpartition(".")[2] for name in KNOWN if name.rpartition(".")[0] == module}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


@pytest.mark.parametrize("folder", ["scripts", "benchmarks", "launch", "test"])
def test_what_no_type_checker_reads_imports_what_is_there(folder):
    """At the head of a file; `import a.b` is found out by running it."""
    missing = [
        f"{path.name}: {node.module}.{alias.name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in SOURCES and not node.level
        for alias in node.names
        if node.module not in KNOWN or alias.name not in names_in(node.module)
    ]
    lazy = {"tiae_ros.load_model", "tiae_ros.Perception", "tiae_ros.Autoencoder"}  # by `__getattr__`
    assert [name for name in missing if name.partition(": ")[2] not in lazy] == []


@pytest.mark.parametrize("package", MODULES)
def test_no_file_is_named_after_nothing(package):
    vague = {"util", "utils", "helper", "helpers", "common", "misc", "core", "base", "tools"}
    assert not [module for module in MODULES[package] if module.rpartition(".")[2] in vague]


def test_importing_the_package_is_cheap():
    code = "import sys, tiae_ros, tiae_ros.cli; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert not {"torch", "rclpy", "cv2", "numpy", "onnxruntime", "tiae_training"} & set(said.split())


def test_the_public_names_are_these():
    assert sorted(tiae_ros.__all__) == [
        "Autoencoder",
        "Grasp",
        "Inference",
        "ModelError",
        "Perception",
        "TiaeError",
        "load_model",
    ]
    for name in tiae_ros.__all__:
        assert getattr(tiae_ros, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tiae_ros.nonsense
