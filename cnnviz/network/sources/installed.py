"""Which networks installed packages offer: entry points of the group ``cnnviz.models``.

A package offers one with, in its pyproject.toml::

    [project.entry-points."cnnviz.models"]
    my_net = "my_package.networks:build"

That the package was installed is the consent to run it. The catalogue's names go first; ``NAME@PACKAGE`` always means
the package's.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint

GROUP = "cnnviz.models"


def offered() -> list[EntryPoint]:
    """The networks that installed packages offer."""
    from importlib.metadata import entry_points

    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, package_of(point)))


def names() -> list[str]:
    """The names of the networks that installed packages offer."""
    return [point.name for point in offered()]


def package_of(point: EntryPoint) -> str:
    """The name of the package that offers a network."""
    return point.dist.name if point.dist else ""


def is_offered(model: str) -> bool:
    """Whether a package offers ``model``."""
    return bool(found(model))


def found(model: str) -> list[EntryPoint]:
    """The entry points that ``NAME``, ``NAME@PACKAGE`` or either with arguments may mean."""
    name, package, _ = parts(model)
    return [
        point
        for point in offered()
        if point.name == name and (not package or _plain(package_of(point)) == _plain(package))
    ]


def parts(model: str) -> tuple[str, str, str]:
    """Name, package and arguments of ``NAME@PACKAGE(width=2)``; the last as the call of a function ``build``."""
    whole, bracket, arguments = model.partition("(")
    name, _, package = whole.strip().partition("@")
    return name, package, f"build({arguments}" if bracket else ""


def _plain(package: str) -> str:
    return package.lower().replace("_", "-").replace(".", "-")
