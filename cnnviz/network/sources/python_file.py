"""``my_net.py:build``: what a function or class of a Python file builds.

``my_net.py`` alone means its function ``build``, else the only module class that is defined in it.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from cnnviz.errors import ModelError, UsageError, listed
from cnnviz.network.network import Network
from cnnviz.network.sources.built import load_built
from cnnviz.network.sources.call import Call, parse_call
from cnnviz.network.sources.files import python_parts
from cnnviz.network.sources.request import LoadedModel, Request

_DEFAULT = "build"
_MOST_LISTED = 12


def load(request: Request) -> LoadedModel:
    """The network that a Python file builds; the file is run. ModelError where it fails, or has no such thing."""
    file, text = python_parts(request.model)
    call = parse_call(text, request.model) if text else Call("")
    return load_built(request, lambda: _found(_run(file), call.name, file), call, file)


def _run(file: Path) -> ModuleType:
    """The module of a file, run again, so that changes in it count."""
    spec = importlib.util.spec_from_file_location(_module_name(file), file)
    if spec is None or spec.loader is None:
        raise ModelError(f"'{file}' cannot be read as Python.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _module_name(file: Path) -> str:
    """The file's own name, by which its neighbors import it, unless a module of the process or a package has that."""
    name, folder = file.stem, file.resolve().parent
    elsewhere = [each for each in sys.path if Path(each).resolve() != folder]
    is_taken = name in sys.modules or name in sys.stdlib_module_names or PathFinder.find_spec(name, elsewhere)
    return f"_cnnviz_file_{name}" if is_taken else name


def _found(module: ModuleType, name: str, file: Path) -> Any:
    """What is called ``name`` in a module, or, without a name, what there is to build; an error that lists it."""
    if name:
        if not hasattr(module, name):
            raise UsageError(f"'{file}' has nothing called '{name}'{_offer(module)}.")
        return getattr(module, name)
    if callable(getattr(module, _DEFAULT, None)):
        return getattr(module, _DEFAULT)
    classes = _classes(module)
    if len(classes) != 1:
        raise UsageError(f"'{file}' has no function 'build' and not one module class alone{_offer(module)}.")
    return getattr(module, classes[0])


def _offer(module: ModuleType) -> str:
    """The end of an error message that lists what could be named: ``; it has Net and make_net``."""
    functions = [name for name, value in vars(module).items() if _is_own_function(module, name, value)]
    modules = [name for name, value in vars(module).items() if isinstance(value, nn.Module | Network)]
    found = [*_classes(module), *functions, *modules]
    if not found:
        return "; it has none to name"
    name, example = Path(module.__file__ or "").name, [*modules, *functions, *_classes(module)][-1]
    more = " and more" if len(found) > _MOST_LISTED else ""
    return f"; it has {listed(found[:_MOST_LISTED])}{more}: name one, as {name}:{example}"


def _classes(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    ]


def _is_own_function(module: ModuleType, name: str, value: Any) -> bool:
    is_class = isinstance(value, type)
    return (
        callable(value)
        and not is_class
        and not name.startswith("_")
        and getattr(value, "__module__", "") == module.__name__
    )
