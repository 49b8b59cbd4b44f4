"""Sizes of a perturbation as they are typed and shown: ``8/255``, ``0.03``, or ``8`` gray levels."""

from __future__ import annotations

from typing import Any

from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.parsing import real
from cnnviz.settings import setting


def epsilon_setting(default: str) -> Any:
    """The largest perturbation, as text."""
    help = "Largest change: 8/255, 8 and 0.0314 are all eight gray levels."
    return setting(default, help, names=("--epsilon", "-e"), metavar="SIZE")


def parse_epsilon(text: str, norm: str) -> float:
    """A size in units of pixel value: ``8/255``, ``0.0314``, or, for L-infinity, gray levels (``8``).

    Raises:
        UsageError: the text is no size, or one below 0.
    """
    over, slash, under = text.partition("/")
    numerator, denominator = real(over), real(under) if slash else 1.0
    if numerator is None or not denominator:
        raise UsageError(f"'{shortened(text)}' is not a size of change.", remedy="epsilon")
    value = numerator / denominator
    if not 0 <= value < float("inf"):
        raise UsageError(f"'{shortened(text)}' is not a size of at least 0, and finite.", remedy="epsilon")
    # From 1 on it can only be gray levels: the whole range of pixel values is 1.
    return value / 255 if norm == "linf" and value >= 1 and not slash else value


def epsilon_text(size: float, norm: str) -> str:
    """A size in units of pixel value, as people read it: ``2/255``, ``40 in L2``."""
    return f"{size:g} in L2" if norm == "l2" else f"{size * 255:.3g}/255"
