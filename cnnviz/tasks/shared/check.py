"""How far a map can be trusted: deletion and insertion curves, and its similarity to a randomized network's map."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.result import Result
from cnnviz.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.faithfulness import RandomizationStep
    from cnnviz.figures.faithfulness import FaithfulnessCurves
    from cnnviz.network.network import Network

CHECK_SIDECAR = ".check.png"


def check_setting() -> Any:
    """Whether the map is tested."""
    return setting(
        False,
        "Test the map: deletion and insertion curves, similarity to a randomized network's map.",
    )


@dataclass(frozen=True)
class MapCheck:
    """The curves of a map (1, 1, H, W) and of the map of a randomized network."""

    attribution: Tensor
    own: FaithfulnessCurves
    other: FaithfulnessCurves
    step: RandomizationStep

    def added_to(self, result: Result, title: str) -> Result:
        """``result`` with the check's metadata, text and figure."""
        from cnnviz.figures.faithfulness import faithfulness_figure

        figure = faithfulness_figure(self.own, self.other, self.attribution, self.step, f"{title}, checked")
        return replace(
            result,
            metadata={**result.metadata, "check": self._metadata()},
            text=[*result.text, *self._text()],
            sidecars={**result.sidecars, CHECK_SIDECAR: figure},
        )

    def _metadata(self) -> dict[str, Any]:
        """The areas, for comparison those of the randomized network's map, and the curves."""
        curves = {"deletion": self.own.deletion, "insertion": self.own.insertion}
        step = self.step
        return {
            "areas": _areas(self.own),
            "areas_of_randomized_map": _areas(self.other),
            "randomized": {"ssim": _rounded(step.ssim), "rank_correlation": _rounded(step.rank_correlation)},
            "shares": [round(share, 4) for share in self.own.deletion.shares.tolist()],
            **{name: [round(p, 5) for p in curve.probabilities[0].tolist()] for name, curve in curves.items()},
        }

    def _text(self) -> list[str]:
        own, other, whose = _areas(self.own), _areas(self.other), "the randomized network's map"
        return [
            f"  deletion area {own['deletion']:.3f}, of {whose} {other['deletion']:.3f} (low is good)",
            f"  insertion area {own['insertion']:.3f}, of {whose} {other['insertion']:.3f} (high is good)",
            f"  similarity to {whose}: SSIM {float(self.step.ssim):.2f}, "
            f"rank correlation {float(self.step.rank_correlation):.2f} (near 0 is good)",
        ]


def check_map(
    network: Network, pixels: Tensor, target: int, attribute: Callable[[Network], Tensor], seed: int
) -> MapCheck:
    """The check of the map (1, 1, H, W) that ``attribute`` makes of a network for one image and class."""
    from cnnviz.attribution.faithfulness import deletion_curve, insertion_curve, randomization_check
    from cnnviz.figures.faithfulness import FaithfulnessCurves

    found = attribute(network)
    (step,) = randomization_check(
        network, pixels, lambda other, _: found if other is network else attribute(other), seed=seed
    )
    own, other = (
        FaithfulnessCurves(
            deletion_curve(network, pixels, maps, target), insertion_curve(network, pixels, maps, target)
        )
        for maps in (found, step.maps)
    )
    return MapCheck(found, own, other, step)


def _areas(curves: FaithfulnessCurves) -> dict[str, float | None]:
    return {"deletion": _rounded(curves.deletion.area), "insertion": _rounded(curves.insertion.area)}


def _rounded(value: Tensor) -> float | None:
    number = float(value)
    return None if math.isnan(number) else round(number, 4)
