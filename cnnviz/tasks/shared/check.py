"""How far a map can be trusted: deletion and insertion curves, and its similarity to a randomized network's map."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.figures.faithfulness import FaithfulnessCurves, Randomized
    from cnnviz.network.network import Network
    from cnnviz.network.targets import TargetFunction

CHECK_SIDECAR = ".check.png"

_MEASURES = {
    "hiding": ("insertion − deletion area with other fills", True),
    "road": ("ROAD, least − most important first", True),
    "infidelity": ("relative infidelity", False),
}
_BLIND = {
    "random": "random pixels",
    "smooth-random": "a smooth random field",
    "middle": "a blob in the middle",
    "edges": "an edge detector",
}
_SAMPLES = 3
"""Noisy images for the sensitivity, each of which takes as long as the map."""


def check_setting() -> Any:
    """Whether the map is tested."""
    return setting(
        False,
        "Test the map: deletion and insertion, ROAD, infidelity, sensitivity; a randomized network's map; baselines.",
    )


@dataclass(frozen=True)
class MapCheck:
    """The test of a map (1, 1, H, W).

    Attributes:
        attribution: the map.
        own: its curves.
        randomized: those of the map of a randomized network, where there are weights to randomize.
        measures: of each measure the value of the map, under ``map``, and of the baselines.
        sensitivity: how much the map changes with an invisible change of the image.
    """

    attribution: Tensor
    own: FaithfulnessCurves
    randomized: Randomized | None
    measures: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    sensitivity: float | None = None

    def added_to(self, result: Result, title: str, image: LoadedImage, label: str, boxes: str | None) -> Result:
        """``result`` with the check's metadata, text and figure; ``boxes`` are as in ``boxes_setting``."""
        from cnnviz.figures.faithfulness import faithfulness_figure

        place = {} if boxes is None else _localized(self.attribution, image, label, boxes)
        figure = faithfulness_figure(self.own, self.attribution, f"{title}, checked", self.randomized)
        return replace(
            result,
            metadata={**result.metadata, "check": {**self._metadata(), **place}},
            text=[*result.text, *self._text(), *_place_text(place)],
            sidecars={**result.sidecars, CHECK_SIDECAR: figure},
        )

    def _metadata(self) -> dict[str, Any]:
        """The areas, for comparison those of the randomized network's map, and the curves."""
        curves = {"deletion": self.own.deletion, "insertion": self.own.insertion}
        return {
            "areas": _areas(self.own),
            **self._of_randomized(),
            "measures": {name: dict(values) for name, values in self.measures.items()},
            "sensitivity_max": self.sensitivity,
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
        return [*self._curve_text(), *self._measure_text()]

    def _measure_text(self) -> list[str]:
        """The measures, each with the best value of a map that knows nothing of the network."""
        lines = []
        for name, values in self.measures.items():
            title, high_is_good = _MEASURES[name]
            blind = {other: value for other, value in values.items() if other != "map" and value is not None}
            best = (max if high_is_good else min)(blind, key=lambda other: blind[other])
            goal = "high" if high_is_good else "low"
            lines.append(f"  {title} {values['map']:.3f}, of {_BLIND[best]} {blind[best]:.3f} ({goal} is good)")
        return [*lines, f"  largest change of the map under invisible noise {self.sensitivity:.2f} (low is good)"]

    def _curve_text(self) -> list[str]:
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
    network: Network,
    pixels: Tensor,
    target: int | TargetFunction,
    attribute: Callable[[Network, Tensor], Tensor],
    seed: int,
) -> MapCheck:
    """The check of the map (1, 1, H, W) that ``attribute`` makes of a network and one image for a class."""
    from cnnviz.attribution.faithfulness import deletion_curve, insertion_curve, randomization_check
    from cnnviz.figures.faithfulness import FaithfulnessCurves, Randomized

    score = "probability" if network.has_probabilities else "value"

    def curves_of(maps: Tensor) -> FaithfulnessCurves:
        deletion = deletion_curve(network, pixels, maps, target)
        return FaithfulnessCurves(deletion, insertion_curve(network, pixels, maps, target), score)

    found = attribute(network, pixels)
    more = _measures(network, pixels, found, target, seed), _sensitivity(network, pixels, found, attribute, seed)
    if network.black_box:
        return MapCheck(found, curves_of(found), None, *more)
    (step,) = randomization_check(
        network, pixels, lambda other, _: found if other is network else attribute(other, pixels), seed=seed
    )
    return MapCheck(found, curves_of(found), Randomized(curves_of(step.maps), step), *more)


def _measures(
    network: Network, pixels: Tensor, found: Tensor, target: int | TargetFunction, seed: int
) -> dict[str, dict[str, float | None]]:
    """ROAD, relative infidelity, and hiding by fills that no method is made with, of the map and the baselines."""
    from cnnviz.attribution.metrics.fills import MEASURING
    from cnnviz.attribution.metrics.ranking import image_scores

    fills = [fill for fill in MEASURING if fill.kind in ("inpainting", "photo")][1:3]
    scores = image_scores(network, pixels, {"map": found}, target, fills, seed=seed)
    return {
        metric: {name: _finite(float(value.mean())) for name, value in values.items()}
        for metric, values in scores.values.items()
    }


def _localized(attribution: Tensor, image: LoadedImage, label: str, boxes: str) -> dict[str, Any]:
    """How the map fits the objects of a class that are marked in an image; empty where none is."""
    from dataclasses import asdict
    from pathlib import Path

    from cnnviz.attribution.metrics.localization import localization
    from cnnviz.pipeline.marked_objects import MarkedObjects, object_mask

    marked = MarkedObjects.of(Path(boxes)).marked(image.source)
    found = object_mask(image, marked, label) if marked else None
    if found is None:
        return {"localization": None}
    numbers = asdict(localization(attribution, found[0]))
    return {
        "localization": {name: round(value, 4) for name, value in numbers.items()}
        | {"hit": bool(numbers["hit"]), "objects": found[1]}
    }


def _place_text(place: Mapping[str, Any]) -> list[str]:
    if not place:
        return []
    numbers = place["localization"]
    if numbers is None:
        return ["  no marked object is in sight"]
    return [
        f"  pointing game: {'hit' if numbers['hit'] else 'miss'}; of the map {numbers['inside']:.0%} inside the marked "
        f"object, overlap {numbers['overlap']:.0%}; it covers {numbers['area']:.0%} of the image"
    ]


def _sensitivity(
    network: Network, pixels: Tensor, found: Tensor, attribute: Callable[[Network, Tensor], Tensor], seed: int
) -> float:
    from cnnviz.attribution.metrics.robustness import sensitivity_max

    changed = sensitivity_max(
        pixels, lambda image: found if image is pixels else attribute(network, image), samples=_SAMPLES, seed=seed
    )
    return round(float(changed), 4)


def _finite(number: float) -> float | None:
    return None if math.isnan(number) else round(number, 4)


def _areas(curves: FaithfulnessCurves) -> dict[str, float | None]:
    return {"deletion": _rounded(curves.deletion.area), "insertion": _rounded(curves.insertion.area)}


def _rounded(value: Tensor) -> float | None:
    number = float(value)
    return None if math.isnan(number) else round(number, 4)
