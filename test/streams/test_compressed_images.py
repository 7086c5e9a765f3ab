"""Compressed colour and depth as image_transport's plugins write them, whole and damaged."""

from __future__ import annotations

import contextlib
import struct
import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_scenes import HEIGHT, WIDTH, make_scene

from tiae_ros.errors import ImageError
from tiae_ros.streams.compressed_images import decode_compressed_color, decode_compressed_depth, picture_size


def test_colour_and_depth():
    scene = make_scene(seed=2)
    png = cv2.imencode(".png", scene.color[..., ::-1])[1].tobytes()
    jpeg = cv2.imencode(".jpg", scene.color[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    np.testing.assert_array_equal(decode_compressed_color(png), scene.color)
    assert np.abs(decode_compressed_color(jpeg).astype(int) - scene.color).mean() < 3
    assert picture_size(png) == picture_size(jpeg) == (WIDTH, HEIGHT)
    depth_png = bytes(12) + cv2.imencode(".png", scene.depth_mm)[1].tobytes()
    depth = decode_compressed_depth(depth_png, "16UC1; compressedDepth png")
    np.testing.assert_allclose(depth, scene.depth_mm * 1e-3, rtol=1e-6)


@pytest.mark.parametrize(
    "message_format", ["mono16; compressedDepth png", "mono16", "16UC1; png compressed ", "mono16; png", "png"]
)
def test_what_raw_depth_may_be_compressed_depth_may_be(message_format):
    plain = message_format == "png" or "; png" in message_format  # without the header of compressedDepth
    data = (b"" if plain else bytes(12)) + cv2.imencode(".png", np.full((4, 4), 700, np.uint16))[1].tobytes()
    np.testing.assert_allclose(decode_compressed_depth(data, message_format), 0.7, rtol=1e-6)


def jpeg_of(color: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", color[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def test_legal_jpegs_with_fill_bytes():
    scene = make_scene(seed=1)
    jpeg = jpeg_of(scene.color)
    filled = jpeg[:2]
    at = 2
    while jpeg[at + 1] != 0xDA:  # in front of each marker until the picture itself starts
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        filled += b"\xff\xff\xff" + jpeg[at:end]
        at = end
    filled += jpeg[at:]
    assert picture_size(filled) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(decode_compressed_color(filled), decode_compressed_color(jpeg))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_rotation_in_exif_turns_nothing(orientation):
    jpeg = jpeg_of(make_scene(x=90, seed=1).color)
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + tag + bytes(4)
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    if orientation != 1:  # OpenCV would turn it
        assert not np.array_equal(
            cv2.imdecode(np.frombuffer(turned, np.uint8), 1), cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1)
        )
    np.testing.assert_array_equal(decode_compressed_color(turned), decode_compressed_color(jpeg))


def test_float_depth_is_inverse_depth():
    metres = np.linspace(0.4, 4.0, 64, dtype=np.float32).reshape(8, 8)
    quant_a, quant_b = 100.0 * 101.0, 1 - 100.0 * 101.0 / 10.0  # of compressed_depth_image_transport
    values = (quant_a / metres + quant_b).astype(np.uint16)
    values[0, 0] = 0
    header = np.array([0], "<i4").tobytes() + np.array([quant_a, quant_b], "<f4").tobytes()
    depth = decode_compressed_depth(header + cv2.imencode(".png", values)[1].tobytes(), "32FC1; compressedDepth png")
    assert np.isnan(depth[0, 0])
    np.testing.assert_allclose(depth.ravel()[1:], metres.ravel()[1:], rtol=2e-3)


@pytest.mark.parametrize("message_format", ["16UC1", "16UC1; compressedDepth", "16UC1; compressedDepth png"])
def test_depth_of_older_publishers_names_no_compression(message_format):
    data = bytes(12) + cv2.imencode(".png", np.full((4, 4), 700, np.uint16))[1].tobytes()
    np.testing.assert_allclose(decode_compressed_depth(data, message_format), 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    "message_format", ["16UC1; compressedDepth rvl", "16UC1; jpeg compressed", "rgb8; jpeg compressed bgr8", "", "jpeg"]
)
def test_other_formats_are_refused_with_those_accepted(message_format):
    with pytest.raises(ImageError, match="accepted are '16UC1; compressedDepth png'"):
        decode_compressed_depth(bytes(100), message_format)


def test_a_small_message_cannot_claim_a_huge_picture():
    png = bytearray(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    png[16:24] = (65535).to_bytes(4, "big") * 2
    with pytest.raises(ImageError, match="claims 65535x65535"):
        decode_compressed_color(bytes(png))


def test_a_png_chunk_cannot_claim_too_much():
    png = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    at = png.index(b"IDAT") - 4
    for damaged in (png[:at] + (2**31 - 1).to_bytes(4, "big") + png[at + 4 :], png[:-6], png[: at + 2]):
        started = time.monotonic()
        with pytest.raises(ImageError, match="cut-off png"):
            decode_compressed_color(damaged)
        assert time.monotonic() - started < 0.5


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.integers(0, 400), st.booleans())
def test_damaged_compressed_images_are_refused(noise, cut, as_png):
    picture = cv2.imencode(".png" if as_png else ".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    damaged = picture[:cut] + noise
    for decode in (
        decode_compressed_color,
        lambda data: decode_compressed_depth(bytes(12) + data, "16UC1; compressedDepth png"),
    ):
        with contextlib.suppress(ImageError):
            assert decode(damaged).ndim in (2, 3)
