"""Random and mutated inputs against everything that reads what others wrote: no crash, no hang, no huge allocation.

    python benchmarks/fuzz.py --inputs 20000                # a minute
    python benchmarks/fuzz.py --inputs 1000000 --seed 7     # a long run
    python benchmarks/fuzz.py --inputs 300 --only "model that runs"

Targets: image messages (raw and compressed), pairing, parameters and their YAML, array files, bags, model manifests,
ONNX files and model folders, as they are damaged and as somebody forges them (with digests that fit), some of which are
loaded and run. The only exceptions an input may cause are the package's own (`TiaeError`); each of them must be one
non-empty line. YAML goes through the parser of ROS 2, where that is installed, whose errors the node makes one line of.
Memory is limited, so that an allocation made for what a header claims ends the run, and so is the time of each input;
nothing may be written but what the targets write themselves. Ctrl-C prints what was done so far.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import faulthandler
import hashlib
import io
import json
import random
import resource
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tiae_ros.errors import ParameterError, TiaeError
from tiae_ros.model.autoencoder import load_model, read_prototypes
from tiae_ros.model.folder import MANIFEST, read_folder
from tiae_ros.model.manifest import AUTOENCODER, Manifest
from tiae_ros.model.onnx_file import check_onnx
from tiae_ros.model.shipped import find_model
from tiae_ros.parameters import TABLE, as_yaml, read_overrides
from tiae_ros.streams.bags import Bag
from tiae_ros.streams.compressed_images import decode_compressed_color, decode_compressed_depth
from tiae_ros.streams.image_decoding import ENCODINGS, decode_image, to_depth_m, to_rgb
from tiae_ros.streams.pairing import Pairer
from tiae_training.data.arrays import load_arrays

_MEMORY_BYTES = 3 * 2**30
_HANG_S = 100  # beyond the patience of a trial
_TELL_EVERY = 50_000
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


_ARRAYS = {
    "images": np.arange(2 * 3 * 64, dtype=np.uint8).reshape(2, 3, 8, 8),
    "channels": np.array(["hand_mask", "object_mask", "depth"]),
    "labels": np.zeros(2, np.int64),
    "label_names": np.array(["cup"]),
    "joints": np.zeros((2, 1)),
    "joint_names": np.array(["thumb"]),
    "metric_size_m": np.array(0.3),
}


class Files:
    """Array files, and YAML of parameters."""

    def __init__(self, folder: Path) -> None:
        self._npz, self._yaml = folder / "arrays.npz", folder / "parameters.yaml"
        self._members = {f"{name}.npy": npy(array) for name, array in _ARRAYS.items()}
        self._wholes = []
        for save in (np.savez, np.savez_compressed):
            content = io.BytesIO()
            save(content, **_ARRAYS)
            self._wholes.append(content.getvalue())
        try:
            from rclpy.context import Context
        except ImportError:
            self._context = None
        else:
            self._context = Context

    def arrays(self, rng: random.Random) -> None:
        """An archive with damage, or a whole one of damaged arrays."""
        if rng.random() < 0.5:
            self._npz.write_bytes(mutated(rng.choice(self._wholes), rng))
        else:
            with zipfile.ZipFile(self._npz, "w") as file:
                for name, content in self._members.items():
                    file.writestr(name, mutated(content, rng) if rng.random() < 0.3 else content)
        arrays = load_arrays(self._npz)
        assert arrays.images.min() >= 0
        assert arrays.images.max() <= 1
        arrays.take(np.arange(len(arrays))).in_order(arrays.channels or ("",) * arrays.images.shape[1])

    def yaml(self, rng: random.Random) -> None:
        """As ROS 2 reads it when the node starts."""
        text = as_yaml().encode()
        if rng.random() < 0.3:  # names for names of names
            text += b"a: &a [x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (i, i, i - 1, i - 1) for i in range(98, 120))
        self._yaml.write_bytes(mutated(text, rng))
        if self._context is None:
            return
        context = self._context()
        try:
            context.init(["fuzz", "--ros-args", "--params-file", str(self._yaml)])
        except Exception as error:  # which the node makes one line of: `tiae_ros.node.main`
            raise ParameterError(f"ROS arguments cannot be read: {str(error).partition(', at ')[0]!r}") from None
        context.try_shutdown()


def npy(array: np.ndarray[Any, Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


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
        """Read and checked, not run."""
        self._forged(rng, lambda: read_prototypes(read_folder(self._path)))

    def run(self, rng: random.Random) -> None:
        """Loaded, with its trial in another process, and run."""
        window = np.zeros((1, 1, 32, 32), np.float32)
        self._forged(rng, lambda: load_model(self._path, threads=1).infer(window))

    def _forged(self, rng: random.Random, use: Callable[[], Any]) -> None:
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
            use()
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
    parser.add_argument("--only", nargs="+", metavar="TARGET", help='of these targets alone, e.g. "array file"')
    arguments = parser.parse_args()
    # Address space beyond what is mapped now; a claimed picture of gigabytes does not fit in.
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _MEMORY_BYTES, resource.RLIM_INFINITY))
    with tempfile.TemporaryDirectory(prefix="tiae_fuzz_") as folder:
        models, files, bags = Models(Path(folder) / "model"), Files(Path(folder)), Bags(Path(folder))
        targets: dict[str, tuple[Callable[[random.Random], Any], float]] = {
            "raw image": (raw_image, 40),
            "compressed image": (compressed_image, 25),
            "manifest": (manifest, 20),
            "parameters": (parameters, 10),
            "pairing": (pairing, 5),
            "ONNX file": (models.onnx_file, 5),
            "model folder": (models.folder, 2),
            "bag": (bags.bag, 3),
            "model that runs": (models.run, 0.05),
            "array file": (files.arrays, 5),
            "parameter YAML": (files.yaml, 5),
        }
        unknown = set(arguments.only or ()) - set(targets)
        if unknown:
            parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(targets)}")
        targets = {name: target for name, target in targets.items() if name in (arguments.only or targets)}
        done: Counter[str] = Counter()
        refused: Counter[str] = Counter()
        started = time.monotonic()
        slowest = (0.0, "")
        names, weights = list(targets), [weight for _, weight in targets.values()]
        with contextlib.suppress(KeyboardInterrupt):
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
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    print(f"input {index} ({name}), seed {arguments.seed}: {type(error).__name__}: {error}")
                    raise
                slowest = max(slowest, (time.monotonic() - before, f"{name} {index}"))
                done[name] += 1
                if not (index + 1) % _TELL_EVERY:
                    print(f"{index + 1} inputs in {time.monotonic() - started:.0f} s", flush=True)
        faulthandler.cancel_dump_traceback_later()
    for name, count in sorted(done.items()):
        print(f"{name:18} {count:9} inputs, {refused[name] / count:4.0%} refused with one line")
    seconds, worst = time.monotonic() - started, f"{slowest[1]}, took {slowest[0]:.3f} s"
    print(f"{sum(done.values())} inputs in {seconds:.0f} s; the slowest, {worst}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
