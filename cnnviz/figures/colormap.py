"""Colormaps by name, as tables of 256 colors."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import UsageError

SEQUENTIAL = "inferno"
"""The default for maps that start at zero: black, purple, orange, pale yellow, evenly spaced to the eye."""

DIVERGING = "RdBu_r"
"""The default for maps with a sign: blue below zero, near-white at it, red above."""

# The defaults are interpolated between these colors in even steps, to 2/255 of matplotlib's own, so that a plain
# run need not import matplotlib. Inferno is by Smith and van der Walt (CC0), RdBu by Brewer.
_COLOR_STOPS = {
    SEQUENTIAL: """
    000004 040312 0b0724 150b37 210c4a 2e0a5a 3c0965 4a0c6b 57106d 63146e 70196e
    7d1e6d 89226a 962766 a32b61 af315c bb3755 c63e4d d14644 db4f3b e35932 eb6528
    f1711e f67f14 f98d0a fb9c06 fcab0f fbba1f f9ca32 f5d949 f2e865 f3f586 fcffa4
    """,
    DIVERGING: "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f",
}


@cache
def color_table(name: str) -> NDArray[np.uint8]:
    """The colors (256, 3), RGB in 0..255, of one of matplotlib's colormaps, lowest value first.

    Raises UsageError, with the nearest names, if there is none of that name.
    """
    table = _interpolated(_COLOR_STOPS[name].split()) if name in _COLOR_STOPS else _from_matplotlib(name)
    table.flags.writeable = False  # the cache hands the same array to everyone
    return table


def _interpolated(codes: list[str]) -> NDArray[np.uint8]:
    knots = np.array([list(bytes.fromhex(code)) for code in codes])
    at, steps = np.linspace(0, len(codes) - 1, 256), np.arange(len(codes))
    return np.rint(np.stack([np.interp(at, steps, channel) for channel in knots.T], axis=1)).astype(np.uint8)


def _from_matplotlib(name: str) -> NDArray[np.uint8]:
    from matplotlib import colormaps

    if name not in colormaps:
        raise _unknown(name, list(colormaps))
    colors = colormaps[name](np.linspace(0, 1, 256))
    return np.rint(np.asarray(colors)[:, :3] * 255).astype(np.uint8)


def _unknown(name: str, known: list[str]) -> UsageError:
    from difflib import get_close_matches

    spelled = {other.lower(): other for other in sorted(known, reverse=True)}
    near = [spelled[other] for other in get_close_matches(name.lower(), spelled, n=3, cutoff=0.5)]
    hint = f"Near it: {', '.join(near)}." if near else f"'{SEQUENTIAL}', 'viridis' and '{DIVERGING}' are some."
    return UsageError(f"There is no colormap called '{name}'. {hint}")
