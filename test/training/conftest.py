"""One training that several test files share, and exports that trace each structure of a network once."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def networks_traced_once(traced_once):
    """Nearly every test here saves a small model."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A trained torch model and its folder; neither may be changed."""
    pytest.importorskip("torch", reason="training needs torch, which is not installed")
    from small_training import run_training, small

    folder = tmp_path_factory.mktemp("trained") / "run"
    return run_training(folder, small(epochs=24)), folder
