"""From a module that a source gave to a ``Network``, with what is given of its input and what is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from cnnviz.errors import CnnvizError, ModelError
from cnnviz.network.imagenet import imagenet_labels
from cnnviz.network.network import Network
from cnnviz.network.sources.files import is_python, python_parts
from cnnviz.network.sources.request import LoadedModel
from cnnviz.network.sources.running import failure
from cnnviz.network.spec import given_spec
from cnnviz.runtime.memory import is_out_of_memory

_IMAGENET_CLASSES = 1000


def assemble(
    model: str, loaded: LoadedModel, given: Mapping[str, Any], device: torch.device, precision: str
) -> Network:
    """The network of a module that ``model`` named.

    ``given`` are arguments of ``Network`` that the user gave, None where not; they go before what came with the module.
    1000 classes without names are assumed to be ImageNet's. Raises ModelError where the module fails on an image.
    """
    described = {**loaded.arguments, **{name: value for name, value in given.items() if value is not None}}
    described |= {"name": model, "weights": loaded.weights, "precision": precision, "optimize": loaded.optimize}
    module = loaded.module.to(device)
    try:
        network = Network(module, **described)
        if described.get("labels") is None and network.classes == _IMAGENET_CLASSES:
            spec = replace(network.spec, assumed=(*network.spec.assumed, *_assumed_labels(loaded)))
            network = Network(module, **{**described, "spec": spec, "labels": imagenet_labels(), **_IN_SPEC})
    except (CnnvizError, KeyboardInterrupt):
        raise
    except Exception as error:  # a module of the user's may raise anything
        if is_out_of_memory(error):
            raise
        side = given_spec(**{name: described.get(name) for name in ("spec", *_IN_SPEC)}).size
        text = failure(model, error, python_parts(model)[0] if is_python(model) else None)
        raise ModelError(f"{text} It was given an image of {side}×{side} pixels.", remedy="own_size") from error
    return network


_IN_SPEC = dict.fromkeys(("mean", "std", "size", "channels", "input_range"))
"""Arguments of ``Network`` that are in its spec, too."""


def _assumed_labels(loaded: LoadedModel) -> tuple[str, ...]:
    return () if loaded.is_described else ("labels",)
