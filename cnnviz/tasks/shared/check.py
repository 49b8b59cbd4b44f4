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

    from cnnviz.figures.faithfulness import FaithfulnessCurves, Randomized
    from cnnviz.network.network import Network
    from cnnviz.network.targets import TargetFunction

CHECK_SIDECAR = ".check.png"


def check_setting() -> Any:
    """Whether the map is tested."""
    return setting(
        False,
        "Test the map: deletion and insertion curves, similarity to a randomized network's map.",
    )


@dataclass(frozen=True)
class MapCheck:
    """The curves of a map (1, 1, H, W), and of the map of a randomized network where there are weights to randomize."""

    attribution: Tensor
    own: FaithfulnessCurves
    randomized: Randomized | None

    def added_to(self, result: Result, title: str) -> Result:
        """``result`` with the check's metadata, text and figure."""
        from cnnviz.figures.faithfulness import faithfulness_figure

        figure = faithfulness_figure(self.own, self.attribution, f"{title}, checked", self.randomized)
        return replace(
            result,
            metadata={**result.metadata, "check": self._metadata()},
            text=[*result.text, *self._text()],
            sidecars={**result.sidecars, CHECK_SIDECAR: figure},
        )

    def _metadata(self) -> dict[str, Any]:
        """The areas, for comparison those of the randomized network's map, and the curves."""
        curves = {"deletion": self.own.deletion, "insertion": self.own.insertion}
        return {
            "areas": _areas(self.own),
            **self._of_randomized(),
            "shares": [round(share, 4) for share in self.own.deletion.shares.tolist()],
            **{name: [round(p, 5) for p in curve.probabilities[0].tolist()] for name, curve in curves.items()},
        }

    def _of_randomized(self) -> dict[str, Any]:
        if self.randomized is None:
            return {}
        step = self.randomized.step
        return {
            "areas_of_randomized_map": _areas(self.randomized.curves),
            "randomized": {"ssim": _rounded(step.ssim), "rank_correlation": _rounded(step.rank_correlation)},
        }

    def _text(self) -> list[str]:
        own = _areas(self.own)
        if self.randomized is None:
            return [
                f"  deletion area {own['deletion']:.3f} (low is good)",
                f"  insertion area {own['insertion']:.3f} (high is good)",
            ]
        step, other, whose = self.randomized.step, _areas(self.randomized.curves), "the randomized network's map"
        return [
            f"  deletion area {own['deletion']:.3f}, of {whose} {other['deletion']:.3f} (low is good)",
            f"  insertion area {own['insertion']:.3f}, of {whose} {other['insertion']:.3f} (high is good)",
            f"  similarity to {whose}: SSIM {float(step.ssim):.2f}, "
            f"rank correlation {float(step.rank_correlation):.2f} (near 0 is good)",
        ]


def check_map(
    network: Network, pixels: Tensor, target: int | TargetFunction, attribute: Callable[[Network], Tensor], seed: int
) -> MapCheck:
    """The check of the map (1, 1, H, W) that ``attribute`` makes of a network for one image and class."""
    from cnnviz.attribution.faithfulness import deletion_curve, insertion_curve, randomization_check
    from cnnviz.figures.faithfulness import FaithfulnessCurves, Randomized

    score = "probability" if network.has_probabilities else "value"

    def curves_of(maps: Tensor) -> FaithfulnessCurves:
        deletion = deletion_curve(network, pixels, maps, target)
        return FaithfulnessCurves(deletion, insertion_curve(network, pixels, maps, target), score)

    found = attribute(network)
    if network.black_box:
        return MapCheck(found, curves_of(found), None)
    (step,) = randomization_check(
        network, pixels, lambda other, _: found if other is network else attribute(other), seed=seed
    )
    return MapCheck(found, curves_of(found), Randomized(curves_of(step.maps), step))


def _areas(curves: FaithfulnessCurves) -> dict[str, float | None]:
    return {"deletion": _rounded(curves.deletion.area), "insertion": _rounded(curves.insertion.area)}


def _rounded(value: Tensor) -> float | None:
    number = float(value)
    return None if math.isnan(number) else round(number, 4)
