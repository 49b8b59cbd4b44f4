"""Fast style networks on disk: safetensors in half precision, with styles and architecture in the metadata."""

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

BUNDLED_FILE = Path(__file__).parent / "bundled" / "styles.safetensors"
"""The network that comes with cnnviz."""

_KEY, _FORMAT = "cnnviz", "fast-style-1"
_LARGEST_HEADER = 1 << 20


def to_bytes(network: FastStyleNetwork, training: dict[str, Any] | None = None, *, half: bool = True) -> bytes:
    """The file's contents. ``training``, which JSON must know, tells how it was made; ``half`` keeps 16 bits."""
    import torch
    from safetensors.torch import save

    kind = torch.float16 if half else torch.float32
    tensors = {name: value.detach().cpu().to(kind).contiguous() for name, value in network.state_dict().items()}
    told = {"format": _FORMAT, "styles": network.styles, "config": asdict(network.config), "training": training or {}}
    metadata = {_KEY: json.dumps(told, sort_keys=True)}  # one entry: safetensors writes several in any order
    return save(tensors, metadata)


def load_fast_style(path: str | Path | None = None, device: torch.device | str = "cpu") -> FastStyleNetwork:
    """The network in a file, or the embedded one; float32, in evaluation mode, its parameters frozen.

    Raises ModelError if there is no such file, or it is damaged, or something else.
    """
    import torch

    from cnnviz.network.checks import require_finite_weights
    from cnnviz.network.weights import read_safetensors
    from cnnviz.style.fast import FastStyleConfig, FastStyleNetwork

    place = Path(path) if path is not None else BUNDLED_FILE
    metadata = read_metadata(place)
    tensors = read_safetensors(place, "The fast style model")
    try:
        config = FastStyleConfig(**{**metadata["config"], "widths": tuple(metadata["config"]["widths"])})
        if config.blocks > len(tensors) or not all(value.is_floating_point() for value in tensors.values()):
            raise UsageError("other tensors than its metadata says")
        with torch.device("meta"):
            network = FastStyleNetwork(metadata["styles"], config)
        network.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
    except Exception as error:  # settings of other types and sizes fail in many ways
        raise ModelError(f"The fast style model '{place}' does not fit what its metadata says.") from error
    require_finite_weights(network, f"The fast style model '{place}'")
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def thumbnail(place: Path, style: str) -> Path:
    """Where the small picture of a style lies, beside the model's file."""
    return place.with_suffix(f".{style}.jpg")


def read_metadata(place: Path) -> dict[str, Any]:
    """``styles``, ``config`` and ``training`` of a model's file, from its header; ModelError if it is none.

    Imports neither torch nor safetensors, so that a misspelt style is told at once.
    """
    if path_exists(place) and not is_file(place):
        raise ModelError(f"The fast style model '{place}' is a folder, pipe or device, not a file.")
    try:
        with place.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= _LARGEST_HEADER else {}
        found = json.loads(header["__metadata__"][_KEY])
        known = {key: found[key] for key in ("styles", "config", "training")}
    except FileNotFoundError as error:
        raise ModelError(f"There is no fast style model '{place}'.") from error
    except OSError as error:
        raise ModelError(f"The fast style model '{place}' cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise _no_model(place) from error
    if found.get("format") != _FORMAT:
        version = str(found.get("format"))[:40]
        raise ModelError(f"The fast style model '{place}' is of another version of cnnviz ({version}).")
    if not isinstance(known["styles"], list) or not all(isinstance(style, str) for style in known["styles"]):
        raise _no_model(place)
    return known


def _no_model(place: Path) -> ModelError:
    return ModelError(f"'{place}' is no fast style model of cnnviz; 'cnnviz fast-style train' makes one.")
