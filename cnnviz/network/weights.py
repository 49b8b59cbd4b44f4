"""Reads weights files without running code.

Safetensors hold tensors only; ``.pth`` and ``.pt`` are pickles, read with ``torch.load(weights_only=True)``, which
refuses everything but tensors, plain containers, and the names of ``inert``.
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.errors import ModelError, listed, shortened
from cnnviz.network.checkpoint import Checkpoint, StateDict, unwrap
from cnnviz.network.file_kinds import folder_error, kind_of
from cnnviz.network.inert import SAFE, safe_globals
from cnnviz.network.label_lists import class_names
from cnnviz.network.pickle_check import LARGEST_PICKLE, check_pickle, damaged
from cnnviz.runtime.memory import is_out_of_memory
from cnnviz.runtime.paths import is_file, is_folder

_RUNNING = (
    *("posix", "nt", "os", "subprocess", "sys", "builtins", "__builtin__", "runpy", "importlib", "socket", "shutil"),
    *("pickle", "operator", "webbrowser", "pty", "commands", "code", "bdb", "pdb", "timeit", "ctypes", "asyncio"),
)
"""Modules whose functions no weights file names, unless it is made to run something."""

_PLAIN = tuple(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("set", "bytearray", "complex"))
"""Names of plain values, which PyTorch's own list lets in."""

_SMALL = 1 << 20  # bytes of a tensor that are accepted in a file of any size


def read_checkpoint(path: Path, own: bool = False, key: str | None = None) -> Checkpoint:
    """The tensors of a weights file by name, and what was found beside them; training checkpoints are unwrapped.

    ``key`` chooses the network in a file with several. Tensors are mapped from the file where possible. With ``own``
    they are copies, which do not change when the file does, as when a training run overwrites its checkpoint.

    Raises ModelError that names the file and what to do, where it is missing, truncated, another kind of file, holds
    code, no weights or unusable ones (quantized, sparse, …), or claims more than it holds.
    """
    if is_folder(path):
        raise folder_error(path)
    if not is_file(path):
        raise ModelError(f"The weights file '{path}' does not exist or is not a file.")
    before = path.stat()
    if before.st_size == 0:
        raise ModelError(f"The weights file '{path}' is empty.")
    is_safe = kind_of(path) == "safetensors"
    content = read_safetensors(path) if is_safe else _read_pickle(path, copy=own)
    checkpoint = unwrap(content, f"The weights file '{path}'", key)
    if is_safe:
        checkpoint = replace(checkpoint, labels=_safetensors_labels(path))
    for name, tensor in checkpoint.tensors.items():
        _check_kind(name, tensor, before.st_size, path)
    if own:
        if is_safe:  # which is mapped in any case
            checkpoint = replace(checkpoint, tensors={name: t.clone() for name, t in checkpoint.tensors.items()})
        if _version(path.stat()) != _version(before):
            raise ModelError(f"The weights file '{path}' changed while it was read; try again when it is written.")
    return checkpoint


def _safetensors_labels(path: Path) -> dict[str, tuple[str, ...]]:
    """Class names in the texts that a safetensors file holds beside its tensors, as JSON."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        texts: Mapping[str, str] = file.metadata() or {}
    return {key: names for key, text in texts.items() if (names := class_names(text))}


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_safetensors(path: Path, name: str = "The weights file") -> StateDict:
    """The tensors of a safetensors file by name; ModelError, in which the file is called ``name``, if it is none."""
    from safetensors.torch import load_file

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if LARGEST_PICKLE < length < path.stat().st_size:
        raise ModelError(f"{name} '{path}' has a header of {length:,} bytes; {LARGEST_PICKLE:,} are the most.")
    try:
        return load_file(path)
    except Exception as error:  # SafetensorError, or KeyError and others for unknown types
        if is_out_of_memory(error):
            raise
        detail = f" ({error})" if str(error).isprintable() and len(str(error)) < 120 else ""
        raise ModelError(f"{name} '{path}' is truncated or not a safetensors file{detail}.") from error


def _read_pickle(path: Path, *, copy: bool) -> Any:
    names = check_pickle(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(safe_globals()):
            warnings.simplefilter("ignore")  # each warning is an error below, or harmless
            # Mapping the file spares a second copy of the weights; files from before torch 1.6 are no zip archives.
            mapped = not copy and zipfile.is_zipfile(path)
            if path.suffix.lower() == ".safetensors":  # PyTorch would go by the name
                with path.open("rb") as file:
                    return torch.load(file, map_location="cpu", weights_only=True)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # an unpickler may raise anything on damaged files
        if is_out_of_memory(error):
            raise
        if isinstance(error, pickle.UnpicklingError) and ("GLOBAL" in str(error) or _running(names)):
            raise _refused(path, names) from error
        raise damaged(path) from error


def _refused(path: Path, names: Set[str]) -> ModelError:
    """The error for a file that would have objects made: the names of their classes, and what to do."""
    others, running = sorted(names - SAFE.keys() - set(_PLAIN)), _running(names)
    unknown = [name for name in others if not name.startswith(("torch.", "collections.", "_codecs."))]
    modules = [name for name in others if name.startswith(("torch.nn.modules.", "torchvision.models.", "timm."))]
    shown = [f"'{shortened(name)}'" for name in (running or [*modules, *unknown])[:2]]
    objects = f"it holds Python objects{f' ({listed(shown)})' if shown else ''}, and loading those could run code. "
    if modules and not running:
        return ModelError(
            f"The weights file '{path}' was refused: it is a whole pickled module ({listed(shown)}), and {objects[3:]}"
            "Where it was trained, save only its tensors: torch.save(model.state_dict(), FILE), or use safetensors."
        )
    return ModelError(
        f"The weights file '{path}' was refused: {objects}"
        "Save only the tensors: torch.save(model.state_dict(), FILE), or use safetensors."
    )


def _running(names: Set[str]) -> list[str]:
    """The names of functions that would do something."""
    others = names - SAFE.keys() - set(_PLAIN)
    return sorted(name for name in others if name.partition(".")[0] in _RUNNING)


def _check_kind(name: str, tensor: Tensor, room: int, path: Path) -> None:
    """Raise ModelError if a network cannot compute with a tensor, or if it is larger than its file can hold."""
    kind = _kind(tensor)
    if kind is None and tensor.numel() * tensor.element_size() > max(room, _SMALL):
        kind = f"of {tensor.numel():,} numbers, more than the file has room for"
    if kind is not None:
        raise ModelError(f"In the weights file '{path}' the tensor '{shortened(name)}' is {kind}; save it plain.")


def _kind(tensor: Tensor) -> str | None:
    """What makes a tensor unusable as a weight; None if nothing."""
    if tensor.is_quantized:
        return "quantized"
    if tensor.layout != torch.strided or tensor.is_nested:
        return "nested" if tensor.is_nested else "sparse"
    if tensor.device.type != "cpu":
        return f"without values, on the device '{tensor.device.type}'"
    if type(tensor) not in (Tensor, nn.Parameter, nn.Buffer):
        return f"of the class {type(tensor).__name__}"
    return None
