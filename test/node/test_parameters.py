"""The table of parameters, and everything that is made from it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiae_ros.errors import ParameterError
from tiae_ros.parameters import (
    CONFIGURE,
    LIVE,
    START,
    TABLE,
    Settings,
    as_table,
    as_yaml,
    find,
    read_overrides,
)

ROOT = Path(__file__).resolve().parents[2]


def test_the_configuration_file_is_the_table():
    text = (ROOT / "config" / "perception.yaml").read_text(encoding="utf-8")
    assert text == as_yaml(), "run: python -m tiae_ros.parameters yaml > config/perception.yaml"
    values = yaml.safe_load(text)["/**"]["ros__parameters"]
    assert values == {row.name: row.default for row in TABLE}
    assert read_overrides(values) == (Settings(), {})


def test_the_documented_table_is_the_table():
    text = (ROOT / "docs" / "reference" / "parameters.md").read_text(encoding="utf-8")
    assert as_table() in text, "run: python -m tiae_ros.parameters table, and put it into docs/reference/parameters.md"


def test_every_row_accepts_its_own_default():
    for row in TABLE:
        assert row.meaning
        assert row.change in (LIVE, CONFIGURE, START)
        assert row.check(row.default) == row.default
        if row.type in (int, float):
            assert row.low is not None
            assert row.high is not None


def test_defaults_are_those_of_segmentation():
    from tiae_ros.model.segmenter import METHODS
    from tiae_ros.model.shipped import DEFAULT_SEGMENTATION_MODEL
    from tiae_ros.perception import segmentation_settings
    from tiae_ros.vision.segmentation.settings import SegmentationSettings

    assert segmentation_settings(Settings()) == SegmentationSettings()
    assert find("segmentation_method").choices == METHODS
    assert Settings().segmentation_model == DEFAULT_SEGMENTATION_MODEL


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("slop_s", 1.0, "within 0 … 0.5 s"),
        ("slop_s", float("nan"), "finite"),
        ("slop_s", float("inf"), "finite"),
        ("slop_s", "0.1", "a number"),
        ("slop_s", True, "a number"),
        ("max_grasps", 2.0, "a whole number"),
        ("max_grasps", 0, "within 1 … 16"),
        ("autostart", 1, "true or false"),
        ("device", "gpu", "auto | cpu | cuda | cuda:N"),
        ("device", "cuda:x", "accepted"),
        ("image_transport", "theora", "raw, compressed"),
        ("model", 5, "text"),
    ],
)
def test_what_is_refused_and_why(name, value, reason):
    with pytest.raises(ParameterError) as caught:
        Settings().with_changes({name: value})
    assert reason in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_whole_number_is_taken_for_a_number():
    assert Settings().with_changes({"max_age_s": 2}).max_age_s == 2.0
    assert isinstance(Settings().with_changes({"max_age_s": 2}).max_age_s, float)


def test_values_are_checked_together():
    before = Settings()
    with pytest.raises(ParameterError, match=r"skin_min .* must not be above skin_max"):
        before.with_changes({"skin_min": 50.0})
    assert before.with_changes({"skin_min": 50.0, "skin_max": 60.0}).skin_max == 60.0


@pytest.mark.parametrize(
    ("name", "nearest"), [("slop", "slop_s"), ("max_age", "max_age_s"), ("Model", "model"), ("devise", "device")]
)
def test_an_unknown_name_brings_the_nearest_one(name, nearest):
    with pytest.raises(ParameterError, match=f"did you mean {nearest}\\?"):
        find(name)


def test_refused_overrides_leave_the_default_and_are_reported():
    values, refused = read_overrides({"slop_s": -1.0, "max_grasps": 4, "skin_min": 60.0})
    assert values.slop_s == Settings().slop_s
    assert values.max_grasps == 4
    assert values.skin_min == Settings().skin_min
    assert set(refused) == {"slop_s", "skin_min"}


def test_some_values_wait_for_configure():
    configured = Settings()
    now = configured.with_changes({"slop_s": 0.1, "mask_source": "topics"})
    frame = configured.live_from(now)
    assert (frame.slop_s, frame.mask_source) == (0.1, "segmentation")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("autostart", "false", False),
        ("autostart", "True", True),
        ("diagnostics_period_s", "2", 2.0),
        ("model", "1", "1"),
    ],
)
def test_values_of_launch_arguments(name, text, value):
    assert find(name).parse(text) == value


@pytest.mark.parametrize(("name", "text"), [("autostart", "maybe"), ("diagnostics_period_s", "often")])
def test_launch_arguments_that_are_refused(name, text):
    with pytest.raises(ParameterError, match=name):
        find(name).parse(text)


anything = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.none(), st.lists(st.integers(), max_size=3)
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from([row.name for row in TABLE]), anything, max_size=6))
def test_any_overrides_yield_settings_that_the_table_accepts(overrides):
    values, refused = read_overrides(overrides)
    for row in TABLE:
        value = getattr(values, row.name)
        assert row.check(value) == value
        assert row.name not in overrides or value in (row.default, overrides[row.name])
    assert set(refused) <= set(overrides)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_yaml_is_read_or_refused(tmp_path, data):
    """A file of parameters with damage, or with names for names of names, as ROS 2 reads it when the node starts."""
    context = pytest.importorskip("rclpy.context").Context()
    text = bytearray(as_yaml().encode())
    if data.draw(st.booleans()):
        text += b"\na0: &a0 [x, x]\n" + b"".join(
            b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 40)
        )
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    file = tmp_path / "parameters.yaml"
    file.write_bytes(text)
    try:
        context.init(["node", "--ros-args", "--params-file", str(file)])
    except Exception as error:  # the node makes one line of it
        assert "RCL" in type(error).__name__ or "ROS" in type(error).__name__  # noqa: PT017
    else:
        context.shutdown()
    with contextlib.suppress(yaml.YAMLError, ValueError):  # what it would hand to the node
        values = yaml.safe_load(as_yaml().encode() if b"*a" in text else bytes(text))
        found = (values or {}).get("/**") if isinstance(values, dict) else None
        given = found.get("ros__parameters") if isinstance(found, dict) else None
        if isinstance(given, dict):
            chosen, refused = read_overrides({str(name): value for name, value in given.items()})
            assert all(row.check(getattr(chosen, row.name)) == getattr(chosen, row.name) for row in TABLE)
            assert all("\n" not in line for line in refused.values())
