"""Image decoding: each encoding by hand, then everything a header can get wrong."""

from __future__ import annotations

import array
import math
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiae_ros.errors import ImageError
from tiae_ros.streams.image_decoding import (
    COLOR_ENCODINGS,
    DEPTH_ENCODINGS,
    ENCODINGS,
    decode_image,
    resize_depth_to,
    to_depth_m,
    to_rgb,
)


def decode(encoding, data, *, height, width, step, is_bigendian=False):
    return decode_image(encoding=encoding, height=height, width=width, step=step, is_bigendian=is_bigendian, data=data)


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        ("rgb8", [1, 2, 3, 4, 5, 6], [[[1, 2, 3], [4, 5, 6]]]),
        ("bgr8", [1, 2, 3, 4, 5, 6], [[[3, 2, 1], [6, 5, 4]]]),
        ("8UC3", [1, 2, 3, 4, 5, 6], [[[3, 2, 1], [6, 5, 4]]]),
        ("rgba8", [1, 2, 3, 99, 4, 5, 6, 99], [[[1, 2, 3], [4, 5, 6]]]),
        ("bgra8", [1, 2, 3, 99, 4, 5, 6, 99], [[[3, 2, 1], [6, 5, 4]]]),
        ("8UC4", [1, 2, 3, 99, 4, 5, 6, 99], [[[3, 2, 1], [6, 5, 4]]]),
        ("mono8", [7, 8], [[[7, 7, 7], [8, 8, 8]]]),
        ("8UC1", [7, 8], [[[7, 7, 7], [8, 8, 8]]]),
    ],
)
def test_color_of_two_pixels(encoding, data, expected):
    pixels = decode(encoding, bytes(data), height=1, width=2, step=len(data))
    rgb = to_rgb(pixels, encoding)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    np.testing.assert_array_equal(rgb, expected)


@pytest.mark.parametrize("encoding", ["16UC1", "mono16"])
def test_depth_in_millimetres(encoding):
    data = struct.pack("<4H", 0, 1, 500, 65535)
    depth = to_depth_m(decode(encoding, data, height=2, width=2, step=4), encoding)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, [[np.nan, 0.001], [0.5, np.nan]])


def test_depth_in_metres_has_only_readings_and_nan():
    values = [0.0, -1.0, math.nan, math.inf, -math.inf, 65535.0, 1e-40, 0.75]
    data = struct.pack("<8f", *values)
    depth = to_depth_m(decode("32FC1", data, height=2, width=4, step=16), "32FC1")
    np.testing.assert_allclose(depth, [[np.nan] * 4, [np.nan, np.nan, np.nan, 0.75]])


def test_decoding_leaves_the_message_as_it_was():
    data = bytearray(struct.pack("<2f", -1.0, 2.0))
    before = bytes(data)
    to_depth_m(decode("32FC1", data, height=1, width=2, step=8), "32FC1")
    assert bytes(data) == before


def test_rows_may_be_padded():
    data = bytes([1, 2, 3, 0, 0, 4, 5, 6, 0, 0])
    rgb = to_rgb(decode("rgb8", data, height=2, width=1, step=5), "rgb8")
    np.testing.assert_array_equal(rgb, [[[1, 2, 3]], [[4, 5, 6]]])


def test_rows_of_16_bits_with_odd_padding():
    data = struct.pack("<H", 300) + b"\xff" + struct.pack("<H", 400) + b"\xff"
    depth = to_depth_m(decode("16UC1", data, height=2, width=1, step=3), "16UC1")
    np.testing.assert_allclose(depth, [[0.3], [0.4]])


@pytest.mark.parametrize(("encoding", "code"), [("16UC1", "H"), ("mono16", "H"), ("32FC1", "f")])
def test_big_endian_equals_its_little_endian_twin(encoding, code):
    values = [1, 2, 300, 4000, 50000, 65535]
    little, big = struct.pack(f"<6{code}", *values), struct.pack(f">6{code}", *values)
    step = len(little) // 2
    a = decode(encoding, little, height=2, width=3, step=step)
    b = decode(encoding, big, height=2, width=3, step=step, is_bigendian=True)
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(to_depth_m(a, encoding), to_depth_m(b, encoding))


def test_byte_order_means_nothing_for_single_bytes():
    a = decode("rgb8", b"abc", height=1, width=1, step=3)
    b = decode("rgb8", b"abc", height=1, width=1, step=3, is_bigendian=True)
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: array.array("B", b), np.array])
def test_any_buffer_is_taken(kind):
    data = bytes(range(6))
    given_data = np.frombuffer(data, np.uint8) if kind is np.array else kind(data)
    np.testing.assert_array_equal(decode("mono8", given_data, height=2, width=3, step=3), [[0, 1, 2], [3, 4, 5]])


