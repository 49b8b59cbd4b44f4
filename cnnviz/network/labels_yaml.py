"""The class names in a YAML file of YOLO's: ``names:`` with a list, or an object from index to name.

A strict reader of that shape alone, since no package that cnnviz needs reads YAML.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_SCALAR = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s"'\[\]{}#,&*!|>%@`-][^\[\]{}#,]*?|-(?=\S)[^\[\]{}#,]*?)"""
"""A value in quotes, or without."""

_LINE_SCALAR = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s"'\[\]{}#&*!|>%@`].*?)"""
"""A value in quotes, or without up to the end of a line."""

_KEY = re.compile(r"(names|classes|labels|id2label|class_to_idx)\s*:(?:\s+(.*))?")
_COUNT = re.compile(r"nc\s*:\s+(\d{1,9})\s*")
_ITEM = re.compile(rf"\s*-\s+({_LINE_SCALAR})\s*")
_ENTRY = re.compile(rf"\s+({_SCALAR})\s*:\s+({_LINE_SCALAR})\s*")
_COMMENT = re.compile(r"""((?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*'|(?<=\w)['"]|(?<=\S)#)*?)\s*(?:(?<=\s)#.*|^#.*)?""")


def names_in_yaml(text: str) -> list[Any] | dict[Any, Any]:
    """What stands under ``names:``, or is all of the file; ValueError that says why there is no such list or object.

    Also under ``classes:``, ``labels:``, ``id2label:`` and ``class_to_idx:``. The message continues ``The file …``.
    """
    lines = [_without_comment(line) for line in re.split("\r\n|\r|\n", text)]
    lines = [line for line in lines if line.strip() and line.strip() not in ("---", "...")]
    if lines and _ITEM.fullmatch(lines[0]):
        return _block(lines)
    for number, line in enumerate(lines):
        match = _KEY.fullmatch(line)
        if match:
            rest, below = (match[2] or "").strip(), lines[number + 1 :]
            found = _flow(" ".join([rest, *below])) if rest[:1] in ("[", "{") else _block(below, rest)
            _check_count(lines, found)
            return found
    raise ValueError("has no 'names:' with the names of classes")


def _without_comment(line: str) -> str:
    match = _COMMENT.fullmatch(line)
    return (match[1] if match else line).rstrip()


def _check_count(lines: Sequence[str], names: list[Any] | dict[Any, Any]) -> None:
    match = next(filter(None, map(_COUNT.fullmatch, lines)), None)
    if match and int(match[1]) != len(names):
        raise ValueError(f"says nc: {match[1]}, but names {len(names)} classes")


def _block(lines: Sequence[str], rest: str = "") -> list[Any] | dict[Any, Any]:
    """A list or an object with a line for each entry; it ends with the first line that is indented no more."""
    if rest:
        raise ValueError(f"has '{rest[:40]}' where a list of names is due")
    is_list = bool(lines) and _ITEM.fullmatch(lines[0]) is not None
    pattern, entries = (_ITEM if is_list else _ENTRY), []
    for line in lines:
        match = pattern.fullmatch(line)
        if match:
            entries.append(tuple(map(_value, match.groups())))
        elif line[:1].isspace() or line.startswith("-"):
            raise ValueError(f"has '{line.strip()[:40]}' where the name of a class is due")
        else:
            break
    if is_list:
        return [name for (name,) in entries]
    return _as_dict(entries)


def _flow(text: str) -> list[Any] | dict[Any, Any]:
    """``[cat, dog]`` or ``{0: cat, 1: dog}``, at the start of ``text``."""
    is_list, close = text[0] == "[", "]" if text[0] == "[" else "}"
    entry = re.compile(
        rf"\s*({_SCALAR})\s*" if is_list else rf"\s*({_SCALAR.replace('#,', '#,:')})\s*:\s+({_SCALAR})\s*"
    )
    entries: list[tuple[Any, ...]] = []
    place = 1
    while place < len(text):
        if text[place:].lstrip().startswith(close):
            return [name for (name,) in entries] if is_list else _as_dict(entries)
        match = re.compile(rf"{entry.pattern}(?=[,{re.escape(close)}])").match(text, place)
        if match is None:
            break
        entries.append(tuple(map(_value, match.groups())))
        place = match.end() + (text[match.end()] == ",")
    raise ValueError(f"has '{text[place : place + 40].strip()}' where the name of a class or '{close}' is due")


def _as_dict(entries: Sequence[tuple[Any, ...]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in entries:
        if key in found:
            raise ValueError(f"has '{str(key)[:40]}' twice")
        found[key] = value
    return found


def _value(text: str) -> str | int:
    """A scalar: digits as a number, unless they are in quotes."""
    text = text.strip()
    if text[:1] == "'":
        return text[1:-1].replace("''", "'")
    if text[:1] == '"':
        return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), text[1:-1])
    return int(text) if re.fullmatch(r"0|[1-9]\d{0,8}", text) else text
