"""Installed by `pip install .` and by `colcon build` (ament_python) alike.

Launch files, configuration and models go to share/tiae_ros either way.
"""

from pathlib import Path

from setuptools import setup

PACKAGE = "tiae_ros"
HERE = Path(__file__).resolve().parent


def pinned(name: str) -> list[str]:
    """The requirements of requirements/NAME.txt."""
    lines = (HERE / "requirements" / f"{name}.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(("#", "-"))]


def minimum(requirement: str) -> str:
    """A library user's requirement: the pinned version or newer."""
    return requirement.replace("==", ">=")


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """(destination, files) of everything below a folder, for data_files."""
    found: dict[str, list[str]] = {}
    for path in sorted((HERE / folder).rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            relative = path.relative_to(HERE)
            found.setdefault(f"share/{PACKAGE}/{relative.parent.as_posix()}", []).append(str(relative))
    return sorted(found.items())


setup(
    name=PACKAGE,
    version="0.1.0",
    description="Grasp perception with transform-invariant auto-encoders, for ROS 2",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    maintainer="tiae_ros maintainers",
    maintainer_email="maintainers@tiae-ros.example",
    python_requires=">=3.10",
    packages=[
        *(
            p.relative_to(HERE).as_posix().replace("/", ".")
            for p in sorted((HERE / PACKAGE).rglob("*"))
            if p.is_dir() and (p / "__init__.py").exists()
        ),
        PACKAGE,
        "tiae_training",
        *(
            f"tiae_training.{p.relative_to(HERE / 'training').as_posix().replace('/', '.')}"
            for p in sorted((HERE / "training").rglob("*"))
            if p.is_dir() and (p / "__init__.py").exists()
        ),
    ],
    package_dir={"tiae_training": "training"},
    package_data={PACKAGE: ["py.typed"]},
    include_package_data=False,
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *shared("launch"),
        *shared("config"),
        *shared("models"),
    ],
    install_requires=[minimum(r) for r in pinned("runtime")],
    extras_require={
        "ros": pinned("ros-jazzy"),
        "train": [minimum(r) for r in pinned("train")],
        "bags": [minimum(r) for r in pinned("bags")],
        "sim": [minimum(r) for r in pinned("sim")],
        "experiments": [minimum(r) for r in pinned("experiments")],
        # Not by pip install '.[peers]' where torch is a CPU build: see requirements/peers.txt.
        "peers": [minimum(r) for r in pinned("peers")],
        "test": [minimum(r) for r in pinned("test")],
    },
    entry_points={"console_scripts": ["tiae = tiae_ros.cli:main"]},
    zip_safe=False,
)
