"""A table of images and their true classes: a CSV file with a row for each image."""

from __future__ import annotations

import csv
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnviz.errors import UsageError, shortened
from cnnviz.runtime.paths import UnreadableFileError, detect_encoding, read_file

_LARGEST = 1 << 28  # bytes
_FILE_HEADERS = (
    "file",
    "path",
    "filename",
    "file_name",
    "filepath",
    "image",
    "image_path",
    "img",
    "id",
    "name",
    "input",
)
_CLASS_HEADERS = ("class", "label", "true", "target", "category", "class_name", "classname", "breed", "y")


@dataclass(frozen=True)
class ClassTable:
    """The class of each image, as a CSV file names them.

    Attributes:
        path: of the file.
        classes: the class's name by the image's: a path or the end of one, with or without its suffix.
    """

    path: Path
    classes: Mapping[str, str]

    def key_of(self, image: Path) -> str | None:
        """The name by which the table has an image; None if it has none.

        The longest end of its absolute path that is in the table, with its suffix or without.
        """
        return next((key for key in _ends(image) if key in self.classes), None)


def _ends(image: Path) -> Iterator[str]:
    """The names a table may have for a path: absolute or without its first folders, with the suffix and without."""
    whole = Path(os.path.abspath(image)).as_posix()
    parts = whole.split("/")
    for path in (whole, *("/".join(parts[start:]) for start in range(1, len(parts)))):
        yield path
        yield path.removesuffix(image.suffix)


def read_class_table(path: Path) -> ClassTable:
    """The table in a CSV file: a column of images, a column of classes, with a header that says which, or without.

    Without a header the column with the suffixes of images is theirs, else the first. Images are named by their paths
    from the table's folder or from any folder, or by their names, with or without suffix. Raises UsageError where the
    file cannot be read, has no such columns, or gives an image two classes.
    """
    name = f"The table of classes '{path}'"
    rows = _rows(path, name)
    if not rows:
        raise UsageError(f"{name} is empty.")
    if min(map(len, rows)) < 2:
        short = next(number for number, row in enumerate(rows, 1) if len(row) < 2)
        raise UsageError(f"{name} has one column in row {short}, where an image and its class are due.")
    columns, body = _columns(rows, name)
    classes: dict[str, str] = {}
    for row in body:
        image, kind = _key(row[columns[0]], path.parent), row[columns[1]]
        if classes.setdefault(image, kind) != kind:
            raise UsageError(f"{name} has '{shortened(image)}' as '{classes[image]}' and as '{shortened(kind)}'.")
    return ClassTable(path, classes)


def _rows(path: Path, name: str) -> list[list[str]]:
    try:
        content = read_file(path, _LARGEST)
        lines = content.decode(detect_encoding(content) or "utf-8").removeprefix("\ufeff").splitlines()
        sign = max("\t;,", key=lambda sign: (sign in lines[0], lines[0].count(sign))) if lines else ","
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=sign, skipinitialspace=True)]
    except UnreadableFileError as error:
        raise UsageError(f"{name} {error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{name} cannot be read: it is no table in UTF-8 or UTF-16.") from error
    return [row for row in rows if any(row)]


def _columns(rows: Sequence[Sequence[str]], name: str) -> tuple[tuple[int, int], Sequence[Sequence[str]]]:
    """The columns of images and of classes, and the rows below the header."""
    header = [cell.casefold().replace(" ", "_") for cell in rows[0]]
    width = min(map(len, rows))
    kinds = [header.index(word) for word in _CLASS_HEADERS if word in header[:width]]
    files = [header.index(word) for word in _FILE_HEADERS if word in header[:width]]
    images = [n for n in range(width) if all(map(_is_image, (row[n] for row in rows[1:] or rows)))]
    has_header = len(rows) > 1 and bool(kinds or files) and not any(map(_is_image, rows[0]))
    file = next(iter([*(files if has_header else []), *images, *(n for n in range(width) if n not in kinds)]), 0)
    others = [n for n in range(width) if n != file]
    kind = next((n for n in kinds if n != file and has_header), others[0] if len(others) == 1 else None)
    if kind is None:
        columns = ", ".join(f"'{shortened(cell)}'" for cell in rows[0])
        raise UsageError(f"{name} has the columns {columns}: name those of images and classes 'file' and 'class'.")
    return (file, kind), rows[1:] if has_header else rows


def _is_image(text: str) -> bool:
    from cnnviz.imaging.file_types import UNREADABLE_SUFFIXES
    from cnnviz.imaging.image_io import SUFFIXES

    return Path(text).suffix.lower() in SUFFIXES | UNREADABLE_SUFFIXES


def _key(image: str, folder: Path) -> str:
    """An image's name in the table as ``_ends`` has it: without ``.`` and ``..``."""
    path = posixpath.normpath(image.replace("\\", "/")) if os.name == "nt" else posixpath.normpath(image)
    if path.startswith("../"):
        return Path(os.path.abspath(folder / path)).as_posix()
    return path
