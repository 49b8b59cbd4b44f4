"""The attribution methods by name, each with its command's defaults, to be set side by side."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cnnviz
from cnnviz.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.network.network import Network

Compute = Callable[["Network", "Tensor", int, int], "Tensor"]
"""Network, pixels (1, 3, H, W), class index and seed -> a map (1, 1, H, W)."""


@dataclass(frozen=True)
class MapMethod:
    """One method: its name in figures, how its map is made, and how it is drawn (as in ``MapStyle``).

    ``blur`` smooths the map where it lies over the photo, in the network's pixels.
    """

    title: str
    compute: Compute
    signed: bool = False
    percentile: float = 99.0
    blur: float = 2.0


def _strength(found: Tensor) -> Tensor:
    """The largest magnitude over colours."""
    return found.abs().amax(1, keepdim=True)


def _sum(found: Tensor) -> Tensor:
    return found.sum(1, keepdim=True)


METHODS = {
    "saliency": MapMethod("saliency", lambda net, x, index, seed: cnnviz.saliency(net, x, index)),
    "smoothgrad": MapMethod("SmoothGrad", lambda net, x, index, seed: cnnviz.smoothgrad(net, x, index, seed=seed)),
    "integrated": MapMethod(
        "integrated gradients",
        lambda net, x, index, seed: _sum(cnnviz.integrated_gradients(net, x, index)),
        signed=True,
    ),
    "input-x-gradient": MapMethod(
        "input × gradient", lambda net, x, index, seed: _sum(cnnviz.input_x_gradient(net, x, index)), signed=True
    ),
    "guided": MapMethod(
        "guided backpropagation", lambda net, x, index, seed: _strength(cnnviz.guided_backprop(net, x, index))
    ),
    "deconvnet": MapMethod("deconvnet", lambda net, x, index, seed: _strength(cnnviz.deconvnet(net, x, index))),
    "gradcam": MapMethod(
        "Grad-CAM", lambda net, x, index, seed: cnnviz.grad_cam(net, x, index), percentile=100.0, blur=0.0
    ),
    "guided-gradcam": MapMethod(
        "guided Grad-CAM", lambda net, x, index, seed: _strength(cnnviz.guided_grad_cam(net, x, index))
    ),
    "occlusion": MapMethod(
        "occlusion", lambda net, x, index, seed: cnnviz.occlusion(net, x, index), percentile=100.0, blur=0.0
    ),
}


def chosen_methods(text: str) -> dict[str, MapMethod]:
    """The methods named in ``text``, separated by commas, by name; UsageError that lists all for an unknown one."""
    names = dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip())
    for name in names:
        if name not in METHODS:
            near = difflib.get_close_matches(name, METHODS, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UsageError(f"There is no method '{name}'{hint}; --methods takes {', '.join(METHODS)}.")
    if not names:
        raise UsageError(f"--methods names no method; it takes {', '.join(METHODS)}.")
    return {name: METHODS[name] for name in names}
