"""Random and mutated inputs against everything that reads what others wrote: no crash, no hang, no huge allocation.

    python benchmarks/fuzz.py --inputs 20000                # a minute
    python benchmarks/fuzz.py --inputs 1000000 --seed 7     # a long run

Targets: image messages (raw and compressed), pairing, parameters, model manifests, ONNX files and model folders, as
they are damaged and as somebody forges them (with digests that fit), bags. The only exceptions an input may cause are
the package's own (`TiaeError`); each of them must be one non-empty line.
Memory is limited, so that an allocation made for what a header claims ends the run.
"""

from __future__ import annotations

import argparse
import dataclasses
import faulthandler
import hashlib
import json
import random
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tiae_ros.errors import TiaeError
from tiae_ros.model.autoencoder import read_prototypes
from tiae_ros.model.folder import MANIFEST, read_folder
from tiae_ros.model.manifest import AUTOENCODER, Manifest
from tiae_ros.model.onnx_file import check_onnx
from tiae_ros.model.shipped import find_model
from tiae_ros.parameters import TABLE, read_overrides
from tiae_ros.streams.bags import Bag
from tiae_ros.streams.compressed_images import decode_compressed_color, decode_compressed_depth
from tiae_ros.streams.image_decoding import ENCODINGS, decode_image, to_depth_m, to_rgb
from tiae_ros.streams.pairing import Pairer

_MEMORY_BYTES = 3 * 2**30
_HANG_S = 20
_EDGES = (0, 1, 2, 3, 4, 7, 8, 16, 255, 256, 640, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)


def number(rng: random.Random) -> int:
    return rng.choice(_EDGES) if rng.random() < 0.5 else rng.randrange(0, 64)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cut off, doubled or put in; half of them near the beginning, where headers are."""
    data = bytearray(content)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(min(len(data), 4096) + 1 if rng.random() < 0.5 else len(data) + 1)
        match rng.randrange(8):
            case 0:
                del data[at:]
            case 1:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 2 | 3 | 4 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case _:
                data[at : at + 4] = struct.pack("<I", number(rng) & 0xFFFFFFFF)
    return bytes(data)


def raw_image(rng: random.Random) -> None:
    encoding = rng.choice([*ENCODINGS, "bayer_rggb8", "yuv422", "", "RGB8"])
    data = rng.randbytes(rng.randrange(0, 600))
    height, width, step = number(rng), number(rng), number(rng)
    if rng.random() < 0.5 and encoding in ENCODINGS:  # one that fits, or nearly
        kind, channels = ENCODINGS[encoding]
        height, width = rng.randrange(1, 6), rng.randrange(1, 6)
        step = width * channels * int(kind[1]) + rng.choice((0, 0, 1, 5))
        data = rng.randbytes(step * height + rng.choice((0, 0, 0, 1, -1)))
    pixels = decode_image(
        encoding=encoding, height=height, width=width, step=step, is_bigendian=rng.random() < 0.3, data=data
    )
    assert pixels.shape[:2] == (height, width)
    if encoding in ("16UC1", "mono16", "32FC1"):
        depth = to_depth_m(pixels, encoding)
        assert np.isnan(depth[~(depth > 0)]).all()
    else:
        assert to_rgb(pixels, encoding).shape == (height, width, 3)


_PICTURE = np.arange(12 * 9 * 3, dtype=np.uint8).reshape(12, 9, 3)
_PNG = cv2.imencode(".png", _PICTURE)[1].tobytes()
_JPEG = cv2.imencode(".jpg", _PICTURE)[1].tobytes()
_DEPTH = bytes(12) + cv2.imencode(".png", np.arange(108, dtype=np.uint16).reshape(12, 9))[1].tobytes()


def compressed_image(rng: random.Random) -> None:
    if rng.random() < 0.5:
        decode_compressed_color(mutated(rng.choice((_PNG, _JPEG)), rng))
    else:
        encoding = rng.choice(("16UC1", "mono16", "32FC1", "32FC1", "8UC1"))
        transport = rng.choice(("compressedDepth png", "compressedDepth png", "png"))
        depth = decode_compressed_depth(mutated(_DEPTH, rng), f"{encoding}; {transport}")
        assert np.isnan(depth[~(depth > 0)]).all()


def pairing(rng: random.Random) -> None:
    pairer: Pairer[int] = Pairer(("color", "depth", "mask")[: rng.choice((2, 3))], capacity=4)
    for _ in range(12):
        slot = rng.choice(list(pairer.waiting()))
        for pair in pairer.push(slot, number(rng) * rng.choice((1, 10**6, 10**9)), 0).pairs:
            assert set(pair.items) == set(pairer.waiting())
        assert max(pairer.waiting().values()) <= 4


def parameters(rng: random.Random) -> None:
    values = (None, True, -1, 0, 1, 2**70, 0.5, -0.0, 1e300, float("nan"), float("inf"), "", "auto", [1], b"x")
    names = [row.name for row in TABLE]
    settings, _ = read_overrides({rng.choice(names): rng.choice(values) for _ in range(4)})
    for row in TABLE:
        row.check(getattr(settings, row.name))


_MANIFEST = Manifest(
    "m", {"name": "standard"}, ("depth",), window_size=32, descriptor_size=8, files={"encoder.onnx": "0" * 64}
).to_json()


def manifest(rng: random.Random) -> None:
    if rng.random() < 0.5:
        Manifest.from_json(mutated(_MANIFEST.encode(), rng).decode("utf-8", "replace"))
        return
    fields = json.loads(_MANIFEST)
    for _ in range(rng.randrange(1, 4)):
        fields[rng.choice([*fields, "extra"])] = rng.choice(
            (None, [], {}, "", 0, -1, 10**30, 1.5, True, ["a"] * 20, {"a": {"b": [1]}}, "../../etc/passwd")
        )
    Manifest.from_json(json.dumps(fields))


class Models:
    """ONNX files, and a model folder of which one file is replaced by a mutated one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole = read_folder(find_model("depth"), AUTOENCODER)
        self._names = [name for name in self._whole.files if not name.endswith(".safetensors")]
        path.mkdir()
        for name, content in self._whole.files.items():
            (path / name).write_bytes(content)

    def onnx_file(self, rng: random.Random) -> None:
        check_onnx(mutated(self._whole.files[rng.choice([n for n in self._names if n.endswith(".onnx")])], rng))

    def folder(self, rng: random.Random) -> None:
        name = rng.choice([*self._names, MANIFEST])
        manifest = self._whole.manifest
        digests = dict(manifest.files)
        if name in self._names:
            content = mutated(self._whole.files[name], rng)
            (self._path / name).write_bytes(content)
            if rng.random() < 0.8:  # forged
                digests[name] = hashlib.sha256(content).hexdigest()
        text = dataclasses.replace(manifest, files=digests).to_json().encode()
        (self._path / MANIFEST).write_bytes(mutated(text, rng) if name == MANIFEST else text)
        try:
            read_prototypes(read_folder(self._path))
        finally:
            if name in self._names:
                (self._path / name).write_bytes(self._whole.files[name])


