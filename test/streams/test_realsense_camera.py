"""Intel's library with a camera made of software: what it aligns comes out as frames."""

# ruff: noqa: E402  (the imports below need the package)

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest

rs = pytest.importorskip(
    "pyrealsense2", reason="the extra `realsense` (or the system's libusb-1.0) is not installed", exc_type=ImportError
)

from tiae_ros.streams.bags import Bag
from tiae_ros.streams.realsense_camera import frame_of

GRASPS = Path(__file__).resolve().parents[1] / "data" / "grasps"


def stream_of(kind, pixel_format, number, bytes_per_pixel, model, frame):
    lens = rs.intrinsics()
    lens.height, lens.width = frame.depth_m.shape
    lens.fx, lens.fy, lens.ppx, lens.ppy = frame.k[0, 0], frame.k[1, 1], frame.k[0, 2], frame.k[1, 2]
    lens.model, lens.coeffs = model, [0.0] * 5
    stream = rs.video_stream()
    stream.type, stream.fmt, stream.uid, stream.bpp, stream.fps = kind, pixel_format, number, bytes_per_pixel, 30
    stream.width, stream.height, stream.intrinsics = lens.width, lens.height, lens
    return stream


def test_colour_depth_and_camera_of_aligned_frames():
    with Bag(GRASPS) as bag:
        frame = next(itertools.islice(bag.rgbd_frames(), 10, None))
    millimetres = np.nan_to_num(frame.depth_m * 1000).astype(np.uint16)
    device, syncer = rs.software_device(), rs.syncer()
    sensors = [device.add_sensor(name) for name in ("Depth", "Color")]
    kinds = [
        (rs.stream.depth, rs.format.z16, 0, 2, rs.distortion.brown_conrady),
        (rs.stream.color, rs.format.rgb8, 1, 3, rs.distortion.inverse_brown_conrady),
    ]
    profiles = [s.add_video_stream(stream_of(*kind, frame)) for s, kind in zip(sensors, kinds, strict=True)]
    sensors[0].add_read_only_option(rs.option.depth_units, 0.001)
    beside = rs.extrinsics()
    beside.rotation, beside.translation = np.eye(3).ravel().tolist(), [0, 0, 0]
    profiles[0].register_extrinsics_to(profiles[1], beside)
    device.create_matcher(rs.matchers.dlr_c)
    for sensor, profile in zip(sensors, profiles, strict=True):
        sensor.open(profile)
        sensor.start(syncer)
    buffers = [np.ascontiguousarray(one).view(np.uint8).reshape(-1) for one in (millimetres, frame.color)]
    deadline, number, both = time.monotonic() + 10, 0, None
    while both is None:
        assert time.monotonic() < deadline, "no set of both frames"
        for sensor, profile, buffer, (*_, size, _model) in zip(sensors, profiles, buffers, kinds, strict=True):
            sent = rs.software_video_frame()
            sent.pixels, sent.bpp, sent.stride = buffer, size, size * frame.depth_m.shape[1]
            sent.timestamp, sent.frame_number, sent.profile = 33.0 * number, number, profile.as_video_stream_profile()
            sent.domain, sent.depth_units = rs.timestamp_domain.hardware_clock, 0.001
            sensor.on_video_frame(sent)
            time.sleep(0.03)
            polled = syncer.poll_for_frames()
            both = polled if polled and polled.size() == 2 else both
        number += 1
    seen = frame_of(rs.align(rs.stream.color).process(both), 0.001, "one")
    np.testing.assert_array_equal(seen.color, frame.color)
    np.testing.assert_allclose(seen.camera.k, frame.k, rtol=1e-6)
    assert np.nanmedian(np.abs(seen.depth_m - frame.depth_m)) < 0.002  # projected anew, rounded to pixels
