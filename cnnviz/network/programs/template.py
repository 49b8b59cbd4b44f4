"""The command line of a program, with a place for the images."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cnnviz.errors import UsageError, shortened

Passing = Literal["file", "folder", "stdin"]
"""How a program gets images: the path of one PNG, the path of a folder of them, or their bytes on standard input."""

_PLACES: dict[str, Passing] = {"{frames}": "folder", "{}": "file"}
_STDIN = "-"

_SCRIPTS = (".bash", ".jar", ".jl", ".js", ".lua", ".php", ".pl", ".py", ".r", ".rb", ".sh", ".ts")
"""Suffixes of scripts: a network is named after the script rather than its interpreter."""


@dataclass(frozen=True)
class CommandTemplate:
    """A command line split into words, and how it takes images."""

    words: tuple[str, ...]
    passing: Passing

    @staticmethod
    def parse(text: str) -> CommandTemplate:
        """``text`` split as a shell splits it; nothing else that a shell does is done.

        Raises UsageError unless it has one kind of place for images: ``{}``, ``{frames}`` or, as a word, ``-``.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise UsageError(f"The command line '{shortened(text)}' cannot be split: {str(error).lower()}.") from None
        kinds = {passing for place, passing in _PLACES.items() if any(place in word for word in words)}
        if len(kinds) > 1:
            raise UsageError(f"The command line '{shortened(text)}' has both {{}} and {{frames}}: which is it to be?")
        if kinds:
            return CommandTemplate(words, kinds.pop())
        if _STDIN in words[1:]:
            return CommandTemplate(words, "stdin")
        raise UsageError(
            f"The command line '{shortened(text)}' has no place for images: {{frames}} stands for a folder of PNG "
            "files, {} for one PNG file, - for PNG files on standard input."
        )

    def filled(self, path: Path) -> list[str]:
        """The words for a file or folder."""
        return [_filled(word, str(path)) for word in self.words]

    @property
    def name(self) -> str:
        """The program's name, or that of the script that an interpreter runs."""
        scripts = (word for word in self.words if Path(word).suffix.lower() in _SCRIPTS)
        return next((Path(word).stem for word in scripts), Path(self.words[0]).name)


def _filled(word: str, path: str) -> str:
    for place in _PLACES:
        word = word.replace(place, path)
    return word
