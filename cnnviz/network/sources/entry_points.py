"""Loads a network that an installed package offers, see ``installed``.

What its name stands for returns what a function of a Python file does, see ``built``.
"""

from __future__ import annotations

from cnnviz.errors import UsageError
from cnnviz.network.sources.built import load_built
from cnnviz.network.sources.call import Call, parse_call
from cnnviz.network.sources.installed import found, package_of, parts
from cnnviz.network.sources.request import LoadedModel, Request


def load(request: Request) -> LoadedModel:
    """The network that a package offers; UsageError if several do, ModelError where its code fails."""
    name, _, call = parts(request.model)
    points = found(request.model)
    if len(points) > 1:
        whose = " or ".join(f"{name}@{package_of(point)}" for point in points)
        raise UsageError(f"Several packages offer a model called '{name}': name one, as {whose}.")
    return load_built(request, points[0].load, parse_call(call, request.model) if call else Call(name))
