"""Runs code of the user's own: its failures become one sentence with file and line."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnviz.errors import CnnvizError, ModelError, shortened
from cnnviz.network.sources.neighbors import imported, make_importable
from cnnviz.runtime.memory import is_out_of_memory

_OURS = str(Path(__file__).parents[2])


@contextmanager
def own_code(model: str, seed: int, file: Path | None = None) -> Iterator[None]:
    """Context for running code of ``model``: seeded, and able to import files beside a Python file.

    What it prints goes to stderr. Random numbers of the process, its default type and its path are as they were
    afterwards, and each file is run again, with its neighbors. Any error, and an exit, becomes a ModelError that names
    the file and line.
    """
    path, dtype, grad = list(sys.path), torch.get_default_dtype(), torch.is_grad_enabled()
    skips_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # in the user's folder
    known = set(sys.modules)
    if file is not None:
        sys.path.insert(0, str(file.resolve().parent))
        make_importable(file.resolve().parent)
        while imported:
            known.discard(name := imported.pop())
            sys.modules.pop(name, None)
    try:
        with torch.random.fork_rng(devices=[]), redirect_stdout(sys.stderr):
            torch.manual_seed(seed)
            yield
    except CnnvizError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(failure(model, error, file)) from error
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = skips_bytecode
        if file is not None:
            imported.update(_neighbors(file, set(sys.modules) - known))
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)


def _neighbors(file: Path, names: set[str]) -> list[str]:
    """Those of the modules ``names`` that are files of the folder of ``file``."""
    folder = file.resolve().parent
    places = {name: Path(getattr(sys.modules[name], "__file__", None) or "/") for name in names}
    return [
        name
        for name, place in places.items()
        if folder in place.resolve().parents and "site-packages" not in place.parts[len(folder.parts) :]
    ]


def failure(model: str, error: BaseException, file: Path | None) -> str:
    """The error as a sentence: ``'my_net.py:build' failed at line 12 of 'my_net.py': ValueError: no such width.``"""
    where, line = _place(error, file)
    text = " ".join(str(error).split())
    said = f"{type(error).__name__}: {shortened(text, 200)}" if text else type(error).__name__
    place = f" at line {line} of '{where}'" if where else ""
    return f"'{model}' failed{place}: {said}" + ("" if said.endswith((".", "!", "?")) else ".")


def unfit_forward(model: str, module: nn.Module) -> str | None:
    """What is wrong with a ``forward`` that does not take images as its only argument; None if it does."""
    kind = type(module)
    if kind.forward is nn.Module.forward:
        return f"'{model}' cannot be given images: {kind.__name__}{_defined(kind)} has no method forward."
    try:
        inspect.signature(module.forward).bind(None)
    except TypeError:
        said = f"forward{inspect.signature(kind.forward)}"
        return f"'{model}' cannot be given images: {said}{_defined(kind.forward)} does not take them as one argument."
    except ValueError:  # it has no signature
        return None
    return None


def _defined(code: Any) -> str:
    """Where a class or function is defined, in words; empty where it has no file, as in a notebook."""
    try:
        found = inspect.unwrap(code)
        where, line = Path(inspect.getsourcefile(found) or "").name, inspect.getsourcelines(found)[1]
    except (OSError, TypeError):
        return ""
    return f" (line {line} of '{where}')"


def _place(error: BaseException, file: Path | None) -> tuple[str, int]:
    """The file and line that an error is from: the deepest line of the user's folder, else of any code but ours."""
    if isinstance(error, SyntaxError) and error.filename:
        return Path(error.filename).name, error.lineno or 1
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith((_OURS, "<"))]
    if file is not None:
        folder = file.resolve().parent
        frames = [each for each in frames if folder in Path(each.filename).resolve().parents] or frames
    return (Path(frames[-1].filename).name, frames[-1].lineno or 1) if frames else ("", 0)
