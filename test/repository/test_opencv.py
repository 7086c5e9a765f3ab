"""Both major versions of OpenCV: the pinned one everywhere, and here the other, where `scripts/test` has put it."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).resolve().parents[2]
OTHER = Path(sys.prefix) / "opencv-5"
ROOMS = ("test/vision", "test/streams/test_compressed_images.py", "test/streams/test_image_decoding.py")


def test_pictures_are_read_and_looked_at_alike_in_opencv_5():
    if not (OTHER / "cv2").is_dir():
        pytest.skip(f"OpenCV 5 is not in {OTHER} (scripts/test puts it there)")
    environment = {**os.environ, "PYTHONPATH": str(OTHER), "OMP_NUM_THREADS": "1"}
    run = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True, "timeout": 110, "check": False}
    version = subprocess.run([sys.executable, "-c", "import cv2; print(cv2.__version__)"], **run).stdout
    assert {int(version.partition(".")[0]), int(cv2.__version__.partition(".")[0])} == {4, 5}
    words = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not serial", "--maxfail", "3", *ROOMS]
    told = subprocess.run([sys.executable, *words], **run)
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-1000:]
