"""Image arrays on disk: ``FILE.npz``, checked before anything is spent on them.

images           (N, C, H, W) uint8 0–255 or float 0–1        required
channels         (C,) text, what each channel is              optional: then models take them by name
labels           (N,) whole numbers                           optional
label_names      (L,) text, the name of label 0, 1, …          optional
clean            (N, C, H, W) as images, without noise         optional: the target of restoration
background       (M, C, H, W) as images                        optional
foreground_mask  (N, 1, H, W)                                  optional
joints           (N, J) radians, with joint_names (J,) text    optional
subjects         (N,) whole numbers: whose hand it is          optional
details          (N, 3, 80, 80) uint8 (`tiae_ros.vision.detail`)  optional: a hand pose model reads them
keypoints        (N, 21, 3) (`tiae_training.data.windows`)     optional: and learns from these
metric_size_m, range_m  a number: how the windows were cut     optional: goes into a model's preprocessing
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from tiae_ros.errors import DataError, OutputError, ParameterError

WINDOW_SIDES = (8, 256)  # pixels, as manifests take them
_NOT_PER_WINDOW = ("background", "joint_names")  # even if there happen to be as many of them as windows
_CUT = ("metric_size_m", "range_m")
_PER_CHANNEL = ("background",)  # beside images and clean
_MOST_ARRAYS = 1000


@dataclass(frozen=True)
class ImageArrays:
    """The checked content of a file; `images` and `clean` are float32 0..1."""

    images: np.ndarray
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    clean: np.ndarray | None = None
    channels: tuple[str, ...] = ()
    data_id: str = ""
    others: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def targets(self) -> np.ndarray:
        """What restoration is measured against: the clean images where they are known, else the images."""
        return self.images if self.clean is None else self.clean

    @property
    def kind(self) -> str:
        """Size and channels of the windows, for people."""
        count, height, width = self.images.shape[1:]
        return f"{width}×{height} pixels of {', '.join(self.channels) or f'{count} channels'}"

    @property
    def preprocessing(self) -> dict[str, float]:
        """How the windows were cut, as a model's manifest says it; empty where the file does not tell."""
        return {name: float(self.others[name]) for name in _CUT if name in self.others}

    def in_order(self, channels: Sequence[str]) -> ImageArrays:
        """The same with its channels in this order, which is a model's, or that of other arrays.

        They are matched by name. Where either side has none (a model trained on unnamed channels calls them channel_0
        and so on), they are taken to be in order already. Raises DataError where they do not match.
        """
        wanted, count = tuple(channels), self.images.shape[1]
        named = not (_are_numbers(self.channels) or _are_numbers(wanted))
        if len(wanted) != count or (named and set(self.channels) != set(wanted)):
            held = ", ".join(self.channels) or f"{count} channels without names"
            raise DataError(f"{self.data_id or 'images'} hold {held}; needed are {', '.join(wanted)}, in any order")
        if not named or self.channels == wanted:
            return self
        order = [self.channels.index(name) for name in wanted]
        return dataclasses.replace(
            self,
            images=self.images[:, order],
            clean=None if self.clean is None else self.clean[:, order],
            channels=wanted,
            others={n: a[:, order] if n in _PER_CHANNEL and a.ndim == 4 else a for n, a in self.others.items()},
        )

    def called(self, channels: Sequence[str]) -> ImageArrays:
        """The same with these names of its channels."""
        return dataclasses.replace(self, channels=tuple(channels))

    def take(self, index: np.ndarray) -> ImageArrays:
        """The chosen rows, in that order."""
        return ImageArrays(
            images=self.images[index],
            labels=None if self.labels is None else self.labels[index],
            label_names=self.label_names,
            clean=None if self.clean is None else self.clean[index],
            channels=self.channels,
            data_id=self.data_id,
            others={
                name: a[index] if name not in _NOT_PER_WINDOW and a.ndim and len(a) == len(self.images) else a
                for name, a in self.others.items()
            },
        )


