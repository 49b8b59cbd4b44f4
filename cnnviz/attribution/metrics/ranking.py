"""Methods in the order of how well their maps do over many images, with intervals, beside four baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cnnviz.attribution.faithfulness import rank_correlation
from cnnviz.attribution.metrics.baselines import BASELINES, baseline_map
from cnnviz.attribution.metrics.bootstrap import Values, interval_of, resampled_means, trimmed_means
from cnnviz.attribution.metrics.fills import CHOOSING, MEASURING, Fill
from cnnviz.attribution.metrics.hiding import hiding
from cnnviz.attribution.metrics.localization import localization
from cnnviz.attribution.metrics.road import road_curve
from cnnviz.attribution.metrics.robustness import infidelity
from cnnviz.attribution.targets import TargetFunction
from cnnviz.network.network import Network

METRICS = {
    "hiding": ("insertion − deletion", True),
    "road": ("ROAD, least − most first", True),
    "infidelity": ("relative infidelity", False),
    "pointing": ("pointing game", True),
    "inside": ("energy inside", True),
    "overlap": ("overlap", True),
}
"""What is measured, with its name in figures, and whether a large value is good. The last three need marked objects."""

LEVEL = 0.95
_STEPS = 8
_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
_FEWEST = 5  # fills, of which the extremes are left out


def ranking_fills(made_with: Sequence[str]) -> list[Fill]:
    """A fill of each kind that none of the compared maps was made with; at least one of all if none is left."""
    by_kind = {fill.kind: fill for fill in (*CHOOSING, *MEASURING)}
    return [fill for kind, fill in by_kind.items() if kind not in made_with] or [MEASURING[0]]


@dataclass(frozen=True)
class ImageScores:
    """The values of one image.

    Attributes:
        values: of each metric and map its values (F,): one for each fill, or a single one.
        agreement: (M, M), the rank correlations of the maps, in their order; the baselines are left out.
    """

    values: Mapping[str, Mapping[str, Values]]
    agreement: Values


@torch.no_grad()
def image_scores(
    network: Network,
    pixels: Tensor,
    maps: Mapping[str, Tensor],
    target: int | TargetFunction,
    fills: Sequence[Fill],
    *,
    mask: Tensor | None = None,
    seed: int = 0,
) -> ImageScores:
    """What each map (1, 1, H, W) of an image (1, C, H, W) scores, and the four baselines after them.

    ``mask`` (1, 1, H, W) is where the object is, if that is known.
    """
    pixels = pixels.to(network.device)
    known = {name: found.detach().cpu().float() for name, found in maps.items()}
    each = {**known, **{name: baseline_map(name, pixels, seed).cpu() for name in BASELINES}}
    stack = torch.cat(list(each.values()))
    hidden = np.stack(
        [
            hiding(network, pixels, stack, target, fill, steps=_STEPS, seed=seed + place).scores.numpy()
            for place, fill in enumerate(fills)
        ],
        axis=1,
    )
    values: dict[str, dict[str, Values]] = {"hiding": dict(zip(each, hidden, strict=True))}
    values["road"] = {name: _road(network, pixels, found, target) for name, found in each.items()}
    values["infidelity"] = {
        name: relative_infidelity(network, pixels, found, target, seed) for name, found in each.items()
    }
    if mask is not None:
        places = {name: localization(found, mask) for name, found in each.items()}
        values["pointing"] = {name: np.array([float(place.hit)]) for name, place in places.items()}
        values["inside"] = {name: np.array([place.inside]) for name, place in places.items()}
        values["overlap"] = {name: np.array([place.overlap]) for name, place in places.items()}
    agreement = [[rank_correlation(one, other) for other in known.values()] for one in known.values()]
    return ImageScores(values, np.array(agreement))


def relative_infidelity(
    network: Network, pixels: Tensor, found: Tensor, target: int | TargetFunction, seed: int = 0
) -> Values:
    """Infidelity in parts of that of an empty map, (1,) in [0, 1]; 1 where noise does not move the score."""
    own = infidelity(network, pixels, found, target, seed=seed).double()
    empty = infidelity(network, pixels, torch.zeros_like(found), target, seed=seed).double()
    relative: Values = torch.where(empty > 0, own / empty.clamp_min(1e-30), 1.0).numpy()
    return relative


def _road(network: Network, pixels: Tensor, found: Tensor, target: int | TargetFunction) -> Values:
    """The mean difference between removing the least and the most important pixels first, (1,)."""
    most, least = (
        road_curve(network, pixels, found, target, shares=_SHARES, least_first=first).probabilities
        for first in (False, True)
    )
    difference: Values = (least - most).double().mean(1).numpy() / 2
    return difference


@dataclass(frozen=True)
class Ranked:
    """A map's means over all images.

    Attributes:
        name: the method's, baseline's, or that of maps made elsewhere.
        values: of each metric the mean and its interval, (mean, low, high).
        margin: of ``hiding`` the mean over that of the best baseline, with its interval.
    """

    name: str
    values: Mapping[str, tuple[float, float, float]]
    margin: tuple[float, float, float]

    @property
    def is_baseline(self) -> bool:
        return self.name in BASELINES


@dataclass(frozen=True)
class Ranking:
    """The maps in the order of ``hiding``, the best first; of equal ones in the order they were given.

    Attributes:
        rows: the maps and the four baselines.
        best_baseline: the best of these.
        images: how many images were measured.
        fills: the names of the fills.
        agreement: of each pair of maps the mean rank correlation.
    """

    rows: Sequence[Ranked]
    best_baseline: str
    images: int
    fills: Sequence[str]
    agreement: Mapping[str, Mapping[str, float]]


def rank(scores: Sequence[ImageScores], fills: Sequence[Fill], *, seed: int = 0, level: float = LEVEL) -> Ranking:
    """The ranking by the values of some images, at least one; intervals by a bootstrap over images, then fills.

    A fill can flatter a map, as a dark one may one of bright pixels. So of each map and image the fills with its
    largest and its smallest area are left out, if there are five or more: one fill does not decide the order. A metric
    that needs marked objects is averaged over the images that have some.
    """
    names = list(scores[0].values["hiding"])
    hidden = {name: np.stack([each.values["hiding"][name] for each in scores]) for name in names}
    best = max(BASELINES, key=lambda name: _mean(hidden[name]))
    rows = []
    for name in names:
        values = {}
        for metric in METRICS:
            found = [each.values[metric][name] for each in scores if metric in each.values]
            if found:
                values[metric] = _interval(np.stack(found), seed, level)
        rows.append(Ranked(name, values, _interval(hidden[name], seed, level, minus=hidden[best])))
    rows.sort(key=lambda row: -round(row.values["hiding"][0], 9))  # stable: equal maps stay as they were given
    known = [name for name in names if name not in BASELINES]
    means = np.mean([each.agreement for each in scores], axis=0) if known else np.zeros((0, 0))
    agreement = {one: dict(zip(known, map(float, row), strict=True)) for one, row in zip(known, means, strict=True)}
    return Ranking(rows, best, len(scores), [fill.name for fill in fills], agreement)


def _trim(values: Values) -> int:
    return 1 if values.shape[-1] >= _FEWEST else 0


def _mean(values: Values) -> float:
    return float(trimmed_means(values, _trim(values)))


def _interval(values: Values, seed: int, level: float, minus: Values | None = None) -> tuple[float, float, float]:
    """Mean, low and high end of values (images, F), or of values less ``minus``; infinite ends for a single image."""
    mean, drawn = _mean(values), resampled_means(values, seed, trim=_trim(values))
    if minus is not None:
        # The same seed: the same images and fills are drawn of both.
        mean, drawn = mean - _mean(minus), drawn - resampled_means(minus, seed, trim=_trim(minus))
    low, high = interval_of(mean, drawn, len(values), level)
    return mean, low, high