def test_the_usual_case_is_a_view():
    data = np.arange(12, dtype=np.uint8)
    pixels = decode("rgb8", data, height=2, width=2, step=6)
    assert np.shares_memory(pixels, data)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"height": 0}, "4x0"),
        ({"width": 0}, "0x2"),
        ({"height": 0, "width": 0, "step": 0, "data": b""}, "0x0"),
        ({"height": -1}, "at least 1"),
        ({"step": 0}, "step of 0"),
        ({"step": 11}, "at least 12"),
        ({"data": bytes(23)}, "too short: 23 bytes"),
        ({"data": bytes(25)}, "too long: 25 bytes"),
        ({"data": b""}, "too short: 0 bytes"),
        ({"encoding": "yuv422_yuy2"}, "'yuv422_yuy2' is not supported; accepted are rgb8, bgr8"),
        ({"encoding": ""}, "'' is not supported"),
        ({"data": [0] * 24}, "type list"),
        ({"data": None}, "type NoneType"),
    ],
)
def test_what_does_not_fit_is_refused(fields, said):
    good = {"encoding": "rgb8", "height": 2, "width": 4, "step": 12, "is_bigendian": False, "data": bytes(24)}
    decode_image(**good)
    with pytest.raises(ImageError) as refused:
        decode_image(**{**good, **fields})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_giant_headers_are_refused_before_any_allocation(encoding):
    tracemalloc.start()
    try:
        for step in (65535 * 4, 65535 * 16, 2**32 - 1):
            with pytest.raises(ImageError):
                decode(encoding, bytes(100), height=65535, width=65535, step=step)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", DEPTH_ENCODINGS)
def test_depth_is_not_colour(encoding):
    with pytest.raises(ImageError, match=encoding):
        to_rgb(np.zeros((1, 1), np.float32), encoding)


@pytest.mark.parametrize("encoding", COLOR_ENCODINGS)
def test_colour_is_not_depth(encoding):
    with pytest.raises(ImageError, match="accepted are 16UC1, mono16, 32FC1"):
        to_depth_m(np.zeros((1, 1), np.uint8), encoding)


@given(
    encoding=st.sampled_from([*ENCODINGS, "nonsense"]),
    height=st.integers(-1, 6) | st.integers(0, 2**32 - 1),
    width=st.integers(-1, 6) | st.integers(0, 2**32 - 1),
    step=st.integers(0, 40) | st.integers(0, 2**32 - 1),
    is_bigendian=st.booleans(),
    data=st.binary(max_size=200),
)
def test_any_header_decodes_or_is_refused(encoding, height, width, step, is_bigendian, data):
    try:
        pixels = decode(encoding, data, height=height, width=width, step=step, is_bigendian=is_bigendian)
    except ImageError:
        return
    assert pixels.shape[:2] == (height, width)
    assert len(data) == step * height
    if encoding in COLOR_ENCODINGS:
        assert to_rgb(pixels, encoding).shape == (height, width, 3)
    else:
        depth = to_depth_m(pixels, encoding)
        assert depth.dtype == np.float32
        read = depth[~np.isnan(depth)]
        assert np.isfinite(read).all()
        assert (read > 0).all()


@given(
    encoding=st.sampled_from(list(ENCODINGS)),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    padding=st.integers(0, 7),
    is_bigendian=st.booleans(),
    draw=st.randoms(use_true_random=False),
)
def test_every_well_formed_image_decodes(encoding, height, width, padding, is_bigendian, draw):
    kind, channels = ENCODINGS[encoding]
    row = width * channels * int(kind[1])
    data = bytes(draw.getrandbits(8) for _ in range((row + padding) * height))
    pixels = decode(encoding, data, height=height, width=width, step=row + padding, is_bigendian=is_bigendian)
    rows = [data[y * (row + padding) : y * (row + padding) + row] for y in range(height)]
    expected = np.frombuffer(b"".join(rows), np.dtype(kind).newbyteorder(">" if is_bigendian else "<"))
    np.testing.assert_array_equal(pixels.reshape(-1), expected)


def test_smaller_depth_is_brought_to_the_colours_size():
    depth = np.array([[1.0, 2.0], [3.0, np.nan]], np.float32)
    np.testing.assert_array_equal(
        resize_depth_to(depth, (4, 4, 3)),
        [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, np.nan, np.nan], [3, 3, np.nan, np.nan]],
    )


def test_depth_of_the_same_size_is_left_alone():
    depth = np.ones((4, 6), np.float32)
    assert resize_depth_to(depth, (4, 6, 3)) is depth


def test_depth_of_another_ratio_is_refused():
    with pytest.raises(ImageError, match=r"640x400.*640x480"):
        resize_depth_to(np.ones((400, 640), np.float32), (480, 640, 3))
