"""Maps as numbers: .npy files of one array, the recipe beside as .json, and .npz files of several and the recipe."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import UsageError
from cnnviz.imaging.image_reading import FileSource
from cnnviz.imaging.npy_reading import MAGIC

RECIPE_SUFFIX, _RECIPE = ".json", "recipe"
_ZIP = b"PK\x03\x04"
_LARGEST_RECIPE = 8 << 20  # bytes of a recipe that is read

Arrays = Mapping[str, NDArray[Any]]
"""Arrays by their names."""


def encode_numbers(arrays: Arrays, suffix: str, recipe: Mapping[str, Any]) -> bytes:
    """Arrays in float32 as the bytes of a file with this suffix: the only one alone, or all with the recipe as JSON.

    Raises UsageError where there are several, or none, for a .npy file.
    """
    floats = {name: np.ascontiguousarray(values, np.float32) for name, values in arrays.items()}
    buffer = BytesIO()
    if suffix == ".npz":
        np.savez_compressed(buffer, **{**floats, _RECIPE: np.array(recipe_json(recipe))})  # type: ignore[arg-type]
        return buffer.getvalue()
    if len(floats) != 1:
        raise UsageError(f"A .npy file holds one map, not {len(floats)}.", remedy="several_maps")
    (only,) = floats.values()
    np.save(buffer, only, allow_pickle=False)
    return buffer.getvalue()


def recipe_json(recipe: Mapping[str, Any]) -> str:
    """A recipe as JSON; equal recipes give equal texts."""
    return json.dumps(recipe, sort_keys=True, indent=2)


def is_of_numbers(source: FileSource, start: bytes) -> bool:
    """Whether a file, of which ``start`` are the first bytes, holds numbers, or is the recipe beside such a file."""
    is_text = not isinstance(source, bytes) and Path(source).suffix.lower() == RECIPE_SUFFIX
    return start.startswith((MAGIC, _ZIP)) or is_text


def recipe_of_numbers(source: FileSource, start: bytes) -> str:
    """The recipe's JSON in a .npz file, in a .json file or in that beside a .npy file; empty if there is none."""
    if start.startswith(_ZIP):
        return _recipe_inside(source)
    if isinstance(source, bytes):
        return ""
    path = Path(source).with_suffix(RECIPE_SUFFIX)
    try:
        return path.read_text() if path.stat().st_size <= _LARGEST_RECIPE else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _recipe_inside(source: FileSource) -> str:
    try:
        with np.load(BytesIO(source) if isinstance(source, bytes) else source, allow_pickle=False) as found:
            is_small = found.zip.getinfo(f"{_RECIPE}.npy").file_size <= 4 * _LARGEST_RECIPE
            return str(found[_RECIPE]) if is_small else ""
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return ""
