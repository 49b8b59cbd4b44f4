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

    Example:
        >>> import cnnviz
        >>> try:
        ...     cnnviz.read_image("nowhere.png")
        ... except cnnviz.CnnvizError as error:
        ...     print(type(error).__name__, error.exit_code)
        ImageError 1
    """

    exit_code = 1

    def __init__(self, message: str = "", *, remedy: str = "", **values: Any) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.values = values


class ImageError(CnnvizError):
    """An image cannot be read or written, or does not fit the network.

    Example:
        >>> cnnviz.read_image("nowhere.png")
        Traceback (most recent call last):
        ...
        cnnviz.errors.ImageError: 'nowhere.png' does not exist.
    """


class UsageError(CnnvizError, ValueError):
    """An argument is wrong: an unknown class, layer, device, or options that contradict each other.

    It is a ``ValueError`` too.

    Example:
        >>> cnnviz.load_network("squeezenet1_1").find_class(1000)
        Traceback (most recent call last):
        ...
        cnnviz.errors.UsageError: Class index 1000 is out of range: this network has classes 0 to 999.
    """

    exit_code = 2


class ModelError(CnnvizError):
    """A model or its weights are unavailable, corrupt, or do not fit each other.

    Example:
        >>> cnnviz.load_network("lenet5")
        Traceback (most recent call last):
        ...
        cnnviz.errors.ModelError: lenet5 has no published weights: give a file of your own, or 'random'.
    """

    exit_code = 3


class MemoryShortError(CnnvizError, MemoryError):
    """The job does not fit in memory; the message says which size would.

    It is a ``MemoryError`` too.

    Example:
        >>> issubclass(cnnviz.MemoryShortError, (cnnviz.CnnvizError, MemoryError))
        True
    """

    exit_code = 4


class IncompleteError(CnnvizError):
    """Some inputs failed, each of which was reported; the rest is done. ``exit_code`` is the most serious of theirs."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("Some inputs failed.")
        self.exit_code = exit_code


class DivergedError(ImageError):
    """An optimization diverged: its loss is not finite.

    Example:
        >>> issubclass(cnnviz.DivergedError, cnnviz.ImageError)
        True
    """


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
