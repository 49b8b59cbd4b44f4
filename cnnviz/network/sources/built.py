"""Loads what the user's own function builds: a module, a module with arguments of ``Network``, or a ``Network``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from cnnviz.errors import ModelError, UsageError, listed
from cnnviz.network import checks
from cnnviz.network.hashing import module_sha256, sha256
from cnnviz.network.network import Network
from cnnviz.network.own_weights import load_whole
from cnnviz.network.sources.call import Call
from cnnviz.network.sources.known_input import input_of_config
from cnnviz.network.sources.request import LoadedModel, Request
from cnnviz.network.sources.running import own_code
from cnnviz.network.spec import WeightsInfo

DESCRIBED = ("mean", "std", "size", "channels", "input_range", "labels", "output", "activation", "spec")
"""Arguments of ``Network`` that may come with a module."""


def load_built(request: Request, find: Callable[[], Any], call: Call, file: Path | None = None) -> LoadedModel:
    """What the function that ``find`` returns builds with the arguments of ``call``.

    ``file`` is the Python file that it stands in. Modules are taken as they are. Random weights depend on the seed.
    Raises ModelError where the code fails, or builds something else, and UsageError for arguments it does not take.
    """
    with own_code(request.model, request.seed, file):
        found = find()
        if not isinstance(found, nn.Module | Network):
            if not callable(found):
                kind = type(found).__name__
                raise ModelError(f"'{request.model}' is no function, class or torch.nn.Module, but of type {kind}.")
            call.require_fitting(found, request.model)
            found = found(*call.arguments, **call.keywords)
        elif call.has_arguments:
            raise UsageError(f"'{request.model}' is a module already, which takes no arguments.")
    module, arguments = _parts(found, request.model)
    loaded = with_weights(module, request, arguments)
    if file is not None:
        loaded.weights = replace(loaded.weights, code_sha256=sha256(file))
    return loaded


def _parts(built: Any, model: str) -> tuple[nn.Module, dict[str, Any]]:
    """The module, and the arguments of ``Network`` that came with it."""
    if isinstance(built, Network):
        return built.module, _said_of(built)
    said: Any = {}
    if isinstance(built, tuple) and len(built) == 2:
        built, said = built
    if not isinstance(built, nn.Module) or not isinstance(said, Mapping):
        raise ModelError(
            f"'{model}' gives {_described(built, said)}, not a torch.nn.Module, a pair of a module and a dict of "
            "arguments of cnnviz.Network, or a cnnviz.Network."
        )
    unknown = [str(name) for name in said if name not in DESCRIBED]
    if unknown:
        raise ModelError(f"'{model}' gives {listed(unknown)} with its module; there are {listed(DESCRIBED)}.")
    return built, {str(name): value for name, value in said.items() if value is not None}


def _described(built: Any, said: Any) -> str:
    if built is None:
        return "nothing"
    kind = type(built).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    return f"{article} {kind}" if not said else f"a pair of {article} {kind} and a {type(said).__name__}"


def _said_of(network: Network) -> dict[str, Any]:
    """The arguments that describe a network."""
    said = {"spec": network.spec, "output": network.output, "activation": network.activation}
    return said if network.has_numbered_labels else {**said, "labels": network.labels}


def with_weights(
    module: nn.Module, request: Request, arguments: dict[str, Any], file: Path | None = None
) -> LoadedModel:
    """A module with the weights of the request's file, if it names one, or those it has.

    ``file`` is the file that has the module's own weights, if there is one. What ``arguments`` leave out is taken from
    the module's own configuration.
    """
    if request.weights is None:
        checks.require_finite_weights(module, request.model)
        info = WeightsInfo(file.name, sha256(file)) if file else WeightsInfo("custom", module_sha256(module))
    elif str(request.weights).lower() == "random":
        raise UsageError(f"'{request.model}' brings its own weights; give a file with others, or none.")
    else:
        info = load_whole(module, Path(request.weights), request.model, request.weights_key)
    return LoadedModel(module, info, {**input_of_config(module), **arguments})
