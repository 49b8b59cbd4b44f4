"""Names of models that are files or folders, and whether those are there."""

from __future__ import annotations

import re
from pathlib import Path

from cnnviz.errors import ModelError
from cnnviz.network import catalogue
from cnnviz.runtime.paths import is_file, is_folder, with_home

WEIGHTS_SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".tar")

_PYTHON = re.compile(r"(?P<file>.*?\.py)(?::(?P<call>.*))?", re.DOTALL | re.IGNORECASE)


def is_python(model: str) -> bool:
    """Whether ``model`` is a Python file, with or without the name of what is in it."""
    return _PYTHON.fullmatch(model) is not None


def python_parts(model: str) -> tuple[Path, str]:
    """The file, and what follows its name and a colon: ``my_net.py:build(width=2)``."""
    found = _PYTHON.fullmatch(model)
    assert found is not None
    return Path(found["file"]), (found["call"] or "").strip()


def is_weights(model: str) -> bool:
    """Whether ``model`` is called like a file of weights, or is one."""
    return model.lower().endswith(WEIGHTS_SUFFIXES)


def require_file(model: str | Path) -> None:
    """Raise ModelError unless there is such a file."""
    if not is_file(model):
        raise ModelError(f"The file '{model}' does not exist or is not a file.")


def require_python_file(model: str) -> None:
    """Raise ModelError unless the Python file is there."""
    require_file(python_parts(model)[0])


def model_folder(model: str) -> Path:
    """The folder of ``local-dir:FOLDER``."""
    return with_home(model.partition(":")[2])


def require_model_folder(model: str) -> None:
    """Raise ModelError unless the folder holds a network as timm and the hub save them."""
    folder = model_folder(model)
    if not is_folder(folder):
        raise ModelError(f"The folder '{folder}' does not exist or is not a folder.")
    if not is_file(folder / "config.json"):
        raise ModelError(f"The folder '{folder}' holds no config.json, which names the architecture.")


def model_files(model: str) -> list[Path]:
    """The files that ``model`` is made of, as it names them; empty for networks that are no files."""
    if model == "auto" or model in catalogue.names():
        return []
    if is_python(model):
        return [python_parts(model)[0]]
    if model.lower().startswith("local-dir:"):
        return [each for each in sorted(model_folder(model).iterdir()) if is_file(each)]
    return [Path(model)] if is_file(model) else []