def join_arrays(parts: Sequence[ImageArrays]) -> ImageArrays:
    """One set of several; one alone is given back as it is.

    Windows must be alike. Labels are kept where all have names for theirs: equal names become one label, in the order
    in which they first appear. Where some have clean windows, the others' are their images. Backgrounds are put
    together, and what else all files have for each of their windows; how windows were cut must agree where it is told.
    `left_out` says what is not kept. Raises DataError, naming the set by its data_id.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    cut = dict(first.preprocessing)
    for part in parts[1:]:
        if part.images.shape[1:] != first.images.shape[1:] or set(part.channels) != set(first.channels):
            raise DataError(f"{part.data_id} holds {part.kind}, {first.data_id} {first.kind}; give windows alike")
        for name in _CUT:
            one, other = part.preprocessing.get(name), cut.get(name)
            if one is not None and cut.setdefault(name, one) != one:
                raise DataError(
                    f"{part.data_id} was cut with {name} {one:g}, others with {other:g}; give windows cut alike"
                )
    ordered = [part.in_order(first.channels) if first.channels else part for part in parts]
    names: dict[str, int] = {}
    labels = []
    named = all(part.labels is not None and part.label_names for part in parts)
    for part in ordered if named else ():
        assert part.labels is not None
        present = set(part.labels.tolist())
        new = [names.setdefault(n, len(names)) if i in present else -1 for i, n in enumerate(part.label_names)]
        labels.append(np.array(new, np.int64)[part.labels])
    clean = any(part.clean is not None for part in parts)
    others = {name: np.array(value) for name, value in cut.items()}
    for name in _PER_CHANNEL:
        if held := [part.others[name] for part in ordered if name in part.others]:
            others[name] = np.concatenate(held)
    for name in _kept_for_windows(ordered):
        others[name] = np.concatenate([part.others[name] for part in ordered])
    joints = [tuple(part.others.get("joint_names", ())) for part in ordered]
    if "joints" in others and len(set(joints)) == 1:
        others["joint_names"] = np.array(joints[0])
    else:
        others.pop("joints", None)
    return ImageArrays(
        images=np.concatenate([part.images for part in ordered]),
        labels=np.concatenate(labels) if named else None,
        label_names=tuple(names),
        clean=np.concatenate([part.targets for part in ordered]) if clean else None,
        channels=first.channels,
        data_id=", ".join(part.data_id for part in parts),
        others=others,
    )


def _kept_for_windows(parts: Sequence[ImageArrays]) -> list[str]:
    """Arrays with a row for each window that all sets have, in one shape."""
    return [
        name
        for name, values in parts[0].others.items()
        if name not in (*_NOT_PER_WINDOW, *_CUT)
        and all(
            name in part.others and part.others[name].ndim and part.others[name].shape == (len(part), *values.shape[1:])
            for part in parts
        )
    ]


def left_out(parts: Sequence[ImageArrays], whole: ImageArrays) -> list[str]:
    """What some sets hold and `join_arrays` did not keep, a line each."""
    lines = []
    if whole.labels is None and any(part.labels is not None for part in parts):
        without = [part.data_id for part in parts if part.labels is None or not part.label_names]
        lines.append(f"labels are left out, since {', '.join(without)} has none with names")
    for name in dict.fromkeys(name for part in parts for name in part.others):
        if name not in whole.others and name != "joint_names":
            lines.append(f"{name} is left out, since not all files have it for each window")
    return lines


def load_arrays(path: str | os.PathLike[str], *, at_least: int = 1) -> ImageArrays:
    """Read and check ``FILE.npz``. Raises DataError in one line: which array, what it has, what is accepted."""
    source = Path(path)
    content = read_npz(source)
    if "images" not in content:
        held = ", ".join(content)[:200] or "nothing"
        raise DataError(f"{source} has no array `images`; it holds {held}")
    images = _pixels(source, "images", content.pop("images"), at_least)
    labels = content.pop("labels", None)
    if labels is not None:
        if labels.ndim != 1 or len(labels) != len(images) or not np.issubdtype(labels.dtype, np.integer):
            raise DataError(
                f"{source}: labels have shape {labels.shape} and type {labels.dtype}; "
                f"accepted are {len(images)} whole numbers, one per image"
            )
        labels = labels.astype(np.int64)
    clean = content.pop("clean", None)
    if clean is not None:
        clean = _pixels(source, "clean", clean, at_least)
        if clean.shape != images.shape:
            raise DataError(f"{source}: clean has shape {clean.shape}; accepted is that of images, {images.shape}")
    for name in ("channels", "label_names", "joint_names"):
        if name in content and content[name].ndim != 1:
            raise DataError(f"{source}: {name} have shape {content[name].shape}; accepted is a list of names")
    channels = tuple(str(name) for name in content.pop("channels", ()))
    if channels and (len(channels) != images.shape[1] or len(set(channels)) != len(channels) or not all(channels)):
        raise DataError(
            f"{source}: channels are {', '.join(channels)[:200]}; accepted is a name of its own for each of the "
            f"{images.shape[1]} channels of images"
        )
    label_names = tuple(str(name) for name in content.pop("label_names", ()))
    if labels is not None and label_names and len(labels) and not 0 <= labels.min() <= labels.max() < len(label_names):
        raise DataError(
            f"{source}: labels lie between {labels.min()} and {labels.max()}; there are {len(label_names)} "
            f"label_names, so accepted are 0 to {len(label_names) - 1}"
        )
    for name in _CUT:
        value = content.get(name)
        if value is not None and not (value.ndim == 0 and value.dtype.kind in "fiu" and 0 < value < np.inf):
            raise DataError(f"{source}: {name} is {value.tolist()!r}; accepted is one number above 0, metres")
    joints = content.get("joints")
    if joints is not None:
        names = content.get("joint_names")
        if not np.issubdtype(joints.dtype, np.floating):
            raise DataError(f"{source}: joints are {joints.dtype}; accepted are floats, angles in radians")
        if joints.ndim != 2 or len(joints) != len(images) or names is None or len(names) != joints.shape[1]:
            raise DataError(
                f"{source}: joints have shape {joints.shape} with {0 if names is None else len(names)} joint_names; "
                f"accepted is ({len(images)}, J) radians with J names"
            )
        if not np.isfinite(joints).all():
            raise DataError(f"{source}: joints hold NaN or infinite angles")
    return ImageArrays(
        images=images,
        labels=labels,
        label_names=label_names,
        clean=clean,
        channels=channels,
        data_id=f"{source.name} sha256:{_digest(source)[:16]}",
        others=content,
    )


def read_npz(source: Path) -> dict[str, np.ndarray]:
    """Every array of a file. What it says to hold is added up before anything is unpacked: it has to fit in.

    Raises DataError: absent, damaged, too large for this machine's memory, holds pickled objects or something empty.
    """
    if not source.is_file():
        raise DataError(f"{source} does not exist" if not source.exists() else f"{source} is not a file")
    try:
        with zipfile.ZipFile(source) as archive:  # which unpacks no more of a member than that says to hold
            members = archive.infolist()
            if len(members) > _MOST_ARRAYS:
                raise DataError(f"{source} holds {len(members)} arrays; accepted are up to {_MOST_ARRAYS}")
            _check_room(source, sum(member.file_size for member in members))
            for member in members:
                with archive.open(member) as file:
                    _check_header(source, member, file)
        with np.load(source, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except DataError:
        raise
    except Exception as error:  # of damaged files: what zipfile and numpy raise has no common base
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, zipfile.BadZipFile):
            reason = f"it is no .npz file, or cut off ({reason})"
        raise DataError(f"{source} cannot be read as .npz: {reason}") from None


def _check_header(source: Path, member: zipfile.ZipInfo, file: IO[bytes]) -> None:
    """Raise DataError unless an array's header says what its file can hold: room is made by it."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    count = math.prod(int(side) for side in shape)
    if dtype.hasobject:
        raise DataError(f"{source} cannot be read as .npz: it holds pickled objects, which are never opened")
    if dtype.kind not in "fiubUS" or (count and not dtype.itemsize):
        raise DataError(f"{source}: {member.filename[:60]!r} is {str(dtype)[:60]}; accepted are numbers and text")
    if count * dtype.itemsize > member.file_size:
        raise DataError(f"{source}: {member.filename[:60]!r} is said to be {str(shape)[:60]}, and is cut off")


