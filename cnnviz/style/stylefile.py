"""Fast style networks on disk: safetensors in half precision, with styles and architecture in the metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cnnviz.errors import CnnvizError, ModelError
from cnnviz.style.fast import FastStyleConfig, FastStyleNetwork

BUNDLED_FILE = Path(__file__).parent / "bundled" / "styles.safetensors"
"""The network that comes with cnnviz."""

_FORMAT = "cnnviz-fast-style-1"


def to_bytes(network: FastStyleNetwork, training: dict[str, Any] | None = None, *, half: bool = True) -> bytes:
    """The file's contents. ``training``, which JSON must know, tells how it was made; ``half`` keeps 16 bits."""
    from safetensors.torch import save

    kind = torch.float16 if half else torch.float32
    tensors = {name: value.detach().cpu().to(kind).contiguous() for name, value in network.state_dict().items()}
    metadata = {
        "format": _FORMAT,
        "styles": json.dumps(network.styles),
        "config": json.dumps(asdict(network.config)),
        "training": json.dumps(training or {}, sort_keys=True),
    }
    return save(tensors, metadata)


def load_fast_style(path: str | Path | None = None, device: torch.device | str = "cpu") -> FastStyleNetwork:
    """The network in a file, or the embedded one; float32, in evaluation mode, its parameters frozen.

    Raises ModelError if there is no such file, or it is damaged, or something else.
    """
    from safetensors.torch import load_file

    place = Path(path) if path is not None else BUNDLED_FILE
    metadata = read_metadata(place)
    try:
        config = FastStyleConfig(**{**metadata["config"], "widths": tuple(metadata["config"]["widths"])})
        with torch.device("meta"):
            network = FastStyleNetwork(metadata["styles"], config)
        state = {name: value.float() for name, value in load_file(place).items()}
        network.load_state_dict(state, assign=True)
    except (CnnvizError, TypeError, KeyError, RuntimeError) as error:
        raise ModelError(f"The fast style model '{place}' does not fit what its metadata says ({error}).") from error
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def thumbnail(place: Path, style: str) -> Path:
    """Where the small picture of a style lies, beside the model's file."""
    return place.with_suffix(f".{style}.jpg")


def read_metadata(place: Path) -> dict[str, Any]:
    """``styles``, ``config`` and ``training`` of a model's file, without loading it; ModelError if it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(place, framework="pt") as file:
            found = file.metadata() or {}
    except FileNotFoundError as error:
        raise ModelError(f"There is no fast style model '{place}'.") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"The fast style model '{place}' is truncated or not a safetensors file ({error}).") from error
    if found.get("format") != _FORMAT:
        raise ModelError(f"'{place}' is no fast style model of cnnviz; 'cnnviz fast-style train' makes one.")
    return {key: json.loads(found[key]) for key in ("styles", "config", "training")}
