"""Reads weights files without running code, and fits them to an architecture.

``.safetensors`` holds tensors only; ``.pth`` and ``.pt`` are pickles, read with ``torch.load(weights_only=True)``,
which refuses everything but tensors and plain containers.
"""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.errors import ModelError, shortened
from cnnviz.network import checks
from cnnviz.network.pickle_check import LARGEST_PICKLE, check_pickle, damaged
from cnnviz.runtime.memory import is_out_of_memory
from cnnviz.runtime.paths import is_file

StateDict = dict[str, Tensor]

_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""The auxiliary classifiers of GoogLeNet and Inception, which only training uses."""

_DEEPEST = 10  # nested dictionaries of a checkpoint
_SMALL = 1 << 20  # bytes of a tensor that are accepted in a file of any size


def read_state_dict(path: Path, *, own: bool = False) -> StateDict:
    """The tensors of a weights file by name; training checkpoints are unwrapped.

    Tensors are mapped from the file where possible. With ``own`` they are copies, which do not change when the file
    does, as when a training run overwrites its checkpoint.

    Raises ModelError that names the file and what to do, where it is missing, truncated, holds code, no weights or
    unusable ones (quantized, sparse, …), or claims more than it holds.
    """
    if not is_file(path):
        raise ModelError(f"The weights file '{path}' does not exist or is not a file.")
    before = path.stat()
    if before.st_size == 0:
        raise ModelError(f"The weights file '{path}' is empty.")
    is_safe = path.suffix.lower() == ".safetensors"
    content = read_safetensors(path) if is_safe else _read_pickle(path, copy=own)
    tensors = _unwrap(content, path)
    for name, tensor in tensors.items():
        _check_kind(name, tensor, before.st_size, path)
    if own:
        if is_safe:  # which is mapped in any case
            tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        if _version(path.stat()) != _version(before):
            raise ModelError(f"The weights file '{path}' changed while it was read; try again when it is written.")
    return tensors


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
    check_pickle(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each warning is an error below, or harmless
            # Mapping the file spares a second copy of the weights; files from before torch 1.6 are no zip archives.
            mapped = not copy and zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # an unpickler may raise anything on damaged files
        if is_out_of_memory(error):
            raise
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            raise ModelError(
                f"The weights file '{path}' was refused: it holds Python objects, and loading those could run code. "
                "Save only the tensors: torch.save(model.state_dict(), FILE), or use safetensors."
            ) from error
        raise damaged(path) from error


def _unwrap(content: Any, path: Path) -> StateDict:
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping):
            break
        inner = next((content[k] for k in _CHECKPOINT_KEYS if isinstance(content.get(k), Mapping)), None)
        if inner is None:
            tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
            if tensors:
                return tensors
            break
        content = inner
    raise ModelError(
        f"The weights file '{path}' holds no state_dict: expected tensors by name, "
        f"or a checkpoint with them under one of {', '.join(_CHECKPOINT_KEYS)}."
    )


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


def _as_float(name: str, tensor: Tensor, source: str) -> Tensor:
    """A tensor as float32; ModelError where it holds no floats."""
    if tensor.is_floating_point():
        with suppress(RuntimeError):  # 4-bit floats cannot be converted
            return tensor.float()
    kind = str(tensor.dtype).removeprefix("torch.")
    raise ModelError(f"{source} holds '{shortened(name)}' as {kind}, where the network needs floats.")


def fit_names(state: StateDict, expected: StateDict) -> StateDict:
    """``state`` under the architecture's names, without wrappers' prefixes, old spellings and auxiliary classifiers.

    Wrappers put a prefix before every name (``module.`` of DataParallel, ``_orig_mod.`` of torch.compile, ``model.``
    of Lightning). It is what precedes the architecture's first name; of several, the prefix of the most names.
    """
    state = {_current_name(name): tensor for name, tensor in state.items()}
    first = next(iter(expected))
    if first not in state:
        prefixes = (name.removesuffix(first) for name in state if name.endswith(f".{first}"))
        prefix = max(prefixes, key=lambda prefix: sum(f"{prefix}{name}" in state for name in expected), default="")
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return {name: tensor for name, tensor in state.items() if not name.startswith(_AUXILIARY)}


def _current_name(name: str) -> str:
    """A name as in torchvision's code: its published DenseNets have ``norm.1.weight`` for ``norm1.weight``."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def class_count(state: StateDict, classifier: str) -> int | None:
    """The number of classes, from the shape of the classifier's weight; None if it is missing."""
    weight = state.get(classifier)
    return None if weight is None or weight.ndim == 0 or weight.shape[0] == 0 else int(weight.shape[0])


def load_into(module: nn.Module, state: StateDict, source: str, part: str = "") -> None:
    """Load ``state`` into ``module`` without copying.

    Raises ModelError that counts and names tensors that are missing, unknown or of another shape, or names one that is
    not finite in the submodule ``part`` (the whole module if empty). ``source`` is what it calls the file.
    """
    expected = module.state_dict()
    missing = [n for n in expected if n not in state and not n.endswith("num_batches_tracked")]
    unknown = [n for n in state if n not in expected]
    reshaped = [n for n in expected if n in state and state[n].shape != expected[n].shape]
    if missing or unknown or reshaped:
        complaints = [
            _complaint("lacks", missing),
            _complaint("has unknown", unknown),
            _complaint("has other shapes for", reshaped),
        ]
        raise ModelError(
            f"{source} does not fit {type(module).__name__}: it {'; it '.join(c for c in complaints if c)}. "
            "Was it trained with another model?",
            remedy="name_model",
        )
    plain = OrderedDict(
        (
            name,
            _as_float(name, tensor, source) if expected[name].is_floating_point() else tensor.to(expected[name].dtype),
        )
        for name, tensor in state.items()
    )
    for name in expected.keys() - plain.keys():
        plain[name] = torch.zeros((), dtype=torch.long)  # num_batches_tracked, which older files lack
    # MNASNet needs the version of its names, which are current by now.
    plain._metadata = {path: {"version": type(m)._version} for path, m in module.named_modules()}  # type: ignore[attr-defined]
    module.load_state_dict(plain, assign=True)
    checks.require_finite_weights(module.get_submodule(part), source)


def _complaint(verb: str, names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(map(shortened, names[:2])) + (", …" if len(names) > 2 else "")
    return f"{verb} {len(names)} tensor{'s' if len(names) > 1 else ''} ({shown})"
