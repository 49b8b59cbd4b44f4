"""Class names from files: lines, tables, JSON and YAML, with or without the index of each class.

Whatever the form, indices must be those of all classes, each once, counted from 0 or from 1.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnviz.errors import UsageError, shortened
from cnnviz.network.label_lists import LabelsError, Pairs, check_names, counts, in_order, is_digits, labels_of
from cnnviz.network.labels_yaml import names_in_yaml
from cnnviz.runtime.paths import UnreadableFileError, detect_encoding, read_file

_LARGEST = 16 << 20
"""Bytes of a labels file: a million names."""

_LARGEST_LITERAL = 1 << 20  # characters of a Python literal; parsing one takes a hundred times its size

_INDEX_HEADERS = ("index", "idx", "id", "class_id", "class_index", "label_id", "class_idx", "category_id", "number")
_NAME_HEADERS = ("label", "name", "class", "class_name", "labels", "names", "classes", "category", "display_name")

_INDEX_FIRST = re.compile(r"\s*(\d{1,9})(?:\s*[,:;=|]\s*|\s+)(.*\S)\s*")
_INDEX_LAST = re.compile(r"\s*(\S.*?)(?:\s*[,:;=|]\s*|\s+)(\d{1,9})\s*")
_SYNSET_FIRST = re.compile(r"\s*n\d{8}[\s,:;]+(.*\S)\s*")


def read_labels(path: str | Path) -> tuple[str, ...]:
    """Class names from a file.

    Args:
        path: a text file in UTF-8 or UTF-16 with a name on each line (``names.txt``), after its index (``0 cat``) or
            WordNet id (``n01440764 tench, Tinca tinca``) or before its index (``cat,0``); a table (.csv, .tsv) with or
            without a header; JSON or a Python literal (see ``labels_of``); or a YAML file of YOLO's.

    Raises UsageError where the file cannot be read or parsed, lacks a class or has one twice, or a name cannot be
    displayed.
    """
    path = Path(path)
    text = _read_text(path)
    try:
        labels = _parse(path.suffix.lower(), text)
        if not labels:
            raise LabelsError("holds no class names; give one per line")
        check_names(labels)
    except LabelsError as error:
        raise UsageError(f"The labels file '{path}' {error}.") from error
    return labels


def _read_text(path: Path) -> str:
    try:
        content = read_file(path, _LARGEST)
        return content.decode(detect_encoding(content) or "utf-8").removeprefix("\ufeff")
    except UnreadableFileError as error:
        raise UsageError(f"The labels file '{path}' {error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The labels file '{path}' cannot be read: it is not text in UTF-8 or UTF-16.") from error


def _parse(suffix: str, text: str) -> tuple[str, ...]:
    if suffix in (".yaml", ".yml"):
        return labels_of(_from_yaml(text))
    if suffix == ".json":
        return labels_of(_from_json(text))
    if suffix in (".csv", ".tsv"):
        return _from_table(_lines(text))
    if text.lstrip()[:1] in ("{", "["):
        return labels_of(_from_literal(text))
    return _from_lines(_lines(text))


def _lines(text: str) -> list[str]:
    return [line for line in re.split("\r\n|\r|\n", text) if line.strip()]


def _from_yaml(text: str) -> Any:
    try:
        return names_in_yaml(text)
    except ValueError as error:
        raise LabelsError(str(error)) from error


def _from_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except LabelsError:
        raise
    except (ValueError, RecursionError) as error:
        raise LabelsError("is not JSON") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise LabelsError(f"has '{shortened(key)}' twice")
        found[key] = value
    return found


def _from_literal(text: str) -> Any:
    """JSON, or Python's own notation of a list or dictionary."""
    try:
        return _from_json(text)
    except LabelsError:
        if len(text) > _LARGEST_LITERAL:
            raise
    try:
        return ast.literal_eval(text.strip().rstrip(";"))
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as error:
        raise LabelsError("is neither JSON nor a Python list or dictionary of names") from error


