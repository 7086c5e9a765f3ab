"""A model on disk, of any kind: a folder with ``manifest.json`` and the files that it lists with their sha256.

    encoder.onnx, decoder.onnx      of an auto-encoder
    network.onnx, network_int8.onnx of a segmentation, in float32 and in whole numbers of 8 bits
    proposals.onnx, close_up.onnx   of a detector: its first and second look; in whole numbers of 8 bits (_int8), too
    hand_pose.onnx                  of what tells a hand's joints
    prototypes.npy                  (P, K) descriptors that have a name, where there are any
    weights.safetensors             the torch weights, to go on training from
    card.md                         the manifest for people; not listed

Nothing is ever unpickled, and no path is ever read from a file: only these names are. A file that is absent, truncated
or altered is refused. New files are staged under another name and moved into place, the manifest last; when a save is
interrupted between two moves, the next load takes each file from where it is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tiae_ros.errors import ModelError, OutputError
from tiae_ros.model.manifest import AUTOENCODER, DETECTOR, HAND_POSE, SEGMENTATION, Manifest
from tiae_ros.model.onnx_file import check_onnx
from tiae_ros.model.shipped import is_shipped

MANIFEST, CARD = "manifest.json", "card.md"
ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
NETWORK, NETWORK_INT8 = "network.onnx", "network_int8.onnx"
PROPOSALS, CLOSE_UP = "proposals.onnx", "close_up.onnx"
PROPOSALS_INT8, CLOSE_UP_INT8 = "proposals_int8.onnx", "close_up_int8.onnx"
POSE = "hand_pose.onnx"
PROTOTYPES, WEIGHTS = "prototypes.npy", "weights.safetensors"
NEEDED = {
    AUTOENCODER: (ENCODER, DECODER),
    SEGMENTATION: (NETWORK,),
    DETECTOR: (PROPOSALS, CLOSE_UP),
    HAND_POSE: (POSE,),
}
OPTIONAL = {
    AUTOENCODER: (PROTOTYPES, WEIGHTS),
    SEGMENTATION: (NETWORK_INT8, WEIGHTS),
    DETECTOR: (PROPOSALS_INT8, CLOSE_UP_INT8, WEIGHTS),
    HAND_POSE: (WEIGHTS,),
}
CHECKPOINT = "checkpoint.safetensors"  # of a training that has not come to its end
_NAMES = sorted({name for table in (NEEDED, OPTIONAL) for names in table.values() for name in names})
_STAGED = ".new"
_LARGEST_FILE = 512 * 1024 * 1024
_LARGEST_MANIFEST = 4 * 1024 * 1024
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")


@dataclass(frozen=True)
class ModelFolder:
    """A model folder's content, whole and checked."""

    path: Path
    manifest: Manifest
    files: Mapping[str, bytes]


def read_folder(path: str | os.PathLike[str], kind: str | None = None) -> ModelFolder:
    """Read and check a model folder; of the kind that is asked for, or of any.

    Raises ModelError, in one line: what is wrong, where, what to do.
    """
    folder = Path(path)
    if folder.is_file():
        raise ModelError(
            f"{folder} is a file, not a model folder; a model is a folder with {MANIFEST} (`tiae train` makes one)"
        )
    try:
        manifest = read_manifest(folder)
        files = _read_files(folder, manifest, staged=False)
    except ModelError:
        if not (folder / (MANIFEST + _STAGED)).is_file():
            raise
        manifest = _read_manifest(folder, MANIFEST + _STAGED)  # a save was interrupted between two of its moves
        files = _read_files(folder, manifest, staged=True)
    if kind is not None and manifest.kind != kind:
        raise ModelError(f"{folder} holds a model of kind {manifest.kind}; needed here is one of kind {kind}")
    for name in files:
        if name.endswith(".onnx"):
            try:
                check_onnx(files[name])
            except ModelError as error:
                raise ModelError(f"{folder / name} is {error}") from None
    return ModelFolder(folder, manifest, files)


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """The manifest alone, without reading the other files. Raises ModelError."""
    folder = Path(path)
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a model folder (a folder with {MANIFEST})")
    return _read_manifest(folder, MANIFEST)


