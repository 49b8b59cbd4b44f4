"""``--check`` on the attribution commands: how far a map can be trusted, in numbers and in a figure beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli.job import Picture, Result
from cnnviz.cli.maps import Verdict
from cnnviz.cli.options import OutputOptions
from cnnviz.cli.outputs import require_files

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.attribution.faithfulness import FaithfulnessCurve, RandomizationStep
    from cnnviz.network import Network

SUFFIX = ".check.png"
_RED, _BLUE = "#c0392b", "#1f77b4"
_PLOT = (600, 420)
_WIDE = 2.6  # width over height from which maps do not stand beside the plot

CheckOption = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Test the map: deletion and insertion curves, and its likeness to the map of a randomised network. "
        "Prints the numbers and writes a figure beside the map.",
    ),
]


def check_companions(output: OutputOptions, check: bool) -> tuple[str, ...]:
    """The suffixes of what ``--check`` writes beside a map; UsageError where there is no place for it."""
    if not check:
        return ()
    require_files(output, "--check")
    return (SUFFIX,)


@dataclass(frozen=True)
class _Curves:
    """A map's two curves."""

    deletion: FaithfulnessCurve
    insertion: FaithfulnessCurve

    @classmethod
    def of(cls, net: Network, pixels: Tensor, found: Tensor, target: int) -> _Curves:
        from cnnviz.attribution.faithfulness import deletion_curve, insertion_curve

        return cls(deletion_curve(net, pixels, found, target), insertion_curve(net, pixels, found, target))

    def areas(self) -> dict[str, float | None]:
        return {"deletion": _rounded(self.deletion.area), "insertion": _rounded(self.insertion.area)}


def checked(
    result: Result, net: Network, picture: Picture, verdict: Verdict, attribute: Callable[[Network], Tensor], seed: int
) -> Result:
    """``result`` with the check's facts, lines and figure; ``attribute`` makes a network's map (1, 1, H, W)."""
    from cnnviz.attribution.faithfulness import randomization_check

    pixels, target = picture.pixels, verdict.target[0]
    found = attribute(net)
    (step,) = randomization_check(
        net, pixels, lambda network, _: found if network is net else attribute(network), seed=seed
    )
    own, other = (_Curves.of(net, pixels, maps, target) for maps in (found, step.maps))
    figure = _figure(own, other, found, step, verdict.caption(net))
    return replace(
        result,
        facts={**result.facts, "check": _facts(own, other, step)},
        lines=[*result.lines, *_lines(own.areas(), other.areas(), step)],
        companions={**result.companions, SUFFIX: figure},
    )


def _rounded(value: Tensor) -> float | None:
    number = float(value)
    return None if math.isnan(number) else round(number, 4)


def _facts(own: _Curves, other: _Curves, step: RandomizationStep) -> dict[str, Any]:
    """What ``--json`` tells: the areas, for comparison those of the randomised network's map, and the curves."""
    curves = {"deletion": own.deletion, "insertion": own.insertion}
    return {
        "areas": own.areas(),
        "areas_of_randomized_map": other.areas(),
        "randomized": {"ssim": _rounded(step.ssim), "rank_correlation": _rounded(step.rank_correlation)},
        "shares": [round(share, 4) for share in own.deletion.shares.tolist()],
        **{name: [round(p, 5) for p in curve.probabilities[0].tolist()] for name, curve in curves.items()},
    }


def _lines(own: dict[str, Any], other: dict[str, Any], step: RandomizationStep) -> list[str]:
    return [
        f"  deletion area {own['deletion']:.3f}, of the randomised network's map {other['deletion']:.3f} (low is good)",
        f"  insertion area {own['insertion']:.3f}, of the randomised network's map {other['insertion']:.3f} "
        "(high is good)",
        f"  likeness to the randomised network's map: SSIM {float(step.ssim):.2f}, "
        f"rank correlation {float(step.rank_correlation):.2f} (near 0 is good)",
    ]


def _figure(own: _Curves, other: _Curves, found: Tensor, step: RandomizationStep, caption: str) -> Image:
    """The curves, the map, and the map of the randomised network, side by side; wide strips below the curves."""
    from PIL import Image

    from cnnviz.imaging.grid import panel, stack
    from cnnviz.imaging.heatmap import colorize, upsample

    signed = bool((found < 0).any())
    aspect = found.shape[3] / found.shape[2]
    height = _PLOT[1] if aspect <= _WIDE else round(2 * _PLOT[0] / aspect)
    size = height, max(1, round(height * aspect))
    maps = [Image.fromarray(colorize(upsample(m, size), signed=signed)) for m in (found, step.maps)]
    captions = [
        "the map",
        f"with random weights: SSIM {float(step.ssim):.2f}, ranks {float(step.rank_correlation):.2f}",
    ]
    title = f"{caption}, checked"
    if aspect > _WIDE:
        return stack([panel([_plot(own, other)], title=title, tile_height=_PLOT[1]), panel(maps, captions)])
    return panel([_plot(own, other), *maps], ["", *captions], title, tile_height=height)


def _plot(own: _Curves, other: _Curves) -> Image:
    from cnnviz.imaging.plot import Series, line_plot

    series = []
    for name, color in (("insertion", _BLUE), ("deletion", _RED)):
        for curves, whose in ((own, ""), (other, ", randomised")):
            curve: FaithfulnessCurve = getattr(curves, name)
            words = f"{name}{whose}: area {float(curve.area):.3f}"
            series.append(Series(words, curve.shares.tolist(), curve.probabilities[0].tolist(), color, curves is other))
    return line_plot(series, "pixels changed, most important first", "probability", _PLOT)
