"""Optimizes a copy of a network for speed where that changes no number."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cnnviz.network.network import Network
from cnnviz.network.outputs import OutputChoice
from cnnviz.network.spec import InputSpec

_TRIAL_SIDE = 128  # pixels
_LARGEST = 100_000_000  # parameters; the trial takes a second copy
_TOLERANCE = 1e-4  # of the largest logit


def optimized(module: nn.Module, arguments: Mapping[str, Any]) -> Network | None:
    """The network made of a copy of ``module`` that is changed for speed; None where it might compute something else.

    Its logits must agree with those of the untouched module on an image of noise. ``arguments`` are those of
    ``Network``, which compares its graph with what it runs in any case.
    """
    if sum(each.numel() for each in module.parameters()) > _LARGEST:
        return None
    try:
        network = Network(copy.deepcopy(module), **{**arguments, "optimize": True})
        choose = OutputChoice(arguments.get("output"), network.name)
        x = _noise(network.spec).to(network.device)
        with torch.no_grad():
            expected, found = choose(module.eval()(x)), choose(network.body(x))
    except Exception:  # what cannot be tried is not changed; what is wrong is said of the untouched module
        return None
    atol = _TOLERANCE * float(expected.abs().max())
    return network if torch.allclose(found, expected, rtol=0, atol=atol) else None


def _noise(spec: InputSpec) -> Tensor:
    """A normalized input of one image, (1, C, H, W), small where the network takes small ones."""
    side = spec.size if spec.fixed else max(spec.min_size, min(spec.size, _TRIAL_SIDE))
    return torch.randn(1, spec.channels, side, side, generator=torch.Generator().manual_seed(0))