class Bags:
    """Small bags of both kinds of file, mutated."""

    def __init__(self, path: Path) -> None:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        store = get_typestore(Stores.ROS2_HUMBLE)
        image = store.types["sensor_msgs/msg/Image"]
        header, time_type = store.types["std_msgs/msg/Header"], store.types["builtin_interfaces/msg/Time"]
        self._whole: dict[Path, bytes] = {}
        for plugin in (StoragePlugin.MCAP, StoragePlugin.SQLITE3):
            writer = Writer(path / plugin.name, version=8, storage_plugin=plugin)
            if plugin == StoragePlugin.MCAP:
                writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            with writer:
                for topic, encoding, size in (("/color", "rgb8", 3), ("/depth", "16UC1", 2)):
                    connection = writer.add_connection(topic, image.__msgtype__, typestore=store)
                    for index in range(3):
                        head = header(time_type(1, index * 10**8), "camera")
                        pixels = np.arange(16 * size, dtype=np.uint8)
                        message = image(head, 4, 4, encoding, 0, 4 * size, pixels)
                        data = store.serialize_cdr(message, image.__msgtype__)
                        writer.write(connection, 10**9 + index * 10**8, data)
            for file in (path / plugin.name).iterdir():
                self._whole[file] = file.read_bytes()

    def bag(self, rng: random.Random) -> None:
        file = rng.choice(list(self._whole))
        file.write_bytes(mutated(self._whole[file], rng))
        try:
            with Bag(file.parent) as bag:
                for _ in bag.raw():
                    pass
                for frame in bag.rgbd_frames():
                    assert frame.color.shape[:2] == frame.depth_m.shape
        finally:
            file.write_bytes(self._whole[file])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # Address space beyond what is mapped now; a claimed picture of gigabytes does not fit in.
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _MEMORY_BYTES, resource.RLIM_INFINITY))
    with tempfile.TemporaryDirectory(prefix="tiae_fuzz_") as folder:
        models, bags = Models(Path(folder) / "model"), Bags(Path(folder))
        targets: dict[str, tuple[Callable[[random.Random], Any], float]] = {
            "raw image": (raw_image, 40),
            "compressed image": (compressed_image, 25),
            "manifest": (manifest, 20),
            "parameters": (parameters, 10),
            "pairing": (pairing, 5),
            "ONNX file": (models.onnx_file, 5),
            "model folder": (models.folder, 2),
            "bag": (bags.bag, 3),
        }
        done: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        started = time.monotonic()
        slowest = (0.0, "")
        names, weights = list(targets), [weight for _, weight in targets.values()]
        for index in range(arguments.inputs):
            rng = random.Random(arguments.seed * 1_000_003 + index)
            name = rng.choices(names, weights)[0]
            faulthandler.dump_traceback_later(_HANG_S, exit=True)
            before = time.monotonic()
            try:
                targets[name][0](rng)
            except TiaeError as error:
                refused[name] += 1
                if not str(error).strip() or "\n" in str(error):
                    print(f"input {index} ({name}): the message is not one line: {error!r}")
                    return 1
            except BaseException as error:
                print(f"input {index} ({name}), seed {arguments.seed}: {type(error).__name__}: {error}")
                raise
            slowest = max(slowest, (time.monotonic() - before, f"{name} {index}"))
            done[name] += 1
        faulthandler.cancel_dump_traceback_later()
    for name, count in sorted(done.items()):
        print(f"{name:18} {count:9} inputs, {refused[name] / count:4.0%} refused with one line")
    seconds, worst = time.monotonic() - started, f"{slowest[1]}, took {slowest[0]:.3f} s"
    print(f"{sum(done.values())} inputs in {seconds:.0f} s; the slowest, {worst}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