def write_folder(path: str | os.PathLike[str], manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Write a model folder (made if absent, a model there replaced); returns the manifest with the digests.

    Killed at any moment, the folder holds the model before or the new one. Raises OutputError.
    """
    folder = Path(path)
    manifest = dataclasses.replace(manifest, files={name: digest(content) for name, content in files.items()})
    _check_names(manifest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _complete_interrupted_save(folder)
        for name, content in files.items():
            write_durably(folder / (name + _STAGED), content)
        write_durably(folder / (MANIFEST + _STAGED), manifest.to_json().encode())
        _move_into_place(folder, manifest)
    except OSError as error:
        raise OutputError(f"cannot write the model folder {folder}: {error.strerror or error}") from None
    return manifest


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises OutputError."""
    staged = path.with_name(path.name + _STAGED)
    try:
        write_durably(staged, content)
        os.replace(staged, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from None


def _complete_interrupted_save(folder: Path) -> None:
    """Make the moves that are left of an interrupted save, whose staged names the next one takes."""
    if not (folder / (MANIFEST + _STAGED)).is_file():
        return
    try:
        manifest = _read_manifest(folder, MANIFEST + _STAGED)
        _read_files(folder, manifest, staged=True)
    except ModelError:  # cut off while it was staged, so that nothing was moved yet
        return
    _move_into_place(folder, manifest)


def _move_into_place(folder: Path, manifest: Manifest) -> None:
    for name in manifest.files:
        if (folder / (name + _STAGED)).is_file():
            os.replace(folder / (name + _STAGED), folder / name)
    os.replace(folder / (MANIFEST + _STAGED), folder / MANIFEST)
    for name in _NAMES:  # of another model that was here
        if name not in manifest.files:
            (folder / name).unlink(missing_ok=True)


def _read_files(folder: Path, manifest: Manifest, *, staged: bool) -> dict[str, bytes]:
    """The files that a manifest lists; staged: also those that were not moved into place yet."""
    try:
        _check_names(manifest)
    except ModelError as error:
        raise ModelError(f"{folder / MANIFEST}: {error}") from None
    files = {}
    for name, told in manifest.files.items():
        places = [folder / (name + _STAGED), folder / name] if staged else [folder / name]
        place = next((p for p in places if p.is_file()), folder / name)
        _refuse_outside(place)
        content = _read_whole(place, _LARGEST_FILE)
        if content.startswith(_PICKLE_STARTS):
            raise ModelError(
                f"{place} is a pickle, which can run code and is never opened; copy the model folder again"
            )
        if digest(content) != told:
            raise ModelError(
                f"{place} is damaged or altered: its sha256 is {digest(content)[:12]}…, the manifest says "
                f"{told[:12] or 'nothing'}…; copy the model folder again"
            )
        files[name] = content
    return files


def _check_names(manifest: Manifest) -> None:
    """Raise ModelError unless the files listed are those of the manifest's kind."""
    needed, optional = NEEDED[manifest.kind], OPTIONAL[manifest.kind]
    for name in needed:
        if name not in manifest.files:
            raise ModelError(f"files lack {name}, which a model of kind {manifest.kind} needs")
    unknown = [name for name in manifest.files if name not in (*needed, *optional)]
    if unknown:
        raise ModelError(f"files name {unknown[0]!r}; accepted are {', '.join((*needed, *optional))}")


def _read_manifest(folder: Path, name: str) -> Manifest:
    _refuse_outside(folder / name)
    content = _read_whole(folder / name, _LARGEST_MANIFEST)
    try:
        return Manifest.from_json(content.decode("utf-8"))
    except (ModelError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder / name}: {error}") from None


def _refuse_outside(path: Path) -> None:
    """Raise ModelError for a link out of its folder. Those of an installed package (`--symlink-install`) may be."""
    try:
        outside = path.is_symlink() and path.resolve().parent != path.parent.resolve()
    except (OSError, RuntimeError):  # a link to itself
        outside = True
    if outside and not is_shipped(path.parent):
        raise ModelError(f"{path} is a link out of the model folder, which is not followed; put the file itself there")


def _read_whole(path: Path, largest: int) -> bytes:
    """A file of a model folder, its size checked first. Raises ModelError."""
    try:
        if not path.is_file():
            unfinished = (path.parent / CHECKPOINT).is_file()
            advice = f"; its training is unfinished: tiae train --resume --out {path.parent}" if unfinished else ""
            raise ModelError(f"{path} is absent; a model folder holds {MANIFEST} and the files it lists{advice}")
        size = path.stat().st_size
        if not 0 < size <= largest:
            raise ModelError(f"{path} has {size} bytes; accepted are 1 to {largest}; copy the model folder again")
        with open(path, "rb") as file:
            return file.read(largest + 1)  # it may have grown
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None


def digest(content: bytes) -> str:
    """As the manifest has it of each file."""
    return hashlib.sha256(content).hexdigest()
