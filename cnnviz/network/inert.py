"""Stand-ins for the objects that training scripts save beside weights: command-line arguments, numbers, paths.

``torch.load(weights_only=True)`` creates what its list of safe names has, and refuses all else. The names here are
added to the list while a file is read, and mean the classes and functions of this module, which do nothing: neither
argparse nor NumPy nor pathlib is asked to make anything of a file's content.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

_FORMATS = {
    "f2": "e",
    "f4": "f",
    "f8": "d",
    "b1": "?",
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
}
"""NumPy's types of numbers -> ``struct``'s."""


class Attributes:
    """In place of a namespace, or of any object that is a bag of attributes: ``argparse.Namespace``."""

    def __init__(self, *values: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, Mapping):
            names = (name for name in state if isinstance(name, str) and not name.startswith("__"))
            self.__dict__.update({name: state[name] for name in names})


class Type:
    """In place of ``numpy.dtype``: the type's name, as ``f8``, and the order of its bytes."""

    def __init__(self, name: Any = "", *rest: Any) -> None:
        self.name, self.order = str(name), "<"

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            self.order = ">"


class Array:
    """In place of a NumPy array, which is not kept."""

    def __init__(self, *values: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def number(kind: Any = None, content: Any = None, *rest: Any) -> float | int | bool | None:
    """A NumPy scalar as Python's; None for types that are no numbers."""
    form = _FORMATS.get(kind.name) if isinstance(kind, Type) else None
    if form is None or not isinstance(content, bytes) or len(content) != struct.calcsize(form):
        return None
    value: float | int | bool = struct.unpack(kind.order + form, content)[0]
    return value


def path(*parts: Any) -> str:
    """A path as text."""
    return str(PurePosixPath(*(part for part in parts if isinstance(part, str))))


def plain_dict(*values: Any) -> OrderedDict[Any, Any]:
    """In place of a dictionary that makes its own entries (``defaultdict``): one that does not."""
    return OrderedDict()


_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")
_OMEGACONF: tuple[str, ...] = (
    "dictconfig.DictConfig",
    "listconfig.ListConfig",
    "base.ContainerMetadata",
    "base.Metadata",
)
_OMEGACONF += tuple(f"nodes.{kind}Node" for kind in ("Any", "String", "Integer", "Float", "Boolean", "Path", "Enum"))
_LIGHTNING = ("pytorch_lightning", "lightning.pytorch")
_CALLBACKS = ("model_checkpoint.ModelCheckpoint", "early_stopping.EarlyStopping", "lr_monitor.LearningRateMonitor")

SAFE: Mapping[str, Callable[..., Any]] = {
    "argparse.Namespace": Attributes,
    "types.SimpleNamespace": Attributes,
    "numpy.dtype": Type,
    "numpy.ndarray": Array,
    "collections.defaultdict": plain_dict,
    **dict.fromkeys(("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"), number),
    **dict.fromkeys(("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"), Array),
    **{f"{module}.{name}": path for module in ("pathlib", "pathlib._local") for name in _PATHS},
    **{f"omegaconf.{name}": Attributes for name in _OMEGACONF},
    **{f"{package}.utilities.parsing.AttributeDict": OrderedDict for package in _LIGHTNING},
    **{f"{package}.callbacks.{name}": Attributes for package in _LIGHTNING for name in _CALLBACKS},
    **{f"{module}.{name}": Attributes for module in ("builtins", "__builtin__") for name in ("dict", "list", "int")},
    **{f"{module}.{name}": Attributes for module in ("builtins", "__builtin__") for name in ("str", "float", "bool")},
    **{f"typing.{name}": Attributes for name in ("Any", "Union", "Optional")},
}
"""Names in files that are let in -> what is made instead."""


def safe_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """The names, as ``torch.serialization.safe_globals`` takes them."""
    return [(stand_in, name) for name, stand_in in SAFE.items()]
