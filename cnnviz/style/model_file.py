"""Files of fast style networks: safetensors in half precision, with styles and architecture in the metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ModelError, UsageError
from cnnviz.runtime.paths import is_file, path_exists

if TYPE_CHECKING:
    import torch

    from cnnviz.style.fast import FastStyleNetwork

BUILT_IN_STYLES = Path(__file__).parent / "bundled" / "styles.safetensors"
"""The file of the built-in styles: the fast style network that comes with cnnviz."""

_KEY, _FORMAT = "cnnviz", "fast-style-1"
_LARGEST_HEADER = 1 << 20


def to_bytes(network: FastStyleNetwork, training: dict[str, Any] | None = None, *, half: bool = True) -> bytes:
    """The contents of a model file. ``training`` (JSON) records how it was made; ``half`` stores 16 bits a value."""
    import torch
    from safetensors.torch import save

    dtype = torch.float16 if half else torch.float32
    tensors = {name: value.detach().cpu().to(dtype).contiguous() for name, value in network.state_dict().items()}
    content = {
        "format": _FORMAT,
        "styles": network.styles,
        "config": asdict(network.config),
        "training": training or {},
    }
    metadata = {_KEY: json.dumps(content, sort_keys=True)}  # one entry: safetensors writes several in any order
    return save(tensors, metadata)


def load_fast_style(path: str | Path | None = None, device: torch.device | str = "cpu") -> FastStyleNetwork:
    """The network in a model file, or the built-in styles; float32, in evaluation mode, without gradients.

    Raises:
        ModelError: there is no such file, it is damaged, or it is no fast style model.

    Example:
        >>> cnnviz.load_fast_style().styles[0]
        'starry'
    """
    import torch

    from cnnviz.network.checks import require_finite_weights
    from cnnviz.network.weights import read_safetensors
    from cnnviz.style.fast import FastStyleNetwork
    from cnnviz.style.settings import FastStyleConfig

    file = Path(path) if path is not None else BUILT_IN_STYLES
    metadata = read_metadata(file)
    tensors = read_safetensors(file, "The fast style model")
    try:
        config = FastStyleConfig(**{**metadata["config"], "widths": tuple(metadata["config"]["widths"])})
        if config.blocks > len(tensors) or not all(value.is_floating_point() for value in tensors.values()):
            raise UsageError("other tensors than its metadata says")
        with torch.device("meta"):
            network = FastStyleNetwork(metadata["styles"], config)
        network.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
    except Exception as error:  # settings of other types and sizes fail in many ways
        raise ModelError(f"The fast style model '{file}' does not fit what its metadata says.") from error
    require_finite_weights(network, f"The fast style model '{file}'")
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def thumbnail(path: Path, style: str) -> Path:
    """The path of a style's thumbnail, beside the model file."""
    return path.with_suffix(f".{style}.jpg")


def read_metadata(path: Path) -> dict[str, Any]:
    """``styles``, ``config`` and ``training`` of a model file, from its header; imports neither torch nor safetensors.

    Raises:
        ModelError: there is no such file, or it is no fast style model.
    """
    if path_exists(path) and not is_file(path):
        raise ModelError(f"The fast style model '{path}' is a folder, pipe or device, not a file.")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= _LARGEST_HEADER else {}
        found = json.loads(header["__metadata__"][_KEY])
        known = {key: found[key] for key in ("styles", "config", "training")}
    except FileNotFoundError as error:
        raise ModelError(f"There is no fast style model '{path}'.") from error
    except OSError as error:
        raise ModelError(f"The fast style model '{path}' cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise _no_model(path) from error
    if found.get("format") != _FORMAT:
        version = str(found.get("format"))[:40]
        raise ModelError(f"The fast style model '{path}' is of another version of cnnviz ({version}).")
    if not isinstance(known["styles"], list) or not all(isinstance(style, str) for style in known["styles"]):
        raise _no_model(path)
    return known


def _no_model(path: Path) -> ModelError:
    return ModelError(f"'{path}' is no fast style model of cnnviz.", remedy="train_style_model")
