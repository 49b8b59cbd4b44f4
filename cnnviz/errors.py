"""The errors a user can cause or meet, each with the exit code the command line gives it.

Every message is one sentence that names the thing at fault, and the remedy where there is one. Code outside
``cnnviz.cli`` raises these; only the command line prints them and turns them into exit codes.
"""

from __future__ import annotations

from collections.abc import Sequence


class CnnvizError(Exception):
    """Base of all errors that are somebody's mistake or bad luck rather than a bug."""

    exit_code = 1


class ImageError(CnnvizError):
    """A picture cannot be read, written, or is unfit for the network."""


class UsageError(CnnvizError, ValueError):
    """An argument is wrong: an unknown class, layer, device, or options that contradict each other."""

    exit_code = 2


class ModelError(CnnvizError):
    """A model or its weights are unavailable, corrupt, or do not fit each other."""

    exit_code = 3


class MemoryShortError(CnnvizError, MemoryError):
    """The job does not fit in memory; the message says which size would."""

    exit_code = 4


class DivergedError(ImageError):
    """An optimisation ran away: its loss is no longer a number."""


def shortened(text: str, length: int = 60) -> str:
    """A text from outside as messages repeat it: odd characters escaped, and cut after so many."""
    cut, rest = text[:length], "…" if len(text) > length else ""
    return (cut if cut.isprintable() else ascii(cut)[1:-1]) + rest


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