def _check_room(source: Path, size: int) -> None:
    """Raise DataError for arrays that would take more than half of the memory that is left."""
    left = _memory_left()
    if size > left / 2:
        raise DataError(
            f"{source} holds arrays of {size / 1e9:.3g} GB; accepted is up to half of the memory that is left here, "
            f"{left / 2e9:.3g} GB: give fewer windows at a time"
        )


def _memory_left() -> float:
    """Bytes; infinite where the machine does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return float("inf")


def check_window_size(size: int) -> None:
    """Raise ParameterError for a side of windows, in pixels, that no network can be trained on."""
    smallest, largest = WINDOW_SIDES
    if not smallest <= size <= largest:
        raise ParameterError(f"window size {size} px cannot be; accepted is {smallest} to {largest}")


def save_arrays(path: str | os.PathLike[str], arrays: dict[str, Any], *, overwrite: bool = False) -> None:
    """Write ``FILE.npz`` whole or not at all. Raises OutputError when it exists (unless `overwrite`)."""
    target = Path(path)
    refuse_existing(target, overwrite=overwrite)
    with written_whole(target) as staged, open(staged, "wb") as file:
        np.savez_compressed(file, **arrays)


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Where to write what takes the target's place once it is whole; nothing is left of it otherwise.

    Folders are made. Raises OutputError for a file that cannot be written.
    """
    staged = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield staged
        os.replace(staged, target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            staged.unlink()


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Raise OutputError when an output is there already and was not asked to be replaced."""
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists already; give another name, or --overwrite to replace it")
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OutputError(f"{target} is a device or pipe; an output is a file or a folder")
    parent = next(folder for folder in target.absolute().parents if folder.exists())
    try:
        tempfile.TemporaryFile(dir=parent).close()  # permissions alone do not tell: nobody can write into /proc
    except OSError:
        raise OutputError(f"cannot write {target}: {parent} is not a folder that you may write into") from None


def split(arrays: ImageArrays, fraction: float, seed: int) -> tuple[ImageArrays, ImageArrays]:
    """Two parts of one file by a seeded permutation: (1 − fraction) of the rows, and the rest."""
    order = np.random.default_rng(seed).permutation(len(arrays))
    held_out = max(1, round(fraction * len(arrays)))
    return arrays.take(order[held_out:]), arrays.take(order[:held_out])


def _are_numbers(channels: Sequence[str]) -> bool:
    """Whether channels have no names of their own."""
    return all(re.fullmatch(r"channel_\d+", name) for name in channels)


def _pixels(source: Path, name: str, values: np.ndarray, at_least: int) -> np.ndarray:
    """Float32 0..1 of uint8 0..255 or float 0..1, or DataError."""
    if values.ndim != 4 or 0 in values.shape[1:]:
        raise DataError(f"{source}: {name} have shape {values.shape}; accepted is (N, C, H, W)")
    if len(values) < at_least:
        raise DataError(f"{source}: {name} hold {len(values)} windows; needed are at least {at_least}")
    if values.dtype == np.uint8:
        _check_room(source, 4 * values.nbytes)
        return np.divide(values, np.float32(255), dtype=np.float32)
    if values.dtype not in (np.float16, np.float32, np.float64):
        raise DataError(f"{source}: {name} are {values.dtype}; accepted are uint8 (0–255) and float (0–1)")
    result = values.astype(np.float32)
    _check_range(source, name, result)
    return result


def _check_range(source: Path, name: str, values: np.ndarray) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        first: Sequence[int] = np.argwhere(bad)[0].tolist()
        raise DataError(f"{source}: {name} hold {int(bad.sum())} NaN or infinite values, the first at {first}")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if low < 0.0 or high > 1.0:
        raise DataError(
            f"{source}: {name} lie between {low:g} and {high:g}; accepted are 0 to 1 for floats (or uint8 0–255)"
        )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
