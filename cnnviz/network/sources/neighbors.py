"""Imports of files beside a Python file that cnnviz ran, for imports that come when its code is called.

While the file itself runs, its folder stands in ``sys.path``. What a function or ``forward`` imports later is found
here: by code of that folder only, so that nothing else in the process sees it.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import FrameType
from typing import Any

imported: set[str] = set()
"""The modules that code of files brought from its own folder: the next file has neighbors of its own."""


def make_importable(folder: Path) -> None:
    """Let code of ``folder`` import what is in it, from now on."""
    _finder.folders.add(folder)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder(MetaPathFinder):
    """Finds modules in the folder of the code that imports them, if that is one of ``folders``."""

    def __init__(self) -> None:
        self.folders: set[Path] = set()

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        folders = [] if path is not None else self._importing_folders()
        spec = PathFinder.find_spec(fullname, folders) if folders else None
        if spec is None or spec.origin is None:
            return None
        if type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(fullname, spec.origin)
        imported.add(fullname)
        return spec

    def _importing_folders(self) -> list[str]:
        """Those of the folders that the importing code is in, the innermost first."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        if frame is None or frame.f_code.co_filename.startswith("<"):
            return []
        place = Path(frame.f_code.co_filename).resolve()
        return [str(folder) for folder in place.parents if folder in self.folders]


class _Loader(SourceFileLoader):
    """Leaves no bytecode in the user's folder."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        pass


_finder = _Finder()
