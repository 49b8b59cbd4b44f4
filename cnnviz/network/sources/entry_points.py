"""Networks of installed packages: entry points of the group ``cnnviz.models``.

A package offers one with, in its pyproject.toml::

    [project.entry-points."cnnviz.models"]
    my_net = "my_package.networks:build"

What the name stands for returns what a function of a Python file does, see ``built``. That the package was installed
is the consent to run it. The catalogue's names go first; ``NAME@PACKAGE`` always means the package's.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint

from cnnviz.errors import UsageError
from cnnviz.network.sources.built import load_built
from cnnviz.network.sources.call import Call, parse_call
from cnnviz.network.sources.request import LoadedModel, Request

GROUP = "cnnviz.models"


def offered() -> list[EntryPoint]:
    """The networks that installed packages offer."""
    from importlib.metadata import entry_points

    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, package_of(point)))


def names() -> list[str]:
    """Their names."""
    return [point.name for point in offered()]


def package_of(point: EntryPoint) -> str:
    """The name of the package that offers it."""
    return point.dist.name if point.dist else ""


def is_known(model: str) -> bool:
    """Whether a package offers ``model``."""
    name, package, _ = _parts(model)
    return any(_is_meant(point, name, package) for point in offered())


def load(request: Request) -> LoadedModel:
    """The network that a package offers; UsageError if several do, ModelError where its code fails."""
    name, package, call = _parts(request.model)
    found = [point for point in offered() if _is_meant(point, name, package)]
    if len(found) > 1:
        whose = " or ".join(f"{name}@{package_of(point)}" for point in found)
        raise UsageError(f"Several packages offer a model called '{name}': name one, as {whose}.")
    return load_built(request, found[0].load, parse_call(call, request.model) if call else Call(name))


def _parts(model: str) -> tuple[str, str, str]:
    """Name, package and arguments of ``NAME@PACKAGE(width=2)``; the last as the call of a function ``NAME``."""
    whole, bracket, arguments = model.partition("(")
    name, _, package = whole.strip().partition("@")
    return name, package, f"build({arguments}" if bracket else ""


def _is_meant(point: EntryPoint, name: str, package: str) -> bool:
    return point.name == name and (not package or _plain(package_of(point)) == _plain(package))


def _plain(package: str) -> str:
    return package.lower().replace("_", "-").replace(".", "-")
