"""Files of fast style networks: safetensors in half precision, with styles and architecture in the metadata."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ModelError, UsageError
from cnnviz.runtime.paths import is_file, path_exists
from cnnviz.style.catalogue import ANY, GOOGLE26, MODELS, OWN

if TYPE_CHECKING:
    import torch

    from cnnviz.style.any_style import AnyStyleNetwork
    from cnnviz.style.fast import FastStyleNetwork

BUILT_IN_STYLES = MODELS[OWN].file
"""The file of cnnviz's own styles: starry, mosaic and ink."""

STYLES26 = MODELS[GOOGLE26].file
"""The file of Google's 26 styles."""

ANY_STYLE = MODELS[ANY].file
"""The file of the network that takes any image as a style."""

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
    """The network in a model file; float32, in evaluation mode, without gradients.

    Args:
        path: a file, or the name of a built-in model: ``embedded``, the default, has cnnviz's own styles, ``styles26``
            Google's 26 (Dumoulin, Shlens & Kudlur, ICLR 2017, arXiv:1610.07629).
        device: where it is to compute.

    Raises:
        ModelError: there is no such file, it is damaged, or it is no fast style model.

    Example:
        >>> cnnviz.load_fast_style().styles
        ('starry', 'mosaic', 'ink')
        >>> cnnviz.load_fast_style("styles26").styles[:3]
        ('sunlit', 'stencil', 'misty')
    """
    import torch

    from cnnviz.network.checks import require_finite_weights
    from cnnviz.network.weights import read_safetensors
    from cnnviz.style.fast import FastStyleNetwork
    from cnnviz.style.settings import FastStyleConfig

    file = MODELS[str(path)].file if path in MODELS else Path(path or BUILT_IN_STYLES)
    metadata = read_metadata(file)
    tensors = read_safetensors(file, "The fast style model")
    try:
        settings: dict[str, Any] = {key: _tuple(value) for key, value in metadata["config"].items()}
        config = FastStyleConfig(**settings)
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


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def load_any_style(device: torch.device | str = "cpu") -> AnyStyleNetwork:
    """The network that paints in the style of any image; float32, in evaluation mode, without gradients.

    Its kernels are stored as integers of eight bits with a scale for each output channel.

    Raises:
        ModelError: its file is missing or damaged.

    Example:
        >>> cnnviz.load_any_style().style_vector(cnnviz.read_image("sample_images/ink.jpg")).shape
        torch.Size([1, 100])
    """
    import torch

    from cnnviz.network.weights import read_safetensors
    from cnnviz.style.any_style import AnyStyleNetwork

    tensors = read_safetensors(ANY_STYLE, "The style model")
    with torch.device("meta"):
        network = AnyStyleNetwork()
    state = {name: torch.zeros(shape) for name, shape in network.unset_shapes.items()}
    for name, value in tensors.items():
        if not name.endswith("_scale"):
            scale = tensors.get(f"{name}_scale")
            state[name] = value if scale is None else value.float() * scale.view(-1, *[1] * (value.ndim - 1))
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ModelError(f"The style model '{ANY_STYLE}' is damaged.") from error
    return network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload,no-any-return]


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
