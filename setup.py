"""Installed by `pip install .` and by `colcon build` (ament_python) alike; the rest is in pyproject.toml.

Launch files, configuration and models go to share/tiae_ros either way.
"""

from pathlib import Path

from setuptools import setup

try:
    from setuptools.command.editable_wheel import _StaticPth, editable_wheel
except ImportError:  # before 64 (Ubuntu 22.04's, for colcon), or a later one that has no such strategy
    editable_wheel = None

PACKAGE = "tiae_ros"
HERE = Path(__file__).resolve().parent
EXTRAS = (
    "train",
    "bags",
    "sim",
    "imitate",
    "view",
    "experiments",
    "tensorboard",
    "completion",
    "realsense",
    "peers",
    "test",
)  # peers: see requirements/peers.txt


def pinned(name: str) -> list[str]:
    """The requirements of requirements/NAME.txt."""
    lines = (HERE / "requirements" / f"{name}.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(("#", "-"))]


def minimum(name: str) -> list[str]:
    """A library user's requirements: the pinned versions or newer."""
    return [requirement.replace("==", ">=") for requirement in pinned(name)]


def packages(root: str) -> list[str]:
    """Every package below a folder, by its import name."""
    folder = HERE / root
    found = [folder, *(p for p in sorted(folder.rglob("*")) if (p / "__init__.py").exists())]
    return [p.relative_to(folder.parent).as_posix().replace("/", ".") for p in found]


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """(destination, files) of everything below a folder, for data_files."""
    found: dict[str, list[str]] = {}
    for path in sorted((HERE / folder).rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            relative = path.relative_to(HERE)
            found.setdefault(f"share/{PACKAGE}/{relative.parent.as_posix()}", []).append(str(relative))
    return sorted(found.items())


def commands():
    """`pip install -e` by two folders on the path, where setuptools would leave the two packages to a finder.

    Python asks a finder last. In the folder above the clone it would take the clone, which is called tiae_ros as
    well, for a package without anything in it.
    """
    if editable_wheel is None:
        return {}

    class EditableByPath(editable_wheel):
        def _select_strategy(self, name, tag, build_lib):
            if self.mode and self.mode.upper() == "STRICT":
                return super()._select_strategy(name, tag, build_lib)
            return _StaticPth(self.distribution, name, [HERE, HERE / "training"])

    return {"editable_wheel": EditableByPath}


setup(
    cmdclass=commands(),
    packages=[*packages("tiae_ros"), *packages("training/tiae_training")],
    package_dir={"tiae_training": "training/tiae_training"},
    package_data={
        PACKAGE: ["py.typed", "node/large_messages.xml"],
        "tiae_training": ["explore/*.html", "explore/*.js"],
    },
    include_package_data=False,
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *shared("launch"),
        *shared("config"),
        *shared("models"),
    ],
    install_requires=minimum("runtime"),
    extras_require={"ros": pinned("ros-jazzy"), **{name: minimum(name) for name in EXTRAS}},
    python_requires=">=3.10",  # here, since colcon cannot read what setuptools makes of it in pyproject.toml
    zip_safe=False,
)
