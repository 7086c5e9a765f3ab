"""The page of `tiae explore`: one file, and in a browser without a network what it says of a model is true."""

import json
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest

from tiae_ros import load_model, palette
from tiae_ros.cli import main
from tiae_training.data.window_picture import window_picture
from tiae_training.explore.atlas import clusterings, principal_axes
from tiae_training.explore.decoder_graph import packed, read_decoder, round_to_8_bits

ROOMY = 6_000_000  # bytes


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """Windows of three kinds of blobs, with names, and their file."""
    path = tmp_path_factory.mktemp("explore") / "windows.npz"
    rng = np.random.default_rng(0)
    images = np.zeros((60, 2, 32, 32), np.uint8)
    for index, image in enumerate(images):
        x, y = rng.integers(12, 20, 2).tolist()
        axes = [(4, 4), (9, 3), (3, 9)][index % 3]
        image[0] = cv2.ellipse(np.zeros((32, 32), np.uint8), (x, y), axes, 0, 0, 360, 255, -1)
        image[1, y - 2 : y + 2, x : x + 8] = 255
    np.savez(
        path,
        images=images,
        channels=["hand_mask", "object_mask"],
        labels=np.arange(60) % 3,
        label_names=["a", "b", "<c"],
    )
    return path


@pytest.fixture(scope="module")
def page(windows):
    out = windows.with_name("page.html")
    assert main(["explore", "--model", "grasp", "--data", str(windows), "--out", str(out)]) == 0
    return out


def content(page):
    text = page.read_text("utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL).group(1))


def test_the_page_is_one_file(page, windows, capsys):
    text = page.read_text("utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)|@import|url\(|https?://|fetch\(|XMLHttpRequest""", text)
    assert len(text) < ROOMY
    assert "<" not in re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1)  # `<!--` in a label, too
    assert not list(page.parent.glob(".*"))  # nothing half-written
    assert main(["explore", "--model", "grasp", "--data", str(windows), "--out", str(page)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["explore", "--model", "grasp", "--data", str(windows), "--out", str(page.with_name("ex"))]) == 2
    assert "ex does not end in .html" in capsys.readouterr().err


def test_windows_are_taken_evenly(windows, tmp_path, capsys):
    out = tmp_path / "few.html"
    words = ["explore", "--model", "grasp", "--data", str(windows), "--out", str(out), "--max-frames", "7", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["windows"], told["of"], told["bytes"]) == (7, 60, out.stat().st_size)
    assert content(out)["rows"] == [0, 10, 20, 30, 39, 49, 59]  # 29.5 is rounded to the even one
    assert main([*words[:-2], "1"]) == 2


def in_browser(address, tmp_path):
    """(the page as it is after its scripts, what they complained of)."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no browser is installed (Debian: apt-get install chromium)")
    words = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=10000",
        "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address,
    ]  # fmt: skip
    result = subprocess.run([browser, *words], capture_output=True, text=True, timeout=100, check=False)
    return result.stdout, [line for line in result.stderr.splitlines() if "CONSOLE" in line]


def test_a_browser_shows_what_the_model_says(page, windows, tmp_path):
    shown, complaints = in_browser(f"{page.as_uri()}#frame=12&component1=2", tmp_path)
    assert complaints == []
    assert 'data-ready="yes"' in shown
    off = float(re.search(r'data-largest="([\d.]+)"', shown).group(1))
    assert off < 0.1  # of weights in 8 bits
    model = load_model("grasp")
    descriptors = model.encode(np.load(windows)["images"])
    axes = principal_axes(descriptors)
    moved = descriptors[12] + (2 * axes.spreads[0] - axes.places(descriptors[12:13])[0, 0]) * axes.directions[0]
    near = np.linalg.norm(descriptors - moved, axis=1)
    tiles = re.search(r'id="neighbours">(.*?)<p', shown, re.DOTALL).group(1)
    frames = [int(frame) for frame in re.findall(r'data-frame="(\d+)"', tiles)]
    distances = [float(value) for value in re.findall(r"<span>([\d.]+)</span>", tiles)]
    np.testing.assert_allclose(near[frames], np.sort(near)[:14], atol=0.01)
    np.testing.assert_allclose(distances, near[frames], atol=0.02)
    change = np.abs(model.decode(moved[None]) - model.decode(descriptors[12:13])).mean()
    told = float(re.search(r"what is restored differs by ([\d.]+)", shown).group(1))
    assert told == pytest.approx(change, abs=0.003)
    assert "&lt;c" in shown  # names are text


@pytest.mark.parametrize("name", ["grasp", "hands", "depth"])
def test_decoders_of_shipped_models_can_be_computed(name):
    from tiae_ros.model.folder import read_folder
    from tiae_ros.model.shipped import find_model

    graph = read_decoder(read_folder(find_model(name)).files["decoder.onnx"])
    assert graph.unknown() == []
    known = {graph.source, *graph.arrays}
    for step in graph.steps:
        assert set(filter(None, step.inputs)) <= known
        known |= set(step.outputs)
    assert graph.result in known
    described, weights = packed(graph)
    assert len(weights) < 2_500_000
    assert json.loads(json.dumps(described))["result"] == graph.result


def test_rounding_to_8_bits():
    rounded, factors = round_to_8_bits(np.array([[1.0, -2.0, 0.4], [0, 0, 0]], np.float32))
    assert rounded.tolist() == [[64, -127, 25], [0, 0, 0]]
    np.testing.assert_allclose(factors, [2 / 127, 0])


def test_axes_and_clusters_by_hand():
    line = np.outer(np.array([-3, -1, 1, 3, 5, 7, 9, 11.0]), [0.6, 0.8]).astype(np.float32)
    axes = principal_axes(line, 2)
    np.testing.assert_allclose(np.abs(axes.directions[0]), [0.6, 0.8], atol=1e-5)
    np.testing.assert_allclose(axes.shares, [1, 0], atol=1e-5)
    np.testing.assert_allclose(np.abs(axes.places(line)[:, 0]), np.abs(np.arange(-7, 8, 2)), atol=1e-4)
    (one,) = clusterings(np.ones((6, 3), np.float32), None)  # all alike
    assert one.clusters.tolist() == [0] * 6
    assert clusterings(line, np.arange(8))[-1].bandwidth > 0


def test_colours_of_windows():
    masks = np.zeros((2, 1, 1), np.float32)
    masks[0] = 1
    assert window_picture(masks).tolist() == [[list(palette.HAND)]]
    assert window_picture(np.stack([0 * masks[0], masks[0]]), ("hand_mask", "object_mask"))[0, 0].tolist() == list(
        palette.OBJECT
    )
    assert window_picture(np.full((1, 1, 1), 51, np.uint8), ("depth",)).tolist() == [[[51, 51, 51]]]
    far = window_picture(np.stack([masks[0], 0 * masks[0], 0 * masks[0]]), ("hand_mask", "object_mask", "depth"))
    assert far[0, 0].tolist() == [102, 56, 24]  # 0.4 of the hand's
    assert window_picture(np.full((3, 1, 1), 1.0), ("x", "y", "z")).tolist() == [[[255, 255, 255]]]
    assert palette.css(palette.HAND) == "#ff8c3c"
