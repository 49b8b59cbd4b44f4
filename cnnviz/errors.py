"""The errors a user can cause or meet, each with the exit code the command line gives it.

Every message is one sentence that names the thing at fault. Code outside ``cnnviz.cli`` raises these and says nothing
of options or commands; only the command line prints them, adds which option helps (``cnnviz.cli.hints``), and turns
them into exit codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class CnnvizError(Exception):
    """Base class of expected errors, such as bad input or missing files.

    ``remedy`` names what would help, in a word that ``cnnviz.cli.hints`` knows the option for, as ``"overwrite"``;
    ``values`` are the numbers and names in that hint.
    """

    exit_code = 1

    def __init__(self, message: str = "", *, remedy: str = "", **values: Any) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.values = values


class ImageError(CnnvizError):
    """An image cannot be read or written, or does not fit the network."""


class UsageError(CnnvizError, ValueError):
    """An argument is wrong: an unknown class, layer, device, or options that contradict each other."""

    exit_code = 2


class ModelError(CnnvizError):
    """A model or its weights are unavailable, corrupt, or do not fit each other."""

    exit_code = 3


class MemoryShortError(CnnvizError, MemoryError):
    """The job does not fit in memory; the message says which size would."""

    exit_code = 4


class IncompleteError(CnnvizError):
    """Some inputs failed, each of which was reported; the rest is done. ``exit_code`` is the most serious of theirs."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("Some inputs failed.")
        self.exit_code = exit_code


class DivergedError(ImageError):
    """An optimization diverged: its loss is not finite."""


class Remark(str):
    """A sentence for the user that is no error; ``remedy`` and ``values`` are as in ``CnnvizError``."""

    remedy: str
    values: dict[str, Any]

    def __new__(cls, text: str = "", *, remedy: str = "", **values: Any) -> Remark:
        made = super().__new__(cls, text)
        made.remedy, made.values = remedy, values
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (str(self),), {"remedy": self.remedy, **self.values}


def shortened(text: str, length: int = 60) -> str:
    """A text from outside as messages repeat it: escaped if unprintable, cut after ``length`` characters."""
    cut, rest = text[:length], "…" if len(text) > length else ""
    return (cut if cut.isprintable() else ascii(cut)[1:-1]) + rest


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
