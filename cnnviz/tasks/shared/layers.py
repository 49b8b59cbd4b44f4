"""Layers and channels as tasks name them: settings, and the lists that people type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.parsing import index
from cnnviz.settings import setting

_MOST_CHANNELS = 100_000  # named at once; the widest layers have a few thousand


def layer_setting(help: str, show_default: str | None = None) -> Any:
    """One layer, ``str | None``; None for the one that ``show_default`` describes."""
    return setting(None, help, names=("--layer", "-l"), metavar="LAYER", show_default=show_default)


def layers_setting(help: str, show_default: str | None = None) -> Any:
    """Layers, ``tuple[str, ...] | None``, which ``layer_names`` reads."""
    return setting(None, help, names=("--layer", "-l"), metavar="L[,L…]", show_default=show_default)


def channels_setting() -> Any:
    """Channels, ``tuple[str, ...] | None``, which ``channel_numbers`` reads."""
    help = "Channels, as 17 or 3,17,40-44; may be repeated."
    return setting(None, help, names=("--channel", "-c"), metavar="C[,C…]")


def shared_scale_setting() -> Any:
    """Whether all tiles of a sheet are scaled by the largest value among them."""
    return setting(False, "One scale for all tiles, so that weak ones look weak.")


def layer_names(values: str | Sequence[str] | None) -> list[str]:
    """The layers in some lists separated by commas, each once, in their order; none for None."""
    names = (name.strip() for value in _texts(values) for name in value.split(","))
    return list(dict.fromkeys(name for name in names if name))


def channel_numbers(values: str | Sequence[str] | None) -> list[int]:
    """The channels in some lists such as ``3,17,40-44``, each once, in their order; none for None.

    Raises:
        UsageError: anything else.
    """
    found: list[int] = []
    for value in _texts(values):
        for part in value.split(","):
            found += _range(part, value)
    return list(dict.fromkeys(found))


def _texts(values: str | Sequence[str] | None) -> Sequence[str]:
    return (values,) if isinstance(values, str) else values or ()


def _range(part: str, whole: str) -> range:
    first, dash, last = part.strip().partition("-")
    start, stop = index(first), index(last) if dash else index(first)
    if start is None or stop is None or stop < start:
        raise UsageError(f"Channels are numbers from 0, as in 3,17,40-44, not '{shortened(whole)}'.")
    if stop >= start + _MOST_CHANNELS:
        raise UsageError(f"{shortened(whole)} names more channels than a layer has.")
    return range(start, stop + 1)
