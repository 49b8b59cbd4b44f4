"""What a file is, by its first bytes: weights that can be read, or something else that people take for such.

The name of a file does not count: safetensors may be called ``model.bin`` and a web page ``resnet18.pth``.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cnnviz.errors import ModelError, listed, shortened

Kind = Literal["pickle", "safetensors"]

_START = 1024  # bytes that are looked at
_LONGEST_HEADER = 1 << 32
_WEIGHTS = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".tar")
_STATE_DICT = "save its tensors in Python: torch.save(model.state_dict(), 'weights.pth')"


@dataclass(frozen=True)
class _Other:
    """A kind of file that holds no weights as PyTorch saves them: what it is, what to do, and the hint's key."""

    what: str
    advice: str
    remedy: str = ""


_LFS = _Other("a Git-LFS pointer, not the file it stands for", "'git lfs pull' in its repository fetches that")
_PAGE = _Other("a web page (HTML)", "a download that asked for a log-in or a confirmation; download the file itself")
_ONNX = _Other(
    "an ONNX network", "it is a whole network rather than weights: name it as the model", remedy="black_box_model"
)
_TFLITE = _Other(
    "a TensorFlow Lite network",
    "it is a whole network rather than weights: name it as the model",
    remedy="black_box_model",
)
_HDF5 = _Other(
    "a Keras file (HDF5)", "convert the network in Keras: to ONNX, say, with tf2onnx, or to PyTorch's state_dict"
)
_KERAS = _Other("a Keras network", "convert it in Keras: to ONNX, say, with keras' model.export(FILE, format='onnx')")
_SCRIPT = _Other("a TorchScript program", f"{_STATE_DICT}, of torch.jit.load(FILE)")
_EXPORTED = _Other(
    "an exported program (torch.export)",
    "it is a whole network rather than weights: name it as the model",
    remedy="exported_model",
)
_NUMPY = _Other("an archive of NumPy arrays", "save them by name as PyTorch's tensors, or as safetensors")
_OLD = _Other("from PyTorch 0.1", f"load it with such a version, and {_STATE_DICT}")
_TENSORFLOW = _Other("a TensorFlow file", "convert the network to ONNX with tf2onnx, or to PyTorch's state_dict")

_MAGIC: Sequence[tuple[int, bytes, _Other]] = (
    (0, b"version https://git-lfs", _LFS),
    (0, b"\x89HDF\r\n\x1a\n", _HDF5),
    (4, b"TFL3", _TFLITE),
    (0, b"GGUF", _Other("a GGUF file", "its weights are quantized, for other programs")),
    (0, b"\x93NUMPY", _NUMPY),
    (0, b"\x89PNG", _Other("an image (PNG)", "name it as an image")),
    (0, b"\xff\xd8\xff", _Other("an image (JPEG)", "name it as an image")),
    (0, b"%PDF", _Other("a PDF", "name the weights' own file")),
    (0, b"\x1f\x8b", _Other("compressed (gzip)", "unpack it first: gunzip, or tar -xzf")),
    (0, b"BZh", _Other("compressed (bzip2)", "unpack it first: bunzip2, or tar -xjf")),
    (0, b"\xfd7zXZ\0", _Other("compressed (xz)", "unpack it first: unxz, or tar -xJf")),
    (0, b"\x28\xb5\x2f\xfd", _Other("compressed (zstd)", "unpack it first: unzstd")),
    (0, b"7z\xbc\xaf\x27\x1c", _Other("a 7z archive", "unpack it first")),
    (0, b"Rar!", _Other("a rar archive", "unpack it first")),
)
"""Offset, bytes there, and what a file is that has them."""

_RECORDS = (
    ("model.weights.h5", _KERAS),
    ("serialized_exported_program.json", _EXPORTED),
    ("model.json", _EXPORTED),
    ("archive_format", _EXPORTED),
    ("constants.pkl", _SCRIPT),
)
"""Names of records, and what a zip archive is that holds one."""

_ONNX_SIGNS = (b"pytorch", b"onnx", b"tf2onnx", b"skl2onnx", b"keras2onnx", b"paddle")
"""Names of the programs that write ONNX, which stand at its beginning."""


