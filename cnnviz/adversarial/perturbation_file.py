"""Universal perturbations on disk: one float tensor and its metadata in a safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from cnnviz.errors import ModelError
from cnnviz.network.network import Network
from cnnviz.network.weights import read_safetensors
from cnnviz.runtime.paths import is_file

SUFFIX = ".safetensors"


def encode_perturbation(perturbation: Tensor, network: Network, facts: Mapping[str, Any]) -> bytes:
    """The bytes of a file that ``load_perturbation`` reads.

    Args:
        perturbation: (1, 3, H, W), in units of pixel value.
        network: the network it was computed for, whose name and weights go into the metadata.
        facts: further metadata, as JSON knows it.
    """
    metadata = {"model": network.name, "weights": network.weights.label, **facts}
    return save({"perturbation": perturbation.contiguous()}, metadata={"cnnviz": json.dumps(metadata, sort_keys=True)})


def perturbation_file(path: Path) -> Path:
    """The path of the tensor's file, given that path or the path of the figure beside it."""
    return path if path.suffix == SUFFIX else path.with_suffix(SUFFIX)


def load_perturbation(path: Path) -> Tensor:
    """The perturbation in a file (or beside a figure): (1, 3, H, W), in units of pixel value.

    Raises:
        ModelError: there is no such file, or it holds something else.
    """
    path = perturbation_file(path)
    if not is_file(path):
        raise ModelError(f"The perturbation '{path}' does not exist.", remedy="learn_perturbation", stem=path.stem)
    try:
        perturbation = read_safetensors(path).get("perturbation")
    except ModelError:
        perturbation = None
    if perturbation is None or not _is_valid(perturbation):
        raise ModelError(f"'{path}' is not a perturbation.", remedy="perturbation_file")
    return perturbation


def _is_valid(values: Tensor) -> bool:
    shaped = values.ndim == 4 and values.shape[:2] == (1, 3) and values.numel() > 0
    return shaped and values.is_floating_point() and bool(values.float().isfinite().all())