def _from_lines(lines: Sequence[str]) -> tuple[str, ...]:
    """Names line by line, those with indices in the indices' order."""
    synsets = [_SYNSET_FIRST.fullmatch(line) for line in lines]
    if all(synsets):
        lines = [match[1] for match in synsets if match]
    first = [match for match in map(_INDEX_FIRST.fullmatch, lines) if match]
    if len(first) == len(lines):
        pairs = [(int(match[1]), match[2]) for match in first]
        if _is_numbered(pairs, (0, 1)):
            return in_order(pairs)
    last = [match for match in map(_INDEX_LAST.fullmatch, lines) if match]
    if len(last) == len(lines):
        pairs = [(int(match[2]), match[1]) for match in last]
        if _is_numbered(pairs, (0,)) and counts(index for index, _ in pairs):
            return in_order(pairs)
    return tuple(" ".join(line.split("\t")).strip() for line in lines)


def _is_numbered(pairs: Pairs, starts: Sequence[int]) -> bool:
    """Whether numbers beside names are indices, not part of the names (``1 euro``, ``2 euro``)."""
    is_mixed = len({name for _, name in pairs}) > 0.5 * len(pairs)
    return bool(pairs) and is_mixed and min(index for index, _ in pairs) in starts and pairs != [(1, pairs[0][1])]


def _from_table(lines: Sequence[str]) -> tuple[str, ...]:
    """The names in a table, in the order of its column of indices if it has one."""
    delimiter = _delimiter(lines[0]) if lines else ","
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
    except csv.Error as error:
        raise LabelsError(f"is not a table: {error}") from error
    rows = [row for row in rows if any(row)]
    if not rows:
        return ()
    header, body = _header(rows)
    widths = {len(row) for row in body}
    if widths == {1} and len(header) <= 1:
        return tuple(row[0] for row in body)
    if not header and len(widths) > 1:  # names with commas, unquoted
        return _from_lines(lines)
    short = next((number for number, row in enumerate(body, len(rows) - len(body) + 1) if len(row) < 2), None)
    if short is not None:
        raise LabelsError(f"has nothing but '{shortened(body[short - 1 - len(rows) + len(body)][0])}' in row {short}")
    index, name = _columns(header, body)
    if index is None:
        return tuple(row[name] for row in body)
    return in_order([(_table_index(row, index), row[name]) for row in body])


def _delimiter(line: str) -> str:
    return max("\t;|,", key=lambda sign: (sign in line, sign == "\t", line.count(sign)))


def _header(rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, empty if the first row names none, and the other rows."""
    first = [cell.casefold().replace(" ", "_") for cell in rows[0]]
    is_header = any(cell in _NAME_HEADERS or cell in _INDEX_HEADERS for cell in first)
    if is_header and len(rows) > 1 and not any(map(is_digits, first)):
        return first, rows[1:]
    numbers = [all(is_digits(row[n]) for row in rows[1:] if n < len(row)) for n in range(len(first))]
    is_header = len(rows) > 1 and any(numbers) and not any(map(is_digits, first))
    return (first, rows[1:]) if is_header else ([], rows)


def _columns(header: list[str], rows: list[list[str]]) -> tuple[int | None, int]:
    """The column of indices, None if there is none, and that of names."""
    width = min(map(len, rows))
    named = [n for n in range(width) if n < len(header) and header[n] in _NAME_HEADERS]
    indexed = [n for n in range(width) if n < len(header) and header[n] in _INDEX_HEADERS]
    numbers = [n for n in range(width) if all(is_digits(row[n]) for row in rows)]
    counting = [n for n in numbers if counts(int(row[n]) for row in rows)]
    mixed = [n for n in indexed if any(is_digits(row[n]) for row in rows)]
    candidates = mixed or counting or numbers
    index = next((n for n in candidates if n not in named), next(iter(candidates), None))
    texts = [n for n in range(width) if n not in numbers and not all(_is_synset(row[n]) for row in rows)]
    others = [n for n in (*named, *texts, *range(width)) if n != index]
    if index is None and not named:
        raise LabelsError("is a table without a column of indices, and no header says which column has the names")
    return index, others[0]


def _is_synset(text: str) -> bool:
    return re.fullmatch(r"n\d{8}", text) is not None


def _table_index(row: list[str], column: int) -> int:
    if not is_digits(row[column]):
        raise LabelsError(f"has '{shortened(row[column])}' where an index is due")
    return int(row[column])
