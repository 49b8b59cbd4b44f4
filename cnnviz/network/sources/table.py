"""How the name of a model is recognized, and what loads it.

A name of the catalogue always means the catalogue's network. For all others ``SOURCES`` is asked in order.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ModelError, UsageError
from cnnviz.network import catalogue
from cnnviz.network.sources import files, installed

if TYPE_CHECKING:
    from cnnviz.network.sources.request import LoadedModel, Request


@dataclass(frozen=True)
class Source:
    """One way to name a network.

    Args:
        form: how such names are written, for lists and messages.
        recognizes: whether a name is of this form.
        loader: the dotted path of the function that takes a ``Request`` and returns a ``LoadedModel``.
        check: raises the error of a name that cannot be loaded, before anything else is done; it must be quick.
        danger: why opening it can run code, as the end of a sentence; empty where it cannot. It then needs trust.
        package, extra: the package that it needs, and the extra of cnnviz that brings it.
        is_described: whether its networks bring what they expect as input.
    """

    form: str
    recognizes: Callable[[str], bool]
    loader: str
    check: Callable[[str], object] = lambda model: None
    danger: str = ""
    package: str = ""
    extra: str = ""
    is_described: bool = False

    def require_ready(self, model: str, *, trust: bool) -> None:
        """Raise the error of a model that is not there, needs a package that is missing, or is not trusted."""
        self.check(model)
        if self.danger and not trust:
            raise UsageError(f"'{model}' was not opened, because {self.danger}.", remedy="trust")
        if self.package and find_spec(self.package) is None:
            raise ModelError(f"'{model}' needs the package {self.package}: pip install 'cnnviz[{self.extra}]'.")

    def load(self, request: Request) -> LoadedModel:
        """The module that is asked for, with its weights."""
        module, _, function = self.loader.rpartition(".")
        load: Callable[[Request], LoadedModel] = getattr(importlib.import_module(module), function)
        return load(request)


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda model: re.match(pattern, model, re.DOTALL | re.IGNORECASE) is not None


_TIMM: dict[str, Any] = {
    "loader": "cnnviz.network.sources.timm_models.load",
    "package": "timm",
    "extra": "timm",
    "is_described": True,
}

_INSTALLED = "NAME of an installed package"

SOURCES = (
    Source("timm/NAME", _matches("timm/."), **_TIMM),
    Source("hf-hub:ORG/NAME", _matches("hf[-_]hub:."), **_TIMM),
    Source("local-dir:FOLDER", _matches("local-dir:."), check=files.require_model_folder, **_TIMM),
    Source(
        "FILE.py:NAME",
        files.is_python,
        "cnnviz.network.sources.python_file.load",
        check=files.require_python_file,
        danger="a Python file can do whatever its author wrote",
    ),
    Source(
        "FILE.pt2",
        _matches(r".*\.pt2$"),
        "cnnviz.network.sources.exported.load",
        check=files.require_file,
        danger=(
            "such a file can run code while it is loaded: torch.export evaluates symbolic expressions that stand in "
            "it, and unpickles what it does not know"
        ),
    ),
    Source(
        "FILE.onnx",
        _matches(r".*\.onnx$"),
        "cnnviz.network.sources.onnx_file.load",
        check=files.require_file,
        package="onnxruntime",
        extra="onnx",
    ),
    Source(
        "FILE.tflite",
        _matches(r".*\.tflite$"),
        "cnnviz.network.sources.tflite_file.load",
        check=files.require_file,
        package="ai_edge_litert",
        extra="tflite",
    ),
    Source(_INSTALLED, installed.is_offered, "cnnviz.network.sources.entry_points.load"),
)
"""Every source of networks besides the catalogue; the first that recognizes a name loads it."""


def find_source(model: str) -> Source | None:
    """What loads ``model``; None for a network of the catalogue. UsageError for a name that nothing recognizes."""
    if model in catalogue.names():
        return None
    for source in SOURCES:
        if source.recognizes(model):
            return source
    if files.is_weights(model):
        raise UsageError(f"'{model}' holds weights, not a network: give it as the weights.", remedy="weights_alone")
    raise catalogue.unknown_model(model, installed.names())


def other_forms() -> list[str]:
    """How networks are named that are not of the catalogue."""
    return [source.form for source in SOURCES if source.form != _INSTALLED]


def require_ready(model: str, *, trust: bool) -> None:
    """Raise the error of a model that cannot be loaded as far as can be said without loading it."""
    source = find_source(model)
    if source is not None:
        source.require_ready(model, trust=trust)


def is_described(model: str) -> bool:
    """Whether what ``model`` expects as input is known without asking the user."""
    source = find_source(model)
    return source is None or source.is_described


def needs_trust(model: str) -> bool:
    """Whether opening ``model`` can run code."""
    return any(source.danger and source.recognizes(model) for source in SOURCES) and model not in catalogue.names()
