"""``--check`` on the attribution commands: how far a map can be trusted, in numbers and in a figure beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli.options import OutputOptions
from cnnviz.pipeline.outputs import require_files
from cnnviz.pipeline.result import LoadedImage, Result

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.faithfulness import RandomizationStep
    from cnnviz.attribution.targets import Explanation
    from cnnviz.figures.faithfulness import FaithfulnessCurves
    from cnnviz.network.network import Network

SUFFIX = ".check.png"

CheckOption = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Test the map: deletion and insertion curves, and its likeness to the map of a randomized network. "
        "Prints the numbers and writes a figure beside the map.",
    ),
]


def check_companions(output: OutputOptions, check: bool) -> tuple[str, ...]:
    """The suffixes of what ``--check`` writes beside a map; UsageError where there is no place for it."""
    if not check:
        return ()
    require_files(output, "--check")
    return (SUFFIX,)


def checked(
    result: Result,
    net: Network,
    picture: LoadedImage,
    explanation: Explanation,
    attribute: Callable[[Network], Tensor],
    seed: int,
) -> Result:
    """``result`` with the check's facts, lines and figure; ``attribute`` makes a network's map (1, 1, H, W)."""
    from cnnviz.attribution.faithfulness import randomization_check
    from cnnviz.figures.captions import explanation_title
    from cnnviz.figures.faithfulness import faithfulness_figure

    pixels, target = picture.pixels, explanation.target[0]
    found = attribute(net)
    (step,) = randomization_check(
        net, pixels, lambda network, _: found if network is net else attribute(network), seed=seed
    )
    own, other = (_curves(net, pixels, maps, target) for maps in (found, step.maps))
    title = f"{explanation_title(net.name, explanation)}, checked"
    figure = faithfulness_figure(own, other, found, step, title)
    return replace(
        result,
        metadata={**result.metadata, "check": _facts(own, other, step)},
        text=[*result.text, *_lines(_areas(own), _areas(other), step)],
        sidecars={**result.sidecars, SUFFIX: figure},
    )


def _curves(net: Network, pixels: Tensor, found: Tensor, target: int) -> FaithfulnessCurves:
    from cnnviz.attribution.faithfulness import deletion_curve, insertion_curve
    from cnnviz.figures.faithfulness import FaithfulnessCurves

    return FaithfulnessCurves(deletion_curve(net, pixels, found, target), insertion_curve(net, pixels, found, target))


def _areas(curves: FaithfulnessCurves) -> dict[str, float | None]:
    return {"deletion": _rounded(curves.deletion.area), "insertion": _rounded(curves.insertion.area)}


def _rounded(value: Tensor) -> float | None:
    number = float(value)
    return None if math.isnan(number) else round(number, 4)


def _facts(own: FaithfulnessCurves, other: FaithfulnessCurves, step: RandomizationStep) -> dict[str, Any]:
    """What ``--json`` tells: the areas, for comparison those of the randomized network's map, and the curves."""
    curves = {"deletion": own.deletion, "insertion": own.insertion}
    return {
        "areas": _areas(own),
        "areas_of_randomized_map": _areas(other),
        "randomized": {"ssim": _rounded(step.ssim), "rank_correlation": _rounded(step.rank_correlation)},
        "shares": [round(share, 4) for share in own.deletion.shares.tolist()],
        **{name: [round(p, 5) for p in curve.probabilities[0].tolist()] for name, curve in curves.items()},
    }


def _lines(own: dict[str, Any], other: dict[str, Any], step: RandomizationStep) -> list[str]:
    return [
        f"  deletion area {own['deletion']:.3f}, of the randomized network's map {other['deletion']:.3f} (low is good)",
        f"  insertion area {own['insertion']:.3f}, of the randomized network's map {other['insertion']:.3f} "
        "(high is good)",
        f"  likeness to the randomized network's map: SSIM {float(step.ssim):.2f}, "
        f"rank correlation {float(step.rank_correlation):.2f} (near 0 is good)",
    ]
