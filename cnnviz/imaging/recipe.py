"""The recipe in every written image: the command, model and settings that made it, as JSON metadata.

PNG stores it in a text chunk of the keyword ``cnnviz``; JPEG, WebP and TIFF in the EXIF tag ImageDescription;
GIF and MP4 in their comment; PDF in its keywords. Each also stores the program's name and version. Of numbers, a .npz
file holds it under the name ``recipe``, and a .npy file has it beside, as .json.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cnnviz import __version__
from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.image_reading import FileSource, display_name, first_bytes, open_image, read_file_bytes
from cnnviz.imaging.mp4 import is_mp4, read_comment
from cnnviz.imaging.numbers import is_of_numbers, recipe_of_numbers
from cnnviz.imaging.pdf import MAGIC as PDF
from cnnviz.imaging.pdf import read_keywords

SOFTWARE = f"cnnviz {__version__}"

_KEYWORD = "cnnviz"
_DESCRIPTION, _SOFTWARE = 0x010E, 0x0131  # EXIF tags
_EXIF_ROOM = 60_000  # bytes; a JPEG segment ends at 65,535
_LARGEST = 16 << 20  # characters of a recipe that is read
_DEEPEST = 20  # lists in lists


def recipe_metadata(recipe: dict[str, Any], format: str) -> dict[str, Any]:
    """The arguments of ``Image.save`` that store a recipe in a file of a format.

    Args:
        recipe: Any JSON value. Its keys are sorted, so that equal recipes give equal bytes.
        format: Pillow's name of the format: PNG, JPEG, WEBP, TIFF or GIF.

    Raises UsageError if the recipe is not JSON, or too long for EXIF.
    """
    text = _text(recipe)
    if format == "PNG":
        return {"pnginfo": _png_text(text)}
    if format == "GIF":
        return {"comment": to_comment(recipe).encode("ascii")}
    if len(text) > _EXIF_ROOM:
        raise UsageError(f"A recipe of {len(text):,} characters does not fit in {format}; write a PNG.")
    exif = Image.Exif()
    exif[_DESCRIPTION] = text
    exif[_SOFTWARE] = SOFTWARE
    return {"exif": exif.tobytes() if format != "TIFF" else exif}


def to_comment(recipe: dict[str, Any]) -> str:
    """The recipe as a comment, after the program's name and version; ASCII."""
    return f"{SOFTWARE} {_text(recipe)}"


def _text(recipe: dict[str, Any]) -> str:
    try:
        return json.dumps(recipe, sort_keys=True, ensure_ascii=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The recipe cannot be written as JSON: {error}.") from error


def _png_text(text: str) -> PngInfo:
    chunks = PngInfo()
    chunks.add_text("Software", SOFTWARE)
    chunks.add_text(_KEYWORD, text)
    return chunks


def read_recipe(source: FileSource) -> dict[str, Any]:
    """The recipe in the metadata of an image or video, or of numbers, written by cnnviz.

    Args:
        source: The path of the file, or its bytes.

    Raises ImageError if it cannot be opened, or has no recipe.
    """
    start = first_bytes(source)
    if _is_video(source):
        text = _of_comment(read_comment(source))
    elif start.startswith(PDF):
        text = _of_comment(read_keywords(source if isinstance(source, bytes) else read_file_bytes(Path(source))))
    elif is_of_numbers(source, start):
        text = recipe_of_numbers(source, start)
    else:
        with open_image(source) as image:
            text = _find(image)
    try:
        recipe = json.loads(text) if len(text) <= _LARGEST else None
    except (ValueError, RecursionError):
        recipe = None
    if not isinstance(recipe, dict) or not _is_shallow(recipe):
        raise ImageError(f"{display_name(source)} carries no cnnviz recipe.")
    return recipe


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        inside = (part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list))
        level = [part for parts in inside for part in parts]
        if not level:
            return True
    return False


def require_command(recipe: dict[str, Any], source: FileSource) -> None:
    """Raise ImageError unless a recipe describes a command as cnnviz writes it, so that it is safe to run again."""
    facts = {"inputs": [], "parameters": {}, "model": "", "seed": 0, "target": {"index": 0}, **recipe}
    sound = (
        isinstance(facts.get("command"), str)
        and re.fullmatch(r"[a-z-]+( [a-z-]+)*", facts["command"])
        and isinstance(facts["inputs"], list)
        and all(isinstance(name, str) and _is_name(name) for name in facts["inputs"])
        and isinstance(facts["parameters"], dict)
        and all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in facts["parameters"])
        and all(_is_plain(value) for value in facts["parameters"].values())
        and _is_plain(facts["model"])  # a list of those that were compared
        and not isinstance(facts["model"], int | float)
        and isinstance(facts["seed"], int | None)
        and isinstance(facts["target"], dict)
        and isinstance(facts["target"].get("index"), int)
    )
    if not sound:
        name = display_name(source)
        raise ImageError(f"{name} carries a recipe that tells no command; another program may have written it.")


def _is_name(text: str) -> bool:
    """Whether a string could be given on a command line."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _is_plain(value: Any) -> bool:
    """Whether a parameter is a string, a number, True, False or None, or a list of them."""
    if isinstance(value, list):
        return all(not isinstance(part, dict) and _is_plain(part) for part in value)
    return _is_name(value) if isinstance(value, str) else isinstance(value, int | float | None)


def _find(image: Image.Image) -> str:
    """The recipe's JSON, or an empty string if there is none."""
    if image.format == "PNG":
        return str(image.info.get(_KEYWORD, ""))
    if image.format == "GIF":
        return _of_comment(image.info.get("comment", b"").decode("ascii", "replace"))
    exif = image.getexif()
    made_here = str(exif.get(_SOFTWARE, "")).startswith(f"{_KEYWORD} ")
    return str(exif.get(_DESCRIPTION, "")) if made_here else ""


def _of_comment(comment: str) -> str:
    return comment[comment.find("{") :] if comment.startswith(f"{_KEYWORD} ") else ""


def _is_video(source: FileSource) -> bool:
    try:
        return is_mp4(source)
    except OSError:
        return False  # opening it as an image tells what is wrong
