"""Compressed camera messages (image_transport) -> arrays. No ROS.

Sizes are read from the file header and checked before the picture is decoded, so that a small message cannot
claim gigabytes.
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tiae_ros.errors import ImageError
from tiae_ros.streams.depth_units import MILLIMETRE_M
from tiae_ros.streams.image_decoding import DEPTH_ENCODINGS, to_depth_m

_MOST_PIXELS = 64_000_000
_MOST_PIXELS_PER_BYTE = 1100  # deflate shrinks a plain picture at most 1032 times, jpeg less
_DEPTH_HEADER_BYTES = 12  # format (int32) and two quantisation floats, in front of the png
_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8"


def decode_compressed_color(data: Any) -> NDArray[np.uint8]:
    """A jpeg or png picture -> (H, W, 3) uint8 rgb."""
    raw = _bytes(data)
    _check_size(raw, "compressed colour image")
    # A rotation that a file's EXIF data ask for is not applied: cameras do not turn pictures, nor camera infos.
    pixels = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ImageError(f"compressed colour image of {len(raw)} bytes is damaged")
    return np.ascontiguousarray(pixels[:, :, ::-1])


def decode_compressed_depth(data: Any, message_format: str, unit_m: float = MILLIMETRE_M) -> NDArray[np.float32]:
    """A compressedDepth picture (png) -> (H, W) float32 metres, NaN = nothing.

    16UC1 (and mono16) holds millimetres, or another ``unit_m``. 32FC1 holds a 16-bit inverse depth:
    metres = a / (value - b), 0 = nothing, with a and b in the header in front of the png.
    """
    raw = _bytes(data)
    encoding, _, transport = (part.strip() for part in message_format.partition(";"))
    if encoding == "png" and not transport:  # as the message's own definition has it
        encoding, transport = "16UC1", "png"
    # Publishers up to Humble name no compression: theirs is always png.
    if encoding not in DEPTH_ENCODINGS:
        raise ImageError(
            f"compressed depth of format {message_format!r} is not depth; accepted are '16UC1; compressedDepth png', "
            "the same with mono16 and with 32FC1, '16UC1; png compressed' and 'png'"
        )
    plain = transport.startswith("png")  # the transport of colour used for depth: a png without that header
    if not plain and transport not in ("", "compressedDepth", "compressedDepth png"):
        raise ImageError(
            f"compressed depth of format {message_format!r} is not supported; accepted are "
            "'16UC1; compressedDepth png', the same with mono16 and with 32FC1 (set the publisher's format to png)"
        )
    picture = raw if plain else raw[_DEPTH_HEADER_BYTES:]
    if not picture.startswith(_PNG_START):
        raise ImageError(f"compressed depth of {len(raw)} bytes holds no png")
    _check_size(picture, "compressed depth")
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 2 or pixels.dtype != np.uint16:
        raise ImageError(f"compressed depth of {len(raw)} bytes is damaged or not a 16-bit grey png")
    if plain or encoding != "32FC1":
        return to_depth_m(pixels, "16UC1", unit_m)
    _, quant_a, quant_b = struct.unpack("<iff", raw[:_DEPTH_HEADER_BYTES])
    with np.errstate(all="ignore"):
        metres = np.float32(quant_a) / (pixels.astype(np.float32) - np.float32(quant_b))
    metres[pixels == 0] = np.nan
    return to_depth_m(metres, "32FC1")


def picture_size(raw: bytes) -> tuple[int, int] | None:
    """(width, height) from the header of a png or jpeg; None when it is neither or ends too early."""
    if raw.startswith(_PNG_START):
        return struct.unpack(">II", raw[16:24]) if len(raw) >= 24 else None
    if not raw.startswith(_JPEG_START):
        return None
    at = 2
    while at + 9 <= len(raw) and raw[at] == 0xFF:
        marker = raw[at + 1]
        if marker == 0xFF:  # any number of these may fill the room before a marker
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            at += 2
            continue
        length = struct.unpack(">H", raw[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # the start-of-frame markers
            height, width = struct.unpack(">HH", raw[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None


def _png_is_whole(raw: bytes) -> bool:
    """Whether every chunk ends within the data. OpenCV reserves what a chunk claims, up to gigabytes."""
    at = len(_PNG_START)
    while at + 12 <= len(raw):  # length, name, checksum
        length, name = struct.unpack(">I4s", raw[at : at + 8])
        at += 12 + length
        if name == b"IEND":
            return bool(at <= len(raw))
    return False


def _check_size(raw: bytes, what: str) -> None:
    size = picture_size(raw)
    if size is not None and raw.startswith(_PNG_START) and not _png_is_whole(raw):
        raise ImageError(f"{what} of {len(raw)} bytes is a damaged or cut-off png")
    if size is None:
        raise ImageError(f"{what} of {len(raw)} bytes is neither jpeg nor png, or is cut off")
    width, height = size
    most = min(_MOST_PIXELS, _MOST_PIXELS_PER_BYTE * len(raw))
    if width < 1 or height < 1 or width * height > most:
        raise ImageError(f"{what} of {len(raw)} bytes claims {width}x{height} pixels; accepted are 1 to {most}")


def _bytes(data: Any) -> bytes:
    return bytes(memoryview(data).cast("B"))
