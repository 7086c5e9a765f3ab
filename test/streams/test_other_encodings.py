"""Bayer and YUV pictures: by cv_bridge where a ROS installation has it, else refused by name.

Where cv_bridge is not installed (the wheels have none), a stand-in shows only that its result is passed on and
checked; the real one converts in the first test, which says that it was skipped.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from tiae_ros.errors import ImageError
from tiae_ros.node.frames import Frame, decode_frame
from tiae_ros.parameters import Settings
from tiae_ros.perception import FrameDropped
from tiae_ros.streams import other_encodings


def bayer(**changes):
    fields = {"encoding": "bayer_rggb8", "height": 4, "width": 6, "step": 6, "is_bigendian": 0, "data": bytes(24)}
    return SimpleNamespace(**{**fields, **changes}, header=SimpleNamespace(frame_id=""))


def test_the_real_cv_bridge_converts():
    if other_encodings._bridge() is None:
        pytest.skip("cv_bridge is not installed: it comes with a ROS installation")
    from sensor_msgs.msg import Image

    message = Image(encoding="bayer_rggb8", height=4, width=6, step=6, data=bytes([200] * 24))
    assert other_encodings.decode_by_cv_bridge(message).tolist() == [[[200, 200, 200]] * 6] * 4


def test_without_cv_bridge_the_encoding_is_named(monkeypatch):
    monkeypatch.setattr(other_encodings, "_bridge", lambda: None)
    with pytest.raises(ImageError, match=r"'bayer_rggb8' is not supported without cv_bridge.*rgb8"):
        other_encodings.decode_by_cv_bridge(bayer())
    with pytest.raises(FrameDropped, match=r"colour: .*without cv_bridge"):
        decode_frame(Frame(bayer(), None), Settings())


@pytest.mark.parametrize("changes", [{"step": 5}, {"height": 0}, {"width": 65535, "height": 65535}, {"data": b""}])
def test_cv_bridge_never_sees_a_wrong_header(monkeypatch, changes):
    monkeypatch.setattr(other_encodings, "_bridge", lambda: pytest.fail("reached cv_bridge"))
    with pytest.raises(ImageError, match="do not agree"):
        other_encodings.decode_by_cv_bridge(bayer(**changes))


def test_what_it_makes_is_checked(monkeypatch):
    def bridge(result):
        return lambda: SimpleNamespace(imgmsg_to_cv2=lambda image, desired_encoding: result)

    good = np.full((4, 6, 3), 7, np.uint8)
    monkeypatch.setattr(other_encodings, "_bridge", bridge(good))
    assert np.array_equal(other_encodings.decode_by_cv_bridge(bayer()), good)
    monkeypatch.setattr(other_encodings, "_bridge", bridge(good[:2]))
    with pytest.raises(ImageError, match="cv_bridge made"):
        other_encodings.decode_by_cv_bridge(bayer())


def test_ordinary_encodings_never_go_that_way():
    for encoding in ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "8UC3", "16UC1", "no such thing"):
        assert not other_encodings.is_other_color(encoding)
    for encoding in ("bayer_grbg8", "yuv422", "yuv422_yuy2", "nv21"):
        assert other_encodings.is_other_color(encoding)
