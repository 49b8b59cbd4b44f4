"""Reading weights files without executing code, and fitting them to an architecture.

``.safetensors`` holds tensors only; ``.pth`` and ``.pt`` are pickles, read with ``torch.load(weights_only=True)``,
which refuses everything but tensors and plain containers.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.errors import ModelError
from cnnviz.network import checks

StateDict = dict[str, Tensor]

_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""The training-time side classifiers of GoogLeNet and Inception; explaining a picture never uses them."""


def read_state_dict(path: Path) -> StateDict:
    """The tensors of a weights file by name; training checkpoints are unwrapped.

    Raises ModelError, naming the file and the remedy, where it is missing, truncated, holds code or no weights.
    """
    if not path.is_file():
        raise ModelError(f"The weights file '{path}' does not exist or is not a file.")
    if path.stat().st_size == 0:
        raise ModelError(f"The weights file '{path}' is empty.")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return _unwrap(content, path)


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"The weights file '{path}' is truncated or not a safetensors file ({error}).") from error


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch would warn of is an error below, or harmless
            # Mapping the file spares a second copy of the weights; files from before torch 1.6 are no zip archives.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):  # torch's word for the name of a class or function in a pickle
            raise ModelError(
                f"The weights file '{path}' was refused: it holds Python objects, and loading those could run code. "
                "Save only the tensors: torch.save(model.state_dict(), FILE), or use safetensors."
            ) from error
        raise ModelError(f"The weights file '{path}' is truncated, corrupt, or not a weights file.") from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, OSError) as error:
        if "TorchScript" in str(error) or "torch.jit" in str(error):
            raise ModelError(
                f"The weights file '{path}' is a TorchScript program; save its state_dict() instead."
            ) from error
        raise ModelError(f"The weights file '{path}' is truncated, corrupt, or not a weights file.") from error


def _unwrap(content: Any, path: Path) -> StateDict:
    if isinstance(content, Mapping):
        for key in _CHECKPOINT_KEYS:
            if isinstance(content.get(key), Mapping):
                return _unwrap(content[key], path)
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors
    raise ModelError(
        f"The weights file '{path}' holds no state_dict: expected tensors by name, "
        f"or a checkpoint with them under one of {', '.join(_CHECKPOINT_KEYS)}."
    )


def fit_names(state: StateDict, expected: StateDict) -> StateDict:
    """``state`` under the names the architecture uses: wrappers' prefixes and old spellings taken off.

    Wrappers put a prefix before every name (``module.`` of DataParallel, ``_orig_mod.`` of torch.compile, ``model.``
    of Lightning); it is found by where the architecture's first name stands.
    """
    state = {_modern(name): tensor for name, tensor in state.items()}
    first = next(iter(expected))
    prefix = next((name.removesuffix(first) for name in state if name.endswith(f".{first}")), "")
    if prefix and first not in state:
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    return {name: tensor for name, tensor in state.items() if not name.startswith(_AUXILIARY)}


def _modern(name: str) -> str:
    """torchvision's published DenseNets spell ``norm.1.weight`` what their code has since called ``norm1.weight``."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def class_count(state: StateDict, classifier: str) -> int | None:
    """How many classes a state dict was trained for, read from its classifier's weight; None where it lacks it."""
    weight = state.get(classifier)
    return None if weight is None else int(weight.shape[0])


def load_into(module: nn.Module, state: StateDict, source: str) -> None:
    """Put ``state`` into ``module``, tensor by tensor, without copying.

    Raises ModelError that counts and names what is missing, unknown or of another shape, or names what is not finite.
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
            "Was it trained with another model? Name that one with --model."
        )
    plain = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    module.load_state_dict(plain, assign=True)
    checks.require_finite_weights(module, source)


def _complaint(verb: str, names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:2]) + (", …" if len(names) > 2 else "")
    return f"{verb} {len(names)} tensor{'s' if len(names) > 1 else ''} ({shown})"
