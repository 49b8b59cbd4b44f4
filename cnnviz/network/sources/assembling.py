"""From a module that a source gave to a ``Network``, with what is given of its input and what is assumed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from cnnviz.errors import CnnvizError, ModelError
from cnnviz.network.imagenet import imagenet_labels
from cnnviz.network.network import Network
from cnnviz.network.sources.files import is_python, python_parts
from cnnviz.network.sources.optimizing import optimized
from cnnviz.network.sources.request import LoadedModel
from cnnviz.network.sources.running import failure, unfit_forward
from cnnviz.network.spec import InputSpec, given_spec
from cnnviz.runtime.memory import is_out_of_memory

_IMAGENET_CLASSES = 1000
_OF_INPUT = ("mean", "std", "size", "channels", "input_range")


def assemble(
    model: str, loaded: LoadedModel, given: Mapping[str, Any], device: torch.device, precision: str
) -> Network:
    """The network of a module that ``model`` named.

    ``given`` are arguments of ``Network`` that the user gave, None where not; they go before what came with the module.
    1000 classes without names are assumed to be ImageNet's. Raises ModelError where the module fails on an image.
    """
    described = {**loaded.arguments, **{name: value for name, value in given.items() if value is not None}}
    is_known = "channels" in described or "spec" in described
    known = described.pop("spec", None)
    if known is not None and known.fixed:
        described.pop("size", None)
    spec = given_spec(known, **{name: described.pop(name, None) for name in _OF_INPUT})
    spec = replace(spec, assumed=_without_certain(spec))
    described |= {"name": model, "weights": loaded.weights, "precision": precision}
    module = loaded.module.to(device)
    try:
        with redirect_stdout(sys.stderr):  # what it prints is no result
            network = _made(module, loaded.is_ours, {"spec": spec, **described})
            if not is_known:
                network(network.blank_pixels())
    except CnnvizError as error:
        if is_known or error.remedy != "input_channels":
            raise
        return assemble(model, loaded, {**given, **error.values}, device, precision)
    except Exception as error:  # a module of the user's may raise anything
        if is_out_of_memory(error):
            raise
        unfit = unfit_forward(model, loaded.module)
        if unfit:
            raise ModelError(unfit) from error
        text = failure(model, error, python_parts(model)[0] if is_python(model) else None)
        raise ModelError(
            f"{text} It was given an image of {spec.size}×{spec.size} pixels.", remedy="own_size"
        ) from error
    if described.get("labels") is not None or network.classes != _IMAGENET_CLASSES:
        return network
    spec = spec if loaded.is_described else replace(spec, assumed=(*spec.assumed, "labels"))
    return _made(module, loaded.is_ours, {"spec": spec, **described, "labels": imagenet_labels()})


def _made(module: nn.Module, is_ours: bool, described: Mapping[str, Any]) -> Network:
    """The network; optimized for speed where cnnviz built it and no number changes."""
    return (optimized(module, described) if is_ours else None) or Network(module, **described)


def _without_certain(spec: InputSpec) -> tuple[str, ...]:
    """The assumed values, without the input range where the given mean and std can only mean [0, 1]."""
    is_of_unit_range = not {"mean", "std"} & set(spec.assumed) and all(0 <= mean <= 1 for mean in spec.mean)
    return tuple(name for name in spec.assumed if not (name == "input_range" and is_of_unit_range))