def kind_of(path: Path) -> Kind:
    """How to read a weights file; ModelError that says what else it is, and what to do, where it holds no weights."""
    with path.open("rb") as file:
        start = file.read(_START)
    if _is_safetensors(start, path):
        return "safetensors"
    other = _by_first_bytes(start, path) or _by_suffix(path)
    if zipfile.is_zipfile(path):
        other = _by_archive(path)
    elif start.startswith(b"PK\x03\x04"):
        raise ModelError(
            f"The weights file '{path}' is truncated: it ends before its list of records ({path.stat().st_size:,} "
            "bytes are here). Copy or download it again."
        )
    elif other is None and tarfile.is_tarfile(path):
        other = _by_tar(path)
    if other is not None:
        raise ModelError(f"The weights file '{path}' is {other.what}; {other.advice}.", remedy=other.remedy)
    return "pickle"


def folder_error(path: Path) -> ModelError:
    """The error for a folder named as weights, with the file in it that may be meant."""
    if any(path.glob("*.distcp")):
        return ModelError(
            f"The weights file '{path}' is a folder of a distributed checkpoint; make one file of it in Python: "
            "torch.distributed.checkpoint.format_utils.dcp_to_torch_save(FOLDER, 'weights.pth')"
        )
    inside = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in _WEIGHTS)[:3]
    holds = f" It holds {listed([shortened(name) for name in inside])}: name one of these." if inside else ""
    return ModelError(f"The weights file '{path}' is a folder, not a file.{holds}")


def _is_safetensors(start: bytes, path: Path) -> bool:
    """Whether a file begins as safetensors does: with a header's length, and the header, which is JSON."""
    if path.suffix.lower() == ".safetensors" and not start.startswith((b"PK\x03\x04", b"\x80", b"version https", b"<")):
        return True
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") < min(path.stat().st_size, _LONGEST_HEADER)


def _by_first_bytes(start: bytes, path: Path) -> _Other | None:
    found = next((other for offset, magic, other in _MAGIC if start[offset:].startswith(magic)), None)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--")):
        found = _PAGE
    if text.startswith((b"{", b"[")):
        index = b"weight_map" in start
        found = _Other(
            "the index of a network in several files" if index else "JSON, a text",
            "load them in Python, and " + _STATE_DICT if index else "name the weights' own file",
        )
    is_model = start[:1] == b"\x08" and start[1:2] < b"\x20" and any(sign in start.lower() for sign in _ONNX_SIGNS)
    return _ONNX if is_model else found


def _by_suffix(path: Path) -> _Other | None:
    """The kind of a file, by its name, where its first bytes do not tell."""
    return {".onnx": _ONNX, ".tflite": _TFLITE, ".pb": _TENSORFLOW, ".h5": _HDF5, ".keras": _KERAS}.get(
        path.suffix.lower()
    )


def _by_archive(path: Path) -> _Other | None:
    """The kind of a zip archive, by its records; None for one that torch.save wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist()]
    except Exception:  # damaged archives fail in many ways; whoever reads it says how
        return None
    ends = {name.rpartition("/")[2] for name in names}
    known = next((other for sign, other in _RECORDS if sign in ends), None)
    if known is not None or "data.pkl" in ends:
        return known
    is_numpy = bool(names) and all(name.endswith(".npy") for name in names)
    return _NUMPY if is_numpy else _packed(names, "a zip archive")


def _by_tar(path: Path) -> _Other:
    with tarfile.open(path) as archive:
        names = []
        for member in archive:
            names.append(member.name)
            if len(names) == 1000:
                break
    return _OLD if {"storages", "tensors", "pickle"} <= set(names) else _packed(names, "a tar archive")


def _packed(names: Sequence[str], what: str) -> _Other:
    inside = next((name for name in names if name.lower().endswith(_WEIGHTS)), None)
    holds = f" that holds '{shortened(inside)}'" if inside else ""
    return _Other(f"{what}{holds}", "unpack it first, and name the file in it")
